#include "server/guest/launcher.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/socket.h"
#include "berth/vmm/v1/control.pb.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::server {
namespace {

constexpr Confinement kUnprivileged{.namespaces = false, .empty_root = false, .user_and_limits = false};

constexpr char kUuid[] = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

LaunchRequest Request() {
  return {.program = FAKE_VMM, .name = "web", .uuid = kUuid, .confinement = kUnprivileged};
}

void End(const LaunchedVmm& vmm) {
  ::kill(vmm.pid, SIGKILL);
  ::waitpid(vmm.pid, nullptr, 0);
}

std::string StatusField(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  }
  return "";
}

// What the program says to a request; by then it is past its start.
berth::vmm::v1::Reply Ask(const LaunchedVmm& vmm) {
  berth::vmm::v1::Request request;
  request.set_id(7);
  request.mutable_describe();
  EXPECT_TRUE(SendMessage(vmm.socket.get(), request.SerializeAsString()));
  berth::vmm::v1::FromVmm answer;
  EXPECT_TRUE(answer.ParseFromString(ReceiveMessage(vmm.socket.get()).value_or(Message{}).bytes));
  return answer.reply();
}

TEST(Launcher, TheProgramAnswersOnItsSocket) {
  const auto vmm = Launch(Request(), [](pid_t) { return Ok(); });
  ASSERT_TRUE(vmm) << vmm.error().message();
  const berth::vmm::v1::Reply reply = Ask(*vmm);
  EXPECT_EQ(reply.id(), 7u);
  EXPECT_EQ(reply.description().pid(), vmm->pid);
  End(*vmm);
}

TEST(Launcher, TheProgramGetsNoOtherDescriptorAndCannotGainPrivileges) {
  const int open_elsewhere = ::dup(0);  // Not even one that is not close-on-exec.
  const auto vmm = Launch(Request(), [](pid_t) { return Ok(); });
  ::close(open_elsewhere);
  ASSERT_TRUE(vmm) << vmm.error().message();
  Ask(*vmm);
  std::vector<std::string> open;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(vmm->pid) + "/fd")) {
    open.push_back(entry.path().filename());
  }
  std::sort(open.begin(), open.end());
  EXPECT_EQ(open, (std::vector<std::string>{"0", "1", "2", "3"}));
  EXPECT_EQ(StatusField(vmm->pid, "NoNewPrivs"), "1");
  EXPECT_EQ(::getsid(vmm->pid), vmm->pid) << "a session of its own: the daemon's end is not its end";
  End(*vmm);
}

TEST(Launcher, TheCommandLineHasTheGuestsNameAndUuid) {
  const auto vmm = Launch(Request(), [](pid_t) { return Ok(); });
  ASSERT_TRUE(vmm) << vmm.error().message();
  std::ifstream file("/proc/" + std::to_string(vmm->pid) + "/cmdline");
  std::string line((std::istreambuf_iterator<char>(file)), {});
  std::replace(line.begin(), line.end(), '\0', ' ');
  EXPECT_EQ(line, std::string("berth-vmm -name web -uuid ") + kUuid + " ");
  End(*vmm);
}

TEST(Launcher, NothingRunsBeforeItMay) {
  const ScratchDir scratch;
  pid_t seen = 0;
  const auto vmm = Launch(Request(), [&](pid_t pid) -> Status {
    seen = pid;
    EXPECT_NE(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe"), FAKE_VMM);
    return Fail(Error(Code::kInternal, "no").Reason("NOT_THIS_TIME"));
  });
  ASSERT_FALSE(vmm);
  EXPECT_EQ(vmm.error().reason(), "NOT_THIS_TIME");
  EXPECT_NE(::kill(seen, 0), 0) << "it is gone";
}

TEST(Launcher, SaysWhyAProgramDoesNotStart) {
  const ScratchDir scratch;
  LaunchRequest request = Request();
  request.program = scratch / "missing";
  EXPECT_EQ(Launch(request, [](pid_t) { return Ok(); }).error().reason(), "VMM_NOT_STARTED");
  request.program = scratch.Write("not-a-program", "x");
  const auto vmm = Launch(request, [](pid_t) { return Ok(); });
  ASSERT_FALSE(vmm);
  EXPECT_EQ(vmm.error().reason(), "VMM_NOT_STARTED");
  EXPECT_NE(vmm.error().message().find("execute the program"), std::string::npos) << vmm.error().message();
}

// What the confinement does needs a privileged process; without one it must fail loudly.
class ConfinedLauncher : public testing::Test {
 protected:
  ConfinedLauncher() {
    rlimit locked{};
    ::getrlimit(RLIMIT_MEMLOCK, &locked);
    request_.runtime_dir = scratch_.path();
    request_.confinement = {.namespaces = true, .empty_root = false, .user_and_limits = true};
    request_.limits = {.locked_memory_bytes = locked.rlim_max, .open_files = 512, .user = 123456};
  }

  // Whether it was started; if not, that is right only for those who are not root.
  bool Start() {
    vmm_ = Launch(request_, [](pid_t) { return Ok(); });
    if (vmm_) return true;
    EXPECT_EQ(vmm_.error().reason(), "VMM_NOT_STARTED");
    EXPECT_NE(::geteuid(), 0u) << vmm_.error().message();
    return false;
  }

  const ScratchDir scratch_;
  LaunchRequest request_ = Request();
  Result<LaunchedVmm> vmm_ = Fail(Code::kInternal, "not started");
};

TEST_F(ConfinedLauncher, HasAUserAndNamespacesOfItsOwn) {
  if (!Start()) return;
  EXPECT_EQ(StatusField(vmm_->pid, "Uid"), "123456\t123456\t123456\t123456");
  EXPECT_EQ(StatusField(vmm_->pid, "Gid"), "123456\t123456\t123456\t123456");
  EXPECT_EQ(StatusField(vmm_->pid, "CapEff"), "0000000000000000");
  EXPECT_EQ(StatusField(vmm_->pid, "Groups"), " ");
  for (const char* space : {"net", "mnt", "ipc", "uts", "cgroup"}) {
    const std::string path = "/ns/" + std::string(space);
    EXPECT_NE(std::filesystem::read_symlink("/proc/" + std::to_string(vmm_->pid) + path),
              std::filesystem::read_symlink("/proc/self" + path))
        << space;
  }
  End(*vmm_);
}

TEST_F(ConfinedLauncher, SeesNoFile) {
  request_.program = CONFINED_PROBE;
  request_.confinement.empty_root = true;
  if (!Start()) return;
  const auto message = ReceiveMessage(vmm_->socket.get());
  ASSERT_TRUE(message) << message.error().message();
  EXPECT_EQ(message->bytes, "entries=2 uid=123456") << "nothing but . and ..";
  End(*vmm_);
}

}  // namespace
}  // namespace berth::server
