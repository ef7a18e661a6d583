// A program in berth-vmm's place: speaks proto/berth/vmm/v1/control.proto on descriptor 3, runs nothing, and
// misbehaves as the guest's kernel command line tells it, by words of this form:
//
//   die=REQUEST          ends at this request (build, run, describe, power_button, attach_console, quit,
//   subscribe) hang=REQUEST         never answers it, nor anything after it fail=REQUEST:REASON  refuses it
//   with FAILED_PRECONDITION and this reason lie=REQUEST          answers it under an id nobody used
//   garbage=REQUEST      answers it with bytes that are no message
//   flood=REQUEST        sends events without end once it is answered
//   power_off=REQUEST    answers and powers off
//   ignore_power_button  stays on
//   foreign_tids         says that its vCPUs are threads of another process
//   ignore_unplug        keeps its devices until they are pulled out
//   eject=ID             gives up this device when its reset button is pressed
//   break=ID             this device reports an error then
//   available_mib=N      says so of its balloon
//   endless_job          is never ready with a disk's job
//   die_after=REQUEST    does what it asks, and ends without an answer
//   agent=MANNER         has an agent, of this manner (fake_agent.h)
//   frozen=REQUEST       refuses it while that agent's file systems are not frozen, NOT_FROZEN
//
// Its console prints "console of NAME\n" and then echoes.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/socket.h"
#include "berth/vmm/v1/control.pb.h"
#include "tests/fakes/fake_agent.h"

namespace berth {
namespace {

namespace control = berth::vmm::v1;

const char* NameOf(const control::Request& request) {
  switch (request.kind_case()) {
    case control::Request::kBuild:
      return "build";
    case control::Request::kRun:
      return "run";
    case control::Request::kPowerButton:
      return "power_button";
    case control::Request::kResetMachine:
      return "reset_machine";
    case control::Request::kQuit:
      return "quit";
    case control::Request::kDescribe:
      return "describe";
    case control::Request::kAttachConsole:
      return "attach_console";
    case control::Request::kAttachAgent:
      return "attach_agent";
    case control::Request::kSubscribe:
      return "subscribe";
    case control::Request::kSetDiskLimits:
      return "set_disk_limits";
    case control::Request::kGrowDisk:
      return "grow_disk";
    case control::Request::kExchangeDisk:
      return "exchange_disk";
    case control::Request::kChangeSnapshot:
      return "change_snapshot";
    case control::Request::kChangeBitmap:
      return "change_bitmap";
    case control::Request::kReadBitmaps:
      return "read_bitmaps";
    case control::Request::kStartDiskJob:
      return "start_disk_job";
    case control::Request::kReadDiskJob:
      return "read_disk_job";
    case control::Request::kEndDiskJob:
      return "end_disk_job";
    case control::Request::kFinishDisks:
      return "finish_disks";
    case control::Request::kPlugDevice:
      return "plug_device";
    case control::Request::kCaptureDisplay:
      return "capture_display";
    case control::Request::kUnplugDevice:
      return "unplug_device";
    case control::Request::kReadCounters:
      return "read_counters";
    case control::Request::kEnableTrace:
      return "enable_trace";
    case control::Request::kReadBalloon:
      return "read_balloon";
    case control::Request::kSetBalloon:
      return "set_balloon";
    default:
      return "other";
  }
}

class FakeVmm {
 public:
  void Serve() {
    connections_.emplace_back(3);
    while (!connections_.empty()) {
      std::vector<pollfd> polled;
      for (const UniqueFd& connection : connections_) polled.push_back({connection.get(), POLLIN, 0});
      for (const UniqueFd& console : consoles_) polled.push_back({console.get(), POLLIN, 0});
      if (agent_stream_) polled.push_back({agent_stream_.get(), POLLIN, 0});
      if (listener_) polled.push_back({listener_.get(), POLLIN, 0});
      ::poll(polled.data(), polled.size(), -1);
      for (const pollfd& one : polled) {
        if (one.revents != 0) OnReady(one.fd);
      }
    }
    // The daemon is gone: go on, as a guest does, until somebody connects or kills us.
  }

