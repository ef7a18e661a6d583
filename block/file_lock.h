// Locks on image files that other programs see: open-file-description locks on the bytes that QEMU uses.
#pragma once

#include <string>

#include "base/error.h"

namespace berth::block {

// What a user of a file does with it, and lets others do.
struct FileUse {
  bool read = true;  // Needs the content to be consistent.
  bool write = false;
  bool resize = false;
  bool share_write = false;   // Others may write …
  bool share_resize = false;  // … and resize.
  // Whoever has it in a way that conflicts is about to give it up, to who gets `fd`: nobody is looked for.
  bool takes_over = false;
};

// Takes the locks for `use` on `fd` (borrowed; they last until it is closed), or none. FAILED_PRECONDITION if
// another program's use conflicts. File systems without locks are taken as they are.
Status LockFile(int fd, const std::string& filename, const FileUse& use);

}  // namespace berth::block
