// Random operations on real files, with both engines, beside an array that shows what must come of them.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "block/file.h"
#include "block/sync.h"

namespace berth::block {
namespace {

struct Case {
  const char* name;
  bool uring;
  bool direct;
};

class FileModel : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(Files, FileModel,
                         testing::Values(Case{"uring_cached", true, false}, Case{"uring_direct", true, true},
                                         Case{"threads_cached", false, false},
                                         Case{"threads_direct", false, true}),
                         [](const auto& tested) { return std::string(tested.param.name); });

constexpr uint64_t kSize = 1 << 20;
constexpr int kRounds = 60, kBatch = 8;

// Requests of one batch write to disjoint lanes, so that their order cannot matter.
TEST_P(FileModel, BehavesLikeAnArray) {
  const std::string path = testing::TempDir() + "/berth-model-test-" + std::to_string(::getpid());
  auto file = Open(path, O_RDWR | O_CREAT | O_EXCL | (GetParam().direct ? O_DIRECT : 0), 0600);
  ::unlink(path.c_str());
  if (!file && GetParam().direct) GTEST_SKIP() << "no O_DIRECT in " << testing::TempDir();
  ASSERT_TRUE(file);
  ASSERT_EQ(::ftruncate(file->get(), kSize), 0);
  auto loop = *EventLoop::Create();
  auto engine = GetParam().uring ? *CreateUringEngine(loop.get()) : *CreateThreadEngine(loop.get(), 4);
  auto node = *CreateFileNode(engine.get(), std::move(*file));

  std::vector<uint8_t> model(kSize);
  std::mt19937 random(20);  // The same numbers in every run.
  auto below = [&random](uint64_t limit) {
    return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random);
  };
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::vector<uint8_t>> buffers(kBatch);
    std::vector<std::vector<iovec>> pieces(kBatch);
    std::vector<Request> requests(kBatch);
    std::vector<uint64_t> offsets(kBatch);
    List<Request> batch;
    for (int i = 0; i < kBatch; ++i) {
      constexpr uint64_t kLane = kSize / kBatch;
      const uint64_t unit = below(2) ? 4096 : 1;
      const uint64_t start = below(kLane / unit) * unit;
      const uint64_t length = std::min(kLane - start, (1 + below(40'000 / unit)) * unit);
      Request& request = requests[i];
      request.op = static_cast<Op>(below(5));
      request.fua = below(8) == 0;
      request.may_unmap = below(2) == 0;
      request.offset = offsets[i] = static_cast<uint64_t>(i) * kLane + start;
      request.length = request.op == Op::kFlush ? 0 : length;
      request.done = [](Request*) {};
      buffers[i].resize(request.length + 1);
      for (uint8_t& byte : buffers[i]) byte = static_cast<uint8_t>(random());
      const uint64_t cut = below(request.length + 1);
      pieces[i] = {{buffers[i].data() + 1, cut}, {buffers[i].data() + 1 + cut, request.length - cut}};
      request.pieces = pieces[i];
      const auto at = model.begin() + static_cast<ptrdiff_t>(request.offset);
      if (request.op == Op::kWrite) std::copy(buffers[i].begin() + 1, buffers[i].end(), at);
      // A discarded range of a file reads as zeroes: a hole. What a device would answer is its own affair.
      if (request.op == Op::kDiscard || request.op == Op::kWriteZeroes) std::fill_n(at, request.length, 0);
      batch.PushBack(&request);
    }
    node->Submit(std::move(batch));
    node->Drain();
    for (int i = 0; i < kBatch; ++i) {
      ASSERT_EQ(requests[i].error, 0);
      if (requests[i].op != Op::kRead) continue;
      ASSERT_TRUE(std::equal(buffers[i].begin() + 1, buffers[i].end(),
                             model.begin() + static_cast<ptrdiff_t>(offsets[i])));
    }
  }
  std::vector<uint8_t> all(kSize);
  ASSERT_EQ(ReadAt(node.get(), 0, all), 0);
  EXPECT_EQ(all, model);
}

}  // namespace
}  // namespace berth::block
