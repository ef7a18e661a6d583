#include "tests/fakes/fake_host.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/socket.h"
#include "host/control/record.h"
#include "server/guest/process.h"
#include "tests/fakes/sample_host.h"

namespace berth::server {
namespace {

// One value of the host's: what it was, and what it becomes.
struct FakeChange {
  std::string key, original, wanted;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("key", self.key);
    visit("original", self.original);
    visit("wanted", self.wanted);
  }
};

host::PciAddress VfAddress(const host::PciFunction& function, int index) {
  host::PciAddress address = function.address;
  const int routing_id = address.bus * 256 + address.device * 8 + address.function + function.sriov->offset +
                         index * function.sriov->stride;
  address.bus = static_cast<uint8_t>(routing_id / 256);
  address.device = static_cast<uint8_t>(routing_id / 8 % 32);
  address.function = static_cast<uint8_t>(routing_id % 8);
  return address;
}

Error Stopped() { return Error(Code::kInternal, "the daemon has stopped").Reason("STOPPED"); }

}  // namespace

FakeHost::FakeHost(std::string directory) : directory_(std::move(directory)), facts_(host::SampleHost()) {
  std::filesystem::create_directories(directory_);
}

std::string FakeHost::PathOf(const std::string& key) const {
  std::string name = key;
  std::replace(name.begin(), name.end(), '/', '@');
  return directory_ + "/" + name;
}

std::string FakeHost::Read(const std::string& key) const {
  std::ifstream file(PathOf(key));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void FakeHost::Write(const std::string& key, const std::string& value) {
  if (value.empty()) {
    std::filesystem::remove(PathOf(key));
  } else {
    std::ofstream(PathOf(key)) << value;
  }
}

std::map<std::string, std::string> FakeHost::Changes() {
  std::map<std::string, std::string> changes;
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    std::string key = entry.path().filename();
    std::replace(key.begin(), key.end(), '@', '/');
    changes[key] = Read(key);
  }
  return changes;
}

std::map<std::string, std::string> FakeHost::Places() {
  MutexLock lock(mutex_);
  return places_;
}

Result<host::HostSnapshot> FakeHost::Snapshot() {
  host::HostSnapshot snapshot = facts_;
  for (const auto& [key, value] : Changes()) {
    if (!key.starts_with("vfs ")) continue;
    const host::PciAddress address = *host::PciAddress::Parse(key.substr(4));
    auto pf = std::find_if(snapshot.functions.begin(), snapshot.functions.end(),
                           [&](const auto& function) { return function.address == address; });
    pf->sriov->num_vfs = std::stoi(value);
    const host::PciFunction parent = *pf;
    std::vector<std::optional<host::PciAddress>> vfs;
    for (int i = 0; i < parent.sriov->num_vfs; ++i) {
      host::PciFunction vf{.address = VfAddress(parent, i), .class_code = parent.class_code};
      vf.iommu_group = 100 + i;
      vf.numa_node = parent.numa_node;
      vf.physical_function = address;
      vf.vf_index = i;
      vfs.push_back(vf.address);
      snapshot.groups.push_back({.id = 100 + i, .functions = {vf.address}});
      snapshot.functions.push_back(vf);
    }
    for (auto& function : snapshot.functions) {
      if (function.address == address) function.sriov->vfs = vfs;
    }
  }
  std::sort(snapshot.functions.begin(), snapshot.functions.end(),
            [](const auto& a, const auto& b) { return a.address < b.address; });
  for (auto& function : snapshot.functions) {
    const std::string driver = Read("driver " + function.address.ToString());
    if (!driver.empty()) function.driver = driver;
  }
  return snapshot;
}

Result<UniqueFd> FakeHost::ListenForChanges() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return FailErrno(errno, "make a socket");
  }
  changes_ = UniqueFd(ends[0]);
  return UniqueFd(ends[1]);
}

void FakeHost::TellChange(const std::string& event, const std::string& subsystem) {
  std::string message = event + '\0' + "SUBSYSTEM=" + subsystem + '\0';
  CHECK(::send(changes_.get(), message.data(), message.size(), 0) == static_cast<ssize_t>(message.size()));
}

