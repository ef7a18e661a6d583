// Persistent bitmaps: what was written is marked, across closing and opening, for qemu-img as for us; after a
// crash they are not relied on.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "block/bitmap.h"
#include "block/driver.h"
#include "block/format_image.h"
#include "block/open.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

constexpr uint64_t kDiskBytes = 8 << 20;

class Qcow2Bitmap : public testing::Test {
 protected:
  Qcow2Bitmap() : path_(scratch_ / "image.qcow2") {
    CreateOptions options(kQcow2Format.create_options);
    EXPECT_TRUE(options.SetAll("cluster_size=4k"));
    EXPECT_TRUE(options.Set("size", std::to_string(kDiskBytes)));
    EXPECT_TRUE(kQcow2Format.create(path_, options));
    Open();
  }
  void Open() {
    image_.reset();
    auto opened = OpenImage(path_, "qcow2", {.writable = true, .no_flush = true});
    ASSERT_TRUE(opened) << opened.error().message();
    image_ = *std::move(opened);
    store_ = dynamic_cast<BitmapStore*>(image_.get());
  }
  std::vector<Range> Dirty(const char* name) {
    auto ranges = store_->DirtyRanges(name);
    EXPECT_TRUE(ranges) << ranges.error().message();
    return ranges ? *ranges : std::vector<Range>();
  }

  const ScratchDir scratch_;
  const std::string path_;
  std::unique_ptr<Image> image_;
  BitmapStore* store_ = nullptr;
};

TEST_F(Qcow2Bitmap, MarksWhatIsWrittenInItsGranularity) {
  ASSERT_TRUE(store_->AddBitmap({.name = "b", .granularity_bytes = 64 << 10}));
  ASSERT_TRUE(store_->AddBitmap({.name = "off", .granularity_bytes = 64 << 10, .enabled = false}));

  ASSERT_EQ(Write(image_.get(), 70'000, std::vector<uint8_t>(100, 1)), 0);
  ASSERT_EQ(WriteZeroes(image_.get(), 1 << 20, 65'537, true), 0);
  ASSERT_EQ(Discard(image_.get(), kDiskBytes - 4096, 4096), 0);

  const std::vector<Range> expected{
      {64 << 10, 64 << 10}, {1 << 20, 128 << 10}, {kDiskBytes - (64 << 10), 64 << 10}};
  EXPECT_EQ(Dirty("b"), expected);
  EXPECT_TRUE(Dirty("off").empty());
  Open();
  EXPECT_EQ(Dirty("b"), expected);
  EXPECT_TRUE(Dirty("off").empty());
}

TEST_F(Qcow2Bitmap, AgreesWithAnArrayAcrossReopening) {
  constexpr uint64_t kGranularity = 512;
  std::mt19937 random(1);
  std::vector<bool> model(kDiskBytes / kGranularity);
  ASSERT_TRUE(store_->AddBitmap({.name = "b", .granularity_bytes = kGranularity}));
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 60; ++i) {
      const uint64_t offset = random() % (kDiskBytes - 40'000), length = 1 + random() % 40'000;
      ASSERT_EQ(Write(image_.get(), offset, std::vector<uint8_t>(length, 1)), 0);
      for (uint64_t bit = offset / kGranularity; bit <= (offset + length - 1) / kGranularity; ++bit)
        model[bit] = true;
    }
    Open();
    std::vector<bool> read(model.size());
    for (const Range& range : Dirty("b")) {
      for (uint64_t at = range.start; at < range.end(); at += kGranularity) read[at / kGranularity] = true;
    }
    ASSERT_EQ(read, model);
    image_.reset();
    ASSERT_EQ(std::system(("qemu-img check -f qcow2 " + path_ + " >/dev/null").c_str()), 0);
    Open();
  }
}

// "If this bit is set, the bitmap was not saved correctly and may be inconsistent" (flag in_use).
TEST_F(Qcow2Bitmap, IsNotReliedOnAfterACrash) {
  ASSERT_TRUE(store_->AddBitmap({.name = "b", .granularity_bytes = 64 << 10}));
  ASSERT_TRUE(store_->StoreBitmaps());
  ASSERT_EQ(Write(image_.get(), 0, std::vector<uint8_t>(100, 1)), 0);
  ASSERT_EQ(Flush(image_.get()), 0);
  const std::string crashed = scratch_ / "crashed.qcow2";
  ASSERT_EQ(std::system(("cp " + path_ + " " + crashed).c_str()), 0);

  auto image = *OpenImage(crashed, "qcow2", {});
  auto* store = dynamic_cast<BitmapStore*>(image.get());

  ASSERT_EQ(store->Bitmaps().size(), 1u);
  EXPECT_TRUE(store->Bitmaps()[0].inconsistent);
  EXPECT_FALSE(store->DirtyRanges("b"));
}

TEST_F(Qcow2Bitmap, IsGoneWithItsClustersWhenItIsRemoved) {
  ASSERT_TRUE(store_->AddBitmap({.name = "b", .granularity_bytes = 512}));
  ASSERT_EQ(Write(image_.get(), 0, std::vector<uint8_t>(1 << 20, 1)), 0);
  Open();
  ASSERT_TRUE(store_->RemoveBitmap("b"));
  Open();
  EXPECT_TRUE(store_->Bitmaps().empty());
  const auto report = dynamic_cast<FormatImage*>(image_.get())->Check({});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->leaks + report->corruptions, 0u);
}

// An image may have thousands, and each may say of itself that all of it is set.
TEST_F(Qcow2Bitmap, AllTogetherTakeABoundedAmountOfMemory) {
  constexpr uint64_t kLarge = uint64_t{2} << 40;  // 512 MiB of bits of 512 bytes each.
  image_.reset();
  CreateOptions options(kQcow2Format.create_options);
  ASSERT_TRUE(options.Set("size", std::to_string(kLarge)));
  ASSERT_TRUE(kQcow2Format.create(path_, options));
  Open();
  const auto add = [&](const char* name) {
    return store_->AddBitmap({.name = name, .granularity_bytes = 512}).has_value();
  };
  ASSERT_TRUE(add("a"));
  EXPECT_FALSE(add("b"));
  ASSERT_TRUE(store_->RemoveBitmap("a"));
  ASSERT_TRUE(add("b"));
  ASSERT_TRUE(store_->StoreBitmaps());

  // What one program had room for, another may add to without having it in memory.
  Open();
  ASSERT_TRUE(add("c"));
  EXPECT_FALSE(store_->DirtyRanges("b")) << "c is in memory";
  ASSERT_EQ(Write(image_.get(), 0, std::vector<uint8_t>(512, 1)), 0);
  EXPECT_TRUE(Dirty("c").size() == 1);
  EXPECT_TRUE(store_->Bitmaps()[0].inconsistent) << "it did not record";
}

}  // namespace
}  // namespace berth::block
