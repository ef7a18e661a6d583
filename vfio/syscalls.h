// The system calls VFIO consists of, as one interface: the seam where tests put a kernel of their own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace berth::vfio {

// Every method answers as the system call does, with -errno in place of -1 and errno. Any thread.
class Syscalls {
 public:
  virtual ~Syscalls() = default;
  // `argument` is a pointer or a number, as the request wants it.
  virtual int Ioctl(int fd, unsigned long request, uintptr_t argument) = 0;
  virtual int64_t Pread(int fd, void* out, size_t size_bytes, uint64_t offset) = 0;
  virtual int64_t Pwrite(int fd, const void* bytes, size_t size_bytes, uint64_t offset) = 0;
  // A shared mapping whose address is a multiple of `alignment` (a power of two, at least a page): huge pages
  // need it. The address, or -errno.
  virtual intptr_t Map(int fd, uint64_t offset, size_t size_bytes, bool writable, size_t alignment) = 0;
  virtual void Unmap(void* address, size_t size_bytes) = 0;
  // Waits, between two tries of something that may yet succeed.
  virtual void Pause(std::chrono::milliseconds time) = 0;
};

// The kernel's.
Syscalls& KernelSyscalls();

// An ioctl whose argument is a structure.
template <typename T>
int Ioctl(Syscalls& syscalls, int fd, unsigned long request, T* argument) {
  return syscalls.Ioctl(fd, request, reinterpret_cast<uintptr_t>(argument));
}

}  // namespace berth::vfio
