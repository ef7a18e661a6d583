// Filters over images: what they add to the requests, and what they leave as it is.
#include <cerrno>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "block/driver.h"
#include "block/filter/throttle.h"
#include "block/format_image.h"
#include "block/open.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

using testing::HasSubstr;

constexpr uint64_t kCluster = 64 << 10, kDisk = 4 << 20;

std::string MakeQcow2(const ScratchDir& scratch, const char* name, const std::string& options = "") {
  CreateOptions values(kQcow2Format.create_options);
  EXPECT_TRUE(values.SetAll(options) && values.Set("size", std::to_string(kDisk)));
  EXPECT_TRUE(kQcow2Format.create(scratch / name, values));
  return scratch / name;
}

// "base" is 5 in its first MiB; an image with nothing in it stands on it.
std::string MakeOverlay(const ScratchDir& scratch) {
  const std::string base = MakeQcow2(scratch, "base");
  auto image = *OpenImage(base, "qcow2", {.writable = true});
  EXPECT_EQ(Write(image.get(), 0, std::vector<uint8_t>(1 << 20, 5)), 0);
  return MakeQcow2(scratch, "top", "backing_file=base,backing_fmt=qcow2");
}

Result<std::unique_ptr<Image>> OpenOver(const std::string& driver, const std::string& path,
                                        const std::string& format = "qcow2", bool writable = true) {
  return OpenImage(Options{{"driver", driver}, {"file.driver", format}, {"file.file.filename", path}},
                   {.writable = writable});
}

bool IsAllocated(const std::string& path, uint64_t offset) {
  auto image = *OpenImage(path, "qcow2", {});
  return image->Map(offset, 1)->allocated;
}

TEST(CopyOnRead, WhatWasReadIsTheImagesOwn) {
  const ScratchDir scratch;
  const std::string path = MakeOverlay(scratch);
  {
    auto image = *OpenOver("copy-on-read", path);
    std::vector<uint8_t> out(100);
    ASSERT_EQ(Read(image.get(), kCluster + 7, out), 0);
    EXPECT_EQ(out, std::vector<uint8_t>(100, 5));
    ASSERT_EQ(Flush(image.get()), 0);
  }
  EXPECT_FALSE(IsAllocated(path, 0));
  EXPECT_TRUE(IsAllocated(path, kCluster));
  EXPECT_TRUE(IsAllocated(path, 2 * kCluster - 1));
  EXPECT_FALSE(IsAllocated(path, 2 * kCluster));
}

TEST(CopyOnRead, ReadersDoNotUndoWriters) {
  const ScratchDir scratch;
  const std::string path = MakeOverlay(scratch);
  auto image = *OpenOver("copy-on-read", path);
  std::thread reader([&] {
    std::vector<uint8_t> out(1 << 20);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(Read(image.get(), 0, out), 0);
  });
  for (uint64_t offset = 0; offset < 1 << 20; offset += 8192) {
    ASSERT_EQ(Write(image.get(), offset, std::vector<uint8_t>(4096, 9)), 0);
  }
  reader.join();
  std::vector<uint8_t> all(1 << 20);
  ASSERT_EQ(Read(image.get(), 0, all), 0);
  for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i % 8192 < 4096 ? 9 : 5) << i;
}

TEST(CopyOnRead, ZeroesTakeNoRoom) {
  const ScratchDir scratch;
  const std::string path = MakeOverlay(scratch);
  {
    auto image = *OpenOver("copy-on-read", path);
    std::vector<uint8_t> out(100);
    ASSERT_EQ(Read(image.get(), 2 << 20, out), 0);
    ASSERT_EQ(Flush(image.get()), 0);
  }
  auto image = *OpenImage(path, "qcow2", {});
  const auto extent = image->Map(2 << 20, 1);
  EXPECT_TRUE(extent->allocated && extent->zero);
}

TEST(CopyOnRead, NeedsAnImageToWriteTo) {
  const ScratchDir scratch;
  EXPECT_THAT(OpenOver("copy-on-read", MakeOverlay(scratch), "qcow2", false).error().message(),
              HasSubstr("read-only"));
}

TEST(CompressFilter, StoresWholeAndPartClustersCompressed) {
  const ScratchDir scratch;
  const std::string path = MakeQcow2(scratch, "a");
  auto image = *OpenOver("compress", path);
  ASSERT_EQ(Write(image.get(), kCluster - 100, std::vector<uint8_t>(kCluster + 200, 3)), 0);
  std::vector<uint8_t> out(3 * kCluster);
  ASSERT_EQ(Read(image.get(), 0, out), 0);
  for (size_t i = 0; i < out.size(); ++i)
    ASSERT_EQ(out[i], i >= kCluster - 100 && i < 2 * kCluster + 100 ? 3 : 0) << i;
  EXPECT_TRUE(image->Map(0, 1)->compressed);
  EXPECT_TRUE(image->Map(kCluster, 1)->compressed);
  EXPECT_TRUE(image->Map(2 * kCluster, 1)->compressed);
  EXPECT_EQ(Write(image.get(), kDisk, std::vector<uint8_t>(1)), EINVAL);
}

