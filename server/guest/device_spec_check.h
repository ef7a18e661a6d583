// The devices of a GuestSpec: whether they make sense by themselves, and what they are called.
#pragma once

#include <string>

#include "base/error.h"
#include "berth/v1/guest_spec.pb.h"

namespace berth::server {

// INVALID_ARGUMENT, INVALID_FIELD or REQUIRED_FIELD, with the field's path.
Status CheckDevices(const v1::GuestSpec& spec);

// How the guest reaches a disk, said or by default.
v1::DiskSpec::Bus BusOf(const v1::DiskSpec& disk);

// What the controller of all disks on virtio-scsi is called; no other device is, then.
inline constexpr char kScsiControllerId[] = "scsi";

// The ids of a spec's devices, given or by default. Unique after CheckDevices.
std::string DiskId(const v1::GuestSpec& spec, int index);
std::string NetworkInterfaceId(const v1::GuestSpec& spec, int index);
std::string AssignedDeviceId(const v1::GuestSpec& spec, int index);

}  // namespace berth::server
