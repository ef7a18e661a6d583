#include "block/engine.h"

#include "base/log.h"

namespace berth::block {

Result<std::unique_ptr<IoEngine>> CreateIoEngine(EventLoop* loop) {
  auto uring = CreateUringEngine(loop);
  if (uring) return uring;
  LOG_INFO("block devices use worker threads: {}", uring.error().message());
  return CreateThreadEngine(loop);
}

}  // namespace berth::block
