#include "vmm/assigned_devices.h"

#include <algorithm>
#include <bit>

#include "base/log.h"
#include "vfio/clique_capability.h"

namespace berth::vmm {
namespace {

vfio::PciIdentity IdentityOf(const v1::PciIdentity& identity) {
  vfio::PciIdentity shown;
  if (identity.has_vendor_id()) shown.vendor_id = static_cast<uint16_t>(identity.vendor_id());
  if (identity.has_device_id()) shown.device_id = static_cast<uint16_t>(identity.device_id());
  if (identity.has_subsystem_vendor_id()) {
    shown.subsystem_vendor_id = static_cast<uint16_t>(identity.subsystem_vendor_id());
  }
  if (identity.has_subsystem_id()) shown.subsystem_id = static_cast<uint16_t>(identity.subsystem_id());
  return shown;
}

}  // namespace

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
  std::optional<vfio::MonitorSize> monitor;
  if (device.has_monitor()) monitor = vfio::MonitorSize{device.monitor().width(), device.monitor().height()};
  std::optional<unsigned> clique;
  if (device.has_gpudirect_clique()) clique = std::min(device.gpudirect_clique(), vfio::kMaxClique);
  return vfio::CreateVfioPciFunction({.name = config.id(),
                                      .group = TRY(GroupOf(device, fds)),
                                      .device_name = device.device_name(),
                                      .loop = loop,
                                      .observer = this,
                                      .neighbours = &neighbours_,
                                      .skip_reset = device.skip_reset(),
                                      .relocate_msix = device.relocate_msix(),
                                      .show_rom = !device.hide_rom(),
                                      .monitor = monitor,
                                      .identity = IdentityOf(device.identity()),
                                      .gpudirect_clique = clique});
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

std::optional<unsigned> AssignedDevices::AddressBits() const {
  const Result<vfio::DmaLimits> limits = container_->Limits();
  if (!limits || limits->valid.empty()) return std::nullopt;
  return static_cast<unsigned>(std::bit_width(limits->valid.back().end() - 1));
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
