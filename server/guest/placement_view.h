// A guest's placement as the API shows it, read back; and the names of its cgroup's children and memory.
#pragma once

#include <string>

#include "berth/v1/guest.pb.h"
#include "host/cpu_set.h"

namespace berth::server {

struct Placement;

inline constexpr char kEmulatorChild[] = "emulator", kIoChild[] = "io0";
std::string VcpuChild(int vcpu);  // "vcpu0"
// The file that the memory of a guest's node is in: "web-memory0".
std::string MemoryFileName(const std::string& guest_id, int node);

// What of it the guest's owner is shown; threads are known later.
v1::EffectivePlacement ToEffectivePlacement(const Placement& placement);

host::CpuSet ToCpuSet(const google::protobuf::RepeatedField<int32_t>& numbers);
// Of all vCPUs; of all threads.
host::CpuSet VcpuCpus(const v1::EffectivePlacement& placement);
host::CpuSet WholeCpus(const v1::EffectivePlacement& placement);
// Whether any of its threads runs on CPUs that guests share.
bool SharesCpus(const v1::Guest& guest);

}  // namespace berth::server
