#include "vmm/disk_image.h"

#include <sys/stat.h>

#include <utility>

#include "block/driver.h"
#include "block/file.h"
#include "block/file_image.h"
#include "block/image_node.h"

namespace berth::vmm {
namespace {

using block::FormatImage;
using block::Image;

// Has the one file that an image may ask for by name: the data file that came with it.
class HandedOver final : public block::OpenGate {
 public:
  explicit HandedOver(std::unique_ptr<Image> data) : data_(std::move(data)) {}
  Result<std::unique_ptr<Image>> Open(std::string_view filename, std::string_view,
                                      const block::OpenFlags&) override {
    if (data_) return std::move(data_);
    return Fail(Code::kInvalidArgument, "the image stands on {}, which was not handed over", filename);
  }
  bool taken() const { return data_ == nullptr; }

 private:
  std::unique_ptr<Image> data_;
};

Result<std::unique_ptr<Image>> OpenFile(UniqueFd fd, bool writable) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return FailErrno(errno, "look at an image");
  auto file = TRY(block::CreateFileImage(std::move(fd), {.read_only = !writable}));
  file->SetIdentity(S_ISBLK(status.st_mode) ? "host_device" : "file", "");
  return file;
}

struct Layer {
  std::string format;
  uint32_t image_fd = 0;
  uint32_t data_fd_plus_one = 0;
};

Result<std::unique_ptr<FormatImage>> OpenLayer(const Layer& layer, Descriptors* fds,
                                               const block::OpenFlags& flags) {
  const std::string name = layer.format.empty() ? "raw" : layer.format;
  const block::Format* format = block::FindFormat(name);
  if (format == nullptr) return Fail(Code::kInvalidArgument, "images of format {} are not known", name);
  std::unique_ptr<Image> data;
  if (layer.data_fd_plus_one != 0) {
    data = TRY(OpenFile(TRY(fds->Take(layer.data_fd_plus_one - 1)), flags.writable));
  }
  HandedOver gate(std::move(data));
  block::OpenContext context{.file = TRY(OpenFile(TRY(fds->Take(layer.image_fd)), flags.writable)),
                             .options = {},
                             .flags = flags,
                             .gate = &gate};
  auto image = TRY(format->open(&context));
  if (!gate.taken())
    return Fail(Code::kInvalidArgument, "the image has no data file, and one was handed over");
  image->SetIdentity(name, "");
  return image;
}

// From the lowest up.
Result<std::unique_ptr<FormatImage>> OpenLayers(const v1::BlockDevice& config, Descriptors* fds) {
  std::unique_ptr<FormatImage> beneath;
  for (int i = config.beneath_size() - 1; i >= -1; --i) {
    Layer layer{config.format(), config.image_fd(), config.data_fd_plus_one()};
    block::OpenFlags flags{.writable = !config.read_only(), .discard_unmap = config.discard()};
    if (i >= 0) {
      const v1::ImageBeneath& other = config.beneath(i);
      layer = {other.format(), other.image_fd(), other.data_fd_plus_one()};
      flags = {};
    }
    auto image = TRY(Context(OpenLayer(layer, fds, flags), i < 0 ? "its image" : "a backing image"));
    const auto reference = image->backing_reference();
    const bool stands_on_one = reference && !reference->filename.empty();
    if (stands_on_one != (beneath != nullptr)) {
      return Fail(Code::kInvalidArgument, "{}",
                  stands_on_one ? "its backing image was not handed over"
                                : "it has no backing image, and one was handed over");
    }
    if (beneath) image->SetBacking(std::move(beneath));
    beneath = std::move(image);
  }
  return beneath;
}

}  // namespace

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
  auto image = TRY(OpenLayers(config, fds));
  return TRY(block::CreateImageNode(place.loop, place.engine, std::move(image), place.confine));
}

}  // namespace berth::vmm
