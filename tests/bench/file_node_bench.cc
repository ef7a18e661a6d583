// The file node alone: random 4 KiB requests at a queue depth, on a file of 256 MiB in $TMPDIR, by each
// engine, through the page cache and around it. A completion submits the next request, as a busy guest would.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "block/file.h"

namespace berth::block {
namespace {

constexpr uint64_t kFileSize = 256ull << 20;
constexpr uint64_t kBlock = 4096;
constexpr int kRequestsARun = 20'000;

struct Run;
struct BenchRequest : Request {
  Run* run = nullptr;
  iovec piece{};
};

struct Run {
  EventLoop* loop;
  BlockNode* node;
  Op op;
  std::mt19937_64 random{1};
  int to_start = kRequestsARun, to_finish = kRequestsARun;

  bool Prepare(BenchRequest* request) {
    if (to_start == 0) return false;
    --to_start;
    request->op = op;
    request->offset = random() % (kFileSize / kBlock) * kBlock;
    request->length = kBlock;
    request->pieces = {&request->piece, 1};
    return true;
  }
  static void Done(Request* done) {
    auto* const request = static_cast<BenchRequest*>(done);
    Run* const run = request->run;
    if (request->error != 0) std::abort();
    if (--run->to_finish == 0) return run->loop->Stop();
    if (!run->Prepare(request)) return;
    List<Request> batch;
    batch.PushBack(request);
    run->node->Submit(std::move(batch));
  }
};

UniqueFd MakeFile(bool direct) {
  const char* const directory = std::getenv("TMPDIR");
  const std::string path = std::string(directory != nullptr ? directory : "/tmp") + "/file-node-bench." +
                           std::to_string(::getpid());
  {
    const UniqueFd file = *Open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    const std::string block(1 << 20, 'b');
    for (uint64_t at = 0; at < kFileSize; at += block.size()) {
      if (::write(file.get(), block.data(), block.size()) < 0) std::abort();
    }
    ::fsync(file.get());
  }
  UniqueFd file = *Open(path, O_RDWR | (direct ? O_DIRECT : 0));
  ::unlink(path.c_str());
  return file;
}

void Random(benchmark::State& state, bool uring, bool direct, Op op) {
  auto loop = *EventLoop::Create();
  auto engine = uring ? *CreateUringEngine(loop.get()) : *CreateThreadEngine(loop.get());
  auto node = *CreateFileNode(engine.get(), MakeFile(direct));
  const auto depth = static_cast<size_t>(state.range(0));
  std::unique_ptr<uint8_t, decltype(&std::free)> memory(
      static_cast<uint8_t*>(std::aligned_alloc(kBlock, depth * kBlock)), &std::free);
  for (auto _ : state) {
    Run run{.loop = loop.get(), .node = node.get(), .op = op};
    std::vector<BenchRequest> requests(depth);
    loop->Post([&] {
      List<Request> batch;
      for (size_t i = 0; i < depth; ++i) {
        requests[i].run = &run;
        requests[i].piece = {memory.get() + i * kBlock, kBlock};
        requests[i].done = &Run::Done;
        if (run.Prepare(&requests[i])) batch.PushBack(&requests[i]);
      }
      node->Submit(std::move(batch));
    });
    loop->Run();
    node->Drain();
  }
  state.SetItemsProcessed(state.iterations() * kRequestsARun);
}

#define ENGINES(name, direct, op)                                                            \
  BENCHMARK_CAPTURE(Random, uring_##name, true, direct, op)->Arg(1)->Arg(32)->UseRealTime(); \
  BENCHMARK_CAPTURE(Random, threads_##name, false, direct, op)->Arg(1)->Arg(32)->UseRealTime()

ENGINES(cached_read, false, Op::kRead);
ENGINES(cached_write, false, Op::kWrite);
ENGINES(direct_read, true, Op::kRead);
ENGINES(direct_write, true, Op::kWrite);

}  // namespace
}  // namespace berth::block

BENCHMARK_MAIN();
