// LUKS volumes: keys, headers that lie, and the secrets that open them. Content is
// encryption_model_test.cc's.
#include <cerrno>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "block/crypto/openssl.h"
#include "block/crypto/sealed_bytes.h"
#include "block/driver.h"
#include "block/luks/volume.h"
#include "block/open.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block::luks {
namespace {

using testing::HasSubstr;

class Luks : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    UseOpenSsl();
    (void)DefineSecret("one", {'f', 'i', 'r', 's', 't'});
    (void)DefineSecret("two", {'s', 'e', 'c', 'o', 'n', 'd'});
  }

  // A volume of 1 MiB by the password "first", as bytes.
  static const std::vector<uint8_t>& GoodVolume() {
    static const std::vector<uint8_t> volume = MakeVolume();
    return volume;
  }
  static std::vector<uint8_t> MakeVolume() {
    const ScratchDir scratch;
    CreateOptions options(kLuksFormat.create_options);
    EXPECT_TRUE(options.SetAll("size=1M,key-secret=one,iter-time=1"));
    EXPECT_TRUE(kLuksFormat.create(scratch / "a", options));
    auto file = *OpenProtocol(scratch / "a", {});
    std::vector<uint8_t> bytes(file->size_bytes());
    EXPECT_EQ(Read(file.get(), 0, bytes), 0);
    return bytes;
  }

  static Result<std::unique_ptr<FormatImage>> Open(std::vector<uint8_t> bytes, const char* secret,
                                                   OpenFlags flags = {.writable = true}) {
    OpenContext context{.file = std::make_unique<MemoryImage>(std::move(bytes)), .flags = flags};
    if (*secret) context.options["key-secret"] = secret;
    return kLuksFormat.open(&context);
  }

  static Status Amend(FormatImage* image, const char* text) {
    CreateOptions options(kLuksFormat.amend_options);
    EXPECT_TRUE(options.SetAll(text));
    return kLuksFormat.amend(image, options);
  }

  static std::string Refusal(std::vector<uint8_t> bytes) {
    const auto opened = Open(std::move(bytes), "one");
    return opened ? "none" : opened.error().message();
  }
};

// "H1 is a hash of an arbitrary size": whatever part of the split key is lost, the key is.
TEST_F(Luks, ASplitKeyIsWholeOrNothing) {
  SecretBytes key(32), split(32 * kStripes), merged(32);
  FillRandom(key);
  ASSERT_TRUE(SplitKey("sha1", key, split));
  ASSERT_TRUE(MergeKey("sha1", split, merged));
  EXPECT_EQ(merged, key);
  split[1234] ^= 1;
  ASSERT_TRUE(MergeKey("sha1", split, merged));
  EXPECT_NE(merged, key);
}

TEST_F(Luks, OnlyThePasswordOpensAVolume) {
  const std::vector<uint8_t> volume = GoodVolume();
  EXPECT_TRUE(Open(volume, "one"));
  EXPECT_THAT(Open(volume, "two").error().message(), HasSubstr("Invalid password"));
  EXPECT_THAT(Open(volume, "three").error().message(), HasSubstr("No secret with id 'three'"));
  EXPECT_THAT(Open(volume, "").error().message(), HasSubstr("'key-secret' is required"));
  auto asked = *Open(volume, "", {.no_io = true});
  EXPECT_EQ(asked->size_bytes(), 1u << 20);
  std::vector<uint8_t> sector(512);
  EXPECT_EQ(Read(asked.get(), 0, sector), ENOKEY);
}

TEST_F(Luks, PasswordsAreAddedAndErased) {
  auto image = *Open(GoodVolume(), "one");
  ASSERT_EQ(Write(image.get(), 0, std::vector<uint8_t>(512, 7)), 0);
  ASSERT_TRUE(Amend(image.get(), "state=active,new-secret=two,iter-time=1"));
  ASSERT_TRUE(Amend(image.get(), "state=inactive,keyslot=0"));
  const std::vector<uint8_t> changed = static_cast<MemoryImage*>(image->file())->content;

  EXPECT_FALSE(Open(changed, "one"));
  auto again = Open(changed, "two");
  ASSERT_TRUE(again);
  std::vector<uint8_t> sector(512);
  EXPECT_EQ(Read(again->get(), 0, sector), 0);
  EXPECT_EQ(sector, std::vector<uint8_t>(512, 7));
}

TEST_F(Luks, TheLastPasswordStays) {
  auto image = *Open(GoodVolume(), "one");
  EXPECT_THAT(Amend(image.get(), "state=inactive,keyslot=0").error().message(),
              HasSubstr("only active keyslot 0"));
  EXPECT_THAT(Amend(image.get(), "state=inactive,old-secret=one").error().message(),
              HasSubstr("All the active keyslots match"));
}

// A file that fails at any moment of a change of passwords: some password opens it.
TEST_F(Luks, AChangeThatFailsLocksNobodyOut) {
  const std::vector<uint8_t> volume = GoodVolume();
  for (int changes = 0; changes < 6; ++changes) {
    auto image = *Open(volume, "one");
    auto* file = static_cast<MemoryImage*>(image->file());
    file->fail_after = changes;
    (void)Amend(image.get(), "state=active,new-secret=two,iter-time=1");
    EXPECT_TRUE(Open(file->content, "one")) << changes;
  }
}

