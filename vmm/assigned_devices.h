// What the machine's assigned devices have in common: their container, their groups, KVM's knowledge of them,
// and the guest's memory mapped for their DMA.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "berth/vmm/v1/control.pb.h"
#include "hw/memory/address_space.h"
#include "hw/pci/function.h"
#include "kvm/vm.h"
#include "vfio/dma_listener.h"
#include "vfio/group.h"
#include "vfio/pci_function.h"
#include "vfio/type1_container.h"
#include "vmm/descriptors.h"

namespace berth::vmm {

// What devices report, by their ids. Called on the control thread, maybe after the device has gone, never
// after AssignedDevices.
struct DeviceReports {
  std::function<void(const std::string& id, const std::string& why)> failed;
  std::function<void(const std::string& id)> requested;
};

// Outlives the functions it made. Control thread, but for what the functions report.
class AssignedDevices final : public vfio::GroupObserver, public vfio::FunctionObserver {
 public:
  // Takes over a descriptor of /dev/vfio/vfio. From here on all guest memory is mapped, and pinned with the
  // first group.
  static Result<std::unique_ptr<AssignedDevices>> Create(UniqueFd container, kvm::Vm* vm,
                                                         hw::AddressSpace* memory_space, EventLoop* control,
                                                         DeviceReports reports);
  ~AssignedDevices() override;

  // The function behind a configuration; it is used on `loop`. A group that a device here is of already is
  // known by its name, or by the descriptor that came in the same message.
  Result<std::unique_ptr<vfio::VfioPciFunction>> CreateFunction(const v1::DeviceConfig& config,
                                                                Descriptors* fds, EventLoop* loop);
  // The width of the addresses that all of the devices reach; nullopt while there is none behind an IOMMU.
  std::optional<unsigned> AddressBits() const;
  // Another message's descriptors follow.
  void ForgetDescriptors() { by_descriptor_.clear(); }

 private:
  AssignedDevices(UniqueFd kvm_device, hw::AddressSpace* memory_space, EventLoop* control,
                  DeviceReports reports)
      : kvm_device_(std::move(kvm_device)),
        memory_space_(memory_space),
        control_(control),
        reports_(std::make_shared<const DeviceReports>(std::move(reports))) {}
  Result<std::shared_ptr<vfio::Group>> GroupOf(const v1::VfioDevice& device, Descriptors* fds);

  Status GroupAdded(int group_fd) override;
  void GroupRemoved(int group_fd) override;
  void DeviceFailed(const std::string& name, const std::string& why) override;
  void DeviceRequested(const std::string& name) override;

  const UniqueFd kvm_device_;
  hw::AddressSpace* const memory_space_;
  EventLoop* const control_;
  const std::shared_ptr<const DeviceReports> reports_;
  std::unique_ptr<vfio::Type1Container> container_;
  std::unique_ptr<vfio::DmaListener> listener_;
  vfio::ResetNeighbours neighbours_;
  std::map<std::string, std::weak_ptr<vfio::Group>> by_name_;
  std::map<uint32_t, std::weak_ptr<vfio::Group>> by_descriptor_;  // Of this message.
};

}  // namespace berth::vmm
