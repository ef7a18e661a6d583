// Foreign images that lie, and files that break while they are written.
#include <cerrno>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "block/driver.h"
#include "block/format_image.h"
#include "block/open.h"
#include "tests/fakes/made_images.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

using testing::HasSubstr;

constexpr uint64_t kPiece = 64 << 10;

class NoGate final : public OpenGate {
  Result<std::unique_ptr<Image>> Open(std::string_view filename, std::string_view,
                                      const OpenFlags&) override {
    return Fail(Code::kPermissionDenied, "the gate is closed for {}", filename);
  }
};

// An image of 8 MiB, whose first 64 KiB are 0x77.
std::vector<uint8_t> GoodImage(const std::string& format, const std::string& options = "") {
  const ScratchDir scratch;
  const std::string path = scratch / "good";
  CreateOptions values(FindFormat(format)->create_options);
  EXPECT_TRUE(values.SetAll(options) && values.Set("size", "8M"));
  EXPECT_TRUE(FindFormat(format)->create(path, values));
  {
    auto image = *OpenImage(path, format, {.writable = true});
    EXPECT_EQ(Write(image.get(), 0, std::vector<uint8_t>(kPiece, 0x77)), 0);
    EXPECT_EQ(Flush(image.get()), 0);
  }
  auto file = *OpenProtocol(path, {});
  std::vector<uint8_t> bytes(file->size_bytes());
  EXPECT_EQ(Read(file.get(), 0, bytes), 0);
  return bytes;
}

Result<std::unique_ptr<FormatImage>> OpenBytes(const std::string& format, std::vector<uint8_t> bytes,
                                               const OpenFlags& flags = {.writable = true}) {
  NoGate gate;
  OpenContext context{.file = std::make_unique<MemoryImage>(std::move(bytes)), .flags = flags, .gate = &gate};
  return FindFormat(format)->open(&context);
}

// A disk that breaks at any change: what was flushed before stays readable, and nothing is broken.
class FormatsThatBreak : public testing::TestWithParam<std::pair<const char*, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Formats, FormatsThatBreak,
                         testing::Values(std::pair("vmdk", ""), std::pair("vdi", ""), std::pair("vpc", ""),
                                         std::pair("vhdx", "block_size=1M")),
                         [](const auto& tested) { return std::string(tested.param.first); });

TEST_P(FormatsThatBreak, KeepWhatWasFlushed) {
  const auto [format, options] = GetParam();
  const std::vector<uint8_t> good = GoodImage(format, options);
  for (int changes = 0; changes < 24; ++changes) {
    auto memory = std::make_unique<MemoryImage>(good);
    MemoryImage* file = memory.get();
    NoGate gate;
    OpenContext context{.file = std::move(memory), .flags = {.writable = true}, .gate = &gate};
    auto image = *FindFormat(format)->open(&context);
    file->fail_after = changes;
    (void)Write(image.get(), 2 << 20, std::vector<uint8_t>(3 << 20, 0x33));
    const bool flushed = Flush(image.get()) == 0;
    const std::vector<uint8_t> crashed = file->content;

    auto after = OpenBytes(format, crashed);
    ASSERT_TRUE(after) << changes << ": " << after.error().message();
    const auto report = (*after)->Check({});
    if (report) {
      EXPECT_TRUE(report->messages.empty() || std::string(format) == "vdi") << report->messages[0];
    }
    std::vector<uint8_t> out(kPiece);
    ASSERT_EQ(Read(after->get(), 0, out), 0);
    EXPECT_EQ(out, std::vector<uint8_t>(kPiece, 0x77)) << changes;
    if (!flushed) continue;
    ASSERT_EQ(Read(after->get(), 4 << 20, out), 0);
    EXPECT_EQ(out, std::vector<uint8_t>(kPiece, 0x33));
    return;
  }
  FAIL() << "24 changes did not do";
}

TEST(VmdkHostile, NumbersThatAreTooLargeAreRefused) {
  const auto open_with = [](size_t at, auto value) {
    std::vector<uint8_t> bytes = GoodImage("vmdk");
    StoreLe(&bytes[at], value);
    const auto opened = OpenBytes("vmdk", std::move(bytes));
    return opened ? std::string() : opened.error().message();
  };
  EXPECT_THAT(open_with(4, uint32_t{4}), HasSubstr("Unsupported VMDK version 4"));
  EXPECT_THAT(open_with(12, UINT64_MAX), HasSubstr("L1 size too big"));
  EXPECT_THAT(open_with(20, uint64_t{0}), HasSubstr("Invalid granularity"));
  EXPECT_THAT(open_with(20, uint64_t{1} << 40), HasSubstr("Invalid granularity"));
  EXPECT_THAT(open_with(44, uint32_t{100000}), HasSubstr("L2 table size too big"));
  EXPECT_THAT(open_with(56, UINT64_MAX), HasSubstr("footer"));
  EXPECT_THAT(open_with(64, uint64_t{1} << 40), HasSubstr("File truncated"));
}

