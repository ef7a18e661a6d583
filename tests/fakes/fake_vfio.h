// The kernel's VFIO without a kernel: a container with its IOMMU, groups, and devices (fake_vfio_device.h).
// It is as strict as the kernel is, and can misbehave.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/fake_vfio_device.h"
#include "vfio/syscalls.h"

namespace berth::vfio {

class FakeVfio final : public Syscalls {
 public:
  // Requests that are no ioctls, for FailCall and calls().
  static constexpr unsigned long kPread = 1, kPwrite = 2, kMap = 3;

  // Descriptors as the VMM is handed them.
  UniqueFd OpenContainer();
  UniqueFd OpenGroup(const std::string& group);

  struct Group {
    bool viable = true;
    bool in_container = false;
    std::map<std::string, std::unique_ptr<FakeVfioDevice>> devices;
    int busy_opens = 0;  // So many opens of a device fail with EAGAIN.
  };
  Group& group(const std::string& name) { return groups_[name]; }
  FakeVfioDevice& AddDevice(const std::string& group, const std::string& name);

  // The IOMMU.
  struct Mapping {
    uint64_t address = 0;
    uint64_t size = 0;
    uint32_t flags = 0;
  };
  std::map<uint64_t, Mapping> mappings;  // By IOVA.
  std::vector<Range> valid_ranges = {{0, 0xfee00000}, {0xfef00000, (uint64_t{1} << 39) - 0xfef00000}};
  uint64_t page_sizes = 0x40201000;
  uint64_t memlock_bytes = ~uint64_t{0};
  uint32_t max_mappings = 65535;
  bool iommu_enabled = false;
  int api_version = 0;
  bool type1v2 = true;
  bool info_capabilities = true;
  bool looping_capabilities = false;  // The chain of IOMMU_GET_INFO never ends.

  // The n-th call of this request from now on (1: the next) fails.
  void FailCall(unsigned long request, int nth, int errno_value);
  bool short_reads = false;  // Reads give half of what was asked for.
  std::chrono::milliseconds paused{0};

  // All requests so far, in order.
  const std::vector<unsigned long>& calls() const { return calls_; }
  int Count(unsigned long request) const;

  int Ioctl(int fd, unsigned long request, uintptr_t argument) override;
  int64_t Pread(int fd, void* out, size_t size_bytes, uint64_t offset) override;
  int64_t Pwrite(int fd, const void* bytes, size_t size_bytes, uint64_t offset) override;
  intptr_t Map(int fd, uint64_t offset, size_t size_bytes, bool writable, size_t alignment) override;
  void Unmap(void* address, size_t size_bytes) override;
  void Pause(std::chrono::milliseconds time) override { paused += time; }

 private:
  struct OpenDevice {
    int fd;
    FakeVfioDevice* device;
    Group* group;
  };
  UniqueFd NewDescriptor(uint64_t* inode);
  int Failure(unsigned long request);
  FakeVfioDevice* Device(int fd);
  int ContainerIoctl(unsigned long request, uintptr_t argument);
  int GroupIoctl(Group& group, unsigned long request, uintptr_t argument);
  int MapDma(void* argument);
  int UnmapDma(void* argument);
  int IommuInfo(uint8_t* argument);
  int OpenDeviceIn(Group& group, const char* name);

  std::recursive_mutex mutex_;
  std::map<std::string, Group> groups_;
  std::set<uint64_t> containers_;  // By inode, as are the next two.
  std::map<uint64_t, Group*> open_groups_;
  std::map<uint64_t, OpenDevice> open_devices_;
  std::multimap<unsigned long, std::pair<int, int>> failures_;  // Request: calls to go, errno.
  std::vector<unsigned long> calls_;
};

}  // namespace berth::vfio
