// Images in blocks whose format is only read here.
#pragma once

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "block/mapped_store.h"

namespace berth::block {

class ReadOnlyStore : public MappedStore {
 public:
  using MappedStore::MappedStore;

 protected:
  int Allocate(uint64_t, uint64_t, uint64_t*, uint64_t*) override REQUIRES(mutex_) { return EROFS; }
  int Link(uint64_t, const BlockPlace&) override REQUIRES(mutex_) { return EROFS; }
};

class ReadOnlyImage final : public FormatImage {
 public:
  ReadOnlyImage(std::unique_ptr<Image> file, const ImageInfo& info, std::optional<BackingReference> backing)
      : FormatImage(std::move(file)),
        info_(info),
        backing_(std::move(backing)),
        limits_(this->file()->limits()) {
    limits_.read_only = true;
  }
  // Before anything else; it may have been made with this image as its owner.
  void Use(std::unique_ptr<ReadOnlyStore> store) { store_ = std::move(store); }

  uint64_t size_bytes() const override { return store_->shape().size_bytes; }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override {
    const int error = CheckRequest(request, size_bytes(), true);
    return error != 0 ? error : store_->Perform(request);
  }
  Result<Extent> Map(uint64_t offset, uint64_t length) override { return store_->Map(offset, length); }
  std::optional<uint64_t> AllocatedBytes() const override { return file()->AllocatedBytes(); }
  ImageInfo Info() const override { return info_; }
  std::optional<BackingReference> backing_reference() const override { return backing_; }

 private:
  const ImageInfo info_;
  const std::optional<BackingReference> backing_;
  Limits limits_;
  std::unique_ptr<ReadOnlyStore> store_;
};

}  // namespace berth::block
