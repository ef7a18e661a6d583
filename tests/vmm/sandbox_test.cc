#include "vmm/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <barrier>
#include <thread>

#include <gtest/gtest.h>

#include "base/log.h"
#include "base/unique_fd.h"
#include "block/driver.h"
#include "block/image_node.h"
#include "block/layers.h"
#include "block/sync.h"
#include "tests/fakes/scratch_dir.h"
#include "vmm/disk_image.h"

namespace berth::vmm {
namespace {

// Each filter is for good, so each attempt has a process of its own.
class SandboxTest : public testing::TestWithParam<ThreadKind> {
 protected:
  void SetUp() override {
    if (!CanConfine()) GTEST_SKIP() << "a build with sanitizers does not confine";
  }

  // Confines a child, and lets it try.
  static void Attempt(ThreadKind kind, const std::function<void()>& attempt) {
    if (!Confine(kind)) ::_exit(100);
    attempt();
    ::_exit(0);
  }
};

#define EXPECT_ALLOWED(kind, ...) \
  EXPECT_EXIT(Attempt(kind, [&] { __VA_ARGS__; }), testing::ExitedWithCode(0), "")
#define EXPECT_KILLED(kind, ...) \
  EXPECT_EXIT(Attempt(kind, [&] { __VA_ARGS__; }), testing::KilledBySignal(SIGSYS), "")

TEST_P(SandboxTest, NothingNewIsOpenedOrStarted) {
  EXPECT_ALLOWED(GetParam(), CHECK(::open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES));
  EXPECT_KILLED(GetParam(), ::socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_KILLED(GetParam(), ::socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_KILLED(GetParam(), ::execl("/bin/true", "true", nullptr));
  EXPECT_KILLED(GetParam(), ::fork());
  EXPECT_KILLED(GetParam(), ::kill(::getppid(), 0));
  EXPECT_KILLED(GetParam(), ::setuid(0));
  EXPECT_KILLED(GetParam(), ::unlink("/nothing"));
}

TEST_P(SandboxTest, NothingBecomesExecutable) {
  EXPECT_KILLED(GetParam(), ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  EXPECT_KILLED(GetParam(), {
    void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::mprotect(page, 4096, PROT_READ | PROT_EXEC);
  });
}

TEST_P(SandboxTest, OtherDevicesRequestsAreNotMade) {
  EXPECT_KILLED(GetParam(), int bytes; ::ioctl(0, FIONREAD, &bytes));
  EXPECT_KILLED(GetParam(), ::ioctl(0, TIOCSTI, "x"));
}

TEST_P(SandboxTest, LimitsAreReadAndNeverSet) {
  rlimit limit{};
  EXPECT_ALLOWED(GetParam(), CHECK(::getrlimit(RLIMIT_MEMLOCK, &limit) == 0));
  EXPECT_KILLED(GetParam(), ::setrlimit(RLIMIT_NOFILE, &limit));
}

TEST_P(SandboxTest, MemoryLocksTimeAndLogAreThere) {
  EXPECT_ALLOWED(GetParam(), {
    std::vector<std::string> strings;
    for (int i = 0; i < 100'000; ++i) strings.emplace_back(100, 'x');
    std::vector<char> large(64 << 20, 'x');
    LOG_INFO("of {} bytes", large.size());
    UniqueFd event = *CreateEventFd();
    SignalEventFd(event.get());
    if (DrainEventFd(event.get()) != 1) ::_exit(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
}

// The heaps of all threads but the first are given back in another way.
TEST_P(SandboxTest, AThreadGivesMemoryBack) {
  EXPECT_EXIT(std::thread([] {
                Attempt(GetParam(), [] {
                  std::vector<std::string> blocks;
                  for (int i = 0; i < 100; ++i) blocks.emplace_back(64 << 10, 'x');
                  while (!blocks.empty()) blocks.pop_back();
                });
              }).join(),
              testing::ExitedWithCode(0), "");
}

// A failed CHECK must say so, and not look like a breach.
TEST_P(SandboxTest, AFailedCheckAborts) {
  EXPECT_EXIT(Attempt(GetParam(), [] { CHECK(false); }), testing::KilledBySignal(SIGABRT), "false");
}

INSTANTIATE_TEST_SUITE_P(Kinds, SandboxTest,
                         testing::Values(ThreadKind::kAny, ThreadKind::kControl, ThreadKind::kIo,
                                         ThreadKind::kImage, ThreadKind::kVcpu));

TEST_F(SandboxTest, OnlyTheBuildingProcessStartsThreads) {
  EXPECT_ALLOWED(ThreadKind::kAny, std::thread([] {}).join());
  EXPECT_KILLED(ThreadKind::kControl, std::thread([] {}).join());
  EXPECT_KILLED(ThreadKind::kIo, std::thread([] {}).join());
  EXPECT_KILLED(ThreadKind::kImage, std::thread([] {}).join());
  EXPECT_KILLED(ThreadKind::kVcpu, std::thread([] {}).join());
}

TEST_F(SandboxTest, TheThreadOfTheDevicesSendsToItsPeersAlone) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const UniqueFd ours(pair[0]), theirs(pair[1]);
  EXPECT_ALLOWED(ThreadKind::kIo, CHECK(::send(ours.get(), "x", 1, MSG_NOSIGNAL) == 1));
  const sockaddr other{.sa_family = AF_UNIX, .sa_data = "/other"};
  EXPECT_KILLED(ThreadKind::kIo, ::sendto(ours.get(), "x", 1, MSG_NOSIGNAL, &other, sizeof(other)));
}

TEST_F(SandboxTest, AThreadInheritsAndAddsItsOwn) {
  EXPECT_KILLED(ThreadKind::kAny, std::thread([] { ::unlink("/nothing"); }).join());
  EXPECT_ALLOWED(ThreadKind::kAny, std::thread([] {
                                     if (!Confine(ThreadKind::kVcpu)) ::_exit(1);
                                   }).join());
  EXPECT_KILLED(ThreadKind::kAny, std::thread([] {
                                    if (Confine(ThreadKind::kVcpu)) ::epoll_create1(0);
                                  }).join());
}

// With each a heap of its own, the C library would look up in /sys how many heaps to have.
TEST_F(SandboxTest, ManyThreadsHaveMemory) {
  EXPECT_ALLOWED(ThreadKind::kAny, {
    constexpr int kThreads = 32;
    std::barrier all_there(kThreads);
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&all_there] {
        const std::string kept(1000, 'x');
        all_there.arrive_and_wait();
      });
    }
  });
}

TEST_F(SandboxTest, AVcpuSpeaksToNoSocket) {
  EXPECT_KILLED(ThreadKind::kVcpu, ::send(0, "x", 1, 0));
  EXPECT_KILLED(ThreadKind::kVcpu, ::recv(0, nullptr, 0, 0));
  EXPECT_KILLED(ThreadKind::kImage, ::send(0, "x", 1, 0));
}

// All that opening, using and closing it takes, each part on the thread that does it.
TEST_F(SandboxTest, ADiskInAFormatIsServed) {
  const ScratchDir scratch;
  block::CreateOptions options(block::kQcow2Format.create_options);
  ASSERT_TRUE(options.Set("size", "1M"));
  ASSERT_TRUE(block::kQcow2Format.create(scratch / "disk", options));
  std::vector<UniqueFd> files;
  files.push_back(*Open(scratch / "disk", O_RDWR));
  Descriptors fds(std::move(files));
  v1::BlockDevice config;
  config.set_format("qcow2");
  config.set_discard(true);

  EXPECT_ALLOWED(ThreadKind::kAny, {
    auto loop = *EventLoop::Create();
    auto engine = *block::CreateIoEngine(loop.get());
    auto disk =
        *OpenDisk(config, &fds, {loop.get(), engine.get(), [] { return Confine(ThreadKind::kImage); }});
    std::thread([&] {
      if (!Confine(ThreadKind::kIo)) ::_exit(1);
      const std::vector<uint8_t> bytes(4096, 1);
      for (int i = 0; i < 3; ++i) CHECK(block::WriteAt(disk.get(), 4096 * i, bytes) == 0);
      for (const block::Op op :
           {block::Op::kFlush, block::Op::kWriteZeroes, block::Op::kDiscard, block::Op::kFlush}) {
        block::Request request{
            .op = op, .may_unmap = true, .length = op == block::Op::kFlush ? 0u : 1u << 20};
        CHECK(block::Perform(disk.get(), &request) == 0);
      }
    }).join();
    if (!Confine(ThreadKind::kControl)) ::_exit(1);
    disk.reset();
  });
}

// What a disk stands on may be exchanged later, by images whose descriptors come then.
TEST_F(SandboxTest, ADiskGoesOnWithAnotherImage) {
  const ScratchDir scratch;
  for (const char* more : {"", "backing_file=disk,backing_fmt=qcow2"}) {
    block::CreateOptions options(block::kQcow2Format.create_options);
    ASSERT_TRUE(options.SetAll(more));
    ASSERT_TRUE(options.Set("size", "1M"));
    ASSERT_TRUE(block::kQcow2Format.create(scratch / (*more == 0 ? "disk" : "top"), options));
  }
  std::vector<UniqueFd> files;
  files.push_back(*Open(scratch / "disk", O_RDWR));
  Descriptors fds(std::move(files));
  std::vector<block::LayerFiles> layers;
  layers.push_back({.format = "qcow2", .image = *Open(scratch / "top", O_RDWR), .data = {}});
  layers.push_back({.format = "qcow2", .image = *Open(scratch / "disk", O_RDONLY), .data = {}});
  v1::BlockDevice config;
  config.set_format("qcow2");

  EXPECT_ALLOWED(ThreadKind::kAny, {
    auto loop = *EventLoop::Create();
    auto engine = *block::CreateIoEngine(loop.get());
    auto disk =
        *OpenDisk(config, &fds, {loop.get(), engine.get(), [] { return Confine(ThreadKind::kImage); }});
    auto* const image = dynamic_cast<block::ImageNode*>(disk.get());
    std::thread([&] {
      if (!Confine(ThreadKind::kIo)) ::_exit(1);
      const std::vector<uint8_t> bytes(4096, 1);
      CHECK(block::WriteAt(disk.get(), 0, bytes) == 0);
      CHECK(image->Exchange(
          [&](block::FormatImage&) { return block::OpenLayers(std::move(layers), {.writable = true}); }));
      std::vector<uint8_t> read(4096);
      CHECK(block::ReadAt(disk.get(), 0, read) == 0 && read == bytes);
      CHECK(block::WriteAt(disk.get(), 4096, bytes) == 0);
    }).join();
    if (!Confine(ThreadKind::kControl)) ::_exit(1);
    disk.reset();
  });
}

}  // namespace
}  // namespace berth::vmm
