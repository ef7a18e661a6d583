#include "block/engine.h"
#include "block/image_node.h"
#include "hw/vhost_user/server.h"
#include "hw/virtio/block.h"
#include "img/serve.h"

namespace berth::img {

Status ServeVhostUser(EventLoop* loop, UniqueFd listener, std::unique_ptr<block::FormatImage> image,
                      const ServeArguments& arguments, const std::function<Status()>& ready) {
  const auto engine = TRY(block::CreateIoEngine(loop));
  TRY(engine->PrepareDiscard());
  const std::shared_ptr<block::BlockNode> node =
      TRY(block::CreateImageNode(loop, engine.get(), std::move(image)));
  const auto device = TRY(hw::CreateVirtioBlock({.name = arguments.source.name,
                                                 .queues = arguments.queues,
                                                 .read_only = arguments.read_only,
                                                 .write_through = arguments.flags.write_through},
                                                node));
  const auto server = TRY(hw::VhostUserServer::Create(loop, std::move(listener), device.get(), [&] {
    if (!arguments.persistent) loop->Stop();
  }));
  TRY(ready());
  loop->Run();
  return Ok();
}

}  // namespace berth::img
