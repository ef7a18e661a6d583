// An open VFIO device: what it has (regions, interrupts) and its resets. <linux/vfio.h>.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/unique_fd.h"
#include "vfio/group.h"

namespace berth::vfio {

struct RegionInfo {
  uint32_t index = 0;
  uint64_t size = 0;         // 0: there is no such region.
  uint64_t file_offset = 0;  // Of its first byte in the device's descriptor.
  bool readable = false;
  bool writable = false;
  // What may be mapped, within the region's pages: exactly these ranges, in order. Empty for none.
  std::vector<Range> mappable;
  // The mappable ranges may cover the MSI-X table.
  bool msix_mappable = false;
  // Of regions with an index beyond the fixed ones.
  struct Type {
    uint32_t type = 0;
    uint32_t subtype = 0;
  };
  std::optional<Type> type;
};

struct InterruptInfo {
  uint32_t count = 0;  // 0: there are none of this index.
  bool eventfd = false;
  bool maskable = false;
  bool automasked = false;
  // More vectors than at first can only be had by disabling all and enabling them anew.
  bool no_resize = false;
};

// A function that a hot reset of another one resets too.
struct DependentDevice {
  uint32_t group = 0;
  uint16_t segment = 0;
  uint8_t bus = 0;
  uint8_t devfn = 0;
};

// Any thread, as far as the kernel is concerned.
class Device {
 public:
  static Result<std::unique_ptr<Device>> Open(std::shared_ptr<Group> group, const std::string& name);

  const std::string& name() const { return name_; }
  int fd() const { return fd_.get(); }
  Syscalls& syscalls() const { return group_->syscalls(); }
  const Group& group() const { return *group_; }

  bool is_pci() const { return is_pci_; }
  bool resettable() const { return resettable_; }
  uint32_t region_count() const { return region_count_; }

  // Indices: VFIO_PCI_*_REGION_INDEX, VFIO_PCI_*_IRQ_INDEX. A region or interrupt that the device does not
  // know has size or count 0.
  Result<RegionInfo> Region(uint32_t index) const;
  Result<InterruptInfo> Interrupts(uint32_t index) const;

  Status Reset() const;
  // What would be reset with it; UNIMPLEMENTED where its bus or slot cannot be.
  Result<std::vector<DependentDevice>> HotResetDependents() const;
  // Resets the bus or slot; every device there belongs to one of these groups.
  Status HotReset(std::span<const int> group_fds) const;

 private:
  Device(std::shared_ptr<Group> group, std::string name, UniqueFd fd)
      : group_(std::move(group)), name_(std::move(name)), fd_(std::move(fd)) {}

  // The descriptor is closed before the group is let go.
  const std::shared_ptr<Group> group_;
  const std::string name_;
  const UniqueFd fd_;
  bool is_pci_ = false;
  bool resettable_ = false;
  uint32_t region_count_ = 0;
  uint32_t interrupt_count_ = 0;
};

}  // namespace berth::vfio
