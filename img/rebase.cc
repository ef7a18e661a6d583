#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "block/chain.h"
#include "block/content.h"
#include "block/format_image.h"
#include "block/open.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr uint64_t kRebaseStepBytes = 2 << 20;
constexpr uint64_t kRebaseUnitBytes = 512;

struct RebaseRequest {
  Source source;
  std::optional<std::string> backing;  // -b
  std::string backing_format;
  std::string cache = "writeback", source_cache = "writeback";
  block::OpenFlags flags{.writable = true}, source_flags;
  bool unsafe = false, progress = false, quiet = false, compress = false;
};

// The image with the name inside the chain; null if it is not there.
block::Image* InChain(block::Image* image, const std::string& name) {
  for (; image != nullptr; image = block::BackingOf(image)) {
    if (image->filename() == name) return image;
  }
  return nullptr;
}

// Writes into the image what it shows of its old backing image and would not show of the new one.
class Rebaser {
 public:
  Rebaser(block::FormatImage* image, block::Image* fresh, bool shared, bool compress)
      : image_(*image),
        old_(image->backing()),
        new_(fresh),
        shared_(shared ? fresh : nullptr),
        old_bytes_(kRebaseStepBytes),
        new_bytes_(kRebaseStepBytes) {
    const uint64_t cluster = image->Info().cluster_size_bytes.value_or(0);
    if (compress && cluster != 0 && cluster <= kRebaseStepBytes) cluster_bytes_ = cluster;
    packed_.resize(cluster_bytes_);
  }
  bool Run(Progress* progress);

 private:
  bool Complained(std::string_view what, uint64_t offset, int error) {
    Complain("error while {} offset {}: {}", what, offset, std::strerror(error));
    return false;
  }
  bool Step(uint64_t offset, uint64_t* length);
  bool ReadFrom(block::Image* image, uint64_t offset, uint64_t length, std::vector<uint8_t>* out, bool* zero);
  bool Carry(uint64_t offset, uint64_t length, bool old_is_zero);
  int WriteOwnZeroes(uint64_t offset, uint64_t length);
  int WritePart(uint64_t offset, std::span<const uint8_t> bytes);

  block::FormatImage& image_;
  block::Image* const old_;
  block::Image* const new_;
  block::Image* const shared_;  // The new one, if it is in the old chain: what is from there stays.
  std::vector<uint8_t> old_bytes_, new_bytes_, packed_;
  uint64_t cluster_bytes_ = 0;  // When compressing.
};

bool Rebaser::ReadFrom(block::Image* image, uint64_t offset, uint64_t length, std::vector<uint8_t>* out,
                       bool* zero) {
  *zero = true;
  const uint64_t end = image == nullptr ? 0 : image->size_bytes();
  const uint64_t there = offset >= end ? 0 : std::min(length, end - offset);
  std::fill(out->begin() + static_cast<ptrdiff_t>(there), out->begin() + static_cast<ptrdiff_t>(length), 0);
  if (there == 0) return true;
  const auto status = block::StatusAbove(image, nullptr, offset, there);
  if (status && status->zero && status->length >= there) {
    std::fill_n(out->begin(), there, 0);
    return true;
  }
  *zero = false;
  const int error = block::Read(image, offset, {out->data(), there});
  return error == 0 || Complained("reading from backing file at", offset, error);
}

int Rebaser::WritePart(uint64_t offset, std::span<const uint8_t> bytes) {
  if (cluster_bytes_ != 0 && IsAligned(offset, cluster_bytes_) && bytes.size() == cluster_bytes_) {
    const size_t packed = image_.Pack(bytes, packed_);
    if (packed != 0) return image_.WritePacked(offset, {packed_.data(), packed});
  }
  return block::Write(&image_, offset, bytes);
}

// Zeroes that the image has itself: one that reads as zero there already, thanks to its old backing image,
// may do nothing about it when asked for zeroes.
int Rebaser::WriteOwnZeroes(uint64_t offset, uint64_t length) {
  int error = block::WriteZeroes(&image_, offset, length, false);
  for (const uint64_t end = offset + length; error == 0 && offset < end;) {
    const auto extent = image_.Map(offset, end - offset);
    if (!extent) return EIO;
    if (!extent->allocated) {
      const std::vector<uint8_t> zeroes(extent->length);
      error = block::Write(&image_, offset, zeroes);
    }
    offset += extent->length;
  }
  return error;
}

bool Rebaser::Carry(uint64_t offset, uint64_t length, bool old_is_zero) {
  const uint64_t unit = cluster_bytes_ != 0 ? cluster_bytes_ : kRebaseUnitBytes;
  const auto differs = [&](uint64_t at, uint64_t* size) {
    *size = std::min(unit - (offset + at) % unit, length - at);
    return std::memcmp(&old_bytes_[at], &new_bytes_[at], *size) != 0;
  };
  for (uint64_t at = 0, size = 0; at < length; at += size) {
    if (!differs(at, &size)) continue;
    for (uint64_t more = 0; cluster_bytes_ == 0 && at + size < length && differs(at + size, &more);) {
      size += more;
    }
    const int error =
        old_is_zero ? WriteOwnZeroes(offset + at, size) : WritePart(offset + at, {&old_bytes_[at], size});
    if (error != 0) return Complained("writing to COW image at", offset + at, error);
  }
  return true;
}

