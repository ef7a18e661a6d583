#include "block/file_image.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <shared_mutex>
#include <vector>

#include "base/bytes.h"
#include "block/engine.h"
#include "block/file_info.h"
#include "block/file_lock.h"
#include "block/file_transfer.h"

namespace berth::block {
namespace {

// No file system has larger files.
constexpr uint64_t kMaxFileBytes = INT64_MAX & ~uint64_t{4095};
constexpr uint64_t kFillBytes = 1 << 20;
constexpr uint64_t kFirstBlockBytes = 4096;

class FileImage final : public Image {
 public:
  FileImage(UniqueFd fd, const FileInfo& info, const FileImageOptions& options)
      : fd_(std::move(fd)), options_(options), size_(info.size_bytes) {
    file_.fd = fd_.get();
    file_.info = info;
  }

  int fd() const { return fd_.get(); }
  const FileImageOptions& options() const { return options_; }
  uint64_t size_bytes() const override { return size_; }
  const Limits& limits() const override { return file_.info.limits; }
  int Perform(const Request& request) override;
  Result<Extent> Map(uint64_t offset, uint64_t length) override;
  Status Resize(uint64_t size_bytes, Preallocation preallocation) override;
  std::optional<uint64_t> AllocatedBytes() const override;

 private:
  uint64_t limit() const { return file_.info.is_block_device ? size_.load() : kMaxFileBytes; }
  int Run(Request* request);
  int WriteAllZeroes(const Request& request);

