#include "vfio/syscalls.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "base/bytes.h"

namespace berth::vfio {
namespace {

template <typename T>
T OrErrno(T result) {
  return result == -1 ? -errno : result;
}

class Kernel final : public Syscalls {
 public:
  int Ioctl(int fd, unsigned long request, uintptr_t argument) override {
    return OrErrno(::ioctl(fd, request, argument));
  }
  int64_t Pread(int fd, void* out, size_t size_bytes, uint64_t offset) override {
    return OrErrno(::pread(fd, out, size_bytes, static_cast<off_t>(offset)));
  }
  int64_t Pwrite(int fd, const void* bytes, size_t size_bytes, uint64_t offset) override {
    return OrErrno(::pwrite(fd, bytes, size_bytes, static_cast<off_t>(offset)));
  }
  intptr_t Map(int fd, uint64_t offset, size_t size_bytes, bool writable, size_t alignment) override {
    // Address space for the worst placement, then the mapping at the aligned place in it, then the rest given
    // back.
    const size_t page = 4 * kKiB;
    const size_t slack = alignment > page ? alignment : 0;
    const size_t reserved = AlignUp(size_bytes, page) + slack;
    void* const start =
        ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return -errno;
    const auto low = reinterpret_cast<uintptr_t>(start);
    const uintptr_t at = AlignUp(low, alignment);
    const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    if (::mmap(reinterpret_cast<void*>(at), size_bytes, protection, MAP_SHARED | MAP_FIXED, fd,
               static_cast<off_t>(offset)) == MAP_FAILED) {
      const int error = errno;
      ::munmap(start, reserved);
      return -error;
    }
    const uintptr_t end = at + AlignUp(size_bytes, page);
    if (at > low) ::munmap(start, at - low);
    if (low + reserved > end) ::munmap(reinterpret_cast<void*>(end), low + reserved - end);
    return static_cast<intptr_t>(at);
  }
  void Unmap(void* address, size_t size_bytes) override { ::munmap(address, size_bytes); }
  void Pause(std::chrono::milliseconds time) override { std::this_thread::sleep_for(time); }
};

}  // namespace

Syscalls& KernelSyscalls() {
  static Kernel kernel;
  return kernel;
}

}  // namespace berth::vfio
