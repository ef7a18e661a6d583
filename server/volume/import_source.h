// An image of the host's that is to become a volume.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"
#include "block/format_image.h"
#include "server/operation/operation_runner.h"

namespace berth::server {

class ImportSource {
 public:
  // Locked for reading. `format` empty: found by looking, but never raw, for a disk may have been made to
  // look like nothing. OpenFile's errors; INVALID_ARGUMENT: FORMAT_NOT_FOUND, IMAGE_MALFORMED; UNIMPLEMENTED,
  // IMAGE_FORMAT_NOT_SUPPORTED; PERMISSION_DENIED, IMAGE_NAMES_OTHER_FILE: it is not all in one file.
  static Result<std::unique_ptr<ImportSource>> Open(const std::string& path, const std::string& format);

  block::FormatImage* image() const { return image_.get(); }

  // Of the bytes as they are stored, in hexadecimal digits of either case. INVALID_ARGUMENT, DIGEST_MISMATCH;
  // CANCELLED.
  Status CheckSha256(const std::string& expected, OperationProgress& progress) const;
  // ABORTED, SOURCE_CHANGED, if somebody has written to the file since it was opened.
  Status CheckUnchanged() const;

 private:
  ImportSource(std::string path, UniqueFd fd, std::unique_ptr<block::FormatImage> image,
               const struct stat& status)
      : path_(std::move(path)), fd_(std::move(fd)), image_(std::move(image)), status_(status) {}

  const std::string path_;
  const UniqueFd fd_;  // Has the lock.
  const std::unique_ptr<block::FormatImage> image_;
  const struct stat status_;
};

}  // namespace berth::server
