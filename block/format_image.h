// FormatImage: an image format (or a filter) over the image that holds its bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/error.h"
#include "block/image.h"
#include "block/snapshot.h"

namespace berth::block {

// What the image says of the image beneath it.
struct BackingReference {
  std::string filename;  // As it is stored: relative to this image, or a `json:` description.
  std::string format;    // Empty: not stored.
};

struct ImageInfo {
  std::optional<uint64_t> cluster_size_bytes{};
  bool encrypted = false;
  bool compressed = false;  // As a whole.
  bool dirty = false;
  uint64_t vm_state_offset = 0;
  bool needs_packed_writes = false;  // It takes whole clusters, packed, alone.
};

struct CheckReport {
  uint64_t corruptions = 0, leaks = 0, errors = 0;  // `errors`: what the check itself failed at.
  uint64_t corruptions_fixed = 0, leaks_fixed = 0;
  uint64_t total_clusters = 0, allocated_clusters = 0, fragmented_clusters = 0, compressed_clusters = 0;
  uint64_t image_end_offset = 0;
  int failed_with = 0;  // An errno value: what was found ended the check.
  // One sentence each, in the order of finding; at most kMaxCheckMessages.
  std::vector<std::string> messages;
};
inline constexpr size_t kMaxCheckMessages = 100'000;

// Where the content of a range is, for who must not wait.
struct Location {
  enum class Kind : uint8_t {
    kUnknown,  // It would take waiting, or the range is not all of one kind.
    kStored,   // As it is, in one piece, at `offset` of `file`.
    kBeneath,  // In the backing image, at the same offset.
    kZero,     // Nowhere: it reads as zeroes.
  };
  Kind kind = Kind::kUnknown;
  const Image* file = nullptr;
  uint64_t offset = 0;
  int ticket = 0;  // kStored: for Leave.
};

struct Repair {
  bool leaks = false;
  bool corruptions = false;
};

class FormatImage : public Image {
 public:
  explicit FormatImage(std::unique_ptr<Image> file) : file_(std::move(file)) {}
  ~FormatImage() override;

  // What holds this image's bytes, and the bytes of its content (the same unless the format says otherwise).
  Image* file() const { return file_.get(); }
  virtual Image* data_file() const { return file_.get(); }

  // Nothing if the image stands alone.
  virtual std::optional<BackingReference> backing_reference() const { return std::nullopt; }
  // The opened one; null if there is none or it was not to be opened.
  Image* backing() const { return backing_.get(); }
  // The same, if it is in a format.
  FormatImage* backing_format() const { return dynamic_cast<FormatImage*>(backing_.get()); }
  void SetBacking(std::unique_ptr<Image> backing) { backing_ = std::move(backing); }
  std::unique_ptr<Image> TakeBacking() { return std::move(backing_); }

  // Where `length` bytes (not 0) at `offset` may be read (kRead) or written (kWrite) past this image, decided
  // without I/O and without waiting for anybody. What is kStored stays in its place until Leave has been
  // called with its ticket: soon, for a flush may be waiting for that. Writing there makes nothing durable,
  // nor what led there: Flush does.
  virtual Location Locate(Op /*op*/, uint64_t /*offset*/, uint64_t /*length*/) { return {}; }
  virtual void Leave(int /*ticket*/) {}

  virtual ImageInfo Info() const { return {}; }
  // What only this format has, as the tools print it: an object whose order is kept. Null: nothing.
  virtual nlohmann::ordered_json SpecificInfo() const;
  // Those inside the image, in its order.
  virtual std::vector<Snapshot> Snapshots() const { return {}; }
  // UNIMPLEMENTED for formats without a check. The image is used by nobody else meanwhile.
  virtual Result<CheckReport> Check(const Repair& repair);
  // Compressed writing, in two steps so that the first can run on many threads at once. Pack compresses a
  // whole cluster into `out`, which is as large: the bytes used, or 0 if it does not become smaller (or the
  // format does not compress). WritePacked stores the result for the cluster at `offset`, which has no
  // content yet (else EIO).
  virtual size_t Pack(std::span<const uint8_t> cluster, std::span<uint8_t> out) const;
  virtual int WritePacked(uint64_t offset, std::span<const uint8_t> packed);
  // Writes what is in memory only, as closing does; the image may be used further. Nobody changes it
  // meanwhile.
  virtual Status WriteBack();
  // Stores what the range shows of the backing image, where it has no content of its own, but for zeroes.
  // Whoever writes there at the same time comes before or after. 0, or an errno value.
  virtual int Populate(uint64_t offset, uint64_t length);
  // Drops every allocation, so that all reads come from the backing image: what a commit ends with.
  virtual Status MakeEmpty();
  // Stores another reference (none: stands alone). The opened backing image is not touched.
  virtual Status ChangeBacking(const std::optional<BackingReference>& reference);

 private:
  std::unique_ptr<Image> file_;
  std::unique_ptr<Image> backing_;
};

// Reads a range of `image` that its Map says is not allocated: from the backing image as far as that reaches,
// zeroes behind it. Pieces as in Request. 0, or an errno value.
int ReadBacking(const FormatImage& image, uint64_t offset, uint64_t length, std::span<const iovec> pieces);

}  // namespace berth::block
