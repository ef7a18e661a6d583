// The virtual machine: the list of its parts, and what can be done to it as a whole.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/event_loop.h"
#include "berth/vmm/v1/control.pb.h"
#include "block/engine.h"
#include "block/image_job.h"
#include "hw/boot/byte_source.h"
#include "hw/boot/loader.h"
#include "hw/chipset/power.h"
#include "hw/chipset/pvpanic.h"
#include "hw/chipset/rtc.h"
#include "hw/chipset/serial.h"
#include "hw/interrupt/kvm_interrupts.h"
#include "hw/memory/address_map.h"
#include "hw/memory/address_space.h"
#include "hw/memory/guest_memory.h"
#include "hw/memory/kvm_listeners.h"
#include "hw/memory/ram.h"
#include "hw/pci/bus.h"
#include "hw/pci/layout.h"
#include "kvm/system.h"
#include "kvm/vm.h"
#include "vmm/agent_channel.h"
#include "vmm/assigned_devices.h"
#include "vmm/console.h"
#include "vmm/descriptors.h"
#include "vmm/devices.h"
#include "vmm/event_log.h"
#include "vmm/hot_plug_ports.h"
#include "vmm/sandbox.h"
#include "vmm/vcpu_threads.h"

namespace berth::vmm {

// Control thread only, but for what says otherwise.
class Machine {
 public:
  // Builds all of it; the vCPUs' threads exist and wait. `control` is the loop of this thread, `events` gets
  // what happens; both outlive the machine.
  static Result<std::unique_ptr<Machine>> Build(const v1::MachineConfig& config, UniqueFd kvm,
                                                Descriptors fds, EventLoop* control, EventLog* events);
  ~Machine();

  Status Run();
  Status Pause();
  // As the reset register does: every device and CPU to its state after power-on, the kernel loaded anew;
  // then it runs. `why` is told with the event.
  Status Reset(const std::string& why);
  void PressPowerButton();
  // As the requests of these names.
  Status SetDiskLimits(const std::string& id, const v1::DiskIoLimits& limits);
  Status GrowDisk(const std::string& id, uint64_t size_bytes);
  Status ExchangeDisk(const v1::ExchangeDisk& request, Descriptors fds);
  Status ChangeSnapshot(const v1::ChangeSnapshot& request);
  Status ChangeBitmap(const v1::ChangeBitmap& request);
  Result<v1::Bitmaps> ReadBitmaps(const std::string& id);
  Status StartDiskJob(const v1::StartDiskJob& request, Descriptors fds);
  Result<v1::DiskJob> ReadDiskJob(const std::string& id);
  Status EndDiskJob(const v1::EndDiskJob& request, Descriptors fds);
  void EndDiskJobs();
  // The vCPUs stop for good, and images of disks are as if they had been closed.
  void FinishDisks();
  Status AttachConsole(UniqueFd stream);
  // As the request.
  Status AttachAgent(UniqueFd stream);
  // FAILED_PRECONDITION, NO_BALLOON; and VirtioBalloon::SetTarget's.
  Status SetBalloon(uint64_t size_bytes);
  Result<v1::BalloonReport> ReadBalloon() const;

  // One more device, and one less: the requests of these names (control.proto), with their errors.
  Result<v1::DeviceState> PlugDevice(const v1::DeviceConfig& device, Descriptors fds);
  Status UnplugDevice(const std::string& id, bool force);
  // As the request.
  Result<v1::Picture> CaptureDisplay(const std::string& id, int out, uint64_t limit_bytes) const;

  // With the devices that are there now.
  const v1::MachineConfig& config() const { return config_; }
  v1::MachineState state() const { return state_; }
  v1::Built Built() const;
  v1::Counters Counters() const;

 private:
  Machine(const v1::MachineConfig& config, EventLoop* control, EventLog* events);

  Status Confine(ThreadKind kind) const;
  // Build, in its order.
  Status CreateVm(UniqueFd kvm);
  Status CreateRam(Descriptors& fds);
  Status CreateChipset(Descriptors& fds);
  Status CreatePci();
  Status CreateDevices(Descriptors& fds);
  Result<hw::AddressMap> PlanDeviceWindow(const hw::Memory64Needs& needs) const;
  Status StartIoThread();
  Status LoadFirmware();
  Status OpenBootFiles(Descriptors& fds);
  Status LoadKernel();
  Status CreateVcpus();
  void MapWhatIsThere();

