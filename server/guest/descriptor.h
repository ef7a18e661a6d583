// What a VMM is handed, as data: which files, opened how.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "host/pci_address.h"
#include "server/volume/pool_settings.h"

namespace berth::server {

// A listening socket at a path.
struct ListenerDescriptor {
  std::string path;
};
struct KvmDescriptor {};
struct VfioContainerDescriptor {};
// A device's VFIO group, which is located first: several devices may be in one, and it can be opened once
// only.
struct VfioGroupDescriptor {
  int group = 0;
};
// A device that VFIO knows, by one of its three names.
struct VfioDeviceName {
  std::optional<host::PciAddress> address;
  std::optional<std::pair<host::PciAddress, int>> vf;  // Physical function and index.
  std::string mdev_uuid;
};
// Memory for the guest that only the VMM maps.
struct MemoryDescriptor {
  std::string name;
  uint64_t size_bytes = 0;
  uint64_t page_size_bytes = 4096;
};
// A file that the guest's owner names.
struct FileDescriptor {
  enum class Role { kKernel, kInitrd, kImage };
  Role role = Role::kKernel;
  std::string path;
  bool writable = false;
  bool direct = false;  // O_DIRECT
  // kImage: what it is ("raw"), and which files it, and those beneath it, may name.
  std::string format{};
  std::vector<std::string> beneath{};
  // kImage, in place of the two: it is the volume that `path` names, of this pool.
  std::optional<PoolSettings> pool{};
};
// A queue of the tap that the guest's step with this subject made.
struct TapQueueDescriptor {
  std::string owner;
  int queue = 0;
};
struct VhostNetDescriptor {};

using Descriptor = std::variant<ListenerDescriptor, KvmDescriptor, VfioContainerDescriptor, VfioDeviceName,
                                VfioGroupDescriptor, MemoryDescriptor, FileDescriptor, TapQueueDescriptor,
                                VhostNetDescriptor>;

// A file as its owner named it, a regular file or (for an image) a block device. An image is locked until the
// last copy of the descriptor is closed, as other programs see: by one writer or any number of readers.
// NOT_FOUND: KERNEL_NOT_FOUND, INITRD_NOT_FOUND, IMAGE_NOT_FOUND. PERMISSION_DENIED: KERNEL_NOT_READABLE and
// so on. INVALID_ARGUMENT: KERNEL_NOT_A_FILE and so on. FAILED_PRECONDITION, IMAGE_IN_USE.
Result<UniqueFd> OpenFile(const FileDescriptor& file);
// RESOURCE_EXHAUSTED, NOT_ENOUGH_HUGE_PAGES; FAILED_PRECONDITION, HUGE_PAGE_SIZE_NOT_SUPPORTED.
Result<UniqueFd> CreateMemory(const MemoryDescriptor& memory);

}  // namespace berth::server
