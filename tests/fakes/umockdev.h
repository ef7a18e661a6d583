// Expands umockdev's record of a host's devices (text) to the directory tree it was made of.
//
// A record starts with "P: PATH" below /sys and goes on with
//   E: KEY=VALUE      a line of its uevent      A: NAME=VALUE   a file, with \n and \\ escaped
//   H: NAME=HEX       a binary file             L: NAME=TARGET  a symbolic link
// Attributes of power management, interrupts and counters are left out. What the kernel makes besides is made
// here too: the links of bus and class, and the members of IOMMU groups.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::host {

// Below `root`/sys.
Status ExpandUmockdev(std::string_view text, const std::string& root);
// A whole gzip-compressed file.
Result<std::string> ReadGzip(const std::string& path);

}  // namespace berth::host
