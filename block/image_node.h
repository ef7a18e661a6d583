// ImageNode: a disk in a format. The adapter from an Image's blocking code to a BlockNode's batches.
//
// Reads and writes of whole blocks whose content the image finds in one piece, without waiting, go straight
// to the node of the file that has them (the image's data file, or that of an image beneath it) and never
// leave the event loop; zeroes are filled in at once. Everything else is carried out by a few threads of the
// node's own: what allocates, copies, packs, or needs a table that is not in memory. docs/block.md argues why
// that is right.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/error.h"
#include "base/event_loop.h"
#include "block/engine.h"
#include "block/format_image.h"
#include "block/node.h"

namespace berth::block {

// Requests that the threads of one node work on at once, besides a flush; those beyond wait their turn.
inline constexpr unsigned kImageThreads = 8;

class ImageNode : public BlockNode {
 public:
  struct Counters {
    uint64_t direct = 0;  // Requests that stayed on the event loop.
    uint64_t handed_over = 0;
    uint64_t flushes = 0;  // Of the image: several requests may have shared one.
  };
  // Loop thread.
  virtual Counters counters() const = 0;
};

// `engine` runs on `loop`; both outlive the node. `prepare` is run first on each of the node's threads (none
// is started later), to confine it. The image is closed, which writes back what it has in memory, when the
// node is destroyed.
Result<std::unique_ptr<ImageNode>> CreateImageNode(EventLoop* loop, IoEngine* engine,
                                                   std::unique_ptr<FormatImage> image,
                                                   const std::function<Status()>& prepare = nullptr);

}  // namespace berth::block
