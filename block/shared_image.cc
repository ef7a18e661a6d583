#include "block/shared_image.h"

#include <utility>

namespace berth::block {
namespace {

class SharedImage final : public FormatImage {
 public:
  explicit SharedImage(std::shared_ptr<FormatImage> image) : FormatImage(nullptr), image_(std::move(image)) {
    SetIdentity(image_->driver(), image_->filename());
  }
  uint64_t size_bytes() const override { return image_->size_bytes(); }
  const Limits& limits() const override { return image_->limits(); }
  int Perform(const Request& request) override { return image_->Perform(request); }
  Result<Extent> Map(uint64_t offset, uint64_t length) override { return image_->Map(offset, length); }
  Image* data_file() const override { return image_->data_file(); }
  Location Locate(Op op, uint64_t offset, uint64_t length) override {
    const Location location = image_->Locate(op, offset, length);
    return location.kind == Location::Kind::kBeneath ? Location{} : location;
  }
  void Leave(int ticket) override { image_->Leave(ticket); }

 private:
  const std::shared_ptr<FormatImage> image_;
};

}  // namespace

std::unique_ptr<FormatImage> ShareImage(std::shared_ptr<FormatImage> image) {
  return std::make_unique<SharedImage>(std::move(image));
}

}  // namespace berth::block
