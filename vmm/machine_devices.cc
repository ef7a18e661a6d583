// Machine's devices that come and go while the guest runs.
#include <algorithm>

#include "base/log.h"
#include "vmm/machine.h"

namespace berth::vmm {
namespace {

std::optional<uint32_t> NodeOf(const v1::DeviceConfig& device) {
  return device.has_node() ? std::optional(device.node()) : std::nullopt;
}

}  // namespace

const v1::DeviceConfig* Machine::FindDevice(const std::string& id) const {
  for (const v1::DeviceConfig& device : config_.devices()) {
    if (device.id() == id) return &device;
  }
  return nullptr;
}

Status Machine::CheckNotOver() const {
  if (state_ != v1::POWERED_OFF && state_ != v1::FAILED) return Ok();
  return berth::Fail(Code::kFailedPrecondition, "the machine is {}", v1::MachineState_Name(state_));
}

// A balloon must not give away what devices have mapped.
void Machine::PinBalloon(bool pinned) {
  if (devices_.balloon != nullptr) devices_.balloon->SetPinned(pinned);
}

Result<v1::DeviceState> Machine::PlugDevice(const v1::DeviceConfig& device, Descriptors fds) {
  TRY(CheckNotOver());
  if (!device.has_vfio()) {
    return berth::Fail(Error(Code::kFailedPrecondition,
                             fmt::format("device {}: only assigned devices can be plugged in", device.id()))
                           .Reason("NOT_HOTPLUGGABLE"));
  }
  if (device.id().empty()) return berth::Fail(Code::kInvalidArgument, "a device needs an id");
  if (FindDevice(device.id()) != nullptr) {
    return berth::Fail(
        Error(Code::kAlreadyExists, fmt::format("the machine has a device {} already", device.id()))
            .Reason("DEVICE_EXISTS"));
  }
  TRY(ports_->CheckFree());
  if (assigned_ == nullptr) {
    return berth::Fail(Error(Code::kFailedPrecondition, "the machine was built without a VFIO container")
                           .Reason("NO_VFIO_CONTAINER"));
  }
  PinBalloon(true);
  Result<v1::DeviceState> plugged = Context(PutIntoPort(device, &fds), "device " + device.id());
  if (!plugged) {
    PinBalloon(HasAssigned());
    return plugged;
  }
  *config_.add_devices() = device;
  devices_.states.push_back(*plugged);
  events_->Add(v1::Event::DEVICE_PLUGGED, device.id(), plugged->guest_address());
  return plugged;
}

Result<v1::DeviceState> Machine::PutIntoPort(const v1::DeviceConfig& device, Descriptors* fds) {
  assigned_->ForgetDescriptors();
  auto function = TRY(assigned_->CreateFunction(device, fds, io_loop_.get()));
  const vfio::VfioPciFunction* const plugged = function.get();
  v1::DeviceState state;
  state.set_id(device.id());
  state.set_guest_address(TRY(ports_->Plug(device.id(), NodeOf(device), std::move(function))));
  devices_.counters.emplace_back(device.id(), CountersOf(plugged));
  devices_.assigned[device.id()] = plugged;
  return state;
}

Status Machine::UnplugDevice(const std::string& id, bool force) {
  TRY(CheckNotOver());
  if (FindDevice(id) == nullptr) {
    return berth::Fail(
        Error(Code::kNotFound, fmt::format("the machine has no device {}", id)).Reason("DEVICE_NOT_FOUND"));
  }
  return ports_->Unplug(id, force);
}

Result<v1::Picture> Machine::CaptureDisplay(const std::string& id, int out, uint64_t limit_bytes) const {
  const auto found = devices_.assigned.find(id);
  if (found == devices_.assigned.end()) {
    return berth::Fail(Error(Code::kNotFound, fmt::format("the machine has no assigned device {}", id))
                           .Reason("DEVICE_NOT_FOUND"));
  }
  const vfio::Picture picture = TRY(found->second->CaptureDisplay(out, limit_bytes));
  v1::Picture result;
  result.set_drm_format(picture.drm_format);
  result.set_width(picture.width);
  result.set_height(picture.height);
  result.set_stride_bytes(picture.stride_bytes);
  return result;
}

bool Machine::HasAssigned() const {
  return std::any_of(config_.devices().begin(), config_.devices().end(),
                     [](const v1::DeviceConfig& device) { return device.has_vfio(); });
}

void Machine::DeviceGone(const std::string& id, const std::string& why) {
  std::erase_if(devices_.states, [&id](const v1::DeviceState& state) { return state.id() == id; });
  std::erase_if(devices_.counters, [&id](const auto& counters) { return counters.first == id; });
  devices_.assigned.erase(id);
  auto& devices = *config_.mutable_devices();
  devices.erase(std::remove_if(devices.begin(), devices.end(),
                               [&id](const v1::DeviceConfig& device) { return device.id() == id; }),
                devices.end());
  PinBalloon(HasAssigned());
  events_->Add(v1::Event::DEVICE_UNPLUGGED, id, why);
}

void Machine::DeviceDeclined(const std::string& id) {
  events_->Add(v1::Event::WARNING, id, "the guest was asked for the device and keeps it");
}

// The kernel repeats this until it has the device.
void Machine::DeviceRequested(const std::string& id) {
  const v1::DeviceConfig* const device = FindDevice(id);
  if (device == nullptr || ports_->Pending(id)) return;
  events_->Add(v1::Event::DEVICE_REQUESTED, id, "the host wants the device back");
  if (device->vfio().on_request() != v1::VfioDevice::ON_REQUEST_UNPLUG) return;
  Warn(id, UnplugDevice(id, false));
}

void Machine::DeviceFailed(const std::string& id, const std::string& why) {
  const v1::DeviceConfig* const device = FindDevice(id);
  if (device == nullptr) return;
  events_->Add(v1::Event::DEVICE_FAILED, id, why);
  switch (device->vfio().on_error()) {
    case v1::VfioDevice::ON_ERROR_UNPLUG:
      return Warn(id, UnplugDevice(id, true));
    case v1::VfioDevice::ON_ERROR_REPORT:
      return;
    default:
      if (state_ != v1::RUNNING) return;
      vcpus_->Pause();
      return SetState(v1::PAUSED, fmt::format("device {} failed: {}", id, why));
  }
}

void Machine::Warn(const std::string& id, const Status& done) {
  if (!done) events_->Add(v1::Event::WARNING, id, done.error().message());
}

}  // namespace berth::vmm