TEST(VmdkHostile, ExtentsAreOpenedByTheGateAlone) {
  const std::string text =
      "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
      "RW 100 FLAT \"/etc/shadow\" 0\n";
  const auto opened = OpenBytes("vmdk", {text.begin(), text.end()});
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message(), HasSubstr("the gate is closed for /etc/shadow"));
}

TEST(VmdkHostile, ATableInFrontOfTheDataIsNotWrittenOver) {
  std::vector<uint8_t> bytes = GoodImage("vmdk");
  const auto directory = LoadLe<uint64_t>(&bytes[56]) * 512;
  const auto table = LoadLe<uint32_t>(&bytes[directory]) * uint64_t{512};
  StoreLe<uint32_t>(&bytes[table], 1);
  auto image = *OpenBytes("vmdk", std::move(bytes));
  EXPECT_EQ(Write(image.get(), 0, std::vector<uint8_t>(512, 1)), EIO);
}

// "Stream-Optimized": grains, tables, directory, footer and end marker, in this order and without a gap; what
// has ended cannot grow.
TEST(VmdkStream, IsWrittenOnce) {
  const ScratchDir scratch;
  CreateOptions options(kVmdkFormat.create_options);
  EXPECT_TRUE(options.SetAll("size=1M,subformat=streamOptimized"));
  ASSERT_TRUE(kVmdkFormat.create(scratch / "a", options));
  auto image = *OpenImage(scratch / "a", "vmdk", {.writable = true});
  ASSERT_EQ(Write(image.get(), 0, std::vector<uint8_t>(kPiece, 1)), 0);
  EXPECT_EQ(Write(image.get(), 0, std::vector<uint8_t>(kPiece, 1)), EIO);
  ASSERT_EQ(Flush(image.get()), 0);
  EXPECT_EQ(Write(image.get(), kPiece, std::vector<uint8_t>(kPiece, 1)), EROFS);
  image.reset();

  auto file = *OpenProtocol(scratch / "a", {});
  std::vector<uint8_t> bytes(file->size_bytes());
  ASSERT_EQ(Read(file.get(), 0, bytes), 0);
  EXPECT_EQ(LoadLe<uint64_t>(&bytes[56]), UINT64_MAX);  // gdOffset: in the footer.
  EXPECT_EQ(LoadLe<uint64_t>(&bytes[64]), 128u);        // overHead
  const uint8_t* end = bytes.data() + bytes.size();
  EXPECT_EQ(LoadLe<uint32_t>(end - 3 * 512 + 12), 3u);  // Footer marker.
  EXPECT_EQ(LoadLe<uint64_t>(end - 512), 0u);           // End of stream.
  const auto directory = LoadLe<uint64_t>(end - 2 * 512 + 56) * 512;
  EXPECT_EQ(LoadLe<uint32_t>(&bytes[directory - 512 + 12]), 2u);  // Directory marker.
  const auto table = LoadLe<uint32_t>(&bytes[directory]) * uint64_t{512};
  EXPECT_EQ(LoadLe<uint32_t>(&bytes[table - 512 + 12]), 1u);  // Table marker.
  EXPECT_EQ(LoadLe<uint32_t>(&bytes[table]), 128u);           // The first grain, behind the overhead.
  file.reset();
  const auto again = OpenImage(scratch / "a", "vmdk", {.writable = true});
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message(), HasSubstr("must be read only"));
}

TEST(VdiHostile, BlocksOutOfRangeAndUsedTwiceAreFound) {
  std::vector<uint8_t> bytes = GoodImage("vdi");
  StoreLe<uint32_t>(&bytes[512 + 4], 0);
  StoreLe<uint32_t>(&bytes[512 + 8], 1000);
  const auto report = (*OpenBytes("vdi", std::move(bytes), {}))->Check({});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->corruptions, 3u);
  EXPECT_EQ(report->messages[0], "ERROR: block index 0 also used by 0");
}

