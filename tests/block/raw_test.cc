#include "block/raw.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "block/file_image.h"
#include "block/open.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

// A file of 4096 bytes that count 0, 1, … 255, 0, …
std::unique_ptr<Image> File() {
  UniqueFd fd(::memfd_create("raw-test", MFD_CLOEXEC));
  std::vector<uint8_t> bytes(4096);
  std::iota(bytes.begin(), bytes.end(), 0);
  EXPECT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0), 4096);
  return *CreateFileImage(std::move(fd));
}

TEST(Raw, AWindowShowsItsPartAndNothingElse) {
  auto raw = *CreateRawImage(File(), {.offset_bytes = 1000, .size_bytes = 100});
  EXPECT_EQ(raw->size_bytes(), 100u);
  uint8_t byte = 0;
  EXPECT_EQ(Read(raw.get(), 0, {&byte, 1}), 0);
  EXPECT_EQ(byte, 1000 % 256);
  EXPECT_EQ(Read(raw.get(), 99, {&byte, 1}), 0);
  EXPECT_EQ(byte, 1099 % 256);
  EXPECT_EQ(Read(raw.get(), 100, {&byte, 1}), EINVAL);
  EXPECT_EQ(Read(raw.get(), ~0ull - 500, {&byte, 1}), EINVAL);
  EXPECT_EQ(Write(raw.get(), 99, std::vector<uint8_t>{1, 2}), EINVAL);
}

TEST(Raw, WithoutASizeItGoesToTheEndOfTheLastSector) {
  auto raw = *CreateRawImage(File(), {.offset_bytes = 4000});
  EXPECT_EQ(raw->size_bytes(), 512u);
  std::vector<uint8_t> bytes(512, 0xff);
  EXPECT_EQ(Read(raw.get(), 0, bytes), 0);
  EXPECT_EQ(bytes[95], 4095 % 256);
  EXPECT_EQ(bytes[96], 0);
}

TEST(Raw, AWindowBeyondTheImageIsRefused) {
  EXPECT_EQ(CreateRawImage(File(), {.offset_bytes = 4097}).error().code(), Code::kOutOfRange);
  EXPECT_EQ(CreateRawImage(File(), {.offset_bytes = 4000, .size_bytes = 97}).error().code(),
            Code::kOutOfRange);
  EXPECT_EQ(CreateRawImage(File(), {.offset_bytes = 1, .size_bytes = ~0ull}).error().code(),
            Code::kOutOfRange);
}

TEST(Raw, AReadOnlyWindowOfAWritableFileRefusesEveryChange) {
  auto raw = *CreateRawImage(File(), {.read_only = true});
  EXPECT_TRUE(raw->limits().read_only);
  EXPECT_EQ(Write(raw.get(), 0, std::vector<uint8_t>{1}), EROFS);
  EXPECT_EQ(WriteZeroes(raw.get(), 0, 512, true), EROFS);
  EXPECT_EQ(Discard(raw.get(), 0, 512), EROFS);
}

// A guest that may write to a raw disk must not make the host take it for an image that names other files.
TEST(Raw, AnImageFoundByProbingStaysRaw) {
  const ScratchDir scratch;
  const std::string path = scratch.Write("disk", std::string(4096, 'x'));
  const std::vector<uint8_t> magic{'Q', 'F', 'I', 0xfb, 0, 0, 0, 3};
  auto probed = *OpenImage(path, "", {.writable = true});
  EXPECT_EQ(Write(probed.get(), 0, magic), EPERM);
  EXPECT_EQ(Write(probed.get(), 0, {magic.data(), 2}), 0);
  EXPECT_EQ(Write(probed.get(), 2, {magic.data() + 2, 6}), EPERM);
  probed.reset();
  auto named = *OpenImage(path, "raw", {.writable = true});
  EXPECT_EQ(Write(named.get(), 0, magic), 0);
}

TEST(Raw, OpensByItsNameWithOptions) {
  const ScratchDir scratch;
  const std::string path = scratch.Write("disk", std::string(4096, 'x'));
  auto open = [&](Options options) {
    options.insert({{"driver", "raw"}, {"file.filename", path}});
    return OpenImage(std::move(options), {});
  };
  auto raw = open({{"offset", "512"}, {"size", "1k"}});
  ASSERT_TRUE(raw);
  EXPECT_EQ((*raw)->size_bytes(), 1024u);
  EXPECT_EQ(open({{"offset", "-1"}}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(open({{"size", ""}}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(open({{"colour", "red"}}).error().message(),
            "Block format 'raw' does not support the option 'colour'");
}

}  // namespace
}  // namespace berth::block
