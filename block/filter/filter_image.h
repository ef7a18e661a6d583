// A filter: an image that shows another one, of any format or protocol, and does something about the
// requests.
#pragma once

#include <memory>

#include "block/chain.h"
#include "block/driver.h"
#include "block/format_image.h"

namespace berth::block {

class FilterImage : public FormatImage {
 public:
  explicit FilterImage(OpenContext* context)
      : FormatImage(std::move(context->file)), beneath_(context->beneath), limits_(file()->limits()) {
    limits_.read_only |= !context->flags.writable;
  }

  uint64_t size_bytes() const override { return file()->size_bytes(); }
  const Limits& limits() const override { return limits_; }
  int Perform(const Request& request) override {
    const int error = Refusal(request);
    return error == 0 ? file()->Perform(request) : error;
  }
  Result<Extent> Map(uint64_t offset, uint64_t length) override { return MapThrough(file(), offset, length); }
  Status Resize(uint64_t size_bytes, Preallocation preallocation) override {
    return file()->Resize(size_bytes, preallocation);
  }
  std::optional<uint64_t> AllocatedBytes() const override { return file()->AllocatedBytes(); }
  ImageInfo Info() const override {
    const auto* format = dynamic_cast<const FormatImage*>(file());
    return format == nullptr ? ImageInfo{}
                             : ImageInfo{.cluster_size_bytes = format->Info().cluster_size_bytes};
  }

 protected:
  // A file beneath a format grows by being written to; nothing else does.
  int Refusal(const Request& request) const {
    return CheckRequest(request, beneath_ ? uint64_t{INT64_MAX} : size_bytes(), limits_.read_only);
  }

 private:
  const bool beneath_;

 protected:
  Limits limits_;
};

}  // namespace berth::block
