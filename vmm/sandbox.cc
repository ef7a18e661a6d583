#include "vmm/sandbox.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/vfio.h>
#define VIRTIO_RING_NO_LEGACY  // What it leaves out is not C++.
#include <linux/vhost.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <span>

#include "base/log.h"
#include "kvm/ioctls.h"

namespace berth::vmm {
namespace {

// What the C and C++ runtimes need in any thread: memory, locks, the time, the end.
constexpr int kRuntime[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(close),
    SCMP_SYS(futex),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(tgkill),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_yield),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sched_getaffinity),
};
// mmap and mprotect come besides, where they make nothing executable.
constexpr int kMapping[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};

// Registers of assigned devices, eventfds for their interrupts.
constexpr int kVcpu[] = {SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(eventfd2)};

// Event loop, taps, images; an interrupt's registers as above.
constexpr int kIo[] = {
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),      SCMP_SYS(readv),
    SCMP_SYS(writev),     SCMP_SYS(preadv2),     SCMP_SYS(pwritev2),       SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),   SCMP_SYS(fdatasync),   SCMP_SYS(fallocate),      SCMP_SYS(eventfd2),
    SCMP_SYS(preadv),     SCMP_SYS(pwritev),     SCMP_SYS(io_uring_enter), SCMP_SYS(ftruncate),
    SCMP_SYS(lseek),
};

// Images: their content and metadata, room, holes; and closing them.
constexpr int kImage[] = {
    SCMP_SYS(preadv),    SCMP_SYS(preadv2),   SCMP_SYS(pwritev),   SCMP_SYS(pwritev2),
    SCMP_SYS(pread64),   SCMP_SYS(pwrite64),  SCMP_SYS(fdatasync), SCMP_SYS(lseek),
    SCMP_SYS(fallocate), SCMP_SYS(ftruncate), SCMP_SYS(eventfd2),
};
// Looking at an image, or a block device, that came in a descriptor while the guest runs; and discarding.
constexpr uint32_t kImageRequests[] = {BLKGETSIZE64, BLKSSZGET, BLKPBSZGET, BLKIOOPT, BLKROGET, BLKDISCARD};
constexpr int kImageFcntls[] = {F_GETFL, F_DUPFD_CLOEXEC};

// Event loop, the control socket and console streams, kernel and initrd for a reset.
constexpr int kControl[] = {
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),     SCMP_SYS(accept4),     SCMP_SYS(fcntl),     SCMP_SYS(preadv),  SCMP_SYS(preadv2),
    SCMP_SYS(pread64),    SCMP_SYS(pwrite64),    SCMP_SYS(eventfd2),
};

// Building the machine: threads, the policy of its memory, descriptors and their properties; and the further
// filters.
constexpr int kBuilding[] = {
    SCMP_SYS(rseq),    SCMP_SYS(set_robust_list), SCMP_SYS(rt_sigaction),   SCMP_SYS(mbind),
    SCMP_SYS(mincore), SCMP_SYS(epoll_create1),   SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_register),
    SCMP_SYS(seccomp), SCMP_SYS(lseek),           SCMP_SYS(fstat),
};
constexpr uint32_t kProcessControls[] = {PR_SET_NAME, PR_SET_NO_NEW_PRIVS};

constexpr uint32_t kVfioRunning[] = {
    VFIO_DEVICE_SET_IRQS,      VFIO_DEVICE_RESET,  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
    VFIO_DEVICE_PCI_HOT_RESET, VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA,
};
// Devices that come and go, of the groups that are handed over.
constexpr uint32_t kVfioPlugging[] = {
    VFIO_GROUP_GET_STATUS,    VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER,  VFIO_SET_IOMMU,
    VFIO_IOMMU_GET_INFO,      VFIO_GROUP_GET_DEVICE_FD, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_GET_INFO,
    VFIO_DEVICE_GET_IRQ_INFO,
};
// What a device's display shows.
constexpr uint32_t kVfioDisplay[] = {VFIO_DEVICE_QUERY_GFX_PLANE, VFIO_DEVICE_GET_GFX_DMABUF,
                                     DMA_BUF_IOCTL_SYNC};
constexpr uint32_t kNet[] = {
    TUNSETOFFLOAD,        TUNSETQUEUE,          VHOST_SET_FEATURES,   VHOST_SET_MEM_TABLE,
    VHOST_SET_VRING_NUM,  VHOST_SET_VRING_BASE, VHOST_GET_VRING_BASE, VHOST_SET_VRING_ADDR,
    VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL, VHOST_SET_VRING_ERR,  VHOST_NET_SET_BACKEND,
    VHOST_SET_OWNER,      VHOST_GET_FEATURES,
};
constexpr uint32_t kOpening[] = {TUNGETIFF,  TUNSETVNETHDRSZ, BLKGETSIZE64, BLKSSZGET,
                                 BLKPBSZGET, BLKIOOPT,        BLKROGET,     BLKDISCARD};
// Of the C library's allocator (arenas), which threads share.
constexpr int kMaxHeaps = 8;
constexpr uint32_t kTypeMask = 0xff00;

class Filter {
 public:
  Filter() : context_(::seccomp_init(SCMP_ACT_KILL_PROCESS)) { Keep(context_ ? 0 : -ENOMEM); }
  ~Filter() { ::seccomp_release(context_); }

