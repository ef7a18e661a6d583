#include "server/guest/vmm.h"

#include <signal.h>
#include <unistd.h>

#include <future>

#include <gtest/gtest.h>

#include "server/guest/launcher.h"
#include "tests/fakes/loop_thread.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::server {
namespace {

// A fake VMM as its daemon sees it.
class VmmTest : public testing::Test {
 protected:
  void Start(const std::string& command_line) {
    auto launched =
        Launch({.program = FAKE_VMM,
                .name = "web",
                .confinement = {.namespaces = false, .empty_root = false, .user_and_limits = false}},
               [](pid_t) { return Ok(); });
    ASSERT_TRUE(launched) << launched.error().message();
    vmm_ =
        *Vmm::Attach(loop_.loop(),
                     {.process = *DescribeProcess("/proc", launched->pid),
                      .pidfd = std::move(launched->pidfd),
                      .socket = std::move(launched->socket),
                      .log = *VmmLog::Open(loop_.loop(), scratch_ / "log", "guests/web")},
                     {.on_event = [this](const control::Event& event) { states_.push_back(event.state()); },
                      .on_gone = [this](const Error& why) { gone_.set_value(why); }});
    control::Request build;
    build.mutable_build()->mutable_machine()->set_name("web");
    build.mutable_build()->mutable_machine()->mutable_cpus()->set_sockets(1);
    build.mutable_build()->mutable_machine()->mutable_boot()->set_command_line(command_line);
    build.mutable_build()->set_listener_fd(99);
    built_ = vmm_->Call(build);
  }
  ~VmmTest() override {
    if (vmm_) (void)EndProcess("/proc", vmm_->process(), 10'000);
  }

  static control::Request Run() {
    control::Request request;
    request.mutable_run();
    return request;
  }

  const ScratchDir scratch_;
  LoopThread loop_;
  std::vector<control::MachineState> states_;
  std::promise<Error> gone_;
  Result<control::Reply> built_ = Fail(Code::kInternal, "not built");
  std::unique_ptr<Vmm> vmm_;
};

TEST_F(VmmTest, TellsItsLastWordsBeforeItsEnd) {
  Start("power_off=run");
  ASSERT_TRUE(built_);
  control::Request subscribe;
  subscribe.mutable_subscribe();
  ASSERT_TRUE(vmm_->Call(subscribe));
  ASSERT_TRUE(vmm_->Call(Run()));
  control::Request quit;
  quit.mutable_quit();
  (void)vmm_->Call(quit);
  EXPECT_EQ(gone_.get_future().get().reason(), "VMM_GONE");
  EXPECT_EQ(states_, (std::vector{control::RUNNING, control::POWERED_OFF}));
}

TEST_F(VmmTest, AKilledProcessIsNoticed) {
  Start("");
  ASSERT_TRUE(built_);
  ::kill(vmm_->process().pid, SIGKILL);
  EXPECT_EQ(gone_.get_future().get().reason(), "VMM_GONE");
}

TEST_F(VmmTest, AProcessThatDiesWhileItIsAskedFailsTheCall) {
  Start("die=build");
  ASSERT_FALSE(built_);
  EXPECT_EQ(built_.error().reason(), "VMM_GONE");
}

TEST_F(VmmTest, TheConsoleIsAStreamBothWays) {
  Start("");
  const auto console = vmm_->AttachConsole();
  ASSERT_TRUE(console) << console.error().message();
  ASSERT_EQ(::write(console->get(), "hello\n", 6), 6);
  const std::string wanted = "console of web\nhello\n";
  std::string got;
  while (got.size() < wanted.size()) {
    char bytes[64];
    const ssize_t count = ::read(console->get(), bytes, sizeof(bytes));
    ASSERT_GT(count, 0);
    got.append(bytes, static_cast<size_t>(count));
  }
  EXPECT_EQ(got, wanted);
}

}  // namespace
}  // namespace berth::server