Status FakeHost::CheckAnswers(const host::PciAddress& address) {
  MutexLock lock(mutex_);
  if (!lost_.contains(address.ToString())) return Ok();
  return Fail(
      Error(Code::kFailedPrecondition, address.ToString() + " does not answer").Reason("DEVICE_LOST"));
}

Status FakeHost::ResetFunction(const host::PciAddress& address) {
  {
    MutexLock lock(mutex_);
    const auto lost = lost_.find(address.ToString());
    if (lost != lost_.end() && !lost->second) lost_.erase(lost);
  }
  return CheckAnswers(address);
}

void FakeHost::Lose(const std::string& address, bool for_good) {
  MutexLock lock(mutex_);
  lost_[address] = for_good;
}

host::VitalProductData FakeHost::Vpd(const host::PciAddress& address) {
  return {.product = "", .fields = {{"SN", "serial of " + address.ToString()}}};
}

Result<PlannedStep> FakeHost::Plan(const Step& step) {
  const std::string kind = KindOf(step);
  if (const auto* process = std::get_if<ProcessStep>(&step)) {
    return PlannedStep{.kind = kind, .record = host::Encode(TRY(DescribeProcess("/proc", process->pid)))};
  }
  std::string subject = SubjectOf(step), wanted = "there";
  const host::HostSnapshot now = TRY(Snapshot());
  if (const auto* vfs = std::get_if<VfsStep>(&step)) {
    if (now.FindFunction(vfs->physical_function)->sriov->num_vfs >= vfs->count)
      wanted = Read("vfs " + subject);
    else
      wanted = std::to_string(vfs->count);
  }
  if (const auto* settings = std::get_if<VfSettingsStep>(&step)) {
    wanted = fmt::format("mac={} vlan={}", settings->wanted.mac.value_or("-"),
                         settings->wanted.vlan ? settings->wanted.vlan->id : 0);
  }
  if (const auto* driver = std::get_if<DriverStep>(&step)) {
    if (!driver->address) {
      const auto device = TRY(Locate({.vf = std::pair(driver->physical_function, driver->vf_index)}));
      subject = device.name;
    }
    wanted = "vfio-pci";
  }
  if (const auto* vgpu = std::get_if<VgpuTypeStep>(&step)) wanted = std::to_string(vgpu->type);
  if (const auto* tap = std::get_if<TapStep>(&step)) {
    const auto bridge = std::find_if(now.interfaces.begin(), now.interfaces.end(),
                                     [&](const auto& one) { return one.name == tap->bridge; });
    if (bridge == now.interfaces.end() || !bridge->bridge) {
      return Fail(Error(Code::kNotFound, fmt::format("there is no bridge {}", tap->bridge))
                      .Reason("BRIDGE_NOT_FOUND")
                      .With("bridge", tap->bridge));
    }
    wanted = fmt::format("bridge={} queues={}", tap->bridge, tap->queues);
  }
  const std::string key = kind + " " + subject;
  return PlannedStep{.kind = kind,
                     .record = host::Encode(FakeChange{.key = key, .original = Read(key), .wanted = wanted})};
}

