#include "tests/vmm/vmm_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/socket.h"
#include "tests/vmm/tiny_guest.h"

namespace berth::vmm {
namespace {

constexpr uint64_t kMemory = 64 * kMiB;

Result<UniqueFd> FileOf(const std::string& bytes, uint64_t size_bytes) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0 ||
      ::pwrite(fd.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return FailErrno(errno, "make a file in memory");
  }
  return fd;
}

}  // namespace

Result<std::unique_ptr<VmmProcess>> VmmProcess::Create(const std::vector<uint8_t>& code,
                                                       const Adjust& adjust) {
  auto vmm = std::make_unique<VmmProcess>();
  auto [ours, theirs] = TRY(CreateSocketPair());
  vmm->control_ = std::move(ours);
  vmm->pid_ = ::fork();
  if (vmm->pid_ == 0) {
    ::dup2(theirs.get(), 3);
    ::fcntl(3, F_SETFD, 0);
    ::execl(BERTH_VMM_PROGRAM, BERTH_VMM_PROGRAM, nullptr);
    ::_exit(127);
  }
  theirs.Reset();

  const std::string kernel = TinyKernel(code);
  std::vector<UniqueFd> fds;
  fds.push_back(TRY(Open("/dev/kvm", O_RDWR)));
  const std::string path = fmt::format("/tmp/vmm_process_test.{}", vmm->pid_);
  fds.push_back(TRY(ListenAt(path)));
  ::unlink(path.c_str());
  fds.push_back(TRY(FileOf("", kMemory)));
  fds.push_back(TRY(FileOf(kernel, kernel.size())));
  v1::Request request;
  v1::Build& build = *request.mutable_build();
  build.set_kvm_fd(0);
  build.set_listener_fd(1);
  v1::MachineConfig& machine = *build.mutable_machine();
  machine.set_sandbox(true);
  machine.mutable_cpus()->set_cores_per_socket(1);
  v1::MemoryNode* node = machine.add_memory_nodes();
  node->set_size_bytes(kMemory);
  node->set_memory_fd(2);
  machine.mutable_boot()->set_kernel_fd(3);
  if (adjust) adjust(machine, fds);
  std::vector<int> raw;
  for (const UniqueFd& fd : fds) raw.push_back(fd.get());
  TRY(vmm->Ask(request, raw));
  v1::Request subscribe;
  subscribe.mutable_subscribe();
  TRY(vmm->Ask(subscribe));
  return vmm;
}

VmmProcess::~VmmProcess() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  Wait();
}

Result<v1::FromVmm> VmmProcess::Receive() {
  const Message message = TRY(ReceiveMessage(control_.get()));
  v1::FromVmm received;
  if (!received.ParseFromString(message.bytes)) return Fail(Code::kInternal, "the VMM sent nonsense");
  if (received.has_event()) events_.push_back(received.event());
  return received;
}

Result<v1::Reply> VmmProcess::Ask(v1::Request request, const std::vector<int>& fds) {
  request.set_id(++last_id_);
  TRY(SendMessage(control_.get(), request.SerializeAsString(), fds));
  while (true) {
    const v1::FromVmm received = TRY(Receive());
    if (!received.has_reply()) continue;
    const v1::Reply& reply = received.reply();
    if (reply.code() != 0) return Fail(static_cast<Code>(reply.code()), "{}", reply.message());
    return reply;
  }
}

bool VmmProcess::Await(v1::Event::Kind kind, v1::MachineState state) {
  while (true) {
    while (!events_.empty()) {
      const v1::Event event = events_.front();
      events_.erase(events_.begin());
      if (event.kind() == kind && (state == v1::MACHINE_STATE_UNSPECIFIED || event.state() == state))
        return true;
    }
    if (!Receive()) return false;
  }
}

int VmmProcess::Wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace berth::vmm
