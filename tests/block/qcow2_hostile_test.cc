// Images that lie: each ends in an error, soon, and without much memory.
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "block/driver.h"
#include "block/format_image.h"
#include "block/open.h"
#include "block/qcow2/image.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

using testing::HasSubstr;

// Of an image of 1 MiB with clusters of 64 KiB: header, refcount table, refcount block, L1 table, L2 table,
// data.
constexpr uint64_t kCluster = 64 << 10;
constexpr uint64_t kTable = kCluster, kBlock = 2 * kCluster, kL1 = 3 * kCluster, kL2 = 4 * kCluster,
                   kData = 5 * kCluster;

std::vector<uint8_t> GoodImage() {
  const ScratchDir scratch;
  const std::string path = scratch / "good";
  CreateOptions options(kQcow2Format.create_options);
  EXPECT_TRUE(options.Set("size", "1M"));
  EXPECT_TRUE(kQcow2Format.create(path, options));
  {
    auto image = *OpenImage(path, "qcow2", {.writable = true});
    EXPECT_EQ(Write(image.get(), 0, std::vector<uint8_t>(kCluster, 0x77)), 0);
    EXPECT_EQ(Flush(image.get()), 0);
  }
  auto file = *OpenProtocol(path, {});
  std::vector<uint8_t> bytes(file->size_bytes());
  EXPECT_EQ(Read(file.get(), 0, bytes), 0);
  return bytes;
}

class NoGate final : public OpenGate {
  Result<std::unique_ptr<Image>> Open(std::string_view filename, std::string_view,
                                      const OpenFlags&) override {
    return Fail(Code::kPermissionDenied, "the gate is closed for {}", filename);
  }
};

Result<std::unique_ptr<FormatImage>> OpenBytes(std::vector<uint8_t> bytes,
                                               const OpenFlags& flags = {.writable = true}) {
  NoGate gate;
  OpenContext context{
      .file = std::make_unique<MemoryImage>(std::move(bytes)), .options = {}, .flags = flags, .gate = &gate};
  return kQcow2Format.open(&context);
}

std::string ErrorOf(const std::function<void(uint8_t* bytes)>& spoil) {
  std::vector<uint8_t> bytes = GoodImage();
  spoil(bytes.data());
  const auto opened = OpenBytes(std::move(bytes));
  return opened ? "opened" : opened.error().message();
}

TEST(Qcow2Hostile, TheImageThatIsSpoiledIsGood) {
  const std::vector<uint8_t> bytes = GoodImage();
  EXPECT_EQ(LoadBe<uint64_t>(&bytes[kL1]) & qcow2::kOffsetMask, kL2);
  EXPECT_EQ(LoadBe<uint64_t>(&bytes[kL2]) & qcow2::kOffsetMask, kData);
  auto image = OpenBytes(bytes);
  ASSERT_TRUE(image) << image.error().message();
  const auto report = (*image)->Check({});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->corruptions + report->leaks, 0u);
}

TEST(Qcow2Hostile, HeadersAreRefused) {
  EXPECT_THAT(ErrorOf([](uint8_t* b) { b[0] = 'X'; }), "Image is not in qcow2 format");
  EXPECT_THAT(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 4, 4); }), "Unsupported qcow2 version 4");
  EXPECT_THAT(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 20, 8); }), "Unsupported cluster size: 2^8");
  EXPECT_THAT(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 20, 63); }), "Unsupported cluster size: 2^63");
  EXPECT_THAT(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 100, 80); }), "qcow2 header too short");
  EXPECT_THAT(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 100, 1 << 30); }),
              "qcow2 header exceeds cluster size");
  EXPECT_THAT(ErrorOf([](uint8_t* b) { StoreBe<uint64_t>(b + 72, uint64_t{1} << 40); }),
              HasSubstr("Unsupported qcow2 feature(s)"));
  EXPECT_THAT(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 96, 7); }), HasSubstr("may not exceed 64 bits"));
  EXPECT_THAT(ErrorOf([](uint8_t* b) { StoreBe<uint64_t>(b + 8, kCluster + 1); }),
              "Invalid backing file offset");
  EXPECT_THAT(ErrorOf([](uint8_t* b) {
                StoreBe<uint64_t>(b + 8, 1024);
                StoreBe<uint32_t>(b + 16, 1024);
              }),
              "Backing file name too long");
}

TEST(Qcow2Hostile, TablesThatAreTooLargeOrElsewhereAreRefused) {
  EXPECT_EQ(ErrorOf([](uint8_t* b) { StoreBe<uint64_t>(b + 24, uint64_t{1} << 63); }), "Image is too big");
  EXPECT_EQ(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 36, 0xffffffff); }), "Active L1 table too large");
  EXPECT_EQ(ErrorOf([](uint8_t* b) { StoreBe<uint64_t>(b + 40, kL1 + 8); }),
            "Active L1 table offset invalid");
  EXPECT_EQ(ErrorOf([](uint8_t* b) { StoreBe<uint64_t>(b + 40, ~uint64_t{0} << 16); }),
            "Active L1 table offset invalid");
  EXPECT_EQ(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 56, 0x10000); }),
            "Reference count table too large");
  EXPECT_EQ(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 56, 0); }),
            "Image does not contain a reference count table");
  EXPECT_EQ(ErrorOf([](uint8_t* b) { StoreBe<uint32_t>(b + 60, 0xffffffff); }), "Snapshot table too large");
}

