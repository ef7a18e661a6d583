#include "block/raw.h"

#include <sys/mman.h>

#include <cerrno>
#include <numeric>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "block/file.h"
#include "block/format.h"
#include "block/sync.h"
#include "tests/fakes/fake_engine.h"

namespace berth::block {
namespace {

struct Raw : testing::Test {
  // A file of 4096 bytes that count 0, 1, … 255, 0, …
  std::unique_ptr<BlockNode> File() {
    UniqueFd fd(::memfd_create("raw-test", MFD_CLOEXEC));
    std::vector<uint8_t> bytes(4096);
    std::iota(bytes.begin(), bytes.end(), 0);
    EXPECT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0), 4096);
    return *CreateFileNode(&engine, std::move(fd));
  }
  FakeEngine engine;
};

TEST_F(Raw, AWindowShowsItsPartAndNothingElse) {
  auto raw = *CreateRawNode(File(), {.offset_bytes = 1000, .size_bytes = 100});
  EXPECT_EQ(raw->size_bytes(), 100u);
  uint8_t byte = 0;
  EXPECT_EQ(ReadAt(raw.get(), 0, {&byte, 1}), 0);
  EXPECT_EQ(byte, 1000 % 256);
  EXPECT_EQ(ReadAt(raw.get(), 99, {&byte, 1}), 0);
  EXPECT_EQ(byte, 1099 % 256);
  EXPECT_EQ(ReadAt(raw.get(), 100, {&byte, 1}), EINVAL);
  EXPECT_EQ(ReadAt(raw.get(), ~0ull - 500, {&byte, 1}), EINVAL);
  EXPECT_EQ(WriteAt(raw.get(), 99, std::vector<uint8_t>{1, 2}), EINVAL);
}

TEST_F(Raw, WithoutASizeItGoesToTheEnd) {
  auto raw = *CreateRawNode(File(), {.offset_bytes = 4000});
  EXPECT_EQ(raw->size_bytes(), 96u);
}

TEST_F(Raw, AWindowBeyondTheImageIsRefused) {
  EXPECT_EQ(CreateRawNode(File(), {.offset_bytes = 4097}).error().code(), Code::kOutOfRange);
  EXPECT_EQ(CreateRawNode(File(), {.offset_bytes = 4000, .size_bytes = 97}).error().code(),
            Code::kOutOfRange);
  EXPECT_EQ(CreateRawNode(File(), {.offset_bytes = 1, .size_bytes = ~0ull}).error().code(),
            Code::kOutOfRange);
}

TEST_F(Raw, AReadOnlyWindowOfAWritableFileRefusesEveryChange) {
  auto raw = *CreateRawNode(File(), {.read_only = true});
  EXPECT_TRUE(raw->limits().read_only);
  EXPECT_EQ(WriteAt(raw.get(), 0, std::vector<uint8_t>{1}), EROFS);
  for (Op op : {Op::kDiscard, Op::kWriteZeroes}) {
    Request request{.op = op, .length = 512};
    EXPECT_EQ(Perform(raw.get(), &request), EROFS);
  }
}

TEST_F(Raw, OpensByItsNameWithOptions) {
  const Format* format = *FindFormat("raw");
  auto raw = format->open(File(), {{"offset", "512"}, {"size", "1024"}});
  ASSERT_TRUE(raw);
  EXPECT_EQ((*raw)->size_bytes(), 1024u);
  EXPECT_EQ(format->open(File(), {{"offset", "0x10"}}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(format->open(File(), {{"offset", "-1"}}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(format->open(File(), {{"size", ""}}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(format->open(File(), {{"colour", "red"}}).error().code(), Code::kInvalidArgument);
}

TEST(FindFormat, SaysWhichThereAre) {
  const auto missing = FindFormat("floppy");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().message(), testing::HasSubstr("raw"));
}

}  // namespace
}  // namespace berth::block
