// A vhdx disk: blocks of 1 to 256 MiB, found by a table that changes through a log.
#pragma once

#include <memory>
#include <vector>

#include "block/driver.h"
#include "block/format_image.h"
#include "block/mapped_store.h"
#include "block/vhdx/header.h"

namespace berth::block::vhdx {

class VhdxStore final : public MappedStore {
 public:
  VhdxStore(Image* file, const Layout& layout, const Header& header, bool writable);
  // Before the first change: those who remember this disk must see that it is another now.
  int PrepareToChange() EXCLUDES(header_mutex_);
  // Flushes, and leaves nothing in the log.
  void Close() EXCLUDES(header_mutex_);

 protected:
  int Lookup(uint64_t block, BlockPlace* place) override REQUIRES(mutex_);
  int Allocate(uint64_t block, uint64_t wanted, uint64_t* host, uint64_t* got) override REQUIRES(mutex_);
  int Link(uint64_t block, const BlockPlace& place) override REQUIRES(mutex_);
  int StoreTables(std::span<const TableWrite> writes) override EXCLUDES(header_mutex_);

 private:
  const Layout layout_;
  Mutex header_mutex_;
  Header header_ GUARDED_BY(header_mutex_);
  bool changed_ GUARDED_BY(header_mutex_) = false;
  uint64_t log_sequence_ GUARDED_BY(header_mutex_) = 0;
};

class VhdxImage final : public FormatImage {
 public:
  VhdxImage(std::unique_ptr<Image> file, const Layout& layout, const Header& header, bool writable,
            bool replayed);
  ~VhdxImage() override;

  uint64_t size_bytes() const override { return layout_.disk_bytes; }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override;
  std::optional<uint64_t> AllocatedBytes() const override { return file()->AllocatedBytes(); }
  ImageInfo Info() const override { return {.cluster_size_bytes = layout_.block_bytes}; }
  Result<CheckReport> Check(const Repair& repair) override;

 private:
  const Layout layout_;
  const bool replayed_;  // Opening it has replayed the log.
  VhdxStore store_;
  Limits limits_;
};

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context);

}  // namespace berth::block::vhdx