Result<std::string> FakeHost::Change(const PlannedStep& step, bool undo) {
  const bool is_process = step.kind == "process";
  const FakeChange change =
      is_process ? FakeChange{.key = step.kind} : TRY(host::Decode<FakeChange>(step.record));
  MutexLock lock(mutex_);
  if (stopped_) return Fail(Stopped());
  const bool stop = changes_made_ == stop_at_;
  if (stop && !stop_after_) {
    stopped_ = true;
    on_stop_();
    return Fail(Stopped());
  }
  if ((undo ? fail_undo_ : fail_apply_).contains(step.kind)) {
    return Fail(Error(Code::kFailedPrecondition, fmt::format("the host refuses {}", change.key))
                    .Reason("HOST_REFUSES"));
  }
  ++changes_made_;
  log_.push_back((undo ? "undo " : "apply ") + change.key);
  if (is_process && undo) {
    const ProcessChange process = TRY(host::Decode<ProcessChange>(step.record));
    TRY(EndProcess("/proc", process, 10'000));
  }
  if (!is_process) Write(change.key, undo ? change.original : change.wanted);
  if (step.kind == "runtime-directory") {
    const std::string path = change.key.substr(change.key.find(' ') + 1);
    if (undo)
      std::filesystem::remove_all(path);
    else
      std::filesystem::create_directories(path);
  }
  if (!stop) return change.wanted;
  stopped_ = true;
  on_stop_();
  return Fail(Stopped());
}

Result<std::vector<UniqueFd>> FakeHost::Apply(const PlannedStep& step) {
  const std::string value = TRY(Change(step, false));
  std::vector<UniqueFd> queues;
  if (step.kind == "tap") {
    const int count = std::stoi(value.substr(value.rfind('=') + 1));
    for (int i = 0; i < count; ++i) queues.push_back(TRY(berth::Open("/dev/null", O_RDWR)));
  }
  return queues;
}

Status FakeHost::Undo(const PlannedStep& step) {
  TRY(Change(step, true));
  return Ok();
}

Result<UniqueFd> FakeHost::Open(const Descriptor& descriptor) {
  if (stopped()) return Fail(Stopped());
  if (const auto* file = std::get_if<FileDescriptor>(&descriptor)) return OpenFile(*file);
  if (const auto* memory = std::get_if<MemoryDescriptor>(&descriptor)) {
    // The memory is never touched here, and the test's machine may have no huge pages.
    return CreateMemory({.name = memory->name, .size_bytes = memory->size_bytes});
  }
  if (const auto* listener = std::get_if<ListenerDescriptor>(&descriptor)) return ListenAt(listener->path);
  return berth::Open("/dev/null", O_RDWR);
}

Result<std::vector<ImageFiles>> FakeHost::OpenImage(const FileDescriptor& image) {
  if (stopped()) return Fail(Stopped());
  return OpenImageChain(image);
}

Result<HostEffects::VfioDevice> FakeHost::Locate(const VfioDeviceName& device) {
  if (!device.mdev_uuid.empty()) return VfioDevice{.group = 20, .name = device.mdev_uuid};
  const host::HostSnapshot now = TRY(Snapshot());
  std::optional<host::PciAddress> address = device.address;
  if (device.vf) {
    const auto& vfs = now.FindFunction(device.vf->first)->sriov->vfs;
    if (device.vf->second < static_cast<int>(vfs.size())) address = vfs[device.vf->second];
  }
  if (!address) return Fail(Error(Code::kNotFound, "there is no such VF").Reason("VF_NOT_FOUND"));
  return VfioDevice{.group = now.FindFunction(*address)->iommu_group.value_or(0),
                    .name = address->ToString()};
}

Status FakeHost::Place(const std::string&, const std::string& child, int id, const host::CpuSet& cpus) {
  if (stopped()) return Fail(Stopped());
  MutexLock lock(mutex_);
  if (!child.empty()) places_[child] = cpus.ToString();
  (void)id;
  return Ok();
}

Status FakeHost::ChangeCpus(const std::string&, const std::string& child, const host::CpuSet& cpus) {
  if (stopped()) return Fail(Stopped());
  MutexLock lock(mutex_);
  if (!child.empty()) places_[child] = cpus.ToString();
  return Ok();
}

std::vector<std::string> FakeHost::FindMisplaced(const std::string&, host::GuestPlaces) {
  MutexLock lock(mutex_);
  return misplaced_;
}

void FakeHost::Misplace(std::vector<std::string> found) {
  MutexLock lock(mutex_);
  misplaced_ = std::move(found);
}

std::vector<std::string> FakeHost::log() {
  MutexLock lock(mutex_);
  return log_;
}

void FakeHost::FailApply(const std::string& kind) {
  MutexLock lock(mutex_);
  fail_apply_.insert(kind);
}

void FakeHost::FailUndo(const std::string& kind) {
  MutexLock lock(mutex_);
  fail_undo_.insert(kind);
}

void FakeHost::Heal() {
  MutexLock lock(mutex_);
  fail_apply_.clear();
  fail_undo_.clear();
}

void FakeHost::StopAt(int change, bool after, std::function<void()> on_stop) {
  MutexLock lock(mutex_);
  stop_at_ = change;
  stop_after_ = after;
  on_stop_ = std::move(on_stop);
}

int FakeHost::changes_made() {
  MutexLock lock(mutex_);
  return changes_made_;
}

bool FakeHost::stopped() {
  MutexLock lock(mutex_);
  return stopped_;
}

}  // namespace berth::server
