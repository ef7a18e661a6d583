// The autopilot in the daemon: what it sees of the host and of VMMs, what it does about it, and what it
// tells.
#include "base/bytes.h"
#include "tests/fakes/host_tree.h"
#include "tests/server/daemon/daemon_fixture.h"

namespace berth::server {
namespace {

using testing::HasSubstr;

class Overcommit : public DaemonFixture {
 protected:
  Overcommit() {
    SetAvailable(900);
    for (const auto& [name, value] : {std::pair("run", "0"),
                                      {"pages_to_scan", "77"},
                                      {"sleep_millisecs", "33"},
                                      {"merge_across_nodes", "1"}})
      tree_.Write(std::string("sys/kernel/mm/ksm/") + name, value);
    control_ = {.roots = tree_.roots(), .writer = writer_.get()};
    StartDaemonAgain();
  }
  ~Overcommit() override { StopAutopilot(); }

  // The daemon's last: the tree is gone before the fixture's daemon is.
  void StopAutopilot() {
    control_ = {};
    StartDaemonAgain();
  }

  void SetAvailable(int mib, int swap_free_mib = 1024) {
    tree_.Write("proc/meminfo",
                fmt::format("MemTotal: 1048576 kB\nMemAvailable: {} kB\nSwapTotal: 1048576 kB\n"
                            "SwapFree: {} kB\n",
                            mib * 1024, swap_free_mib * 1024));
  }

  // A guest of 512 MiB, of which its balloon's driver says that this is available.
  v1::CreateGuestRequest BalloonGuest(const std::string& id, int available_mib) {
    tree_.Write(fmt::format("sys/fs/cgroup/berth/{}/memory.current", id), "400000000");
    tree_.Write(fmt::format("sys/fs/cgroup/berth/{}/memory.reclaim", id), "");
    tree_.Write(fmt::format("sys/fs/cgroup/berth/{}/memory.stat", id),
                "anon 9000000\nkernel 1000000\nshmem 390000000\nfile 390000000\n");
    tree_.Write(fmt::format("sys/fs/cgroup/berth/{}/cpu.stat", id), "usage_usec 1000\n");
    v1::CreateGuestRequest request = Guest(id, fmt::format("available_mib={}", available_mib));
    request.mutable_guest()->mutable_spec()->mutable_memory()->set_size_bytes(512 * kMiB);
    request.mutable_guest()->mutable_spec()->mutable_memory()->set_balloon(true);
    return request;
  }

  // Watches from before `change`, until an event of this kind.
  v1::Event AwaitEvent(v1::Event::Kind kind, const std::function<void()>& change) {
    grpc::ClientContext context;
    auto stream = events_->WatchEvents(&context, {});
    stream->WaitForInitialMetadata();
    change();
    v1::Event event;
    while (stream->Read(&event)) {
      if (event.kind() == kind) break;
    }
    context.TryCancel();
    EXPECT_EQ(event.kind(), kind);
    return event;
  }

  // Asks until the autopilot shows a use of the guest like this.
  v1::GuestUsage AwaitUsage(const std::string& name, const std::function<bool(const v1::GuestUsage&)>& like) {
    while (true) {
      const auto guest = Get(name);
      EXPECT_TRUE(guest);
      if (!guest || (guest->has_usage() && like(guest->usage())))
        return guest ? guest->usage() : v1::GuestUsage();
    }
  }

  host::HostTree tree_;
  const std::unique_ptr<host::SysfsWriter> writer_ = host::CreateSysfsWriter();
};

TEST_F(Overcommit, AShortHostTakesWhatAGuestDoesNotNeed) {
  ASSERT_TRUE(Create(BalloonGuest("web", 300)));
  const v1::Event event = AwaitEvent(v1::Event::MEMORY_TAKEN, [&] { SetAvailable(20); });
  EXPECT_EQ(event.guest(), "guests/web");
  EXPECT_THAT(event.text(), HasSubstr("20 MiB of 1 GiB available where 102.4 MiB are kept"));
  // The next daemon finds what this one has asked for.
  StartDaemonAgain();
  EXPECT_GE(AwaitUsage("guests/web", [](const v1::GuestUsage&) { return true; }).balloon_bytes(),
            static_cast<int64_t>(64 * kMiB));
}

TEST_F(Overcommit, WhatBalloonsDoNotGiveIsSwapped) {
  ASSERT_TRUE(Create(BalloonGuest("web", 0)));
  AwaitEvent(v1::Event::MEMORY_RECLAIMED, [&] { SetAvailable(20); });
  EXPECT_EQ(tree_.Read("sys/fs/cgroup/berth/web/memory.reclaim"), std::to_string(16 * kMiB));
}

TEST_F(Overcommit, AGuestThatMayBeFrozenStandsStillAndRunsOn) {
  v1::CreateGuestRequest request = BalloonGuest("web", 0);
  request.mutable_guest()->mutable_spec()->mutable_resource_policy()->set_last_resort(
      v1::ResourcePolicySpec::FREEZE);
  ASSERT_TRUE(Create(request));
  AwaitEvent(v1::Event::GUEST_FROZEN, [&] { SetAvailable(10, 0); });
  // Another daemon thaws it, once there is memory.
  StopDaemon();
  SetAvailable(900);
  StartDaemonAgain();
  AwaitUsage("guests/web", [](const v1::GuestUsage& usage) { return !usage.frozen(); });
}

TEST_F(Overcommit, AVmmThatDoesNotAnswerHoldsNobodyUp) {
  v1::CreateGuestRequest silent = BalloonGuest("silent", 0);
  silent.mutable_guest()->mutable_spec()->mutable_boot()->set_command_line("hang=read_balloon");
  ASSERT_TRUE(Create(silent));
  ASSERT_TRUE(Create(BalloonGuest("web", 300)));
  EXPECT_EQ(AwaitEvent(v1::Event::MEMORY_TAKEN, [&] { SetAvailable(20); }).guest(), "guests/web");
}

}  // namespace
}  // namespace berth::server
