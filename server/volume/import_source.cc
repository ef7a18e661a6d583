#include "server/volume/import_source.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <vector>

#include <openssl/evp.h>

#include "block/driver.h"
#include "block/file_image.h"
#include "block/open.h"
#include "server/guest/descriptor.h"

namespace berth::server {
namespace {

constexpr size_t kProbeBytes = 2048;
constexpr size_t kDigestStep = 1 << 20;

// Those that may come from elsewhere: no filters, nothing encrypted.
constexpr std::array kFormats = {&block::kRawFormat, &block::kQcow2Format,    &block::kVmdkFormat,
                                 &block::kVdiFormat, &block::kVpcFormat,      &block::kVhdxFormat,
                                 &block::kQedFormat, &block::kParallelsFormat};

Error ImageError(Code code, const char* reason, const std::string& path, std::string message) {
  return Error(code, std::move(message))
      .Reason(reason)
      .With("path", path)
      .With("resource", path)
      .Field("source_path");
}

Error NamesOther(const std::string& path, std::string_view name) {
  return ImageError(
      Code::kPermissionDenied, "IMAGE_NAMES_OTHER_FILE", path,
      fmt::format("{} stands on '{}': only an image that is all in one file can be imported", path, name));
}

// Lets an image reach no file besides its own.
class ClosedGate final : public block::OpenGate {
 public:
  explicit ClosedGate(std::string path) : path_(std::move(path)) {}
  Result<std::unique_ptr<block::Image>> Open(std::string_view filename, std::string_view,
                                             const block::OpenFlags&) override {
    return Fail(NamesOther(path_, filename));
  }

 private:
  const std::string path_;
};

Result<const block::Format*> FormatOf(const std::string& path, block::Image* file, const std::string& name) {
  if (name.empty()) {
    std::array<uint8_t, kProbeBytes> head{};
    const uint64_t size = std::min<uint64_t>(head.size(), file->size_bytes());
    if (const int error = block::Read(file, 0, {head.data(), size}); error != 0)
      return FailErrno(error, "read {}", path);
    const block::Format* found = block::Probe({head.data(), size}, path);
    if (found != &block::kRawFormat && std::find(kFormats.begin(), kFormats.end(), found) != kFormats.end())
      return found;
    return Fail(
        ImageError(
            Code::kInvalidArgument, "FORMAT_NOT_FOUND", path,
            fmt::format("{} looks like no image that can be imported; if it is a raw disk, say so", path))
            .Field("source_format"));
  }
  for (const block::Format* format : kFormats) {
    if (format->name == name) return format;
  }
  return Fail(ImageError(Code::kUnimplemented, "IMAGE_FORMAT_NOT_SUPPORTED", path,
                         fmt::format("images of format \"{}\" cannot be imported", name))
                  .Field("source_format"));
}

Result<std::unique_ptr<block::FormatImage>> OpenAlone(const std::string& path, int fd,
                                                      const std::string& name) {
  auto file = TRY(block::CreateFileImage(TRY(Duplicate(fd)), {.read_only = true}));
  file->SetIdentity("file", path);
  const block::Format* format = TRY(FormatOf(path, file.get(), name));
  ClosedGate gate(path);
  block::OpenContext context{.file = std::move(file), .options = {}, .flags = {}, .gate = &gate};
  auto image = format->open(&context);
  if (!image && image.error().reason().empty()) {
    return Fail(ImageError(Code::kInvalidArgument, "IMAGE_MALFORMED", path,
                           fmt::format("{}, as {}: {}", path, format->name, image.error().message())));
  }
  if (!image) return image;
  (*image)->SetIdentity(std::string(format->name), path);
  const auto backing = (*image)->backing_reference();
  if (backing && !backing->filename.empty()) return Fail(NamesOther(path, backing->filename));
  return image;
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

Result<std::unique_ptr<ImportSource>> ImportSource::Open(const std::string& path, const std::string& format) {
  auto fd = OpenFile({.role = FileDescriptor::Role::kImage, .path = path});
  if (!fd) return Fail(std::move(fd).error().Field("source_path"));
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0) return FailErrno(errno, "look at {}", path);
  auto image = TRY(OpenAlone(path, fd->get(), format));
  return std::unique_ptr<ImportSource>(new ImportSource(path, *std::move(fd), std::move(image), status));
}

Status ImportSource::CheckSha256(const std::string& expected, OperationProgress& progress) const {
  const auto file = TRY(block::CreateFileImage(TRY(Duplicate(fd_.get())), {.read_only = true}));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  bool good = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  std::vector<uint8_t> buffer(kDigestStep);
  const uint64_t size = file->size_bytes();
  for (uint64_t at = 0; good && at < size;) {
    TRY(progress.CheckNotCancelled());
    progress.ReportBytes("check the digest", at, size);
    const std::span<uint8_t> part(buffer.data(), std::min<uint64_t>(buffer.size(), size - at));
    if (const int error = block::Read(file.get(), at, part); error != 0)
      return FailErrno(error, "read {}", path_);
    good = EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
    at += part.size();
  }
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (!good || EVP_DigestFinal_ex(context.get(), digest.data(), &length) != 1)
    return Fail(Code::kInternal, "the digest of {} cannot be made", path_);
  std::string text;
  for (unsigned i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
  if (text == Lower(expected)) return Ok();
  return Fail(ImageError(Code::kInvalidArgument, "DIGEST_MISMATCH", path_,
                         fmt::format("{} has the SHA-256 {}, not {}", path_, text, Lower(expected)))
                  .Field("source_sha256")
                  .With("sha256", text));
}

Status ImportSource::CheckUnchanged() const {
  struct stat now {};
  if (::fstat(fd_.get(), &now) != 0) return FailErrno(errno, "look at {}", path_);
  const auto same = [](const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
  };
  if (now.st_size == status_.st_size && same(now.st_mtim, status_.st_mtim) &&
      same(now.st_ctim, status_.st_ctim))
    return Ok();
  return Fail(ImageError(Code::kAborted, "SOURCE_CHANGED", path_,
                         fmt::format("{} was changed while it was imported", path_)));
}

}  // namespace berth::server