TEST_F(Luks, HeadersThatLieAreRefused) {
  const auto with = [](size_t at, auto value) {
    std::vector<uint8_t> bytes = GoodVolume();
    StoreBe(&bytes[at], value);
    return Refusal(std::move(bytes));
  };
  constexpr size_t kSlot0 = 208, kSlot1 = 256;
  EXPECT_THAT(with(6, uint16_t{2}), HasSubstr("LUKS version 2 is not supported"));
  EXPECT_THAT(with(104, uint32_t{0}), HasSubstr("detached"));
  EXPECT_THAT(with(108, uint32_t{0}), HasSubstr("master key has 0 bytes"));
  EXPECT_THAT(with(108, uint32_t{1} << 30), HasSubstr("master key has"));
  EXPECT_THAT(with(164, uint32_t{0}), HasSubstr("none for a key"));
  EXPECT_THAT(with(kSlot0 + 4, UINT32_MAX), HasSubstr("iterations"));
  EXPECT_THAT(with(kSlot0, uint32_t{1}), HasSubstr("Keyslot 0 state"));
  EXPECT_THAT(with(kSlot0 + 40, uint32_t{1}), HasSubstr("overlapping with the LUKS header"));
  EXPECT_THAT(with(kSlot1 + 40, UINT32_MAX), HasSubstr("overlapping with the encrypted payload"));
  EXPECT_THAT(with(kSlot1 + 40, uint32_t{9}), HasSubstr("Keyslots 0 and 1 are overlapping"));
  EXPECT_THAT(with(kSlot0 + 44, UINT32_MAX), HasSubstr("stripes count"));
  EXPECT_THAT(with(8, uint32_t{0x78787878}), HasSubstr("not supported"));                // "xxxx"
  EXPECT_THAT(with(40, uint64_t{0x6362632d666f6f00}), HasSubstr("IV generator 'foo'"));  // "cbc-foo"
  EXPECT_THAT(with(72, uint64_t{0x6d79686173680000}), HasSubstr("algorithm 'myhash' is not"));
  std::vector<uint8_t> cut = GoodVolume();
  cut.resize(4096 + 512);
  EXPECT_THAT(Refusal(cut), HasSubstr("behind the image's end"));
  cut.resize(500);
  EXPECT_THAT(Refusal(cut), HasSubstr("Unable to read LUKS header"));
}

// Which would keep all of that from being written over, cluster by cluster.
TEST_F(Luks, AQcow2ThatIsAllLuksHeaderIsRefused) {
  const ScratchDir scratch;
  CreateOptions options(kQcow2Format.create_options);
  ASSERT_TRUE(options.SetAll("size=1M,encrypt.format=luks,encrypt.key-secret=one,encrypt.iter-time=1"));
  ASSERT_TRUE(kQcow2Format.create(scratch / "a", options));
  auto file = *OpenProtocol(scratch / "a", {});
  std::vector<uint8_t> bytes(file->size_bytes());
  ASSERT_EQ(Read(file.get(), 0, bytes), 0);
  size_t extension = 112;
  while (LoadBe<uint32_t>(&bytes[extension]) != 0x0537be77)
    extension += 8 + LoadBe<uint32_t>(&bytes[extension + 4]);
  const auto place = LoadBe<uint64_t>(&bytes[extension + 8]);
  const auto open = [&] {
    OpenContext context{.file = std::make_unique<MemoryImage>(bytes),
                        .options = {{"encrypt.key-secret", "one"}},
                        .flags = {.writable = true}};
    const auto opened = kQcow2Format.open(&context);
    return opened ? "opened" : opened.error().message();
  };
  EXPECT_EQ(open(), "opened");
  StoreBe<uint64_t>(&bytes[extension + 16], uint64_t{1} << 41);
  EXPECT_EQ(open(), "opened");
  StoreBe(&bytes[place + 104], UINT32_MAX);
  EXPECT_THAT(open(), HasSubstr("LUKS header is larger"));
}

// Writers of different parts of one sector.
TEST_F(Luks, PartsOfASectorAreEachWritersOwn) {
  auto image = *Open(GoodVolume(), "one");
  std::vector<std::thread> threads;
  for (uint8_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (uint8_t round = 0; round < 100; ++round) {
        const std::vector<uint8_t> part(128, static_cast<uint8_t>(round + i));
        EXPECT_EQ(Write(image.get(), 512 + i * 128, part), 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<uint8_t> sector(512);
  ASSERT_EQ(Read(image.get(), 512, sector), 0);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(sector[i * 128 + 127], 99 + i);
}

// RFC 4648, section 10.
TEST(Base64, IsDecoded) {
  const auto text = [](std::string_view encoded) {
    const auto bytes = DecodeBase64(encoded);
    return bytes ? std::string(bytes->begin(), bytes->end()) : "refused";
  };
  EXPECT_EQ(text(""), "");
  EXPECT_EQ(text("Zg=="), "f");
  EXPECT_EQ(text("Zm8="), "fo");
  EXPECT_EQ(text("Zm9v\n"), "foo");
  EXPECT_EQ(text("Zm9vYmFy"), "foobar");
  EXPECT_EQ(text("Zm9"), "refused");
  EXPECT_EQ(text("Z=m9"), "refused");
  EXPECT_EQ(text("!!!!"), "refused");
}

}  // namespace
}  // namespace berth::block::luks
