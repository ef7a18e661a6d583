// An engine that does at once what the page cache can.
//
// For loops that serve others over sockets and may block for as long as a write to memory takes: reads that
// find their pages are done without leaving the thread, and writes go to the page cache as write(2) would,
// where io_uring would wake a thread of the kernel's for each. Everything else, and all of O_DIRECT, goes to
// the engine beneath.
#pragma once

#include <memory>

#include "base/error.h"
#include "block/engine.h"

namespace berth::block {

// A descriptor stays the file that it is for as long as the engine lives.
std::unique_ptr<IoEngine> CreatePageCacheEngine(std::unique_ptr<IoEngine> beneath);

}  // namespace berth::block
