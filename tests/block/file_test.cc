#include "block/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <numeric>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "block/sync.h"
#include "tests/fakes/fake_engine.h"

namespace berth::block {
namespace {

using testing::Each;
using testing::ElementsAre;
using Kind = IoOp::Kind;

// A file of 64 KiB that counts 0, 1, … 255, 0, …, on a kernel that the test steers.
struct FileNodeTest : testing::Test {
  static constexpr uint64_t kSize = 64 * 1024;

  void SetUp() override {
    std::iota(content.begin(), content.end(), 0);
    ASSERT_EQ(::pwrite(file.get(), content.data(), kSize, 0), static_cast<ssize_t>(kSize));
  }

  std::unique_ptr<BlockNode> Node() { return *CreateFileNode(&engine, *Duplicate(file.get())); }
  // As if the file were open with O_DIRECT on a disk with blocks of 4096 bytes.
  std::unique_ptr<BlockNode> DirectNode() {
    FileInfo info = *DescribeFile(file.get());
    info.direct = true;
    info.limits.block_size_bytes = engine.block_size = 4096;
    info.limits.memory_alignment_bytes = engine.memory_alignment = 512;
    return CreateFileNode(&engine, *Duplicate(file.get()), info);
  }
  std::vector<uint8_t> Content() {
    std::vector<uint8_t> bytes(kSize);
    EXPECT_EQ(::pread(file.get(), bytes.data(), kSize, 0), static_cast<ssize_t>(kSize));
    return bytes;
  }
  std::vector<Kind> Kinds() {
    std::vector<Kind> kinds;
    for (const IoOp& op : engine.log) kinds.push_back(op.kind);
    return kinds;
  }

