#include "block/layers.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "block/file_image.h"

namespace berth::block {
namespace {

// Has the one file that an image may ask for by name: the data file that came with it.
class HandedOver final : public OpenGate {
 public:
  explicit HandedOver(std::unique_ptr<Image> data) : data_(std::move(data)) {}
  Result<std::unique_ptr<Image>> Open(std::string_view filename, std::string_view,
                                      const OpenFlags&) override {
    if (data_) return std::move(data_);
    return Fail(Code::kInvalidArgument, "the image stands on {}, which was not handed over", filename);
  }
  bool taken() const { return data_ == nullptr; }

 private:
  std::unique_ptr<Image> data_;
};

Result<std::unique_ptr<Image>> OpenFile(UniqueFd fd, const OpenFlags& flags) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return FailErrno(errno, "look at an image");
  auto file = TRY(CreateFileImage(std::move(fd), {.read_only = !flags.writable, .no_flush = flags.no_flush}));
  file->SetIdentity(S_ISBLK(status.st_mode) ? "host_device" : "file", "");
  return file;
}

Result<std::unique_ptr<FormatImage>> OpenLayer(LayerFiles layer, const OpenFlags& flags) {
  const std::string name = layer.format.empty() ? "raw" : layer.format;
  const Format* format = FindFormat(name);
  if (format == nullptr) return Fail(Code::kInvalidArgument, "images of format {} are not known", name);
  std::unique_ptr<Image> data;
  if (layer.data) data = TRY(OpenFile(std::move(layer.data), flags));
  HandedOver gate(std::move(data));
  OpenContext context{
      .file = TRY(OpenFile(std::move(layer.image), flags)), .options = {}, .flags = flags, .gate = &gate};
  auto image = TRY(format->open(&context));
  if (!gate.taken())
    return Fail(Code::kInvalidArgument, "the image has no data file, and one was handed over");
  image->SetIdentity(name, "");
  return image;
}

}  // namespace

Result<std::unique_ptr<FormatImage>> OpenLayers(std::vector<LayerFiles> layers, const OpenFlags& flags) {
  std::unique_ptr<FormatImage> beneath;
  for (size_t left = layers.size(); left > 0; --left) {
    const bool top = left == 1;
    const OpenFlags own = top ? flags : OpenFlags{.writable = layers[left - 1].writable};
    auto image =
        TRY(Context(OpenLayer(std::move(layers[left - 1]), own), top ? "its image" : "a backing image"));
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

}  // namespace berth::block
