#include <algorithm>
#include <cstring>

#include "block/chain.h"
#include "block/content.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr uint64_t kStepBytes = 2 << 20;
constexpr uint64_t kSector = 512;  // What differences are told apart by.
constexpr int kDifferent = 1, kCannotOpen = 2, kCannotMap = 3, kCannotRead = 4;

class Comparison {
 public:
  Comparison(std::unique_ptr<block::Image> first, std::unique_ptr<block::Image> second, bool quiet)
      : first_(std::move(first)),
        second_(std::move(second)),
        quiet_(quiet),
        buffers_{kStepBytes, kStepBytes} {}

  int Run(bool strict, Progress* progress);

 private:
  struct Buffers {
    std::vector<uint8_t> first, second;
    Buffers(uint64_t a, uint64_t b) : first(a), second(b) {}
  };

  template <typename... Args>
  int Differ(fmt::format_string<Args...> format, Args&&... args) {
    if (!quiet_) fmt::print(format, std::forward<Args>(args)...);
    return kDifferent;
  }
  int ReadFrom(block::Image* image, uint64_t offset, std::span<uint8_t> out) {
    const int error = block::Read(image, offset, out);
    if (error == 0) return 0;
    Complain("Error while reading offset {} of {}: {}", offset, image->filename(), std::strerror(error));
    return kCannotRead;
  }
  int Empty(block::Image* image, uint64_t offset, uint64_t length) {
    const std::span<uint8_t> bytes(buffers_.first.data(), length);
    if (const int status = ReadFrom(image, offset, bytes); status != 0) return status;
    const uint64_t zeroes = block::LeadingZeroes(bytes);
    return zeroes == length ? 0
                            : Differ("Content mismatch at offset {}!\n", offset + zeroes / kSector * kSector);
  }
  int Same(uint64_t offset, uint64_t length);
  int Step(uint64_t offset, bool strict, uint64_t* length);
  int Rest(block::Image* longer, uint64_t from, Progress* progress);

  const std::unique_ptr<block::Image> first_, second_;
  const bool quiet_;
  Buffers buffers_;
};

int Comparison::Same(uint64_t offset, uint64_t length) {
  const std::span<uint8_t> first(buffers_.first.data(), length), second(buffers_.second.data(), length);
  if (const int status = ReadFrom(first_.get(), offset, first); status != 0) return status;
  if (const int status = ReadFrom(second_.get(), offset, second); status != 0) return status;
  if (std::memcmp(first.data(), second.data(), length) == 0) return 0;
  uint64_t at = 0;
  while (std::memcmp(&first[at], &second[at], std::min(kSector, length - at)) == 0) at += kSector;
  return Differ("Content mismatch at offset {}!\n", offset + at);
}

int Comparison::Step(uint64_t offset, bool strict, uint64_t* length) {
  const auto map = [&](block::Image* image, block::ChainExtent* extent) {
    auto status = block::StatusAbove(image, nullptr, offset, image->size_bytes() - offset);
    if (!status) {
      Complain("Sector allocation test failed for {}", image->filename());
      return kCannotMap;
    }
    *extent = *status;
    return 0;
  };
  block::ChainExtent first, second;
  if (const int status = map(first_.get(), &first); status != 0) return status;
  if (const int status = map(second_.get(), &second); status != 0) return status;
  *length = std::min(first.length, second.length);
  if (strict &&
      (first.allocated != second.allocated || first.zero != second.zero || first.data != second.data)) {
    return Differ("Strict mode: Offset {} block status mismatch!\n", offset);
  }
  if (first.zero && second.zero) return 0;
  if (first.allocated == second.allocated) {
    if (!first.allocated) return 0;
    *length = std::min(*length, kStepBytes);
    return Same(offset, *length);
  }
  *length = std::min(*length, kStepBytes);
  return Empty(first.allocated ? first_.get() : second_.get(), offset, *length);
}

// What the longer image has behind the shorter one's end must be zeroes.
int Comparison::Rest(block::Image* longer, uint64_t from, Progress* progress) {
  const uint64_t end = longer->size_bytes();
  for (uint64_t offset = from; offset < end;) {
    const auto extent = block::StatusAbove(longer, nullptr, offset, end - offset);
    if (!extent) {
      Complain("Sector allocation test failed for {}", longer->filename());
      return kCannotMap;
    }
    uint64_t length = extent->length;
    if (extent->allocated && !extent->zero) {
      length = std::min(length, kStepBytes);
      if (const int status = Empty(longer, offset, length); status != 0) return status;
    }
    offset += length;
    progress->Show(offset, end);
  }
  return 0;
}

int Comparison::Run(bool strict, Progress* progress) {
  const uint64_t first_size = first_->size_bytes(), second_size = second_->size_bytes();
  const uint64_t common = std::min(first_size, second_size), all = std::max(first_size, second_size);
  if (strict && first_size != second_size) return Differ("Strict mode: Image size mismatch!\n");
  for (uint64_t offset = 0; offset < common;) {
    uint64_t length = 0;
    if (const int status = Step(offset, strict, &length); status != 0) return status;
    offset += length;
    progress->Show(offset, all);
  }
  if (first_size != second_size) {
    if (!quiet_) fmt::print("Warning: Image size mismatch!\n");
    block::Image* longer = first_size > second_size ? first_.get() : second_.get();
    if (const int status = Rest(longer, common, progress); status != 0) return status;
  }
  if (!quiet_) fmt::print("Images are identical.\n");
  return 0;
}

}  // namespace

int Compare(int argc, char** argv) {
  Source first, second;
  block::OpenFlags flags;
  std::string cache = "writeback";
  bool progress = false, quiet = false, strict = false, options = false;
  Arguments arguments(argc, argv, "f:F:T:pqsU",
                      {{"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force-share", no_argument, nullptr, 'U'}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') first.format = ::optarg;
    if (option == 'F') second.format = ::optarg;
    if (option == 'T') cache = ::optarg;
    if (option == 'p') progress = true;
    if (option == 'q') quiet = true;
    if (option == 's') strict = true;
    if (option == 'U') flags.force_share = true;
    if (option == kOptionImageOpts) options = true;
  }
  if (arguments.Rest().size() != 2) RefuseArguments("Expecting two image file names");
  first.name = arguments.Rest()[0];
  second.name = arguments.Rest()[1];
  first.is_options = second.is_options = options;
  Progress shown(progress && !quiet);
  if (!ParseCache(cache, &flags)) {
    Complain("Invalid source cache option: {}", cache);
    return kCannotOpen;
  }
  auto first_image = OpenSource(first, flags);
  if (first_image == nullptr) return kCannotOpen;
  auto second_image = OpenSource(second, flags);
  if (second_image == nullptr) return kCannotOpen;
  const int status = Comparison(std::move(first_image), std::move(second_image), quiet).Run(strict, &shown);
  shown.End();
  return status;
}

}  // namespace berth::img