  const UniqueFd fd_;
  const FileImageOptions options_;
  File file_;
  std::atomic<uint64_t> size_;
  // With O_DIRECT, a write of parts of blocks reads and writes whole ones: alone.
  std::shared_mutex turn_;
};

int FileImage::Run(Request* request) {
  Transfer transfer;
  const TransferNeeds needs = NeedsOf(file_, *request);
  std::shared_lock shared(turn_, std::defer_lock);
  std::unique_lock alone(turn_, std::defer_lock);
  if (needs.alone) {
    alone.lock();
  } else if (needs.changes && file_.info.direct) {
    shared.lock();
  }
  for (bool more = transfer.Begin(&file_, request, needs); more; more = transfer.Advance()) {
    transfer.result = PerformBlocking(transfer);
  }
  return transfer.error();
}

int FileImage::WriteAllZeroes(const Request& request) {
  const std::vector<uint8_t> zeroes(std::min(request.length, kFillBytes));
  for (uint64_t done = 0; done < request.length;) {
    const uint64_t step = std::min<uint64_t>(zeroes.size(), request.length - done);
    if (const int error = Write(this, request.offset + done, {zeroes.data(), step}); error != 0) return error;
    done += step;
  }
  return 0;
}

int FileImage::Perform(const Request& request) {
  if (request.op == Op::kFlush && options_.no_flush) return 0;
  if (const int error = CheckRequest(request, limit(), limits().read_only); error != 0) return error;
  Request own = request;
  own.fua = (request.fua || options_.write_through) && !options_.no_flush;
  const uint64_t end = request.offset + request.length;
  const bool writes = request.op == Op::kWrite || request.op == Op::kWriteZeroes;
  if (request.op == Op::kWriteZeroes && request.length != 0 && end > size_ && !file_.info.is_block_device) {
    // Makes the file longer and never shorter, whoever else is at it: what is new reads as zeroes.
    if (::fallocate(fd_.get(), 0, static_cast<off_t>(end - 1), 1) != 0) return WriteAllZeroes(request);
  }
  if (const int error = Run(&own); error != 0) return error;
  if (writes) {
    uint64_t size = size_;
    while (size < end && !size_.compare_exchange_weak(size, end)) {
    }
  }
  return 0;
}

Result<Extent> FileImage::Map(uint64_t offset, uint64_t length) {
  Extent extent{.offset = offset, .length = length, .allocated = true, .data = true, .stored_at = offset};
  if (file_.info.is_block_device) return extent;
  const auto start = static_cast<off_t>(offset);
  const off_t data = ::lseek(fd_.get(), start, SEEK_DATA);
  if (data < 0 && errno != ENXIO) return extent;  // A file system that cannot tell.
  if (data == start) {
    const off_t hole = ::lseek(fd_.get(), start, SEEK_HOLE);
    if (hole > start) extent.length = std::min(length, static_cast<uint64_t>(hole) - offset);
    return extent;
  }
  extent.data = false;
  extent.zero = true;
  if (data > start) extent.length = std::min(length, static_cast<uint64_t>(data) - offset);
  return extent;
}

Status FileImage::Resize(uint64_t size_bytes, Preallocation preallocation) {
  if (limits().read_only) return Fail(Code::kFailedPrecondition, "the file is open for reading only");
  if (file_.info.is_block_device) {
    // It grows by others' doing.
    const off_t end = ::lseek(fd_.get(), 0, SEEK_END);
    if (end > 0) size_ = std::max(size_.load(), static_cast<uint64_t>(end));
    if (size_bytes <= size_) return Ok();
    return Fail(Code::kInvalidArgument, "Cannot grow device files");
  }
  if (size_bytes > kMaxFileBytes)
    return Fail(Code::kOutOfRange, "a file of {} bytes is too large", size_bytes);
  const uint64_t before = size_;
  const auto from = static_cast<off_t>(before);
  if (size_bytes < before && preallocation != Preallocation::kOff) {
    return Fail(Code::kInvalidArgument, "Preallocation can't be used for shrinking files");
  }
  if (size_bytes > before && preallocation == Preallocation::kFalloc) {
    const int error = ::posix_fallocate(fd_.get(), from, static_cast<off_t>(size_bytes - before));
    if (error != 0) return FailErrno(error, "Could not preallocate data for the new file");
  }
  if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) {
    return FailErrno(errno, "Failed to resize the file");
  }
  size_ = size_bytes;
  // A file with a first block tells what its file system demands of direct I/O.
  if (before == 0 && size_bytes >= kFirstBlockBytes && preallocation == Preallocation::kOff) {
    const std::vector<uint8_t> block(kFirstBlockBytes);
    (void)Write(this, 0, block);
  }
  if (preallocation == Preallocation::kFull) {
    std::vector<uint8_t> zeroes(kFillBytes);
    for (uint64_t at = before; at < size_bytes;) {
      const uint64_t step = std::min(kFillBytes, size_bytes - at);
      if (const int error = Write(this, at, {zeroes.data(), step}); error != 0) {
        return FailErrno(error, "Could not write zeros for preallocation");
      }
      at += step;
    }
  }
  return Ok();
}

std::optional<uint64_t> FileImage::AllocatedBytes() const {
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) return std::nullopt;
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

std::string PathOf(std::string_view filename) {
  if (filename.starts_with("file:")) filename.remove_prefix(5);
  return std::string(filename);
}

Result<std::unique_ptr<Image>> OpenFile(Options* options, const OpenFlags& flags) {
  const auto named = Take(options, "filename");
  if (!named) return Fail(Code::kInvalidArgument, "The 'file' block driver requires a file name");
  const std::string path = PathOf(*named);
  bool locking = true;
  if (const auto value = Take(options, "locking"); value && *value == "off") locking = false;
  UniqueFd fd(
      ::open(path.c_str(), (flags.writable ? O_RDWR : O_RDONLY) | (flags.direct ? O_DIRECT : 0) | O_CLOEXEC));
  if (!fd) return FailErrno(errno, "Could not open '{}'", path);
  struct stat status {};
  if (::fstat(fd.get(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    return Fail(Code::kInvalidArgument, "'file' driver requires '{}' to be a regular file", path);
  }
  auto image = TRY(CreateFileImage(std::move(fd), {.read_only = !flags.writable,
                                                   .no_flush = flags.no_flush,
                                                   .write_through = flags.write_through,
                                                   .lock = locking && !flags.force_share,
                                                   .reads = !flags.no_io}));
  image->SetIdentity(S_ISBLK(status.st_mode) ? "host_device" : "file", path);
  return image;
}

Status CreateFile(const std::string& filename, const CreateOptions& options) {
  const std::string path = PathOf(filename);
  const auto preallocation =
      ParsePreallocation(options.String("preallocation")).value_or(Preallocation::kOff);
  if (preallocation == Preallocation::kMetadata) {
    return Fail(Code::kInvalidArgument, "Unsupported preallocation mode 'metadata'");
  }
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) return FailErrno(errno, "Could not create '{}'", path);
  // Nobody else may be using what is about to be emptied.
  TRY(LockFile(fd.get(), path, {.read = false, .write = true, .resize = true}));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return FailErrno(errno, "Could not look at '{}'", path);
  if (S_ISBLK(status.st_mode)) {
    auto device = TRY(CreateFileImage(std::move(fd)));
    if (device->size_bytes() >= options.Number("size")) return Ok();
    return Fail(Code::kResourceExhausted, "The device '{}' is smaller than the image", path);
  }
  if (::ftruncate(fd.get(), 0) != 0) return FailErrno(errno, "Could not empty '{}'", path);
  auto image = TRY(CreateFileImage(std::move(fd)));
  return image->Resize(options.Number("size"), preallocation);
}

constexpr CreateOption kCreateOptions[] = {
    {"size", CreateOption::Type::kSize, "Virtual disk size"},
    {"nocow", CreateOption::Type::kBool, "Turn off copy-on-write (valid only on btrfs)"},
    {"preallocation", CreateOption::Type::kString, "Preallocation mode (allowed values: off, falloc, full)"},
    {"extent_size_hint", CreateOption::Type::kSize, "Extent size hint for the image file, 0 to disable"},
};

}  // namespace

Result<std::unique_ptr<Image>> CreateFileImage(UniqueFd fd, const FileImageOptions& options) {
  FileInfo info = TRY(DescribeFile(fd.get()));
  info.limits.read_only |= options.read_only;
  return std::make_unique<FileImage>(std::move(fd), info, options);
}

Status LockFileImage(Image* image, bool share) {
  const auto* file = dynamic_cast<const FileImage*>(image);
  if (file == nullptr || !file->options().lock) return Ok();
  const bool writes = !file->options().read_only;
  return LockFile(file->fd(), file->filename(),
                  {.read = file->options().reads,
                   .write = writes,
                   .resize = writes && !share,
                   .share_write = share,
                   .share_resize = share});
}

int FileDescriptorOf(const Image* image) {
  const auto* file = dynamic_cast<const FileImage*>(image);
  return file == nullptr ? -1 : file->fd();
}

const Protocol kFileProtocol{.name = "file",
                             .prefix = "file:",
                             .open = OpenFile,
                             .create_options = kCreateOptions,
                             .create = CreateFile};

}  // namespace berth::block
