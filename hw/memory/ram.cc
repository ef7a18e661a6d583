#include "hw/memory/ram.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"

namespace berth::hw {
namespace {

constexpr uint32_t kMaxHostNodes = 1024;  // MAX_NUMNODES of Linux's largest configuration.

// Without a policy of its own, the kernel samples which node uses memory by taking it away for a moment: an
// exit a page every second or so. Where a guest's memory should be is for whoever places it to say.
void AllocateNearby(uint8_t* address, uint64_t size) {
  if (::syscall(SYS_mbind, address, size, MPOL_LOCAL, nullptr, 0, 0) != 0 && errno != ENOSYS) {
    LOG_WARNING("guest memory keeps the process's NUMA policy: {}", std::strerror(errno));
  }
}

Status Bind(uint8_t* address, uint64_t size, std::span<const uint32_t> host_nodes) {
  unsigned long mask[kMaxHostNodes / (8 * sizeof(unsigned long))] = {};
  for (uint32_t node : host_nodes) {
    if (node >= kMaxHostNodes) return Fail(Code::kInvalidArgument, "there is no host NUMA node {}", node);
    mask[node / 64] |= 1ul << (node % 64);
  }
  if (::syscall(SYS_mbind, address, size, MPOL_BIND, mask, kMaxHostNodes, 0) != 0) {
    return FailErrno(errno, "bind guest memory to host NUMA node {}", host_nodes.front());
  }
  return Ok();
}

}  // namespace

Result<std::unique_ptr<RamBlock>> RamBlock::Create(UniqueFd memory, uint64_t size_bytes,
                                                   std::span<const uint32_t> host_nodes) {
  struct stat info {};
  if (::fstat(memory.get(), &info) != 0) return FailErrno(errno, "look at the guest's memory file");
  if (static_cast<uint64_t>(info.st_size) < size_bytes) {
    return Fail(Code::kResourceExhausted, "the guest's memory file has {}, not {}",
                HumanSize(static_cast<uint64_t>(info.st_size)), HumanSize(size_bytes));
  }
  return Map(std::move(memory), size_bytes, MAP_SHARED, host_nodes);
}

Result<std::unique_ptr<RamBlock>> RamBlock::CreateMergeable(uint64_t size_bytes,
                                                            std::span<const uint32_t> host_nodes) {
  auto block = TRY(Map(UniqueFd(), size_bytes, MAP_PRIVATE | MAP_ANONYMOUS, host_nodes));
  if (::madvise(block->address_, size_bytes, MADV_MERGEABLE) != 0)
    LOG_WARNING("guest memory is not merged: {}", SystemError(errno, "mark it").message());
  return block;
}

Result<std::unique_ptr<RamBlock>> RamBlock::Map(UniqueFd fd, uint64_t size_bytes, int flags,
                                                std::span<const uint32_t> host_nodes) {
  void* address = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd.get(), 0);
  if (address == MAP_FAILED) return FailErrno(errno, "map {} of guest memory", HumanSize(size_bytes));
  std::unique_ptr<RamBlock> block(new RamBlock(std::move(fd), static_cast<uint8_t*>(address), size_bytes));
  if (host_nodes.empty()) {
    AllocateNearby(block->address_, size_bytes);
  } else {
    TRY(Bind(block->address_, size_bytes, host_nodes));
  }
  // Both are hints: hugetlb and kernels without shmem huge pages refuse the first.
  ::madvise(address, size_bytes, MADV_HUGEPAGE);
  ::madvise(address, size_bytes, MADV_DONTDUMP);
  return block;
}

void RamBlock::Populate(unsigned threads) const {
  constexpr uint64_t kStep = 64 * kMiB;  // Of every page size.
  std::atomic<uint64_t> next{0};
  const auto populate = [&] {
    for (uint64_t at = next.fetch_add(kStep); at < size_; at = next.fetch_add(kStep)) {
      if (::madvise(address_ + at, std::min(kStep, size_ - at), MADV_POPULATE_WRITE) != 0) return;
    }
  };
  std::vector<std::jthread> helpers;
  for (unsigned i = 1; i < threads; ++i) helpers.emplace_back(populate);
  populate();
}

RamBlock::~RamBlock() { ::munmap(address_, size_); }

HostMapping RamBlock::Slice(uint64_t offset, uint64_t size_bytes) const {
  CHECK((Range{0, size_}.Contains(offset, size_bytes)));
  return {address_ + offset, size_bytes, fd_.get(), offset};
}

}  // namespace berth::hw
