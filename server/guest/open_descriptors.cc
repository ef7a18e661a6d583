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

void AddBeneath(std::vector<ImageFiles> layers, std::vector<UniqueFd>* fds, vmm::v1::BlockDevice* block) {
  const auto add = [fds](UniqueFd fd) {
    fds->push_back(std::move(fd));
    return static_cast<uint32_t>(fds->size() - 1);
  };
  block->set_format(layers[0].format);
  if (layers[0].data) block->set_data_fd_plus_one(add(std::move(layers[0].data)) + 1);
  for (size_t i = 1; i < layers.size(); ++i) {
    vmm::v1::ImageBeneath* beneath = block->add_beneath();
    beneath->set_format(layers[i].format);
    beneath->set_writable(layers[i].writable);
    beneath->set_image_fd(add(std::move(layers[i].image)));
    if (layers[i].data) beneath->set_data_fd_plus_one(add(std::move(layers[i].data)) + 1);
  }
}

Result<std::vector<UniqueFd>> OpenDescriptors(HostEffects& host, const std::vector<Descriptor>& descriptors,
                                              StepResults& results, berth::vmm::v1::Build* build) {
  std::vector<UniqueFd> fds;
  std::map<int, uint32_t> groups;                      // Index of the descriptor of each group.
  std::map<uint32_t, HostEffects::VfioDevice> found;   // By the plan's index.
  std::map<uint32_t, std::vector<ImageFiles>> images;  // The same.
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
    } else if (const auto* file = std::get_if<FileDescriptor>(&descriptor);
               file != nullptr && file->role == FileDescriptor::Role::kImage) {
      images[index] = TRY(host.OpenImage(*file));
      fds.push_back(std::move(images[index][0].image));
    } else {
      fds.push_back(TRY(host.Open(descriptor)));
    }
  }
  const auto add_image = [&](vmm::v1::BlockDevice* disk) {
    AddBeneath(std::move(images.at(disk->image_fd())), &fds, disk);
  };
  for (auto& device : *build->mutable_machine()->mutable_devices()) {
    if (device.has_block()) add_image(device.mutable_block());
    if (device.has_scsi()) {
      for (auto& unit : *device.mutable_scsi()->mutable_units()) add_image(unit.mutable_disk());
    }
    if (!device.has_vfio()) continue;
    const HostEffects::VfioDevice& vfio = found.at(device.vfio().group_fd());
    device.mutable_vfio()->set_device_name(vfio.name);
    device.mutable_vfio()->set_group_fd(groups.at(vfio.group));
  }
  return fds;
}

}  // namespace berth::server
