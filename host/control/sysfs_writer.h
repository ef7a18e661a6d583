// How Berth changes what the kernel shows as files (sysfs, cgroups): one small seam, so that tests put a
// kernel of their own behind it that refuses, hangs or does nothing.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace berth::host {

// Each call returns 0 or an errno. Any thread.
class SysfsWriter {
 public:
  virtual ~SysfsWriter() = default;

  // Writes `value` to the file at `path` with one write(2). ETIMEDOUT when the kernel has not finished by
  // then; it may still do so later (an unbind waits for the device's user without a limit).
  virtual int Write(const std::string& path, std::string_view value, std::chrono::milliseconds timeout) = 0;
  virtual int MakeDirectory(const std::string& path) = 0;
  virtual int RemoveDirectory(const std::string& path) = 0;
};

// The kernel's own. Each Write is done by a child process that holds no other descriptor, so that a write the
// kernel never finishes costs a process and blocks nobody.
std::unique_ptr<SysfsWriter> CreateSysfsWriter();

}  // namespace berth::host
