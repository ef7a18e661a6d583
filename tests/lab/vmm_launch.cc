// vmm-launch: runs one berth-vmm without a daemon, for tests and benchmarks of the monitor alone. The console
// goes to standard output; the exit status is 0 if the guest powered off.

#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>
#include <sstream>

#include <boost/program_options.hpp>
#include <net/if.h>
#include <netinet/ether.h>

#include "base/bytes.h"
#include "base/memory_file.h"
#include "base/socket.h"
#include "berth/vmm/v1/control.pb.h"

namespace berth {
namespace {

namespace v1 = vmm::v1;

struct Options {
  std::string vmm, kernel, initrd, command_line;
  uint32_t cpus = 1;
  uint64_t memory_mib = 256;
  std::vector<std::string> disks, vfio, spare_ports, traces;
  std::vector<std::string> taps;
  uint32_t nodes = 1;
  std::string commands;
  bool rng = false, sandbox = false, vhost = false, huge_pages = false, balloon = false,
       virtio_console = false;
};

class Launcher {
 public:
  explicit Launcher(const Options& options) : options_(options) {}

  Result<int> Run() {
    auto [ours, theirs] = TRY(CreateSocketPair());
    control_ = std::move(ours);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(theirs.get(), 3);
      ::fcntl(3, F_SETFD, 0);
      ::execl(options_.vmm.c_str(), options_.vmm.c_str(), "--control-fd=3", nullptr);
      ::_exit(127);
    }
    theirs.Reset();
    std::cerr << "vmm-launch: pid " << pid_ << "\n";
    TRY(Build());
    TRY(AttachConsole());
    v1::Request subscribe;
    subscribe.mutable_subscribe();
    TRY(Ask(subscribe, {}));
    v1::Request run;
    run.mutable_run();
    TRY(Ask(run, {}));
    return Serve();
  }

 private:
  uint32_t Add(UniqueFd fd) {
    fds_.push_back(std::move(fd));
    return static_cast<uint32_t>(fds_.size() - 1);
  }

  Status Build() {
    v1::Request request;
    v1::Build& build = *request.mutable_build();
    v1::MachineConfig& machine = *build.mutable_machine();
    machine.set_name("launched");
    machine.set_sandbox(options_.sandbox);
    machine.mutable_cpus()->set_cores_per_socket(options_.cpus);
    for (const std::string& pattern : options_.traces) machine.add_trace_patterns(pattern);

    build.set_kvm_fd(Add(TRY(Open("/dev/kvm", O_RDWR))));
    const std::string socket_path = fmt::format("/tmp/vmm-launch.{}.sock", ::getpid());
    build.set_listener_fd(Add(TRY(ListenAt(socket_path))));
    ::unlink(socket_path.c_str());

    TRY(AddMemory(machine));

    machine.mutable_boot()->set_kernel_fd(Add(TRY(Open(options_.kernel, O_RDONLY))));
    if (!options_.initrd.empty()) {
      machine.mutable_boot()->set_has_initrd(true);
      machine.mutable_boot()->set_initrd_fd(Add(TRY(Open(options_.initrd, O_RDONLY))));
    }
    machine.mutable_boot()->set_command_line(options_.command_line);
    TRY(AddDevices(machine));
    const v1::Reply reply = TRY(Ask(request, fds_));
    fds_.clear();  // The VMM has them; a group that it closes is to be closed.
    for (const v1::DeviceState& device : reply.built().devices()) {
      std::cerr << "vmm-launch: " << device.id() << " at " << device.guest_address() << "\n";
    }
    return Ok();
  }

  static Result<UniqueFd> HugePages(uint64_t size) {
    UniqueFd memory(::memfd_create("guest-memory", MFD_CLOEXEC | MFD_HUGETLB));
    if (!memory || ::ftruncate(memory.get(), static_cast<off_t>(size)) != 0) {
      return FailErrno(errno, "make the guest's memory");
    }
    return memory;
  }

  // As many nodes as asked for, each with its part of the memory and of the vCPUs.
  Status AddMemory(v1::MachineConfig& machine) {
    const uint64_t size = options_.memory_mib * kMiB / options_.nodes;
    for (uint32_t node = 0; node < options_.nodes; ++node) {
      UniqueFd memory(options_.huge_pages ? TRY(HugePages(size))
                                          : TRY(CreateMemoryFile(fmt::format("guest-memory{}", node), size)));
      v1::MemoryNode* added = machine.add_memory_nodes();
      added->set_size_bytes(size);
      added->set_memory_fd(Add(std::move(memory)));
    }
    for (uint32_t vcpu = 0; vcpu < options_.cpus; ++vcpu) {
      machine.mutable_cpus()->add_node_of_vcpu(vcpu * options_.nodes / options_.cpus);
    }
    return Ok();
  }