// By hand, so that no tool needs to make them.
TEST(ReadOnlyFormats, QedAndParallelsAreRead) {
  for (const auto& [format, bytes] : {std::pair("qed", MakeQed()), std::pair("parallels", MakeParallels())}) {
    auto image = *OpenBytes(format, bytes, {});
    EXPECT_EQ(image->size_bytes(), 1u << 20);
    std::vector<uint8_t> out(3 * kMadeClusterBytes, 1);
    ASSERT_EQ(Read(image.get(), 100, out), 0);
    for (size_t i = 0; i < out.size(); ++i)
      ASSERT_EQ(out[i], i + 100 < kMadeClusterBytes ? 7 : 0) << format << i;
    EXPECT_EQ(Write(image.get(), 0, out), EROFS);
    EXPECT_THAT(OpenBytes(format, bytes).error().message(), HasSubstr("can only be read"));
  }
}

TEST(QedHostile, NumbersThatLieAreRefused) {
  const auto open_with = [](size_t at, auto value) {
    std::vector<uint8_t> bytes = MakeQed();
    StoreLe(&bytes[at], value);
    const auto opened = OpenBytes("qed", std::move(bytes), {});
    return opened ? std::string() : opened.error().message();
  };
  EXPECT_THAT(open_with(4, uint32_t{4097}), HasSubstr("cluster size 4097"));
  EXPECT_THAT(open_with(4, UINT32_MAX), HasSubstr("cluster size"));
  EXPECT_THAT(open_with(8, UINT32_MAX), HasSubstr("QED tables of"));
  EXPECT_THAT(open_with(16, uint64_t{8}), HasSubstr("Unsupported QED features: 8"));
  EXPECT_THAT(open_with(40, uint64_t{1} << 40), HasSubstr("L1 table is not inside"));
  EXPECT_THAT(open_with(48, uint64_t{1} << 40), HasSubstr("larger than its tables"));
  EXPECT_THAT(open_with(48, UINT64_MAX - 511), HasSubstr("larger than its tables"));
  std::vector<uint8_t> bytes = MakeQed();
  StoreLe<uint64_t>(&bytes[16], 1);
  StoreLe(&bytes[60], UINT32_MAX);
  EXPECT_THAT(OpenBytes("qed", bytes, {}).error().message(), HasSubstr("backing file is not inside"));
  std::vector<uint8_t> out(512);
  for (const size_t entry : {kMadeClusterBytes, 2 * kMadeClusterBytes}) {
    bytes = MakeQed();
    StoreLe<uint64_t>(&bytes[entry], UINT64_MAX << 12);
    EXPECT_EQ(Read(OpenBytes("qed", bytes, {})->get(), 0, out), EIO);
  }
}

TEST(ParallelsHostile, NumbersThatLieAreRefused) {
  const auto open_with = [](size_t at, auto value) {
    std::vector<uint8_t> bytes = MakeParallels();
    StoreLe(&bytes[at], value);
    const auto opened = OpenBytes("parallels", std::move(bytes), {});
    return opened ? std::string() : opened.error().message();
  };
  EXPECT_THAT(open_with(28, uint32_t{0}), HasSubstr("Zero sectors per track"));
  EXPECT_THAT(open_with(28, UINT32_MAX), HasSubstr("Too big cluster"));
  EXPECT_THAT(open_with(32, UINT32_MAX), HasSubstr("Catalog too large"));
  EXPECT_THAT(open_with(36, UINT64_MAX), HasSubstr("Too large a disk"));
  std::vector<uint8_t> bytes = MakeParallels(), out(512);
  StoreLe(&bytes[64], UINT32_MAX);
  auto image = *OpenBytes("parallels", bytes, {});
  EXPECT_EQ(Read(image.get(), 0, out), EIO);
}

TEST(VpcHostile, AWrongChecksumIsRefused) {
  std::vector<uint8_t> bytes = GoodImage("vpc");
  ++bytes[48];
  EXPECT_THAT(OpenBytes("vpc", std::move(bytes)).error().message(), HasSubstr("checksum"));
}

TEST(VhdxHostile, DamagedHeadersAreRefused) {
  std::vector<uint8_t> bytes = GoodImage("vhdx");
  ++bytes[(64 << 10) + 100];
  EXPECT_TRUE(OpenBytes("vhdx", bytes));  // The other copy.
  ++bytes[(128 << 10) + 100];
  EXPECT_THAT(OpenBytes("vhdx", bytes).error().message(), HasSubstr("No valid VHDX header"));
}

}  // namespace
}  // namespace berth::block
