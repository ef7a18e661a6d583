// A VMware disk: extents one behind the other, in the file itself or in others that its descriptor names.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "block/driver.h"
#include "block/format_image.h"
#include "block/vmdk/descriptor.h"
#include "block/vmdk/sparse.h"
#include "block/vmdk/stream.h"

namespace berth::block::vmdk {

// What one extent adds to the disk. Either `sparse` finds its content or it is in the file, from
// `flat_offset` on.
struct Part {
  uint64_t start = 0;
  uint64_t size = 0;
  std::string type;             // As the descriptor has it; empty: the file that was opened.
  std::unique_ptr<Image> file;  // Null: the file that was opened.
  uint64_t flat_offset = 0;
  std::unique_ptr<SparseExtent> sparse;
  StreamExtent* stream = nullptr;  // `sparse`, while it is being written.
};

class VmdkImage final : public FormatImage {
 public:
  explicit VmdkImage(std::unique_ptr<Image> file, bool writable) : FormatImage(std::move(file)) {
    limits_ = this->file()->limits();
    limits_.read_only |= !writable;
  }
  ~VmdkImage() override;
  // Reads everything; called once.
  Status Load(OpenContext* context);

  uint32_t cid() const { return cid_; }
  uint64_t size_bytes() const override { return size_; }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override;
  Result<Extent> Map(uint64_t offset, uint64_t length) override;
  std::optional<uint64_t> AllocatedBytes() const override;
  std::optional<BackingReference> backing_reference() const override;
  ImageInfo Info() const override;
  nlohmann::ordered_json SpecificInfo() const override;
  Result<CheckReport> Check(const Repair& repair) override;
  size_t Pack(std::span<const uint8_t> cluster, std::span<uint8_t> out) const override;
  int WritePacked(uint64_t offset, std::span<const uint8_t> packed) override;

 private:
  Status LoadSparse(OpenContext* context);
  Status LoadDescriptor(OpenContext* context, uint64_t offset, uint64_t length);
  Status AddExtent(const ExtentLine& line, OpenContext* context);
  Status AddSparse(Part part, const SparseHeader& header, const OpenFlags& flags);
  Part* PartAt(uint64_t offset);
  Image* FileOf(const Part& part) const { return part.file ? part.file.get() : file(); }
  int PerformIn(Part* part, const Request& request);
  int PrepareToChange() EXCLUDES(cid_mutex_);
  int FlushAll();
  bool ParentChanged() const;

  Descriptor descriptor_;
  uint64_t descriptor_offset_ = 0;
  std::atomic<uint32_t> cid_ = 0;
  uint64_t size_ = 0;
  std::vector<Part> parts_;
  Limits limits_;
  Mutex cid_mutex_;
  bool cid_changed_ GUARDED_BY(cid_mutex_) = false;
};

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context);
uint32_t NewCid();

}  // namespace berth::block::vmdk