  Status AddDevices(v1::MachineConfig& machine) {
    if (options_.balloon) {
      v1::DeviceConfig* device = machine.add_devices();
      device->set_id("balloon");
      device->mutable_balloon()->set_free_page_reporting(true);
    }
    if (options_.virtio_console) {
      v1::DeviceConfig* device = machine.add_devices();
      device->set_id("console");
      device->mutable_virtio_console();
    }
    if (options_.rng) {
      v1::DeviceConfig* device = machine.add_devices();
      device->set_id("rng0");
      device->mutable_rng();
    }
    if (!options_.vfio.empty() || !options_.spare_ports.empty()) {
      machine.set_vfio_container_fd_plus_one(Add(TRY(Open("/dev/vfio/vfio", O_RDWR))) + 1);
    }
    for (const std::string& device : options_.vfio) TRY(Assign(device, machine.add_devices()));
    for (const std::string& sizes : options_.spare_ports) {
      unsigned memory_mib = 0, prefetchable_mib = 0, io_kib = 0;
      if (::sscanf(sizes.c_str(), "%u/%u/%u", &memory_mib, &prefetchable_mib, &io_kib) != 3)
        return Fail(Code::kInvalidArgument, "--spare-port {}: MIB/MIB/KIB", sizes);
      v1::SparePort* port = machine.add_spare_ports();
      port->set_memory_bytes(memory_mib * kMiB);
      port->set_prefetchable_bytes(prefetchable_mib * kMiB);
      port->set_io_bytes(io_kib * kKiB);
    }
    for (const std::string& tap : options_.taps) TRY(AddNet(machine, tap));
    for (const std::string& disk : options_.disks) {
      std::istringstream words(disk);
      std::string path, format, queues;
      std::getline(words, path, ':');
      std::getline(words, format, ':');
      std::getline(words, queues, ':');
      v1::DeviceConfig* device = machine.add_devices();
      device->set_id("disk:" + path);
      device->mutable_block()->set_image_fd(Add(TRY(Open(path, O_RDWR | O_DIRECT))));
      device->mutable_block()->set_serial("launched");
      device->mutable_block()->set_format(format);
      if (!queues.empty()) device->mutable_block()->set_queues(static_cast<uint32_t>(std::stoul(queues)));
    }
    return Ok();
  }

  // NAME/MAC: a tap that exists, and the guest's address.
  Status AddNet(v1::MachineConfig& machine, const std::string& tap) {
    ifreq request{};
    const size_t slash = tap.find('/');
    tap.copy(request.ifr_name, std::min<size_t>(slash, IFNAMSIZ - 1));
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    UniqueFd fd = TRY(Open("/dev/net/tun", O_RDWR));
    if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return FailErrno(errno, "attach to the tap {}", tap);
    const ether_addr* mac = ::ether_aton(tap.substr(slash + 1).c_str());
    if (slash == std::string::npos || mac == nullptr)
      return Fail(Code::kInvalidArgument, "--tap {}: NAME/MAC", tap);
    v1::DeviceConfig* device = machine.add_devices();
    device->set_id("net:" + tap);
    device->mutable_net()->add_tap_fds(Add(std::move(fd)));
    if (options_.vhost) device->mutable_net()->add_vhost_fds(Add(TRY(Open("/dev/vhost-net", O_RDWR))));
    device->mutable_net()->set_mac_address(mac->ether_addr_octet, sizeof(mac->ether_addr_octet));
    return Ok();
  }

  // A PCI address or an mdev's UUID.
  Status Assign(const std::string& name, v1::DeviceConfig* device) {
    const std::string bus = name.size() == 36 ? "mdev" : "pci";
    const std::string link = fmt::format("/sys/bus/{}/devices/{}/iommu_group", bus, name);
    char target[256] = {};
    if (::readlink(link.c_str(), target, sizeof(target) - 1) < 0) return FailErrno(errno, "read {}", link);
    const std::string group(::basename(target));
    device->set_id(name);
    device->mutable_vfio()->set_group(group);
    device->mutable_vfio()->set_group_fd(Add(TRY(Open("/dev/vfio/" + group, O_RDWR))));
    device->mutable_vfio()->set_device_name(name);
    return Ok();
  }

