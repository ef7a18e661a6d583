// A PCI device as VFIO shows it: configuration space, regions backed by memory, interrupts. As strict as
// vfio-pci.
#pragma once

#include <linux/vfio.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/unique_fd.h"
#include "vfio/device.h"

namespace berth::vfio {

class FakeVfioDevice {
 public:
  // A conventional endpoint 1b36:0005 without BARs: 4 KiB of configuration space, writable where the command
  // register, the cache line size and the interrupt line are.
  FakeVfioDevice();
  ~FakeVfioDevice();

  // Configuration space.
  std::vector<uint8_t> config, config_writable;
  template <typename T>
  T Config(uint16_t offset) const {
    return LoadLe<T>(&config[offset]);
  }
  template <typename T>
  void SetConfig(uint16_t offset, T value) {
    StoreLe<T>(&config[offset], value);
  }
  struct ConfigWrite {
    uint64_t offset;
    uint64_t value;
    unsigned size;
    friend bool operator==(const ConfigWrite&, const ConfigWrite&) = default;
  };
  std::vector<ConfigWrite> config_writes;

  // Appends to the chain at 0x34, or 0x100; the offset of the new capability.
  uint16_t AddCapability(uint16_t offset, uint8_t id, const std::vector<uint8_t>& body);
  uint16_t AddExtendedCapability(uint16_t offset, uint16_t id, const std::vector<uint8_t>& body);
  // A PCI Express capability, version 2, of this device/port type.
  void AddExpress(uint16_t offset, uint8_t type);
  // MSI-X with its table and pending bits at these places.
  void AddMsix(uint16_t offset, unsigned vectors, unsigned bar, uint32_t table, uint32_t pba);

  // Regions. A memory BAR also gets its kind bits in the configuration space.
  struct Region {
    uint64_t size = 0;
    uint32_t flags = 0;  // VFIO_REGION_INFO_FLAG_*
    std::vector<Range> sparse;
    bool msix_mappable = false;
    bool exact_maps = false;  // Only what is in `sparse`, as it is, may be mapped.
    std::optional<RegionInfo::Type> type;
    UniqueFd memory;
    uint8_t* bytes = nullptr;
  };
  Region& AddBar(unsigned index, uint64_t size, uint32_t kind_bits, bool mappable);
  Region& AddRegion(unsigned index, uint64_t size, uint32_t flags);
  Region& region(unsigned index) { return regions_[index]; }
  static uint64_t FileOffset(unsigned index) { return uint64_t{index} << 40; }
  // Accesses to memory BARs need the command register's memory bit.
  bool check_decode = true;

  // What it shows; nothing with an empty drm_format. `buffer`: in a DMA buffer; else in region
  // `region_index`.
  struct Display {
    vfio_device_gfx_plane_info plane;
    UniqueFd buffer;
  };
  std::optional<Display> display;

  // Interrupts.
  static constexpr unsigned kIrqIndices = 5;
  struct Irq {
    uint32_t count = 0;
    uint32_t flags = 0;
    std::vector<UniqueFd> triggers;  // What is connected; a descriptor of our own, as the kernel has.
  };
  std::array<Irq, kIrqIndices> irqs;
  bool intx_unmask_eventfd = true;  // Else ENOTTY, as mtty answers.
  bool refuses_msix_without_trigger = false;
  uint32_t host_vectors = 2048;               // More than these cannot be had.
  int irq_mode() const { return irq_mode_; }  // The index in use, or -1.
  bool intx_masked() const { return intx_masked_; }
  // The level of the INTx pin: signals, and masks itself, while up and unmasked.
  void SetIntx(bool level);
  // What the kernel does when the unmask eventfd is signalled: nothing else would, here.
  void ServeIntxUnmask();
  void Raise(unsigned irq_index, unsigned vector);
  unsigned connected(unsigned irq_index) const;

  // Resets.
  bool resettable = true;
  int reset_errno = 0;
  int resets = 0, hot_resets = 0;
  unsigned hot_reset_groups = 0;            // That the last hot reset named.
  int dead_after_reset = 0;                 // So many reads of the identity give ones after a reset.
  std::vector<DependentDevice> dependents;  // Empty: no hot reset.
  bool is_pci = true;

  // The kernel's side of system calls. Errors are negative.
  int Ioctl(unsigned long request, uint8_t* argument);
  int64_t Read(uint8_t* out, size_t size, uint64_t offset);
  int64_t Write(const uint8_t* bytes, size_t size, uint64_t offset);
  intptr_t Map(uint64_t offset, size_t size, bool writable);

 private:
  int QueryPlane(uint8_t* argument);
  int RegionInfoIoctl(uint8_t* argument);
  int IrqInfoIoctl(uint8_t* argument);
  int SetIrqs(const uint8_t* argument);
  int SetIntxIrq(uint32_t action, uint32_t count, const int32_t* eventfds);
  int SetMessageIrqs(uint32_t index, uint32_t start, uint32_t count, const int32_t* eventfds);
  int HotResetInfo(uint8_t* argument);
  void SignalIntx();
  bool Decodes(unsigned region) const;

  std::array<Region, 12> regions_;
  unsigned region_count_ = 9;
  int irq_mode_ = -1;
  bool intx_level_ = false, intx_masked_ = false;
  UniqueFd intx_unmask_;
  int dead_reads_ = 0;
  uint16_t last_capability_ = 0, last_extended_ = 0;
};

}  // namespace berth::vfio