TEST(CompressFilter, WantsAFormatThatCompresses) {
  const ScratchDir scratch;
  EXPECT_THAT(OpenOver("compress", MakeQcow2(scratch, "a"), "raw").error().message(),
              HasSubstr("not supported for underlying format: raw"));
}

TEST(Throttle, WhatWaitsGetsItsTurn) {
  const ScratchDir scratch;
  const std::string path = MakeQcow2(scratch, "a");
  Options options{{"x-iops-total", "1000"}, {"x-bps-write", "10000000"}, {"x-iops-size", "4096"}};
  std::shared_ptr<ThrottleGroup> group = *ThrottleGroup::Create(&options);
  EXPECT_TRUE(options.empty());
  ASSERT_TRUE(DefineThrottleGroup("group", group));
  EXPECT_EQ(DefineThrottleGroup("group", group).error().code(), Code::kAlreadyExists);
  auto image = *OpenImage(Options{{"driver", "throttle"},
                                  {"throttle-group", "group"},
                                  {"file.driver", "qcow2"},
                                  {"file.file.filename", path}},
                          {.writable = true});
  std::vector<std::thread> threads;
  for (uint8_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (uint64_t at = 0; at < 20; ++at)
        EXPECT_EQ(Write(image.get(), i * kCluster + at * 4096 % kCluster, std::vector<uint8_t>(4096, i + 1)),
                  0);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<uint8_t> out(4 * kCluster);
  ASSERT_EQ(Read(image.get(), 0, out), 0);
  for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], i / kCluster + 1) << i;
}

TEST(Throttle, RefusesWhatMakesNoSense) {
  const auto refusal = [](Options options) {
    const auto group = ThrottleGroup::Create(&options);
    return group ? "none" : group.error().message();
  };
  EXPECT_THAT(refusal({{"x-iops-total", "-1"}}), HasSubstr("negative"));
  EXPECT_THAT(refusal({{"x-iops-total", "x"}}), HasSubstr("expects a number"));
  EXPECT_THAT(refusal({{"x-iops-total", "5"}, {"x-iops-write", "5"}}), HasSubstr("same time"));
  EXPECT_THAT(refusal({{"x-bps-read-max", "5"}}), HasSubstr("require corresponding"));
  EXPECT_THAT(refusal({{"x-bps-read", "9"}, {"x-bps-read-max", "5"}}), HasSubstr("cannot be lower"));
  EXPECT_THAT(refusal({{"x-bps-read", "99999999999999999"}}), HasSubstr("must be within"));
}

TEST(Nesting, AWindowOfADiskInAFormat) {
  const ScratchDir scratch;
  const std::string path = MakeOverlay(scratch);
  auto image = *OpenImage(Options{{"driver", "raw"},
                                  {"offset", "512k"},
                                  {"size", "1M"},
                                  {"file.driver", "qcow2"},
                                  {"file.file.filename", path}},
                          {.writable = true});
  std::vector<uint8_t> out(1 << 20);
  ASSERT_EQ(Read(image.get(), 0, out), 0);
  EXPECT_EQ(out[0], 5);
  EXPECT_EQ(out[(512 << 10) - 1], 5);
  EXPECT_EQ(out[512 << 10], 0);
  EXPECT_EQ(Write(image.get(), 1 << 20, std::vector<uint8_t>(1)), EINVAL);
  // What only the image beneath has is data here.
  EXPECT_TRUE(image->Map(0, 1)->data);
  EXPECT_TRUE(image->Map(512 << 10, 1)->zero);
}

TEST(Nesting, AnImageInARawFileGrows) {
  const ScratchDir scratch;
  const std::string path = MakeQcow2(scratch, "a");
  auto image = *OpenOver("qcow2", path, "raw");
  EXPECT_EQ(Write(image.get(), 1 << 20, std::vector<uint8_t>(300'000, 7)), 0);
  EXPECT_EQ(Flush(image.get()), 0);
}

TEST(Nesting, IsNotEndless) {
  Options options;
  std::string prefix;
  for (int i = 0; i < 2000; ++i) {
    options[prefix + "driver"] = "raw";
    prefix += "file.";
  }
  options[prefix + "filename"] = "/dev/null";
  EXPECT_THAT(OpenImage(std::move(options), {}).error().message(), HasSubstr("hold one another"));
}

}  // namespace
}  // namespace berth::block
