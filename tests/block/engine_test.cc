// Both engines, over a real kernel and a memfd.
#include "block/engine.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::block {
namespace {

using Create = Result<std::unique_ptr<IoEngine>> (*)(EventLoop*);

struct Kind {
  const char* name;
  Create create;
};

class Engine : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    auto created = GetParam().create(loop_.get());
    ASSERT_TRUE(created) << created.error().ToString();
    engine_ = std::move(*created);
    EXPECT_STREQ(engine_->name(), GetParam().name);
  }

  void Submit(std::vector<IoOp*> ops) {
    List<IoOp> batch;
    for (IoOp* op : ops) batch.PushBack(op);
    engine_->Submit(std::move(batch));
  }

  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  UniqueFd file_{::memfd_create("engine-test", MFD_CLOEXEC)};
  std::unique_ptr<IoEngine> engine_;
};

INSTANTIATE_TEST_SUITE_P(Engines, Engine,
                         testing::Values(Kind{"io_uring", CreateUringEngine},
                                         Kind{"threads",
                                              [](EventLoop* loop) { return CreateThreadEngine(loop, 2); }}),
                         [](const auto& tested) { return std::string(tested.param.name); });

struct CountedOp : IoOp {
  explicit CountedOp(const IoOp& op) : IoOp(op) {
    done = [](IoOp* self) { ++static_cast<CountedOp*>(self)->calls; };
  }
  int calls = 0;
};

TEST_P(Engine, WritesAndReadsScatteredBuffers) {
  char out[] = "heads and tails";
  const iovec from[] = {{out, 5}, {out + 5, 10}};
  CountedOp write(
      IoOp{.kind = IoOp::Kind::kWritev, .fd = file_.get(), .piece_count = 2, .pieces = from, .offset = 100});
  Submit({&write});
  while (write.calls == 0) engine_->Wait();
  EXPECT_EQ(write.result, 15);

  char in[15] = {};
  const iovec to[] = {{in, 9}, {in + 9, 6}};
  CountedOp read(
      IoOp{.kind = IoOp::Kind::kReadv, .fd = file_.get(), .piece_count = 2, .pieces = to, .offset = 100});
  Submit({&read});
  while (read.calls == 0) engine_->Wait();
  EXPECT_EQ(read.result, 15);
  EXPECT_EQ(std::string(in, 15), "heads and tails");
}

TEST_P(Engine, ABatchLargerThanTheKernelTakesCompletesWhole) {
  constexpr int kCount = 4 * static_cast<int>(kMaxOpsInFlight) + 7;
  std::vector<uint64_t> values(kCount);
  std::vector<iovec> pieces;
  std::vector<CountedOp> ops;
  for (int i = 0; i < kCount; ++i) pieces.push_back({&values[i], 8});
  for (int i = 0; i < kCount; ++i) {
    values[i] = static_cast<uint64_t>(i);
    ops.emplace_back(IoOp{.kind = IoOp::Kind::kWritev,
                          .fd = file_.get(),
                          .piece_count = 1,
                          .pieces = &pieces[i],
                          .offset = 8 * static_cast<uint64_t>(i)});
  }
  std::vector<IoOp*> all;
  for (CountedOp& op : ops) all.push_back(&op);

  Submit(all);
  auto unfinished = [&] {
    return std::any_of(ops.begin(), ops.end(), [](auto& op) { return op.calls == 0; });
  };
  while (unfinished()) engine_->Wait();

  for (const CountedOp& op : ops) EXPECT_EQ(std::pair(op.calls, op.result), std::pair(1, int64_t{8}));
  std::vector<uint64_t> content(kCount);
  ASSERT_EQ(::pread(file_.get(), content.data(), 8 * kCount, 0), 8 * kCount);
  EXPECT_EQ(content, values);
}

TEST_P(Engine, SystemCallsThatFailGiveTheirErrno) {
  char byte = 0;
  const iovec piece{&byte, 1};
  const UniqueFd read_only = *Open("/dev/null", O_RDONLY);
  ASSERT_TRUE(engine_->PrepareDiscard());
  CountedOp closed(IoOp{.kind = IoOp::Kind::kReadv, .fd = 1'000'000, .piece_count = 1, .pieces = &piece});
  CountedOp refused(
      IoOp{.kind = IoOp::Kind::kWritev, .fd = read_only.get(), .piece_count = 1, .pieces = &piece});
  CountedOp no_disk(IoOp{.kind = IoOp::Kind::kDiscard, .fd = file_.get(), .offset = 0, .length = 512});
  Submit({&closed, &refused, &no_disk});
  while (closed.calls == 0 || refused.calls == 0 || no_disk.calls == 0) engine_->Wait();
  EXPECT_EQ(closed.result, -EBADF);
  EXPECT_EQ(refused.result, -EBADF);
  EXPECT_EQ(no_disk.result, -ENOTTY);
}

TEST_P(Engine, SyncsAndAllocates) {
  CountedOp allocate(IoOp{.kind = IoOp::Kind::kFallocate, .fd = file_.get(), .offset = 0, .length = 8192});
  CountedOp sync(IoOp{.kind = IoOp::Kind::kSync, .fd = file_.get()});
  Submit({&allocate, &sync});
  while (allocate.calls == 0 || sync.calls == 0) engine_->Wait();
  EXPECT_EQ(allocate.result, 0);
  EXPECT_EQ(sync.result, 0);
  EXPECT_EQ(::lseek(file_.get(), 0, SEEK_END), 8192);
}

TEST_P(Engine, WaitReturnsAtOnceWhenNothingIsInFlight) { engine_->Wait(); }

// An operation that submits its successor from its own completion, many times over.
struct ChainedOp : IoOp {
  IoEngine* engine = nullptr;
  EventLoop* loop = nullptr;
  int left = 0;
  char byte = 0;
  iovec piece{&byte, 1};
};

TEST_P(Engine, CompletionsOnTheLoopMaySubmitMore) {
  ChainedOp op;
  op.kind = IoOp::Kind::kWritev;
  op.fd = file_.get();
  op.pieces = &op.piece;
  op.piece_count = 1;
  op.engine = engine_.get();
  op.loop = loop_.get();
  op.left = 10'000;  // Would overflow the stack if each completion nested in the one before.
  op.done = [](IoOp* self) {
    auto* chained = static_cast<ChainedOp*>(self);
    if (--chained->left == 0) return chained->loop->Stop();
    ++chained->offset;
    List<IoOp> batch;
    batch.PushBack(chained);
    chained->engine->Submit(std::move(batch));
  };
  loop_->Post([&] { Submit({&op}); });
  std::thread thread([&] { loop_->Run(); });
  thread.join();
  EXPECT_EQ(op.left, 0);
  EXPECT_EQ(::lseek(file_.get(), 0, SEEK_END), 10'000);
}

TEST(CreateIoEngine, GivesOneOfThem) {
  auto loop = *EventLoop::Create();
  auto engine = CreateIoEngine(loop.get());
  ASSERT_TRUE(engine);
  EXPECT_THAT((*engine)->name(), testing::AnyOf(testing::StrEq("io_uring"), testing::StrEq("threads")));
}

}  // namespace
}  // namespace berth::block
