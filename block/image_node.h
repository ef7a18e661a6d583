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
#include "block/dirty_map.h"
#include "block/engine.h"
#include "block/format_image.h"
#include "block/node.h"

namespace berth::block {

// Requests that the threads of one node work on at once, besides a flush and a job; those beyond wait their
// turn.
inline constexpr unsigned kImageThreads = 8;

// What becomes of a node's image: another one, or null if it was changed and stays. Called on one of the
// node's threads, with nothing in flight and everything written back. On failure the image is as good as it
// was.
using ImageChange = std::function<Result<std::unique_ptr<FormatImage>>(FormatImage& image)>;

class ImageNode : public BlockNode {
 public:
  struct Counters {
    uint64_t direct = 0;  // Requests that stayed on the event loop.
    uint64_t handed_over = 0;
    uint64_t flushes = 0;  // Of the image: several requests may have shared one.
  };
  // Loop thread.
  virtual Counters counters() const = 0;

  // Drains, and goes on with what `change` makes of the image. Blocks: requests that come meanwhile find the
  // one or the other. The disk has the size that it had (INVALID_ARGUMENT otherwise). On failure, of writing
  // back as well, the node goes on with what it had.
  virtual Status Exchange(const ImageChange& change) = 0;
  // Within a change that returns `image`: takes what going on with it needs, so that nothing can fail any
  // more once the change has succeeded. If the change fails, it is given back.
  virtual Status Reach(FormatImage* image) = 0;

  // Runs `job` on a thread of the node's own, beside requests and on the same image; one at a time. Whoever
  // begins it sees to it that it ends, and awaits it, before the node is exchanged, grown or destroyed.
  virtual void BeginJob(std::function<void(FormatImage& image)> job) = 0;
  virtual void AwaitJob() = 0;
  // Marks there what requests change from now on, once they have; null: no more. The caller's.
  virtual void RecordChanges(DirtyMap* changes) = 0;
};

// `engine` runs on `loop`; both outlive the node. `prepare` is run first on each of the node's threads (none
// is started later), to confine it. The image is closed, which writes back what it has in memory, when the
// node is destroyed.
Result<std::unique_ptr<ImageNode>> CreateImageNode(EventLoop* loop, IoEngine* engine,
                                                   std::unique_ptr<FormatImage> image,
                                                   const std::function<Status()>& prepare = nullptr);

}  // namespace berth::block
