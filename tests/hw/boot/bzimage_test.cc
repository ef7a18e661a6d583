#include "hw/boot/bzimage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/kernel_images.h"

namespace berth::hw {
namespace {

using testing::HasSubstr;

Result<BzImage> Parse(const KernelFile& file) {
  SpanSource source(file);
  return ParseBzImage(source);
}

TEST(BzImage, ReadsWhatTheProtocolSays) {
  const auto image = Parse(MakeBzImage(5000));
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->payload_offset, 1024u);
  EXPECT_EQ(image->payload_size, 5000u);
  EXPECT_EQ(image->load_address, 0x1000000u);
  EXPECT_EQ(image->init_size, 2 * kMiB);
  EXPECT_EQ(image->initrd_last_address, 0x7fffffffu);
  EXPECT_EQ(image->command_line_max, 2047u);
}

TEST(BzImage, NoSetupSectorsMeansFour) {
  // "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
  KernelFile file = MakeBzImage();
  file[0x1f1] = 0;
  StoreLe<uint32_t>(&file[0x1f4], 0);
  EXPECT_EQ(Parse(file)->payload_offset, 5 * 512u);
}

TEST(BzImage, TheHeaderIsCutWhereItsJumpLeads) {
  KernelFile file = MakeBzImage();
  file[0x26b] = 0x11;  // Its last byte.
  file[0x26c] = 0x22;  // Code behind it.
  const auto image = Parse(file);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->header[0x26b - BzImage::kHeaderStart], 0x11);
  EXPECT_EQ(image->header[0x26c - BzImage::kHeaderStart], 0);
}

TEST(BzImage, APayloadLargerThanItsInitSizeNeedsItsSize) {
  EXPECT_EQ(Parse(MakeBzImage(3 * kMiB))->init_size, 3 * kMiB);
}

// What is wrong, and what the message says of it.
struct Corruption {
  const char* name;
  void (*spoil)(KernelFile&);
  const char* says;
};

class CorruptBzImage : public testing::TestWithParam<Corruption> {};

TEST_P(CorruptBzImage, IsRefusedByName) {
  KernelFile file = MakeBzImage();
  GetParam().spoil(file);
  const auto image = Parse(file);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(image.error().message(), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, CorruptBzImage,
    testing::Values(
        Corruption{"Empty", [](KernelFile& f) { f.clear(); }, "no Linux setup header"},
        Corruption{"EndsInTheBootSector", [](KernelFile& f) { f.resize(0x1ff); }, "no Linux setup header"},
        Corruption{"NoBootFlag", [](KernelFile& f) { f[0x1fe] = 0; }, "no Linux setup header"},
        Corruption{"NoMagic", [](KernelFile& f) { f[0x202] = 'h'; }, "no Linux setup header"},
        Corruption{"EndsInTheHeader", [](KernelFile& f) { f.resize(0x240); }, "setup"},
        Corruption{"OldProtocol", [](KernelFile& f) { StoreLe<uint16_t>(&f[0x206], 0x020b); }, "2.11"},
        Corruption{"No64BitEntry", [](KernelFile& f) { f[0x236] = 0x3e; }, "not a 64-bit one"},
        Corruption{"EndsInTheSetupCode", [](KernelFile& f) { f.resize(1024); }, "setup code"},
        Corruption{"SetupLongerThanTheFile", [](KernelFile& f) { f[0x1f1] = 64; }, "setup code"},
        Corruption{"CutShort", [](KernelFile& f) { f.resize(f.size() - 16); }, "cut short"},
        Corruption{"NoAlignment", [](KernelFile& f) { StoreLe<uint32_t>(&f[0x230], 0); }, "alignment"},
        Corruption{"OddAlignment", [](KernelFile& f) { StoreLe<uint32_t>(&f[0x230], 3); }, "alignment"},
        Corruption{"Misaligned", [](KernelFile& f) { StoreLe<uint64_t>(&f[0x258], 0x1000200); }, "0x1000200"},
        Corruption{"InLowMemory", [](KernelFile& f) { StoreLe<uint64_t>(&f[0x258], 0); },
                   "preferred address"},
        Corruption{"NotRelocatableInLowMemory",
                   [](KernelFile& f) {
                     f[0x234] = 0;
                     StoreLe<uint64_t>(&f[0x258], 0x10000);
                   },
                   "0x10000"},
        Corruption{"InTheHole", [](KernelFile& f) { StoreLe<uint64_t>(&f[0x258], 0xe0000000); },
                   "0xe0000000"},
        Corruption{"Above4GiB", [](KernelFile& f) { StoreLe<uint64_t>(&f[0x258], ~uint64_t{0x1fffff}); },
                   "preferred address"},
        Corruption{"Boundless", [](KernelFile& f) { StoreLe<uint32_t>(&f[0x260], 0xffffffff); },
                   "claims to need"}),
    [](const auto& corruption) { return corruption.param.name; });

}  // namespace
}  // namespace berth::hw