  Status EnterKernel();
  Status AddPorts(const char* name, uint16_t port, uint64_t count, hw::IoHandler* handler);
  void RequestReset(const std::string& why);
  void TripleFault(uint32_t vcpu, const std::string& place);
  // Devices that come and go.
  const v1::DeviceConfig* FindDevice(const std::string& id) const;
  Status CheckNotOver() const;
  bool HasAssigned() const;
  void PinBalloon(bool pinned);
  Result<v1::DeviceState> PutIntoPort(const v1::DeviceConfig& device, Descriptors* fds);
  void DeviceGone(const std::string& id, const std::string& why);
  void DeviceDeclined(const std::string& id);
  void DeviceRequested(const std::string& id);
  void DeviceFailed(const std::string& id, const std::string& why);
  void Warn(const std::string& id, const Status& done);

  void Fail(const std::string& why);
  void CompleteImages();
  Result<BuiltDevices::Disk*> FindDisk(const std::string& id);
  v1::BlockDevice* DiskConfig(const std::string& id);
  Result<block::ImageNode*> FindImage(const std::string& id);
  Status CheckNoJob(const std::string& id) const;
  struct DiskJob {
    std::unique_ptr<block::ImageJob> job;
    std::string target_format;  // Of a mirror.
  };
  Result<DiskJob*> FindJob(const std::string& id);
  Status ChangeImage(const std::string& id, const block::ImageChange& change);
  void SetState(v1::MachineState state, std::string text = {});

  v1::MachineConfig config_;
  EventLoop* const control_;
  EventLog* const events_;
  v1::MachineState state_ = v1::BUILDING;

  std::unique_ptr<kvm::System> system_;
  std::unique_ptr<kvm::Vm> vm_;
  std::unique_ptr<hw::KvmInterrupts> interrupts_;

  hw::AddressSpace memory_space_{"memory", ~uint64_t{0}};
  hw::AddressSpace port_space_{"ports", 0x10000};
  std::unique_ptr<hw::KvmMemorySlots> slots_;
  std::unique_ptr<hw::KvmIoEvents> memory_doorbells_, port_doorbells_;

  unsigned address_bits_ = 0;
  hw::AddressMap addresses_;
  std::vector<std::unique_ptr<hw::RamBlock>> ram_blocks_;
  std::vector<std::unique_ptr<hw::Region>> ram_regions_;
  std::vector<uint32_t> ram_nodes_;  // Of each region.
  std::unique_ptr<hw::GuestMemory> memory_;

  std::unique_ptr<EventLoop> io_loop_;
  std::unique_ptr<block::IoEngine> io_engine_;
  std::thread io_thread_;
  std::atomic<pid_t> io_tid_{0};

  std::unique_ptr<Console> console_;
  std::unique_ptr<hw::Serial> serial_;
  std::unique_ptr<hw::Rtc> rtc_;
  std::unique_ptr<hw::Power> power_;
  std::unique_ptr<hw::Pvpanic> pvpanic_;
  std::vector<std::unique_ptr<hw::Region>> regions_;  // Of the chipset and the host bridge.

  std::unique_ptr<AgentChannel> agent_;
  std::unique_ptr<AssignedDevices> assigned_;  // Outlives the functions on the bus.
  std::unique_ptr<hw::PciHostBridge> pci_;
  std::unique_ptr<HotPlugPorts> ports_;
  std::vector<hw::FunctionPlan> layout_;
  BuiltDevices devices_;
  // On disks, by their ids. Changed on the loop's thread while this one waits; end before anything of the
  // disks does.
  std::map<std::string, DiskJob> disk_jobs_;

  std::unique_ptr<hw::FileSource> kernel_, initrd_;
  UniqueFd kernel_fd_, initrd_fd_;
  uint64_t rsdp_address_ = 0;
  hw::BootEntry entry_;

  std::unique_ptr<VcpuThreads> vcpus_;
};

}  // namespace berth::vmm
