// A VHD: fixed (the disk, and a footer behind it), or dynamic (blocks behind a table, each with a bitmap of
// its sectors in front, and the footer at both ends).
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "block/driver.h"
#include "block/format_image.h"
#include "block/mapped_store.h"
#include "block/vpc/format.h"

namespace berth::block::vpc {

using Footer = std::array<uint8_t, kFooterBytes>;

class VpcStore final : public MappedStore {
 public:
  struct Tables {
    uint64_t size_bytes = 0;
    uint64_t block_bytes = 0;
    uint64_t table_offset = 0;
    uint32_t entries = 0;
    Footer footer{};

    // Of the bitmap in front of each block.
    uint64_t bitmap_bytes() const { return AlignUp(block_bytes / kSectorBytes / 8, kSectorBytes); }
  };
  VpcStore(Image* file, const Tables& tables, bool writable);
  // Finds where the next block goes.
  int FindEnd() EXCLUDES(mutex_);

 protected:
  int Lookup(uint64_t block, BlockPlace* place) override REQUIRES(mutex_);
  int Allocate(uint64_t block, uint64_t wanted, uint64_t* host, uint64_t* got) override REQUIRES(mutex_);
  int Link(uint64_t block, const BlockPlace& place) override REQUIRES(mutex_);
  std::vector<TableWrite> TakeTables() override REQUIRES(mutex_);

 private:
  const Tables table_;
  uint64_t next_ GUARDED_BY(mutex_) = 0;
};

class VpcImage final : public FormatImage {
 public:
  VpcImage(std::unique_ptr<Image> file, bool writable);
  ~VpcImage() override;
  Status Load();

  uint64_t size_bytes() const override { return size_; }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override;
  Result<Extent> Map(uint64_t offset, uint64_t length) override;
  std::optional<uint64_t> AllocatedBytes() const override { return file()->AllocatedBytes(); }
  ImageInfo Info() const override;

 private:
  Status LoadDynamic(const Footer& footer);

  uint64_t size_ = 0;
  Limits limits_;
  std::unique_ptr<VpcStore> store_;  // Null: fixed.
};

}  // namespace berth::block::vpc