 private:
  void OnReady(int fd) {
    if (listener_ && fd == listener_.get()) {
      if (auto accepted = Accept(fd)) connections_.push_back(*std::move(accepted));
      return;
    }
    for (size_t i = 0; i < consoles_.size(); ++i) {
      if (consoles_[i].get() != fd) continue;
      char bytes[4096];
      const ssize_t count = ::read(fd, bytes, sizeof(bytes));
      if (count <= 0)
        consoles_.erase(consoles_.begin() + static_cast<long>(i));
      else [[maybe_unused]]
        const ssize_t echoed = ::write(fd, bytes, static_cast<size_t>(count));
      return;
    }
    if (agent_stream_ && fd == agent_stream_.get()) return TalkAsAgent();
    auto message = ReceiveMessage(fd);
    control::Request request;
    if (!message || !request.ParseFromString(message->bytes)) {
      std::erase_if(connections_, [fd](const UniqueFd& connection) { return connection.get() == fd; });
      target_.clear();  // A job ends with the connection.
      // Once it has a listener it waits for the next daemon.
      while (connections_.empty() && listener_) {
        if (auto accepted = Accept(listener_.get())) connections_.push_back(*std::move(accepted));
      }
      return;
    }
    Handle(fd, request, message->fds);
  }

  void TalkAsAgent() {
    char bytes[4096];
    const ssize_t count = ::read(agent_stream_.get(), bytes, sizeof(bytes));
    const std::string answer = count > 0 ? agent_->Hear({bytes, static_cast<size_t>(count)}) : "";
    // Whoever has asked may be gone, or not want it all.
    (void)::send(agent_stream_.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count <= 0 || agent_->over()) agent_stream_.Reset();
  }

  bool Told(const std::string& what, const std::string& request) const {
    return (" " + command_line_ + " ").find(" " + what + "=" + request) != std::string::npos;
  }

  static void Send(int fd, const control::FromVmm& from) { (void)SendMessage(fd, from.SerializeAsString()); }

  void SetState(control::MachineState state) {
    state_ = state;
    control::FromVmm from;
    from.mutable_event()->set_kind(control::Event::STATE_CHANGED);
    from.mutable_event()->set_state(state);
    for (int fd : subscribers_) Send(fd, from);
  }

  void Handle(int fd, const control::Request& request, std::vector<UniqueFd>& fds) {
    const std::string name = NameOf(request);
    if (request.has_build()) {
      machine_ = request.build().machine();
      command_line_ = machine_.boot().command_line();
      agent_ = std::make_unique<FakeAgent>(ToldOf("agent"));
    }
    if (Told("die", name)) ::_exit(1);
    if (Told("hang", name)) {
      while (true) ::pause();
    }
    if (Told("garbage", name)) {
      (void)SendMessage(fd, "\xff\xff\xff\xff");
      return;
    }
    control::FromVmm from;
    control::Reply* reply = from.mutable_reply();
    reply->set_id(Told("lie", name) ? request.id() + 1000 : request.id());
    const bool no_agent = request.has_attach_agent() && ToldOf("agent").empty();
    const bool not_frozen = Told("frozen", name) && !agent_->frozen();
    if (no_agent || not_frozen) {
      reply->set_code(9);
      reply->set_reason(no_agent ? "AGENT_NOT_RUNNING" : "NOT_FROZEN");
      reply->set_message("nobody is there, or it is not as it should be");
      return Send(fd, from);
    }
    const size_t fail = command_line_.find("fail=" + name + ":");
    if (fail != std::string::npos) {
      const size_t start = fail + 6 + name.size();
      reply->set_code(9);
      reply->set_reason(command_line_.substr(start, command_line_.find(' ', start) - start));
      if (request.has_end_disk_job()) target_.clear();  // A job that cannot be completed is over.
      reply->set_message("the fake refuses " + name + "\x1b[31m");
      return Send(fd, from);
    }
    Do(fd, request, fds, *reply);
    if (Told("die_after", name)) ::_exit(1);
    Send(fd, from);
    if (request.has_run()) SetState(control::RUNNING);
    if (request.has_power_button() && command_line_.find("ignore_power_button") == std::string::npos) {
      SetState(control::POWERED_OFF);
    }
    if (Told("power_off", name)) SetState(control::POWERED_OFF);
    if (Told("flood", name)) {
      std::thread([fd] {
        control::FromVmm event;
        event.mutable_event()->set_kind(control::Event::WARNING);
        event.mutable_event()->set_text("flood");
        while (true) Send(fd, event);
      }).detach();
    }
    if (request.has_quit()) ::_exit(0);
    if (request.has_unplug_device()) {
      const auto& unplug = request.unplug_device();
      if (unplug.force() || command_line_.find("ignore_unplug") == std::string::npos) Unplug(unplug.id());
    }
    if (request.has_reset_machine()) {
      if (const std::string id = ToldOf("eject"); !id.empty()) Unplug(id);
      if (const std::string id = ToldOf("break"); !id.empty()) Tell(control::Event::DEVICE_FAILED, id);
    }
  }

