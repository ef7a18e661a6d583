#include "vmm/assigned_devices.h"

#include "base/log.h"

namespace berth::vmm {

Result<std::unique_ptr<AssignedDevices>> AssignedDevices::Create(UniqueFd container, kvm::Vm* vm,
                                                                 hw::AddressSpace* memory_space,
                                                                 EventLoop* control, EventLog* events) {
  std::unique_ptr<AssignedDevices> devices(
      new AssignedDevices(TRY(vm->CreateVfioDevice()), memory_space, control, events));
  devices->container_ = TRY(vfio::Type1Container::Create(std::move(container)));
  devices->listener_ = std::make_unique<vfio::DmaListener>(devices->container_.get());
  TRY(memory_space->AddListener(devices->listener_.get()));
  return devices;
}

AssignedDevices::~AssignedDevices() {
  if (listener_) memory_space_->RemoveListener(listener_.get());
}

Result<std::unique_ptr<vfio::VfioPciFunction>> AssignedDevices::CreateFunction(const v1::DeviceConfig& config,
                                                                               Descriptors* fds,
                                                                               EventLoop* loop) {
  const v1::VfioDevice& device = config.vfio();
  std::shared_ptr<vfio::Group> group = groups_[device.group_fd()].lock();
  if (!group) {
    group = TRY(vfio::Group::Create(TRY(fds->Take(device.group_fd())), container_.get(), this));
    groups_[device.group_fd()] = group;
  }
  return vfio::CreateVfioPciFunction({.name = config.id(),
                                      .group = std::move(group),
                                      .device_name = device.device_name(),
                                      .loop = loop,
                                      .observer = this,
                                      .skip_reset = device.skip_reset()});
}

Status AssignedDevices::GroupAdded(int group_fd) {
  return kvm::Vm::VfioAddGroup(kvm_device_.get(), group_fd);
}

void AssignedDevices::GroupRemoved(int group_fd) {
  if (const Status removed = kvm::Vm::VfioRemoveGroup(kvm_device_.get(), group_fd); !removed) {
    LOG_WARNING("{}", removed.error().message());
  }
}

void AssignedDevices::DeviceFailed(const std::string& name, const std::string& why) {
  Report(v1::Event::DEVICE_FAILED, name, why);
}

void AssignedDevices::DeviceRequested(const std::string& name) {
  Report(v1::Event::DEVICE_REQUESTED, name, "the host wants the device back");
}

void AssignedDevices::Report(v1::Event::Kind kind, const std::string& name, const std::string& text) {
  control_->Post([events = events_, kind, name, text] { events->Add(kind, name, text); });
}

}  // namespace berth::vmm