  void Allow(std::span<const int> calls) {
    for (const int call : calls) Keep(::seccomp_rule_add(context_, SCMP_ACT_ALLOW, call, 0));
  }
  // Only where bits `mask` of the argument are `value`.
  void AllowWhere(int call, unsigned argument, uint64_t mask, uint64_t value) {
    const scmp_arg_cmp condition{argument, SCMP_CMP_MASKED_EQ, mask, value};
    Keep(::seccomp_rule_add_array(context_, SCMP_ACT_ALLOW, call, 1, &condition));
  }
  // Fails, and the process goes on.
  void Refuse(int call, uint32_t error) {
    Keep(::seccomp_rule_add(context_, SCMP_ACT_ERRNO(error), call, 0));
  }
  void AllowRequests(std::span<const uint32_t> requests) {
    for (const uint32_t request : requests) AllowWhere(SCMP_SYS(ioctl), 1, 0xffffffff, request);
  }
  Status Load() {
    Keep(::seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2));  // A binary tree.
    if (error_ == 0) Keep(::seccomp_load(context_));                  // With no_new_privs.
    if (error_ != 0) return FailErrno(-error_, "confine a thread");
    return Ok();
  }

 private:
  // Tables overlap.
  void Keep(int error) { error_ = error_ == 0 && error != -EEXIST ? error : error_; }
  const scmp_filter_ctx context_;
  int error_ = 0;
};

void AllowAskingOfDescriptors(Filter& filter) {
  filter.AllowWhere(SCMP_SYS(newfstatat), 3, AT_EMPTY_PATH, AT_EMPTY_PATH);  // fstat, to the C library.
  filter.AllowWhere(SCMP_SYS(statx), 2, AT_EMPTY_PATH, AT_EMPTY_PATH);
}

void AllowAny(Filter& filter) {
  filter.Allow(kVcpu);
  filter.Allow(kIo);
  filter.Allow(kImage);
  filter.Allow(kControl);
  filter.Allow(kBuilding);
  // Threads, no processes. What clone3 is to make cannot be seen; the C library makes threads without it,
  // too.
  filter.AllowWhere(SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD);
  filter.Refuse(SCMP_SYS(clone3), ENOSYS);
  AllowAskingOfDescriptors(filter);
  for (const uint32_t what : kProcessControls) filter.AllowWhere(SCMP_SYS(prctl), 0, 0xffffffff, what);
  for (const uint32_t type : {uint32_t{kvm::RequestType()}, uint32_t{VFIO_TYPE}, uint32_t{VHOST_VIRTIO}}) {
    filter.AllowWhere(SCMP_SYS(ioctl), 1, kTypeMask, type << 8);
  }
  filter.AllowRequests(kNet);
  filter.AllowRequests(kOpening);
}

}  // namespace

bool CanConfine() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // GCC
  return false;
#elif defined(__has_feature)  // clang
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  return false;
#else
  return true;
#endif
#else
  return true;
#endif
}

Status Confine(ThreadKind kind) {
  if (!CanConfine()) {
    if (kind == ThreadKind::kAny) LOG_WARNING("a build with sanitizers: this process is NOT CONFINED");
    return Ok();
  }
  // With threads beyond the eighth the C library would open a file of /sys, to see how many heaps to have.
  if (kind == ThreadKind::kAny) ::mallopt(M_ARENA_MAX, kMaxHeaps);
  Filter filter;
  filter.Allow(kRuntime);
  for (const int call : kMapping) filter.AllowWhere(call, 2, PROT_EXEC, 0);
  // Before a thread's heap is made smaller, the C library reads in /proc how memory is overcommitted; without
  // that it gives back what it can.
  filter.Refuse(SCMP_SYS(openat), EACCES);
  // Limits are read, to say which one a refused mapping has met; never set.
  filter.AllowWhere(SCMP_SYS(prlimit64), 2, ~uint64_t{0}, 0);
  switch (kind) {
    case ThreadKind::kAny:
      AllowAny(filter);
      break;
    case ThreadKind::kVcpu:
      filter.Allow(kVcpu);
      filter.AllowRequests(kvm::RunningRequests());
      filter.AllowRequests(kVfioRunning);
      break;
    case ThreadKind::kIo:
      filter.Allow(kIo);
      filter.AllowWhere(SCMP_SYS(sendto), 4, ~uint64_t{0}, 0);  // The agent's stream: to its peer alone.
      filter.AllowRequests(kvm::RunningRequests());
      filter.AllowRequests(kVfioRunning);
      filter.AllowRequests(kNet);
      break;
    case ThreadKind::kImage:
      filter.Allow(kImage);
      filter.AllowRequests(kImageRequests);
      filter.Allow(std::array{SCMP_SYS(fstat)});
      AllowAskingOfDescriptors(filter);
      for (const int what : kImageFcntls) filter.AllowWhere(SCMP_SYS(fcntl), 1, ~uint64_t{0}, what);
      break;
    case ThreadKind::kControl:
      filter.Allow(kControl);
      filter.AllowRequests(kvm::RunningRequests());
      filter.AllowRequests(kvm::ControlRequests());
      filter.AllowRequests(kVfioRunning);
      filter.AllowRequests(kVfioPlugging);
      filter.AllowRequests(kVfioDisplay);
      filter.AllowRequests(kNet);
      break;
  }
  return Context(filter.Load(), "seccomp");
}

}  // namespace berth::vmm
