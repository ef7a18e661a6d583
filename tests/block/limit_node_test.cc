// What may begin at once, what waits, and what ends the waiting.
#include "block/limit_node.h"

#include <deque>
#include <vector>

#include <gtest/gtest.h>

#include "block/token_bucket.h"
#include "tests/fakes/fake_block_node.h"

namespace berth::block {
namespace {

using std::chrono::milliseconds;

TEST(TokenBucket, GivesABurstAndThenTheRate) {
  const TokenBucket::Time start{std::chrono::hours(1)};
  TokenBucket bucket(1000, 50, start);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(bucket.NextAt(start), start);
    bucket.Take(1);
  }
  const auto next = bucket.NextAt(start);
  EXPECT_GT(next, start);
  EXPECT_LE(next, start + milliseconds(1));
  EXPECT_EQ(bucket.NextAt(start + milliseconds(2)), start + milliseconds(2));
}

TEST(TokenBucket, ALargeUseBeginsAndIsPaidFor) {
  const TokenBucket::Time start{std::chrono::hours(1)};
  TokenBucket bucket(1000, 10, start);
  EXPECT_EQ(bucket.NextAt(start), start);
  bucket.Take(1010);
  EXPECT_GE(bucket.NextAt(start), start + milliseconds(1000));
  EXPECT_LE(bucket.NextAt(start), start + milliseconds(1001));
}

TEST(TokenBucket, DoesNotSaveMoreThanABurst) {
  const TokenBucket::Time start{std::chrono::hours(1)}, later = start + std::chrono::hours(5);
  TokenBucket bucket(1000, 10, start);
  (void)bucket.NextAt(later);
  bucket.Take(10);
  EXPECT_GT(bucket.NextAt(later), later);
}

class LimitNodeTest : public testing::Test {
 protected:
  void Start(const IoLimits& limits) {
    auto fake = std::make_unique<FakeBlockNode>(1 << 20);
    below_ = fake.get();
    node_ = CreateLimitNode(loop_.get(), std::move(fake), limits);
  }
  void Submit(size_t count, Op op = Op::kWrite) {
    List<Request> batch;
    for (size_t i = 0; i < count; ++i) {
      Request& request = requests_.emplace_back();
      request.op = op;
      request.length = op == Op::kFlush ? 0 : 4096;
      request.pieces = {&piece_, 1};
      request.done = [](Request*) {};
      batch.PushBack(&request);
    }
    node_->Submit(std::move(batch));
  }

  std::vector<uint8_t> memory_ = std::vector<uint8_t>(4096);
  const iovec piece_{memory_.data(), memory_.size()};
  std::deque<Request> requests_;
  const std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  FakeBlockNode* below_ = nullptr;
  std::unique_ptr<LimitNode> node_;
};

TEST_F(LimitNodeTest, WithoutLimitsEverythingPasses) {
  Start({});
  Submit(100);
  EXPECT_EQ(below_->log.size(), 100u);
  EXPECT_EQ(below_->batches, std::vector<int>{100});
}

TEST_F(LimitNodeTest, ABurstPassesAndTheRestWaits) {
  Start({.operations = 1, .operations_burst = 8});
  Submit(20);
  EXPECT_EQ(below_->log.size(), 8u);
  Submit(1, Op::kFlush);
  EXPECT_EQ(below_->log.size(), 9u) << "flushes do not wait";
  node_->SetLimits({});
  EXPECT_EQ(below_->log.size(), 21u);
}

TEST_F(LimitNodeTest, BytesAreLimited) {
  Start({.bytes = 1, .bytes_burst = 3 * 4096});
  Submit(20, Op::kRead);
  EXPECT_EQ(below_->log.size(), 3u);
}

TEST_F(LimitNodeTest, DrainingDoesNotWaitForTheLimits) {
  Start({.operations = 1, .operations_burst = 1});
  Submit(20);
  node_->Drain();
  EXPECT_EQ(below_->log.size(), 20u);
  for (const Request& request : requests_) EXPECT_EQ(request.error, 0);
}

TEST_F(LimitNodeTest, TheLoopComesBackForWhatWaits) {
  Start({.operations = 500, .operations_burst = 1});
  Submit(6);
  static EventLoop* loop;
  loop = loop_.get();
  requests_.back().done = [](Request*) { loop->Stop(); };
  loop_->Run();
  EXPECT_EQ(below_->log.size(), 6u);
}

}  // namespace
}  // namespace berth::block
