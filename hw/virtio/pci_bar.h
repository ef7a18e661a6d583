// The BAR of a virtio function: where its structures are, and what answers there. VIRTIO 1.2 section 4.1.4.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hw/memory/region.h"
#include "hw/pci/msix.h"
#include "hw/virtio/common_config.h"

namespace berth::hw {

class VirtioBar {
 public:
  static constexpr unsigned kMaxQueues = 1024;
  static constexpr uint32_t kDoorbellStride = 4;  // notify_off_multiplier

  // A structure that a vendor capability points at (cfg_type of 4.1.4).
  enum class Type : uint8_t { kCommon = 1, kNotify = 2, kIsr = 3, kDevice = 4, kPciConfig = 5 };
  struct Structure {
    Type type;
    uint32_t offset;
    uint32_t length;
  };

  // Both outlive it.
  VirtioBar(const std::string& name, CommonConfig* common, Msix* msix);

  // What the guest sees, as large as a BAR has to be.
  Region* region() { return &bar_; }
  std::vector<Structure> structures() const;
  uint32_t msix_table_offset() const;
  uint32_t msix_pba_offset() const { return pba_offset_; }

  // Accesses by offset, for the window in configuration space. Nothing, or no effect, where there is no
  // structure.
  std::optional<uint64_t> Read(uint64_t offset, unsigned size);
  void Write(uint64_t offset, unsigned size, uint64_t value);

 private:
  struct Place {
    IoHandler* handler = nullptr;
    uint64_t offset = 0;
  };
  Place Find(uint64_t offset, unsigned size) const;
  uint32_t doorbells_size() const;

  CommonConfig& common_;
  const std::unique_ptr<IoHandler> isr_handler_, device_handler_, doorbell_handler_;
  const uint32_t pba_offset_;
  Region bar_;
  Region common_region_, isr_region_, device_region_, doorbell_region_, table_region_, pba_region_;
};

}  // namespace berth::hw
