#include "tests/vmm/tiny_guest.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace berth::vmm {
namespace {

constexpr uint64_t kMemory = 64 * kMiB;

Result<UniqueFd> FileOf(const std::string& bytes) {
  UniqueFd fd(::memfd_create("kernel", MFD_CLOEXEC));
  if (!fd || ::pwrite(fd.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return FailErrno(errno, "write a kernel");
  }
  return fd;
}

}  // namespace

std::string TinyKernel(const std::vector<uint8_t>& code) {
  constexpr size_t kHeaders = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
  struct {
    Elf64_Nhdr header{.n_namesz = 4, .n_descsz = 4, .n_type = 18};  // XEN_ELFNOTE_PHYS32_ENTRY
    char name[4] = {'X', 'e', 'n', 0};
    uint32_t entry = kTinyGuestEntry;
  } note;
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = EM_X86_64;
  header.e_phoff = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  Elf64_Phdr notes{};
  notes.p_type = PT_NOTE;
  notes.p_offset = kHeaders;
  notes.p_filesz = sizeof(note);
  Elf64_Phdr load{};
  load.p_type = PT_LOAD;
  load.p_offset = kHeaders + sizeof(note);
  load.p_paddr = kTinyGuestEntry;
  load.p_filesz = code.size();
  load.p_memsz = code.size();
  const auto bytes = [](const auto& value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  return bytes(header) + bytes(notes) + bytes(load) + bytes(note) + std::string(code.begin(), code.end());
}

Result<std::unique_ptr<TinyMachine>> TinyMachine::Create(
    const std::vector<uint8_t>& code, const std::function<void(v1::MachineConfig&)>& adjust) {
  auto tiny = std::make_unique<TinyMachine>();
  tiny->loop = TRY(EventLoop::Create());
  std::vector<UniqueFd> fds;
  fds.emplace_back(::memfd_create("ram", MFD_CLOEXEC));
  if (::ftruncate(fds[0].get(), kMemory) != 0) return FailErrno(errno, "size the memory");
  fds.push_back(TRY(FileOf(TinyKernel(code))));
  v1::MachineConfig config;
  config.mutable_cpus()->set_cores_per_socket(1);
  v1::MemoryNode* node = config.add_memory_nodes();
  node->set_size_bytes(kMemory);
  node->set_memory_fd(0);
  config.mutable_boot()->set_kernel_fd(1);
  if (adjust) adjust(config);
  tiny->machine = TRY(Machine::Build(config, TRY(Open("/dev/kvm", O_RDWR)), Descriptors(std::move(fds)),
                                     tiny->loop.get(), &tiny->events));
  return tiny;
}

TinyMachine::~TinyMachine() { machine.reset(); }

bool TinyMachine::RunUntil(v1::Event::Kind kind, v1::MachineState state) {
  bool seen = false;
  const auto matches = [=](const v1::Event& event) {
    return event.kind() == kind && (state == v1::MACHINE_STATE_UNSPECIFIED || event.state() == state);
  };
  events.SetListener([&](const v1::Event& event) {
    if (!matches(event)) return;
    seen = true;
    loop->Stop();
  });
  const auto timer = loop->At(EventLoop::Clock::now() + std::chrono::seconds(20), [this] { loop->Stop(); });
  loop->Run();
  loop->Cancel(timer);
  events.SetListener({});
  return seen;
}

bool KvmIsThere() { return ::access("/dev/kvm", R_OK | W_OK) == 0; }

}  // namespace berth::vmm