  // "ID" of "WHAT=ID" on the command line; empty if it is not there.
  std::string ToldOf(const std::string& what) const {
    const size_t at = (" " + command_line_).find(" " + what + "=");
    if (at == std::string::npos) return "";
    const size_t start = at + what.size() + 1;
    return command_line_.substr(start, command_line_.find(' ', start) - start);
  }

  void Tell(control::Event::Kind kind, const std::string& device_id) {
    control::FromVmm from;
    from.mutable_event()->set_kind(kind);
    from.mutable_event()->set_device_id(device_id);
    for (int fd : subscribers_) Send(fd, from);
  }

  void SetVolume(const std::string& disk_id, const std::string& volume) {
    for (auto& device : *machine_.mutable_devices()) {
      if (device.id() == disk_id) device.mutable_block()->set_volume(volume);
    }
  }

  void Unplug(const std::string& id) {
    auto* devices = built_.mutable_devices();
    devices->erase(std::remove_if(devices->begin(), devices->end(),
                                  [&](const auto& device) { return device.id() == id; }),
                   devices->end());
    Tell(control::Event::DEVICE_UNPLUGGED, id);
  }

  void Do(int fd, const control::Request& request, std::vector<UniqueFd>& fds, control::Reply& reply) {
    switch (request.kind_case()) {
      case control::Request::kBuild:
        if (request.build().listener_fd() < fds.size())
          listener_ = std::move(fds[request.build().listener_fd()]);
        for (UniqueFd& kept : fds) kept_.push_back(std::move(kept));  // As a VMM has its images open.
        MakeThreads();
        *reply.mutable_built() = built_;
        state_ = control::BUILT;
        break;
      case control::Request::kDescribe: {
        auto& description = *reply.mutable_description();
        *description.mutable_machine() = machine_;
        description.set_state(state_);
        *description.mutable_built() = built_;
        description.set_pid(::getpid());
        break;
      }
      case control::Request::kAttachConsole: {
        if (fds.empty()) break;
        const std::string banner = "console of " + machine_.name() + "\n";
        [[maybe_unused]] const ssize_t written = ::write(fds[0].get(), banner.data(), banner.size());
        consoles_.push_back(std::move(fds[0]));
        break;
      }
      case control::Request::kAttachAgent:
        if (!fds.empty()) agent_stream_ = std::move(fds[0]);
        break;
      case control::Request::kSubscribe:
        subscribers_.push_back(fd);
        break;
      case control::Request::kCaptureDisplay: {
        // A red pixel and a blue one; the picture's size may be a lie.
        const uint8_t pixels[] = {0, 0, 0xff, 0, 0xff, 0, 0, 0};
        if (fds.empty() || ::pwrite(fds[0].get(), pixels, sizeof(pixels), 0) < 0) break;
        auto* picture = reply.mutable_picture();
        picture->set_drm_format(0x34325258);
        picture->set_width(2);
        picture->set_height(command_line_.find("tall_picture") == std::string::npos ? 1 : 0x7fffffff);
        picture->set_stride_bytes(8);
        break;
      }
      case control::Request::kReadCounters: {
        auto* counter = reply.mutable_counters()->add_counters();
        counter->set_name("vcpu0/exits");
        counter->set_value(7);
        if (ToldOf("agent").empty()) break;
        for (const auto& [what, value] :
             {std::pair("freezes", agent_->freezes()), {"frozen", int{agent_->frozen()}}}) {
          counter = reply.mutable_counters()->add_counters();
          counter->set_name(std::string("agent/") + what);
          counter->set_value(static_cast<uint64_t>(value));
        }
        break;
      }
      case control::Request::kEnableTrace:
        reply.mutable_traced()->set_matched(request.enable_trace().pattern() == "hw/*" ? 3 : 0);
        break;
      case control::Request::kSetBalloon:
        balloon_.set_target_bytes(request.set_balloon().size_bytes());
        balloon_.set_actual_bytes(request.set_balloon().size_bytes());
        break;
      case control::Request::kReadBalloon: {
        const std::string available = ToldOf("available_mib");
        balloon_.set_answers(balloon_.answers() + 1);
        if (!available.empty()) balloon_.set_available_bytes(std::stoull(available) << 20);
        *reply.mutable_balloon() = balloon_;
        break;
      }
      case control::Request::kReadDiskJob:
        reply.mutable_disk_job()->set_done_bytes(UINT64_MAX);  // It may be a lie.
        reply.mutable_disk_job()->set_ready(command_line_.find("endless_job") == std::string::npos);
        break;
      case control::Request::kReadBitmaps:
        for (const char* name : {"monday", "../monday"}) {  // They may be lies.
          auto* const bitmap = reply.mutable_bitmaps()->add_bitmaps();
          bitmap->set_name(name);
          bitmap->set_granularity_bytes(UINT64_MAX);
          bitmap->set_dirty_bytes(UINT64_MAX);
        }
        break;
      case control::Request::kStartDiskJob:
        target_ = std::move(fds);
        break;
      case control::Request::kEndDiskJob:
        if (!request.end_disk_job().complete()) {
          target_.clear();
          break;
        }
        SetVolume(request.end_disk_job().id(), request.end_disk_job().volume());
        kept_ = std::move(target_);
        target_.clear();
        for (const UniqueFd& mark : fds)
          [[maybe_unused]] const ssize_t marked = ::pwrite(mark.get(), "1", 1, 0);
        break;
      case control::Request::kExchangeDisk:
        SetVolume(request.exchange_disk().id(), request.exchange_disk().image().volume());
        kept_.clear();  // As a VMM closes what it does not stand on any more.
        for (UniqueFd& kept : fds) kept_.push_back(std::move(kept));
        break;
      case control::Request::kPlugDevice: {
        auto* state = built_.add_devices();
        state->set_id(request.plug_device().device().id());
        state->set_guest_address("0000:1" + std::to_string(built_.devices_size()) + ":00.0");
        *reply.mutable_device() = *state;
        for (UniqueFd& kept : fds) kept_.push_back(std::move(kept));
        break;
      }
      default:
        break;
    }
  }