  UniqueFd file{::memfd_create("file-test", MFD_CLOEXEC)};
  std::vector<uint8_t> content = std::vector<uint8_t>(kSize);
  FakeEngine engine;
};

TEST_F(FileNodeTest, ReadsAndWritesThroughThePageCacheAtAnyOffset) {
  auto node = Node();
  std::vector<uint8_t> bytes(1000);
  EXPECT_EQ(ReadAt(node.get(), 77, bytes), 0);
  EXPECT_EQ(bytes, std::vector<uint8_t>(content.begin() + 77, content.begin() + 1077));
  EXPECT_EQ(WriteAt(node.get(), 4095, std::vector<uint8_t>{0xaa, 0xbb}), 0);
  content[4095] = 0xaa;
  content[4096] = 0xbb;
  EXPECT_EQ(Content(), content);
  EXPECT_THAT(Kinds(), ElementsAre(Kind::kReadv, Kind::kWritev));
}

TEST_F(FileNodeTest, ABatchIsOneSubmission) {
  auto node = Node();
  uint8_t bytes[3] = {};
  iovec pieces[3];
  List<Request> batch;
  int finished = 0;
  struct Counting : Request {
    int* finished;
  } counting[3];
  for (int i = 0; i < 3; ++i) {
    pieces[i] = {&bytes[i], 1};
    static_cast<Request&>(counting[i]) = {
        .offset = static_cast<uint64_t>(i), .length = 1, .pieces = {&pieces[i], 1}};
    counting[i].finished = &finished;
    counting[i].done = [](Request* request) { ++*static_cast<Counting*>(request)->finished; };
    batch.PushBack(&counting[i]);
  }
  node->Submit(std::move(batch));
  EXPECT_THAT(engine.batches, ElementsAre(3));
  EXPECT_EQ(finished, 0);
  engine.PerformHeld(2);
  EXPECT_EQ(finished, 1);
  node->Drain();
  EXPECT_EQ(finished, 3);
  EXPECT_THAT(bytes, ElementsAre(0, 1, 2));
}

TEST_F(FileNodeTest, ShortTransfersAreContinued) {
  auto node = Node();
  engine.results = {FakeEngine::kHalf, FakeEngine::kHalf, FakeEngine::kPerform};
  std::vector<uint8_t> bytes(3000);
  EXPECT_EQ(ReadAt(node.get(), 10, bytes), 0);
  EXPECT_EQ(bytes, std::vector<uint8_t>(content.begin() + 10, content.begin() + 3010));
  ASSERT_EQ(engine.log.size(), 3u);
  EXPECT_EQ(engine.log[1].offset, 1510u);
  EXPECT_EQ(engine.log[2].offset, 2260u);
}

TEST_F(FileNodeTest, AFileThatShrankReadsAsZeroesAndRefusesNothing) {
  auto node = Node();
  ASSERT_EQ(::ftruncate(file.get(), 1000), 0);
  std::vector<uint8_t> bytes(100, 0xff);
  EXPECT_EQ(ReadAt(node.get(), 950, bytes), 0);
  EXPECT_EQ(std::vector<uint8_t>(bytes.begin(), bytes.begin() + 50),
            std::vector<uint8_t>(content.begin() + 950, content.begin() + 1000));
  EXPECT_EQ(std::vector<uint8_t>(bytes.begin() + 50, bytes.end()), std::vector<uint8_t>(50, 0));
}

TEST_F(FileNodeTest, InterruptedCallsAreRepeatedButNotForever) {
  auto node = Node();
  uint8_t byte = 0;
  engine.results = {-EINTR, -EAGAIN, -EINTR};
  EXPECT_EQ(ReadAt(node.get(), 5, {&byte, 1}), 0);
  EXPECT_EQ(byte, 5);
  engine.results.assign(1000, -EAGAIN);
  EXPECT_EQ(ReadAt(node.get(), 5, {&byte, 1}), EIO);
  EXPECT_GT(engine.results.size(), 900u);
}

TEST_F(FileNodeTest, ErrorsOfTheDiskReachTheCaller) {
  auto node = Node();
  uint8_t byte = 0;
  engine.results = {-EIO, -ENOSPC, -EIO};
  EXPECT_EQ(ReadAt(node.get(), 0, {&byte, 1}), EIO);
  EXPECT_EQ(WriteAt(node.get(), 0, {&byte, 1}), ENOSPC);
  Request flush{.op = Op::kFlush};
  EXPECT_EQ(Perform(node.get(), &flush), EIO);
}

TEST_F(FileNodeTest, RangesOutsideTheFileFailWithoutASystemCall) {
  auto node = Node();
  std::vector<uint8_t> bytes(2);
  EXPECT_EQ(ReadAt(node.get(), kSize - 1, bytes), EINVAL);
  EXPECT_EQ(WriteAt(node.get(), ~0ull, bytes), EINVAL);
  for (Op op : {Op::kDiscard, Op::kWriteZeroes}) {
    Request request{.op = op, .offset = 512, .length = kSize};
    EXPECT_EQ(Perform(node.get(), &request), EINVAL);
  }
  EXPECT_TRUE(engine.log.empty());
}

TEST_F(FileNodeTest, WritesThatMustBeDurableSaySoToTheKernel) {
  auto node = Node();
  uint8_t byte = 0;
  const iovec piece{&byte, 1};
  Request write{.op = Op::kWrite, .fua = true, .offset = 1, .length = 1, .pieces = {&piece, 1}};
  EXPECT_EQ(Perform(node.get(), &write), 0);
  EXPECT_EQ(engine.log[0].flags, RWF_DSYNC);
  Request zeroes{.op = Op::kWriteZeroes, .fua = true, .may_unmap = true, .offset = 0, .length = 512};
  EXPECT_EQ(Perform(node.get(), &zeroes), 0);
  EXPECT_THAT(Kinds(), ElementsAre(Kind::kWritev, Kind::kFallocate, Kind::kSync));
}

TEST_F(FileNodeTest, DiscardPunchesAHole) {
  auto node = Node();
  Request discard{.op = Op::kDiscard, .offset = 4096, .length = 8192};
  EXPECT_EQ(Perform(node.get(), &discard), 0);
  struct stat status {};
  ASSERT_EQ(::fstat(file.get(), &status), 0);
  EXPECT_EQ(status.st_blocks, static_cast<blkcnt_t>((kSize - 8192) / 512));
}

TEST_F(FileNodeTest, DiscardWhereItIsUnknownDoesNothingAndIsNotTriedAgain) {
  auto node = Node();
  engine.results = {-EOPNOTSUPP};
  for (int i = 0; i < 2; ++i) {
    Request discard{.op = Op::kDiscard, .offset = 4096, .length = 8192};
    EXPECT_EQ(Perform(node.get(), &discard), 0);
  }
  EXPECT_EQ(engine.log.size(), 1u);
  EXPECT_EQ(Content(), content);
}

TEST_F(FileNodeTest, ZeroesAreWrittenByTheFirstMeansThatWorks) {
  auto node = Node();
  engine.results = {-EOPNOTSUPP, -EOPNOTSUPP};
  Request zeroes{.op = Op::kWriteZeroes, .may_unmap = true, .offset = 100, .length = 5000};
  EXPECT_EQ(Perform(node.get(), &zeroes), 0);
  ASSERT_THAT(Kinds(), ElementsAre(Kind::kFallocate, Kind::kFallocate, Kind::kWritev));
  EXPECT_EQ(engine.log[0].flags, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
  EXPECT_EQ(engine.log[1].flags, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
  std::fill_n(content.begin() + 100, 5000, 0);
  EXPECT_EQ(Content(), content);

  engine.log.clear();
  Request again{.op = Op::kWriteZeroes, .may_unmap = true, .offset = 10'000, .length = 1};
  EXPECT_EQ(Perform(node.get(), &again), 0);
  EXPECT_THAT(Kinds(), ElementsAre(Kind::kWritev));  // What was refused once is not asked for again.
}

TEST_F(FileNodeTest, ZeroesKeepTheBlocksUnlessTheyMayGo) {
  auto node = Node();
  Request zeroes{.op = Op::kWriteZeroes, .may_unmap = false, .offset = 0, .length = kSize};
  EXPECT_EQ(Perform(node.get(), &zeroes), 0);
  EXPECT_THAT(Content(), Each(0));
  struct stat status {};
  ASSERT_EQ(::fstat(file.get(), &status), 0);
  EXPECT_EQ(status.st_blocks, static_cast<blkcnt_t>(kSize / 512));
}

TEST_F(FileNodeTest, DirectAlignedRequestsGoStraight) {
  auto node = DirectNode();
  alignas(512) static uint8_t bytes[8192];
  const iovec piece{bytes, sizeof(bytes)};
  Request read{.offset = 4096, .length = sizeof(bytes), .pieces = {&piece, 1}, .done = [](Request*) {}};
  List<Request> batch;
  batch.PushBack(&read);
  node->Submit(std::move(batch));
  EXPECT_EQ(engine.held().at(0)->pieces, &piece);  // The caller's own vector, not a copy.
  node->Drain();
  EXPECT_EQ(std::vector<uint8_t>(bytes, bytes + 8192),
            std::vector<uint8_t>(content.begin() + 4096, content.begin() + 12288));
}

TEST_F(FileNodeTest, DirectReadsOfAnyRangeIntoAnyMemory) {
  auto node = DirectNode();
  for (const auto& [offset, size] : std::vector<std::pair<uint64_t, size_t>>{
           {0, 1}, {4095, 2}, {1, 4095}, {4096, 4096}, {511, 20'000}, {kSize - 1, 1}, {0, kSize}}) {
    std::vector<uint8_t> memory(size + 1);
    const std::span<uint8_t> odd(memory.data() + 1, size);
    EXPECT_EQ(ReadAt(node.get(), offset, odd), 0);
    EXPECT_TRUE(std::equal(odd.begin(), odd.end(), content.begin() + static_cast<ptrdiff_t>(offset)));
  }
}

TEST_F(FileNodeTest, DirectWritesOfAPartOfABlockKeepTheRest) {
  auto node = DirectNode();
  for (const auto& [offset, size] : std::vector<std::pair<uint64_t, size_t>>{
           {0, 1}, {4095, 2}, {1, 4095}, {4096, 4096}, {511, 20'000}, {kSize - 1, 1}}) {
    const std::vector<uint8_t> bytes(size, static_cast<uint8_t>(offset + 0x55));
    EXPECT_EQ(WriteAt(node.get(), offset, bytes), 0);
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<ptrdiff_t>(offset));
    EXPECT_EQ(Content(), content);
  }
}

TEST_F(FileNodeTest, DirectZeroesOfAPartOfABlockKeepTheRest) {
  auto node = DirectNode();
  Request zeroes{.op = Op::kWriteZeroes, .offset = 4000, .length = 1000};
  EXPECT_EQ(Perform(node.get(), &zeroes), 0);
  std::fill_n(content.begin() + 4000, 1000, 0);
  EXPECT_EQ(Content(), content);
}

// Two writes into one block, both by way of reading it first: if they overlapped in time, one would be lost.
TEST_F(FileNodeTest, WritesIntoOneBlockTakeTurns) {
  auto node = DirectNode();
  uint8_t first = 0xaa, second = 0xbb;
  const iovec pieces[] = {{&first, 1}, {&second, 1}};
  Request requests[] = {{.op = Op::kWrite, .offset = 10, .length = 1, .pieces = {&pieces[0], 1}},
                        {.op = Op::kWrite, .offset = 20, .length = 1, .pieces = {&pieces[1], 1}}};
  List<Request> batch;
  for (Request& request : requests) {
    request.done = [](Request*) {};
    batch.PushBack(&request);
  }
  node->Submit(std::move(batch));
  EXPECT_EQ(engine.held().size(), 1u);
  node->Drain();
  content[10] = 0xaa;
  content[20] = 0xbb;
  EXPECT_EQ(Content(), content);
}

TEST_F(FileNodeTest, OnlySoManyBounceBuffersAreInUseAtOnce) {
  auto node = DirectNode();
  static uint8_t bytes[100];
  std::vector<iovec> pieces(100);
  std::vector<Request> requests(100);
  List<Request> batch;
  for (size_t i = 0; i < 100; ++i) {
    pieces[i] = {&bytes[i], 1};
    requests[i] = {.offset = i, .length = 1, .pieces = {&pieces[i], 1}, .done = [](Request*) {}};
    batch.PushBack(&requests[i]);
  }
  node->Submit(std::move(batch));
  EXPECT_EQ(engine.held().size(), 16u);
  node->Drain();
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(bytes[i], i);
}

TEST_F(FileNodeTest, MorePiecesThanOneSystemCallTakes) {
  auto node = Node();
  std::vector<uint8_t> bytes(5000);
  std::vector<iovec> pieces;
  for (uint8_t& byte : bytes) pieces.push_back({&byte, 1});
  Request read{.offset = 3, .length = 5000, .pieces = pieces};
  EXPECT_EQ(Perform(node.get(), &read), 0);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), content.begin() + 3));
}

TEST_F(FileNodeTest, GrowsByZeroes) {
  auto node = Node();
  ASSERT_TRUE(node->Grow(2 * kSize));
  EXPECT_EQ(node->size_bytes(), 2 * kSize);
  std::vector<uint8_t> read(kSize);
  EXPECT_EQ(ReadAt(node.get(), kSize, read), 0);
  EXPECT_THAT(read, Each(0));
  EXPECT_TRUE(node->Grow(kSize)) << "it is larger already";
  EXPECT_EQ(node->size_bytes(), 2 * kSize);
}

TEST_F(FileNodeTest, WhatIsReadOnlyDoesNotGrow) {
  auto node = *CreateFileNode(&engine, *Duplicate(file.get()), {.read_only = true});
  EXPECT_FALSE(node->Grow(2 * kSize));
  EXPECT_EQ(node->size_bytes(), kSize);
}

TEST_F(FileNodeTest, DestructionWaitsForWhatIsInFlight) {
  auto node = Node();
  uint8_t byte = 0;
  const iovec piece{&byte, 1};
  bool finished = false;
  struct Flagged : Request {
    bool* finished;
  } request;
  static_cast<Request&>(request) = {.offset = 9, .length = 1, .pieces = {&piece, 1}};
  request.finished = &finished;
  request.done = [](Request* self) { *static_cast<Flagged*>(self)->finished = true; };
  List<Request> batch;
  batch.PushBack(&request);
  node->Submit(std::move(batch));
  EXPECT_FALSE(finished);
  node.reset();
  EXPECT_TRUE(finished);
  EXPECT_EQ(byte, 9);
}

}  // namespace
}  // namespace berth::block
