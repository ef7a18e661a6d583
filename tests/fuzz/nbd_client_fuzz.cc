// What a server says is anything at all, from the greeting on or behind a sound handshake.
#include "block/nbd/image.h"
#include "block/nbd/protocol.h"
#include "tests/fakes/nbd_script.h"
#include "tests/fuzz/fuzz_input.h"

namespace berth::block::nbd {
namespace {

std::string Sound(bool structured) {
  std::string script = Wire(kInitMagic, kOptionMagic, uint16_t{3});
  const auto answer = [&](uint32_t option, uint32_t type, std::string_view bytes = "") {
    script += Wire(kOptionReplyMagic, option, type, static_cast<uint32_t>(bytes.size()), bytes);
  };
  answer(kOptStructuredReply, structured ? uint32_t{kRepAck} : uint32_t{kRepErrUnsupported});
  if (structured) {
    answer(kOptSetMetaContext, kRepMetaContext, Wire(uint32_t{1}, kBaseAllocation));
    answer(kOptSetMetaContext, kRepAck);
  }
  answer(kOptGo, kRepInfo, Wire(uint16_t{kInfoExport}, uint64_t{1} << 20, uint16_t{0xffd}));
  answer(kOptGo, kRepAck);
  return script;
}

void Run(FuzzInput input) {
  const auto mode = input.Take<uint8_t>();
  std::string script;
  if (mode & 1) script = Sound(mode & 2);
  const auto rest = input.TakeBytes(4096);
  script.append(rest.begin(), rest.end());
  ScriptedPeer peer(script, true);
  if ((mode & 0x0c) == 0x0c) return (void)ListExports(CreateChannel(peer.TakeSocket()), {});
  auto session = ClientHandshake(CreateChannel(peer.TakeSocket()), {.context = std::string(kBaseAllocation)});
  if (!session) return;
  auto image = CreateNbdImage(*std::move(session), {.writable = true});
  if (!image || (*image)->size_bytes() < 8192) return;
  std::vector<uint8_t> bytes(600);
  for (const uint64_t offset : {0, 100, 4096}) {
    (void)Read(image->get(), offset, bytes);
    (void)(*image)->Map(offset, 4096);
    (void)Write(image->get(), offset, bytes);
    (void)WriteZeroes(image->get(), offset, 1000, true);
    (void)Flush(image->get());
  }
}

}  // namespace
}  // namespace berth::block::nbd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::block::nbd::Run({data, size});
  return 0;
}
