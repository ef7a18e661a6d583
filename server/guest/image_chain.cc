#include "server/guest/image_chain.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "block/driver.h"
#include "block/file_image.h"
#include "block/open.h"
#include "server/volume/pools.h"
#include "server/volume/volume_chain.h"

namespace berth::server {
namespace {

namespace fs = std::filesystem;

Error ImageError(Code code, const char* reason, const std::string& path, std::string message) {
  return Error(code, std::move(message)).Reason(reason).With("path", path).With("resource", path);
}

std::string Canonical(const std::string& path) {
  std::error_code error;
  const fs::path canonical = fs::weakly_canonical(path, error);
  return error ? path : canonical.string();
}

// Opens what an image names, if it may name it.
class Names {
 public:
  explicit Names(const FileDescriptor& image) : top_(image) {
    for (const std::string& path : image.beneath) allowed_.insert(Canonical(path));
  }

  // `by`: the path of the image that names it.
  Result<std::string> Resolve(const std::string& by, const std::string& name) const {
    const std::string path = block::ResolveName(by, name);
    if (name.starts_with("json:") || block::ProtocolOf(name) != &block::kFileProtocol || path[0] != '/') {
      return Fail(ImageError(Code::kPermissionDenied, "IMAGE_NAMES_OTHER_FILE", by,
                             fmt::format("{} stands on '{}', which is no path of a file", by, name)));
    }
    const std::string canonical = Canonical(path);
    if (allowed_.contains(canonical)) return canonical;
    return Fail(ImageError(
        Code::kPermissionDenied, "IMAGE_NAMES_OTHER_FILE", by,
        fmt::format("{} stands on {}, which the disk's beneath_paths do not name", by, canonical)));
  }

  Result<UniqueFd> Open(const std::string& path, const std::string& format, bool writable) {
    UniqueFd fd = TRY(OpenFile({.role = FileDescriptor::Role::kImage,
                                .path = path,
                                .writable = writable,
                                .direct = top_.direct,
                                .format = format}));
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return FailErrno(errno, "look at {}", path);
    const auto file = S_ISBLK(status.st_mode) ? std::pair(dev_t{0}, static_cast<ino_t>(status.st_rdev))
                                              : std::pair(status.st_dev, status.st_ino);
    if (!seen_.insert(file).second) {
      return Fail(ImageError(Code::kInvalidArgument, "IMAGE_CHAIN_LOOP", path,
                             fmt::format("{} stands on itself", top_.path)));
    }
    return fd;
  }

 private:
  const FileDescriptor& top_;
  std::set<std::string> allowed_;
  std::set<std::pair<dev_t, ino_t>> seen_;
};

// What a format asks for while it opens an image: its data file, whose descriptor is kept.
class DataGate final : public block::OpenGate {
 public:
  DataGate(Names* names, std::string by, bool writable, ImageFiles* files)
      : names_(names), by_(std::move(by)), writable_(writable), files_(files) {}

  Result<std::unique_ptr<block::Image>> Open(std::string_view filename, std::string_view format,
                                             const block::OpenFlags&) override {
    if (files_->data || format != "raw") {
      return Fail(ImageError(Code::kUnimplemented, "IMAGE_FORMAT_NOT_SUPPORTED", by_,
                             fmt::format("{} stands on more files than a guest's disk may", by_)));
    }
    const std::string path = TRY(names_->Resolve(by_, std::string(filename)));
    files_->data = TRY(names_->Open(path, "raw", writable_));
    return block::CreateFileImage(TRY(Duplicate(files_->data.get())), {.read_only = true});
  }

 private:
  Names* const names_;
  const std::string by_;
  const bool writable_;
  ImageFiles* const files_;
};

// What the image says that it stands on; its data file is opened on the way.
Result<std::optional<block::BackingReference>> LookInside(const std::string& path, bool writable,
                                                          Names* names, ImageFiles* files) {
  const block::Format* format = block::FindFormat(files->format);
  if (format == nullptr) {
    return Fail(
        ImageError(Code::kUnimplemented, "IMAGE_FORMAT_NOT_SUPPORTED", path,
                   fmt::format("{} is said to be {}, a format that is not known", path, files->format)));
  }
  DataGate gate(names, path, writable, files);
  auto file = TRY(block::CreateFileImage(TRY(Duplicate(files->image.get())), {.read_only = true}));
  file->SetIdentity("file", path);
  block::OpenContext context{.file = std::move(file), .options = {}, .flags = {}, .gate = &gate};
  const auto opened = format->open(&context);
  if (opened) return (*opened)->backing_reference();
  if (!opened.error().reason().empty()) return Fail(opened.error());
  return Fail(ImageError(opened.error().code(), "IMAGE_MALFORMED", path,
                         fmt::format("{}: {}", path, opened.error().message())));
}

}  // namespace

Result<std::vector<ImageFiles>> OpenImageChain(const FileDescriptor& image) {
  if (image.pool) {
    const VolumePoolPtr directory = TRY(OpenVolumePool(*image.pool));
    const auto name = VolumeName::Parse(image.path);
    return OpenVolumeChain(*directory, name ? name->id : image.path,
                           {.writable = image.writable, .direct = image.direct});
  }
  Names names(image);
  std::vector<ImageFiles> layers;
  std::string path = image.path, format = image.format.empty() ? "raw" : image.format;
  for (bool writable = image.writable;; writable = false) {
    if (layers.size() == kMaxImageLayers) {
      return Fail(
          ImageError(Code::kInvalidArgument, "IMAGE_CHAIN_TOO_LONG", image.path,
                     fmt::format("{} stands on more than {} images", image.path, kMaxImageLayers - 1)));
    }
    ImageFiles& files = layers.emplace_back();
    files.format = format;
    files.image = TRY(names.Open(path, format, writable));
    if (format == "raw") return layers;
    const auto backing = TRY(LookInside(path, writable, &names, &files));
    if (!backing || backing->filename.empty()) return layers;
    if (backing->format.empty()) {
      return Fail(ImageError(Code::kInvalidArgument, "IMAGE_FORMAT_NOT_NAMED", path,
                             fmt::format("{} does not say what format its backing image {} has: "
                                         "`berth-img rebase -u -b FILE -F FORMAT` makes it say so",
                                         path, backing->filename)));
    }
    path = TRY(names.Resolve(path, backing->filename));
    format = backing->format;
  }
}

}  // namespace berth::server