bool Rebaser::Step(uint64_t offset, uint64_t* length) {
  const auto own = image_.Map(offset, *length);
  if (!own) {
    Complain("error while reading image metadata: {}", own.error().message());
    return false;
  }
  *length = std::min(*length, own->length);
  if (own->allocated || old_ == nullptr) return true;
  if (offset < old_->size_bytes()) {
    *length = std::min(*length, old_->size_bytes() - offset);
    const auto status = block::StatusAbove(old_, shared_, offset, *length);
    if (!status) {
      Complain("error while reading image metadata: {}", status.error().message());
      return false;
    }
    *length = std::min(*length, status->length);
    if (shared_ == old_ || (shared_ != nullptr && !status->allocated)) return true;
  }
  if (new_ != nullptr && offset < new_->size_bytes())
    *length = std::min(*length, new_->size_bytes() - offset);
  bool old_is_zero = false, new_is_zero = false;
  if (!ReadFrom(old_, offset, *length, &old_bytes_, &old_is_zero)) return false;
  if (!ReadFrom(new_, offset, *length, &new_bytes_, &new_is_zero)) return false;
  return (old_is_zero && new_is_zero) || Carry(offset, *length, old_is_zero);
}

bool Rebaser::Run(Progress* progress) {
  const uint64_t size = image_.size_bytes();
  for (uint64_t offset = 0, length = 0; offset < size; offset += length) {
    length = std::min(kRebaseStepBytes, size - offset);
    if (!Step(offset, &length)) return false;
    progress->Show(offset + length, size);
  }
  return true;
}

int ChangeReference(block::Image* image, const RebaseRequest& request) {
  auto* format = dynamic_cast<block::FormatImage*>(image);
  const std::string name = request.backing.value_or("");
  Status changed = Ok();
  if (!name.empty() && request.backing_format.empty()) {
    changed = Fail(Code::kInvalidArgument, "backing format must be specified");
  } else if (const int error = block::Flush(image); error != 0) {
    changed = FailErrno(error, "write the image");
  } else if (format == nullptr) {
    changed = Fail(Code::kUnimplemented, "no format");
  } else if (name.empty()) {
    changed = format->ChangeBacking(std::nullopt);
  } else {
    changed = format->ChangeBacking(block::BackingReference{name, request.backing_format});
  }
  if (changed) return 0;
  std::string why = changed.error().message();
  if (changed.error().code() == Code::kUnimplemented) why = "Operation not supported";
  if (changed.error().code() == Code::kResourceExhausted) why = "No space left in the file header";
  Complain("Could not change the backing file to '{}': {}", name, why);
  return 1;
}

std::optional<RebaseRequest> ParseRebase(int argc, char** argv) {
  RebaseRequest request;
  Arguments arguments(argc, argv, "f:F:b:upt:T:qUc",
                      {{"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force-share", no_argument, nullptr, 'U'},
                       {"compress", no_argument, nullptr, 'c'}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') request.source.format = ::optarg;
    if (option == 'F') request.backing_format = ::optarg;
    if (option == 'b') request.backing = ::optarg;
    if (option == 'u') request.unsafe = true;
    if (option == 'p') request.progress = true;
    if (option == 't') request.cache = ::optarg;
    if (option == 'T') request.source_cache = ::optarg;
    if (option == 'q') request.quiet = true;
    if (option == 'U') request.source_flags.force_share = true;
    if (option == 'c') request.compress = true;
    if (option == kOptionImageOpts) request.source.is_options = true;
  }
  if (arguments.Rest().size() != 1) RefuseArguments("Expecting one image file name");
  if (!request.unsafe && !request.backing) {
    RefuseArguments("Must specify backing file (-b) or use unsafe mode (-u)");
  }
  request.source.name = arguments.Rest()[0];
  if (!ParseCache(request.cache, &request.flags)) {
    Complain("Invalid cache option: {}", request.cache);
    return std::nullopt;
  }
  if (!ParseCache(request.source_cache, &request.source_flags)) {
    Complain("Invalid source cache option: {}", request.source_cache);
    return std::nullopt;
  }
  request.flags.no_backing = request.unsafe;
  return request;
}

}  // namespace

int Rebase(int argc, char** argv) {
  const auto request = ParseRebase(argc, argv);
  if (!request) return 1;
  const auto image = OpenSource(request->source, request->flags);
  if (image == nullptr) return 1;
  if (!request->backing_format.empty() && block::FindFormat(request->backing_format) == nullptr) {
    Complain("Invalid format name: '{}'", request->backing_format);
    return 1;
  }
  Progress progress(request->progress && !request->quiet);
  if (!request->unsafe) {
    std::unique_ptr<block::Image> opened;
    block::Image* fresh = nullptr;
    bool shared = false;
    const std::string name = request->backing.value_or("");
    if (!name.empty()) {
      const std::string resolved = block::ResolveName(image->filename(), name);
      fresh = InChain(block::BackingOf(image.get()), resolved);
      shared = fresh != nullptr;
      if (!shared) {
        auto found = block::OpenImage(resolved, request->backing_format, request->source_flags);
        if (!found) {
          Complain("Could not open new backing file '{}': {}", name, found.error().message());
          return 1;
        }
        opened = *std::move(found);
        fresh = opened.get();
      }
    }
    auto* format = dynamic_cast<block::FormatImage*>(image.get());
    if (format != nullptr && !Rebaser(format, fresh, shared, request->compress).Run(&progress)) return 1;
  }
  if (const int status = ChangeReference(image.get(), *request); status != 0) return status;
  progress.Show(1, 1);
  progress.End();
  return 0;
}

}  // namespace berth::img
