#include "server/guest/open_descriptors.h"

namespace berth::server {
namespace {

Result<UniqueFd> TakeQueue(StepResults& results, const TapQueueDescriptor& wanted) {
  const auto tap = results.taps.find(wanted.owner);
  const bool there = tap != results.taps.end() && wanted.queue < static_cast<int>(tap->second.size());
  if (!there) return Fail(Code::kInternal, "the tap {} has no queue {}", wanted.owner, wanted.queue);
  return std::move(tap->second[wanted.queue]);
}

}  // namespace

Result<std::vector<UniqueFd>> OpenDescriptors(HostEffects& host, const std::vector<Descriptor>& descriptors,
                                              StepResults& results, berth::vmm::v1::Build* build) {
  std::vector<UniqueFd> fds;
  std::map<int, uint32_t> groups;                     // Index of the descriptor of each group.
  std::map<uint32_t, HostEffects::VfioDevice> found;  // By the plan's index.
  for (const Descriptor& descriptor : descriptors) {
    const uint32_t index = static_cast<uint32_t>(fds.size());
    if (const auto* queue = std::get_if<TapQueueDescriptor>(&descriptor)) {
      fds.push_back(TRY(TakeQueue(results, *queue)));
    } else if (const auto* name = std::get_if<VfioDeviceName>(&descriptor)) {
      const HostEffects::VfioDevice device = TRY(host.Locate(*name));
      found.emplace(index, device);
      const auto [group, is_new] = groups.emplace(device.group, index);
      fds.push_back(is_new ? TRY(host.Open(VfioGroupDescriptor{device.group}))
                           : TRY(Duplicate(fds[group->second].get())));
    } else {
      fds.push_back(TRY(host.Open(descriptor)));
    }
  }
  for (auto& device : *build->mutable_machine()->mutable_devices()) {
    if (!device.has_vfio()) continue;
    const HostEffects::VfioDevice& vfio = found.at(device.vfio().group_fd());
    device.mutable_vfio()->set_device_name(vfio.name);
    device.mutable_vfio()->set_group_fd(groups.at(vfio.group));
  }
  return fds;
}

}  // namespace berth::server
