// Image formats and protocols by name. The lists are in driver.cc; a format is one entry there and its own
// files.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "block/create_options.h"
#include "block/format_image.h"
#include "block/image.h"
#include "block/options.h"

namespace berth::block {

// How an image and everything beneath it is to be used.
struct OpenFlags {
  bool writable = false;
  bool direct = false;         // O_DIRECT
  bool no_flush = false;       // Flushes do nothing: a host that crashes may lose the image.
  bool write_through = false;  // Every write is a flushed write.
  bool force_share = false;    // Takes no locks: the content may change meanwhile. Read-only.
  bool no_backing = false;     // Leaves the backing image closed.
  bool no_io = false;          // Only asked about: data files may be missing.
  bool check = false;          // To be checked or repaired: what is inconsistent is no reason to refuse.
  bool discard_unmap = false;  // Discards are passed on.
};

// The gate between images and names: an image may name others (backing file, data file, extents), and only
// the gate decides whether and how those are opened. It bounds the depth of chains and refuses loops.
class OpenGate {
 public:
  static constexpr std::string_view kBytes = "file";
  virtual ~OpenGate() = default;
  // `filename` relative to the image that names it; `format` empty: found by probing; kBytes: the file alone.
  virtual Result<std::unique_ptr<Image>> Open(std::string_view filename, std::string_view format,
                                              const OpenFlags& flags) = 0;
};

struct OpenContext {
  std::unique_ptr<Image> file;
  Options options;  // A format takes what it knows; what is left over is an error.
  OpenFlags flags;
  OpenGate* gate = nullptr;  // For the length of the call.
  bool probed = false;       // Nobody named the format: the image was found to look like it.
  bool beneath = false;      // It is to hold another image, as its file.
};

// What an image of a given size or content will take.
struct Measurement {
  uint64_t required_bytes = 0;
  uint64_t fully_allocated_bytes = 0;
  std::optional<uint64_t> bitmap_bytes{};  // Of bitmaps that could be copied.
};

struct Format {
  std::string_view name;
  // How sure the format is that an image beginning with these bytes (2048 at most) is its own: 0 (no) to 100.
  // raw says 1 of everything. Never use a probe on an image that a guest could write without the guard
  // (OpenImage has it): it could make itself look like another format. Null: never found by probing.
  int (*probe)(std::span<const uint8_t> head, std::string_view filename) = nullptr;
  // The whole image ready for use, except that the backing image is the gate's to attach.
  Result<std::unique_ptr<FormatImage>> (*open)(OpenContext* context) = nullptr;
  // Options of `create`; the format has checked nothing of them but types. Null: cannot be created.
  std::span<const CreateOption> create_options{};
  Status (*create)(const std::string& filename, const CreateOptions& options) = nullptr;
  // Whether its images can be written compressed (FormatImage::Pack).
  bool compresses = false;
  // Options of `amend`, and the change of an open image to what those given say. Null: cannot be changed.
  std::span<const CreateOption> amend_options{};
  Status (*amend)(FormatImage* image, const CreateOptions& options) = nullptr;
  // For `size_bytes` of which `source` (may be null) is the content. Null: cannot tell.
  Result<Measurement> (*measure)(const CreateOptions& options, Image* source) = nullptr;
};

struct Protocol {
  std::string_view name;
  std::string_view prefix;  // Of file names ("nbd:"). What has no prefix is a file.
  std::span<const std::string_view> more_prefixes{};
  Result<std::unique_ptr<Image>> (*open)(Options* options, const OpenFlags& flags) = nullptr;
  std::span<const CreateOption> create_options{};
  // Makes `filename` an empty file of "size" bytes (truncated if there is one).
  Status (*create)(const std::string& filename, const CreateOptions& options) = nullptr;
};

std::span<const Format* const> Formats();
std::span<const Protocol* const> Protocols();
// Null if there is none.
const Format* FindFormat(std::string_view name);
const Protocol* FindProtocol(std::string_view name);
// By the prefix of a file name.
const Protocol* ProtocolOf(std::string_view filename);

extern const Format kRawFormat;
extern const Format kQcow2Format;
extern const Format kVmdkFormat;
extern const Format kVdiFormat;
extern const Format kVpcFormat;
extern const Format kVhdxFormat;
extern const Format kLuksFormat;
extern const Format kQedFormat;
extern const Format kParallelsFormat;
// Filters: over any image, named and never found.
extern const Format kThrottleFormat;
extern const Format kCopyOnReadFormat;
extern const Format kCompressFormat;
extern const Protocol kFileProtocol;
extern const Protocol kNbdProtocol;
extern const Protocol kNullCoProtocol;
extern const Protocol kNullAioProtocol;
extern const Protocol kBlkdebugProtocol;

}  // namespace berth::block