  void MakeThreads() {
    const auto& cpus = machine_.cpus();
    for (uint32_t i = 0; i < cpus.sockets() * cpus.cores_per_socket() * cpus.threads_per_core(); ++i) {
      std::atomic<int> tid{0};
      std::thread([&tid] {
        tid = ::gettid();
        tid.notify_one();
        while (true) ::pause();
      }).detach();
      tid.wait(0);
      built_.add_vcpu_tids(command_line_.find("foreign_tids") == std::string::npos ? tid.load()
                                                                                   : ::getppid());
    }
    int slot = 1;
    for (const auto& device : machine_.devices()) {
      auto* state = built_.add_devices();
      state->set_id(device.id());
      state->set_guest_address("0000:0" + std::to_string(slot++) + ":00.0");
    }
  }

  std::vector<UniqueFd> connections_, consoles_, kept_;
  std::vector<UniqueFd> target_;  // That a disk's job copies to.
  std::vector<int> subscribers_;
  UniqueFd listener_, agent_stream_;
  std::unique_ptr<FakeAgent> agent_;
  control::MachineConfig machine_;
  std::string command_line_;
  control::Built built_;
  control::BalloonReport balloon_;
  control::MachineState state_ = control::BUILDING;
};

}  // namespace
}  // namespace berth

int main() {
  berth::FakeVmm().Serve();
  return 0;
}