// Where an image's tables say so, a write must not go to its own metadata.
TEST(Qcow2Hostile, WritesNeverReachMetadata) {
  for (const uint64_t target : {uint64_t{0} + kTable, kBlock, kL1, kL2}) {
    std::vector<uint8_t> bytes = GoodImage();
    StoreBe<uint64_t>(&bytes[kL2], target | qcow2::kCopied);
    auto image = *OpenBytes(std::move(bytes));
    EXPECT_EQ(Write(image.get(), 0, std::vector<uint8_t>(512, 1)), EIO) << target;
  }
}

// A refcount of 0 for the L1 table: it must not be given away as a free cluster.
TEST(Qcow2Hostile, MetadataThatCountsAsFreeIsNotAllocated) {
  for (const uint64_t cluster : {1, 2, 3, 4}) {
    std::vector<uint8_t> bytes = GoodImage();
    StoreBe<uint16_t>(&bytes[kBlock + cluster * 2], 0);
    auto image = *OpenBytes(std::move(bytes));
    EXPECT_EQ(Write(image.get(), 3 * kCluster, std::vector<uint8_t>(512, 1)), EIO) << cluster;
  }
}

TEST(Qcow2Hostile, AnL1EntryToItselfReadsAsAnErrorOrAsData) {
  std::vector<uint8_t> bytes = GoodImage();
  StoreBe<uint64_t>(&bytes[kL1], kL1 | qcow2::kCopied);
  auto image = *OpenBytes(std::move(bytes));
  std::vector<uint8_t> out(4096);
  (void)Read(image.get(), 0, out);
  EXPECT_EQ(Write(image.get(), kCluster * 3, out), EIO);
  const auto report = image->Check({});
  ASSERT_TRUE(report);
  EXPECT_NE(report->corruptions, 0u);
}

TEST(Qcow2Hostile, CompressedClustersThatAreNoStreamsAreErrors) {
  std::vector<uint8_t> bytes = GoodImage();
  StoreBe<uint64_t>(&bytes[kL2], qcow2::kCompressedFlag | kData);
  auto image = *OpenBytes(std::move(bytes));
  std::vector<uint8_t> out(4096);
  EXPECT_EQ(Read(image.get(), 0, out), EIO);
}

TEST(Qcow2Hostile, RefcountsThatAreOffAreFoundAndRepaired) {
  std::vector<uint8_t> bytes = GoodImage();
  StoreBe<uint16_t>(&bytes[kBlock + 5 * 2], 2);  // The data's: a leak.
  bytes.resize(kData + 2 * kCluster);
  StoreBe<uint16_t>(&bytes[kBlock + 6 * 2], 1);  // Nothing is there.
  auto image = *OpenBytes(std::move(bytes), {.writable = true, .check = true});
  auto report = *image->Check({});
  EXPECT_EQ(report.leaks, 2u);
  EXPECT_EQ(report.corruptions, 1u);  // COPIED with a count of 2.
  report = *image->Check({.leaks = true, .corruptions = true});
  EXPECT_EQ(report.leaks_fixed, 2u);
  report = *image->Check({});
  EXPECT_EQ(report.leaks + report.corruptions, 0u);
}

TEST(Qcow2Hostile, ALostRefcountTableIsRebuilt) {
  std::vector<uint8_t> bytes = GoodImage();
  StoreBe<uint64_t>(&bytes[kTable], 0);
  auto image = *OpenBytes(std::move(bytes), {.writable = true, .check = true});
  EXPECT_GE(image->Check({})->corruptions, 5u);
  ASSERT_TRUE(image->Check({.leaks = true, .corruptions = true}));
  const auto report = *image->Check({});
  EXPECT_EQ(report.leaks + report.corruptions, 0u) << report.messages[0];
  EXPECT_EQ(Write(image.get(), 3 * kCluster, std::vector<uint8_t>(512, 1)), 0);
}

// A disk that is full, or breaks, at any change: what was there stays readable, and nothing is referred to
// that is not counted.
TEST(Qcow2Hostile, FailingWritesNeverCorrupt) {
  for (int changes = 0; changes < 12; ++changes) {
    auto memory = std::make_unique<MemoryImage>(GoodImage());
    MemoryImage* file = memory.get();
    NoGate gate;
    OpenContext context{.file = std::move(memory), .options = {}, .flags = {.writable = true}, .gate = &gate};
    auto image = *kQcow2Format.open(&context);
    file->fail_after = changes;
    (void)Write(image.get(), 2 * kCluster + 512, std::vector<uint8_t>(3 * kCluster, 0x33));
    (void)Flush(image.get());
    const std::vector<uint8_t> crashed = file->content;
    auto after = OpenBytes(crashed);
    ASSERT_TRUE(after);
    EXPECT_EQ((*after)->Check({})->corruptions, 0u) << changes;
    std::vector<uint8_t> out(kCluster);
    ASSERT_EQ(Read(after->get(), 0, out), 0);
    EXPECT_EQ(out, std::vector<uint8_t>(kCluster, 0x77));
  }
}

TEST(OpenImage, AChainThatLoopsIsRefused) {
  const ScratchDir scratch;
  for (const char* name : {"a", "b"}) {
    CreateOptions options(kQcow2Format.create_options);
    EXPECT_TRUE(options.Set("size", "1M"));
    EXPECT_TRUE(options.Set("backing_file", name[0] == 'a' ? "b" : "a"));
    EXPECT_TRUE(options.Set("backing_fmt", "qcow2"));
    ASSERT_TRUE(kQcow2Format.create(scratch / name, options));
  }
  const auto opened = OpenImage(scratch / "a", "qcow2", {});
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message(), HasSubstr("infinite loop"));
}

}  // namespace
}  // namespace berth::block
