// Everything a guest's start reads of the host, changes on it and opens: the daemon's one seam to the machine
// below.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "host/control/misplaced.h"
#include "host/cpu_set.h"
#include "host/snapshot.h"
#include "host/vpd.h"
#include "server/guest/descriptor.h"
#include "server/guest/image_chain.h"
#include "server/guest/step.h"

namespace berth::server {

// A step ready to be done. `record` undoes it, whether or not it was done (host/control/record.h).
struct PlannedStep {
  std::string kind;
  std::string record;
};

// Any thread. Changes that the kernel makes wait for no longer than host::HostControl's patience.
class HostEffects {
 public:
  virtual ~HostEffects() = default;

  virtual Result<host::HostSnapshot> Snapshot() = 0;
  // For host::ReceiveUevent: hears of changes from now on.
  virtual Result<UniqueFd> ListenForChanges() = 0;
  // As vfio::CheckAnswers and vfio::ResetFunction.
  virtual Status CheckAnswers(const host::PciAddress& address) = 0;
  virtual Status ResetFunction(const host::PciAddress& address) = 0;
  // Asks the device itself, which takes its time.
  virtual host::VitalProductData Vpd(const host::PciAddress& address) = 0;

  // Reads and checks; changes nothing.
  virtual Result<PlannedStep> Plan(const Step& step) = 0;
  // Makes the change. A tap's queues come back; other changes have no descriptors.
  virtual Result<std::vector<UniqueFd>> Apply(const PlannedStep& step) = 0;
  // Puts back what was; Ok if it is so already. DATA_LOSS for a record nobody can read.
  virtual Status Undo(const PlannedStep& step) = 0;

  // Opens anything but tap queues, which Apply gives, and device names.
  virtual Result<UniqueFd> Open(const Descriptor& descriptor) = 0;
  // An image with all that it stands on, as OpenImageChain.
  virtual Result<std::vector<ImageFiles>> OpenImage(const FileDescriptor& image) = 0;
  // Where VFIO has a device: the group's number, and the name that the device has in it.
  struct VfioDevice {
    int group = 0;
    std::string name;
  };
  virtual Result<VfioDevice> Locate(const VfioDeviceName& device) = 0;

  // Moves a thread of the guest's to a child of its cgroup and to these CPUs. `cgroup` is the record of the
  // cgroup's step; `child` empty moves the whole process `id` to the guest's own place.
  virtual Status Place(const std::string& cgroup, const std::string& child, int id,
                       const host::CpuSet& cpus) = 0;
  // Moves the child and all threads in it to these CPUs; `child` empty, the guest's cgroup as a whole, whose
  // children keep theirs.
  virtual Status ChangeCpus(const std::string& cgroup, const std::string& child,
                            const host::CpuSet& cpus) = 0;
  // host::FindMisplaced, with what `places` leaves open of the cgroup from its record.
  virtual std::vector<std::string> FindMisplaced(const std::string& cgroup, host::GuestPlaces places) = 0;
};

}  // namespace berth::server