  Status AttachConsole() {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
      return FailErrno(errno, "create a socket pair");
    console_ = UniqueFd(pair[0]);
    std::vector<UniqueFd> fds;
    fds.emplace_back(pair[1]);
    v1::Request request;
    request.mutable_attach_console()->set_stream_fd(0);
    TRY(Ask(request, fds));
    return Ok();
  }

  Result<v1::Reply> Ask(v1::Request& request, const std::vector<UniqueFd>& fds) {
    request.set_id(++last_id_);
    std::vector<int> raw;
    for (const UniqueFd& fd : fds) raw.push_back(fd.get());
    TRY(SendMessage(control_.get(), request.SerializeAsString(), raw));
    while (true) {
      const Message message = TRY(ReceiveMessage(control_.get()));
      v1::FromVmm answer;
      if (!answer.ParseFromString(message.bytes)) return Fail(Code::kInternal, "the VMM sent nonsense");
      if (answer.has_event()) {
        Print(answer.event());
        continue;
      }
      if (answer.reply().code() != 0) {
        return Fail(static_cast<Code>(answer.reply().code()), "{} {}", answer.reply().reason(),
                    answer.reply().message());
      }
      return answer.reply();
    }
  }

  // A line of --commands.
  Status Command(const std::string& line) {
    v1::Request request;
    if (line == "power-button") {
      request.mutable_power_button();
    } else if (line == "reset") {
      request.mutable_reset_machine();
    } else if (line == "pause") {
      request.mutable_pause();
    } else if (line == "run") {
      request.mutable_run();
    } else if (line.starts_with("balloon ")) {
      request.mutable_set_balloon()->set_size_bytes(std::stoull(line.substr(8)) * kMiB);
    } else if (line.starts_with("plug ")) {
      if (const Status found = Assign(line.substr(5), request.mutable_plug_device()->mutable_device());
          !found) {
        std::cerr << "vmm-launch: " << line << ": " << found.error().ToString() << "\n";
        return Ok();
      }
    } else if (line.starts_with("unplug ")) {
      request.mutable_unplug_device()->set_id(line.substr(7));
    } else if (line.starts_with("pull ")) {
      request.mutable_unplug_device()->set_id(line.substr(5));
      request.mutable_unplug_device()->set_force(true);
    } else {
      return Fail(Code::kInvalidArgument, "no command of vmm-launch: {}", line);
    }
    const Result<v1::Reply> done = Ask(request, fds_);
    fds_.clear();
    std::cerr << "vmm-launch: " << line << ": " << (done ? "done" : done.error().ToString()) << "\n";
    return Ok();
  }

  Status ReadCommands() {
    char buffer[256];
    const ssize_t got = ::read(commands_.get(), buffer, sizeof(buffer));
    if (got > 0) typed_.append(buffer, static_cast<size_t>(got));
    for (size_t end = typed_.find('\n'); end != std::string::npos; end = typed_.find('\n')) {
      const std::string line = typed_.substr(0, end);
      typed_.erase(0, end + 1);
      TRY(Command(line));
    }
    return Ok();
  }

  static void Print(const v1::Event& event) {
    std::cerr << "vmm-launch: " << v1::Event::Kind_Name(event.kind()) << " "
              << v1::MachineState_Name(event.state()) << " " << event.device_id() << " " << event.text()
              << "\n";
  }

