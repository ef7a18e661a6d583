#include "vmm/disk_image.h"

#include <utility>
#include <vector>

#include "block/file.h"
#include "block/image_node.h"

namespace berth::vmm {

Result<std::vector<block::LayerFiles>> TakeLayers(const v1::BlockDevice& config, Descriptors* fds) {
  std::vector<block::LayerFiles> layers;
  const auto take = [&](const std::string& format, uint32_t image_fd, uint32_t data_fd_plus_one) -> Status {
    block::LayerFiles& layer = layers.emplace_back();
    layer.format = format;
    layer.image = TRY(fds->Take(image_fd));
    if (data_fd_plus_one != 0) layer.data = TRY(fds->Take(data_fd_plus_one - 1));
    return Ok();
  };
  TRY(take(config.format(), config.image_fd(), config.data_fd_plus_one()));
  for (const v1::ImageBeneath& beneath : config.beneath()) {
    TRY(take(beneath.format(), beneath.image_fd(), beneath.data_fd_plus_one()));
    layers.back().writable = beneath.writable();
  }
  return layers;
}

block::OpenFlags FlagsOf(const v1::BlockDevice& config) {
  return {.writable = !config.read_only(), .discard_unmap = config.discard()};
}

block::IoLimits LimitsOf(const v1::DiskIoLimits& limits) {
  return {.operations = limits.operations(),
          .operations_burst = limits.operations_burst(),
          .bytes = limits.bytes(),
          .bytes_burst = limits.bytes_burst()};
}

bool HasMetadata(const v1::BlockDevice& config) {
  return !config.format().empty() && config.format() != "raw";
}

Result<std::unique_ptr<block::BlockNode>> OpenDisk(const v1::BlockDevice& config, Descriptors* fds,
                                                   const DiskPlace& place) {
  if (!HasMetadata(config)) {
    UniqueFd image = TRY(fds->Take(config.image_fd()));
    return block::CreateFileNode(place.engine, std::move(image), {.read_only = config.read_only()});
  }
  auto image = TRY(block::OpenLayers(TRY(TakeLayers(config, fds)), FlagsOf(config)));
  return TRY(block::CreateImageNode(place.loop, place.engine, std::move(image), place.confine));
}

}  // namespace berth::vmm
