#include "vmm/assigned_devices.h"

#include "base/log.h"

namespace berth::vmm {

Result<std::unique_ptr<AssignedDevices>> AssignedDevices::Create(UniqueFd container, kvm::Vm* vm,
                                                                 hw::AddressSpace* memory_space,
                                                                 EventLoop* control, DeviceReports reports) {
  std::unique_ptr<AssignedDevices> devices(
      new AssignedDevices(TRY(vm->CreateVfioDevice()), memory_space, control, std::move(reports)));
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
  return vfio::CreateVfioPciFunction({.name = config.id(),
                                      .group = TRY(GroupOf(device, fds)),
                                      .device_name = device.device_name(),
                                      .loop = loop,
                                      .observer = this,
                                      .skip_reset = device.skip_reset()});
}

Result<std::shared_ptr<vfio::Group>> AssignedDevices::GroupOf(const v1::VfioDevice& device,
                                                              Descriptors* fds) {
  std::erase_if(by_name_, [](const auto& entry) { return entry.second.expired(); });
  const auto named = by_name_.find(device.group());
  std::shared_ptr<vfio::Group> group =
      named != by_name_.end() ? named->second.lock() : by_descriptor_[device.group_fd()].lock();
  if (group) return group;
  group = TRY(vfio::Group::Create(TRY(fds->Take(device.group_fd())), container_.get(), this));
  by_descriptor_[device.group_fd()] = group;
  if (!device.group().empty()) by_name_[device.group()] = group;
  return group;
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
  control_->Post([reports = std::weak_ptr(reports_), name, why] {
    if (const auto there = reports.lock()) there->failed(name, why);
  });
}

void AssignedDevices::DeviceRequested(const std::string& name) {
  control_->Post([reports = std::weak_ptr(reports_), name] {
    if (const auto there = reports.lock()) there->requested(name);
  });
}

}  // namespace berth::vmm