  // Copies the console both ways until the guest is over.
  Result<int> Serve() {
    int result = 1;
    // Open for writing, too, so that it does not end with whoever writes.
    if (!options_.commands.empty()) commands_ = TRY(Open(options_.commands, O_RDWR));
    pollfd waits[] = {{console_.get(), POLLIN, 0},
                      {control_.get(), POLLIN, 0},
                      {STDIN_FILENO, POLLIN, 0},
                      {commands_.get(), POLLIN, 0}};
    while (true) {
      ::poll(waits, 4, -1);
      if (waits[3].revents != 0) TRY(ReadCommands());
      char buffer[4096];
      if (waits[0].revents != 0) {
        const ssize_t got = ::read(console_.get(), buffer, sizeof(buffer));
        if (got <= 0) break;
        [[maybe_unused]] ssize_t written = ::write(STDOUT_FILENO, buffer, static_cast<size_t>(got));
      }
      if (waits[1].revents != 0) {
        Result<Message> message = ReceiveMessage(control_.get());
        v1::FromVmm answer;
        if (!message || !answer.ParseFromString(message->bytes)) break;
        if (answer.has_event()) {
          const v1::Event& event = answer.event();
          Print(event);
          if (event.state() == v1::POWERED_OFF || event.state() == v1::FAILED) {
            result = event.state() == v1::POWERED_OFF ? 0 : 1;
            break;
          }
        }
      }
      if (waits[2].revents != 0) {
        const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof(buffer));
        if (got <= 0) waits[2].fd = -1;
        if (got > 0) [[maybe_unused]]
          ssize_t written = ::write(console_.get(), buffer, static_cast<size_t>(got));
      }
    }
    v1::Request counters;
    counters.mutable_read_counters();
    if (auto reply = Ask(counters, {}); reply) {
      for (const auto& counter : reply->counters().counters()) {
        std::cerr << "vmm-launch: " << counter.name() << "=" << counter.value() << "\n";
      }
    }
    v1::Request quit;
    quit.mutable_quit();
    (void)Ask(quit, {});
    int status = 0;
    ::waitpid(pid_, &status, 0);
    if (WIFSIGNALED(status))
      return Fail(Code::kInternal, "the VMM was killed by signal {}", WTERMSIG(status));
    return result;
  }

  const Options options_;
  UniqueFd control_, console_, commands_;
  std::string typed_;
  std::vector<UniqueFd> fds_;
  uint64_t last_id_ = 0;
  pid_t pid_ = -1;
};

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  berth::Options options;
  po::options_description description("vmm-launch runs one berth-vmm without a daemon");
  description.add_options()                                                               //
      ("help,h", "print this")                                                            //
      ("vmm", po::value(&options.vmm)->required(), "the berth-vmm to run")                //
      ("kernel", po::value(&options.kernel)->required(), "kernel image")                  //
      ("initrd", po::value(&options.initrd), "initial RAM disk")                          //
      ("append", po::value(&options.command_line), "kernel command line")                 //
      ("cpus", po::value(&options.cpus), "number of vCPUs")                               //
      ("memory", po::value(&options.memory_mib), "memory in MiB")                         //
      ("disk", po::value(&options.disks), "IMAGE[:FORMAT[:QUEUES]]; may be given again")  //
      ("vfio", po::value(&options.vfio),
       "an assigned device: PCI address or mdev UUID; may be given again")  //
      ("spare-port", po::value(&options.spare_ports),
       "MIB/MIB/KIB: a hot-plug port that keeps so much 32-bit memory, prefetchable memory and ports")  //
      ("tap", po::value(&options.taps), "NAME/MAC: a NIC on a tap; may be given again")                 //
      ("vhost", po::bool_switch(&options.vhost), "NICs are served by the kernel (vhost-net)")           //
      ("trace", po::value(&options.traces), "trace events to enable; may be given again")               //
      ("nodes", po::value(&options.nodes), "number of guest NUMA nodes")                                //
      ("commands", po::value(&options.commands),
       "a FIFO with lines: power-button, reset, pause, run, balloon MIB, plug NAME, unplug NAME, pull "
       "NAME")                                                                              //
      ("huge-pages", po::bool_switch(&options.huge_pages), "memory in huge pages")          //
      ("balloon", po::bool_switch(&options.balloon), "a balloon with free page reporting")  //
      ("virtio-console", po::bool_switch(&options.virtio_console),
       "a virtio console beside the serial port")                    //
      ("rng", po::bool_switch(&options.rng), "a virtio-rng device")  //
      ("sandbox", po::bool_switch(&options.sandbox), "let the monitor confine itself");
  po::variables_map values;
  try {
    po::store(po::parse_command_line(argc, argv, description), values);
    if (values.contains("help")) return std::cout << description, 0;
    po::notify(values);
  } catch (const po::error& error) {
    std::cerr << "vmm-launch: " << error.what() << "\n";
    return 2;
  }
  const berth::Result<int> result = berth::Launcher(options).Run();
  if (!result) {
    std::cerr << "vmm-launch: " << result.error().ToString() << "\n";
    return 1;
  }
  return *result;
}
