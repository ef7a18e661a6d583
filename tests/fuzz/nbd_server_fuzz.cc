// What a client says is anything at all, from its flags on or behind a sound handshake.
#include "block/nbd/connection.h"
#include "block/nbd/server_handshake.h"
#include "tests/fakes/fake_block_node.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/nbd_script.h"
#include "tests/fuzz/fuzz_input.h"

namespace berth::block::nbd {
namespace {

constexpr uint64_t kDiskBytes = 64 << 10;

std::string Sound(bool structured) {
  std::string script = Wire(uint32_t{3});
  const auto ask = [&](uint32_t option, std::string_view bytes = "") {
    script += Wire(kOptionMagic, option, static_cast<uint32_t>(bytes.size()), bytes);
  };
  if (structured) {
    ask(kOptStructuredReply);
    ask(kOptSetMetaContext, Wire(0u, 1u, static_cast<uint32_t>(kBaseAllocation.size()), kBaseAllocation));
  }
  ask(kOptGo, Wire(0u, uint16_t{0}));
  return script;
}

// Requests that are mostly sound, so that more than the magic number is tried.
std::string Requests(FuzzInput* input) {
  std::string script;
  for (int i = 0; i < 40 && !input->empty(); ++i) {
    const auto command = static_cast<uint16_t>(input->Take<uint8_t>() % 9);
    const auto flags = static_cast<uint16_t>(input->Take<uint8_t>() % 64);
    const uint64_t offset = input->Take<uint8_t>() * uint64_t{300};
    const uint32_t length = input->Take<uint8_t>() * 100u;
    script += Wire(kRequestMagic, flags, command, uint64_t{1} + static_cast<uint64_t>(i), offset, length);
    if (command == kCmdWrite) script += std::string(length, 'w');
  }
  return script;
}

void Serve(ServerSession session, const Export& what) {
  const auto loop = *EventLoop::Create();
  FakeBlockNode node(kDiskBytes);
  Connection connection(
      loop.get(), &node, &what,
      [&](std::function<void()> work, std::function<void()> done) {
        work();
        loop->Post(std::move(done));
      },
      std::move(session), [&] { loop->Stop(); });
  if (connection.Start()) loop->Run();
}

void Run(FuzzInput input) {
  const auto mode = input.Take<uint8_t>();
  std::string script;
  if (mode & 1) script = Sound(mode & 2);
  if (mode & 4) script += Requests(&input);
  const auto rest = input.TakeBytes(4096);
  script.append(rest.begin(), rest.end());
  ScriptedPeer peer(script, true);
  MemoryImage image{std::vector<uint8_t>(kDiskBytes)};
  const Export what{.image = &image, .read_only = (mode & 8) != 0, .allocation_depth = true};
  auto session = ServerHandshake(CreateChannel(peer.TakeSocket()), what, {});
  if (session) Serve(*std::move(session), what);
}

}  // namespace
}  // namespace berth::block::nbd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::block::nbd::Run({data, size});
  return 0;
}
