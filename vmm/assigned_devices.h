// What the machine's assigned devices have in common: their container, their groups, KVM's knowledge of them,
// and the guest's memory mapped for their DMA.
#pragma once

#include <map>
#include <memory>
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
#include "vmm/event_log.h"

namespace berth::vmm {

// Outlives the functions it made. Control thread, but for what the functions report.
class AssignedDevices final : public vfio::GroupObserver, public vfio::FunctionObserver {
 public:
  // Takes over a descriptor of /dev/vfio/vfio. From here on all guest memory is mapped, and pinned with the
  // first group.
  static Result<std::unique_ptr<AssignedDevices>> Create(UniqueFd container, kvm::Vm* vm,
                                                         hw::AddressSpace* memory_space, EventLoop* control,
                                                         EventLog* events);
  ~AssignedDevices() override;

  // The function behind a configuration; it is used on `loop`.
  Result<std::unique_ptr<vfio::VfioPciFunction>> CreateFunction(const v1::DeviceConfig& config,
                                                                Descriptors* fds, EventLoop* loop);

 private:
  AssignedDevices(UniqueFd kvm_device, hw::AddressSpace* memory_space, EventLoop* control, EventLog* events)
      : kvm_device_(std::move(kvm_device)), memory_space_(memory_space), control_(control), events_(events) {}

  Status GroupAdded(int group_fd) override;
  void GroupRemoved(int group_fd) override;
  void DeviceFailed(const std::string& name, const std::string& why) override;
  void DeviceRequested(const std::string& name) override;
  void Report(v1::Event::Kind kind, const std::string& name, const std::string& text);

  const UniqueFd kvm_device_;
  hw::AddressSpace* const memory_space_;
  EventLoop* const control_;
  EventLog* const events_;
  std::unique_ptr<vfio::Type1Container> container_;
  std::unique_ptr<vfio::DmaListener> listener_;
  std::map<uint32_t, std::weak_ptr<vfio::Group>> groups_;  // By the index of their descriptor.
};

}  // namespace berth::vmm
