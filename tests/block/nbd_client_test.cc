// The NBD client beside servers that say what they like.
#include <cerrno>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "block/nbd/address.h"
#include "block/nbd/client_handshake.h"
#include "block/nbd/image.h"
#include "block/nbd/protocol.h"
#include "tests/fakes/nbd_script.h"

namespace berth::block::nbd {
namespace {

const uint64_t kFirstCookie = 64;  // What the client gives its first request.

std::string Greeting(uint16_t flags = kFixedNewstyle | kNoZeroes) {
  return Wire(kInitMagic, kOptionMagic, flags);
}
std::string Answer(uint32_t option, uint32_t type, std::string_view bytes = "") {
  return Wire(kOptionReplyMagic, option, type, static_cast<uint32_t>(bytes.size()), bytes);
}
std::string Size(uint64_t size, uint16_t flags = kFlagHasFlags) {
  return Answer(kOptGo, kRepInfo, Wire(uint16_t{kInfoExport}, size, flags));
}
std::string Structured(std::string_view contexts = "") {
  return Greeting() + Answer(kOptStructuredReply, kRepAck) + std::string(contexts) +
         Answer(kOptSetMetaContext, kRepAck);
}
std::string Chunk(uint16_t flags, uint16_t type, std::string_view bytes, uint64_t cookie = kFirstCookie) {
  return Wire(kStructuredReplyMagic, flags, type, cookie, static_cast<uint32_t>(bytes.size()), bytes);
}

Result<Session> Shake(ScriptedPeer* peer) {
  return ClientHandshake(CreateChannel(peer->TakeSocket()), {.context = std::string(kBaseAllocation)});
}
// What reading the first 8 bytes of a disk of 16 ends in, when the server says `replies` after the handshake.
int ReadFrom(const std::string& replies, std::vector<uint8_t>* bytes = nullptr) {
  ScriptedPeer peer(Structured() + Size(16) + Answer(kOptGo, kRepAck) + replies, true);
  auto image = CreateNbdImage(*Shake(&peer), {});
  std::vector<uint8_t> own(8, 0xee);
  const int error = Read(image->get(), 0, own);
  if (bytes != nullptr) *bytes = own;
  return error;
}

TEST(NbdAddress, IsReadInAllItsForms) {
  const auto local = *ParseAddress("nbd:unix:/a/b:exportname=x y");
  EXPECT_EQ(local.path, "/a/b");
  EXPECT_EQ(local.export_name, "x y");
  EXPECT_EQ(local.ToUri(), "nbd+unix:///x y?socket=/a/b");
  const auto uri = *ParseAddress("nbd+unix:///na%20me?socket=/tmp/s");
  EXPECT_EQ(uri.export_name, "na me");
  EXPECT_EQ(uri.path, "/tmp/s");
  const auto tcp = *ParseAddress("nbd://[::1]/x");
  EXPECT_EQ(tcp.host, "::1");
  EXPECT_EQ(tcp.port, "10809");
  EXPECT_EQ(tcp.ToUri(), "nbd://[::1]:10809/x");
  EXPECT_EQ(ParseAddress("nbd:host:99")->Server(), "host:99");
  for (const char* bad : {"nbd:", "nbd:host", "nbd:unix:", "nbd://", "nbd+unix:///x",
                          "nbd+unix:///x?socket=", "nbd://h?socket=x", "nbd://[::1", "file"}) {
    EXPECT_FALSE(ParseAddress(bad)) << bad;
  }
}

TEST(NbdHandshake, AServerThatSpeaksTheProtocolIsUnderstood) {
  ScriptedPeer peer(
      Structured(Answer(kOptSetMetaContext, kRepMetaContext, Wire(uint32_t{7}, kBaseAllocation))) +
          Size(1 << 20, kFlagHasFlags | kFlagSendFlush) +
          Answer(kOptGo, kRepInfo, Wire(uint16_t{kInfoBlockSize}, 512u, 4096u, 1u << 20)) +
          Answer(kOptGo, kRepAck),
      false);
  const auto session = Shake(&peer);
  ASSERT_TRUE(session) << session.error().message();
  EXPECT_EQ(session->info.size_bytes, 1u << 20);
  EXPECT_EQ(session->info.min_block_bytes, 512u);
  EXPECT_EQ(session->context_id, 7u);
  EXPECT_TRUE(session->structured_replies);
}

TEST(NbdHandshake, WhatIsNoHandshakeIsRefused) {
  const std::string scripts[] = {
      "",
      "HTTP/1.1 400 Bad Request",
      Wire(kInitMagic, uint64_t{1}),
      Greeting() + Answer(kOptGo, kRepAck),  // To another question.
      Greeting() + Wire(kOptionReplyMagic, uint32_t{kOptStructuredReply}, uint32_t{kRepAck}, 0xffffffffu),
      Structured() + Answer(kOptGo, kRepAck),  // Without a size.
      Structured() + Answer(kOptGo, kRepInfo, Wire(uint16_t{kInfoExport})) + Answer(kOptGo, kRepAck),
      Structured() + Answer(kOptGo, kRepErrUnknown, "no such thing"),
      Structured(Answer(kOptSetMetaContext, kRepMetaContext, "ab")) + Size(1),
  };
  for (const std::string& script : scripts) {
    ScriptedPeer peer(script, true);
    EXPECT_FALSE(Shake(&peer)) << script;
  }
}

TEST(NbdHandshake, EndlessRepliesEnd) {
  std::string script = Structured();
  for (size_t i = 0; i <= kMaxListed; ++i) script += Size(1);
  ScriptedPeer peer(script, false);
  EXPECT_FALSE(Shake(&peer));
}

TEST(NbdHandshake, WhatAServerSaysIsShownAsOneLine) {
  ScriptedPeer peer(Structured() + Answer(kOptGo, kRepErrUnknown, "no\n\x1b[2Jway"), true);
  EXPECT_EQ(Shake(&peer).error().message(), "Requested export not available\nserver reported: no??[2Jway");
}

TEST(NbdHandshake, OldServersAreUnderstoodToo) {
  ScriptedPeer oldstyle(
      Wire(kInitMagic, kOldstyleMagic, uint64_t{4096}, uint32_t{kFlagHasFlags}, std::string(124, '\0')),
      true);
  EXPECT_EQ(Shake(&oldstyle)->info.size_bytes, 4096u);
  ScriptedPeer newstyle(Greeting(0) + Wire(uint64_t{8192}, uint16_t{kFlagHasFlags}, std::string(124, '\0')),
                        true);
  EXPECT_EQ(Shake(&newstyle)->info.size_bytes, 8192u);
}

TEST(NbdClient, AReadMayComeInPiecesOfData) {
  std::vector<uint8_t> bytes;
  EXPECT_EQ(ReadFrom(Chunk(0, kChunkOffsetHole, Wire(uint64_t{4}, uint32_t{4})) +
                         Chunk(kChunkDone, kChunkOffsetData, Wire(uint64_t{0}, "abcd")),
                     &bytes),
            0);
  EXPECT_EQ(bytes, (std::vector<uint8_t>{'a', 'b', 'c', 'd', 0, 0, 0, 0}));
}

TEST(NbdClient, ErrorsOfTheServerAreErrnoValues) {
  EXPECT_EQ(ReadFrom(Chunk(kChunkDone, kChunkError, Wire(uint32_t{28}, uint16_t{4}, "full"))), ENOSPC);
  EXPECT_EQ(ReadFrom(Chunk(kChunkDone, kChunkErrorOffset, Wire(uint32_t{1}, uint16_t{0}, uint64_t{0}))),
            EPERM);
  EXPECT_EQ(ReadFrom(Chunk(kChunkDone, 0x8765, Wire(uint32_t{12345}, uint16_t{0}))), EINVAL);
}

TEST(NbdClient, ABreachOfTheProtocolIsEio) {
  const std::string replies[] = {
      "",
      "nonsense that is long enough to be read as a reply",
      Wire(kSimpleReplyMagic, uint32_t{0}, kFirstCookie, "12345678"),  // Structured replies were agreed on.
      Chunk(kChunkDone, kChunkNone, "", kFirstCookie + 1),
      Chunk(kChunkDone, kChunkNone, ""),                              // Nothing was read.
      Chunk(kChunkDone, kChunkOffsetData, Wire(uint64_t{0}, "abc")),  // Too little.
      Chunk(kChunkDone, kChunkOffsetData, Wire(uint64_t{1}, "abcdefgh")),
      Chunk(kChunkDone, kChunkOffsetData, Wire(~uint64_t{3}, "abcdefgh")),
      Chunk(0, kChunkOffsetData, Wire(uint64_t{0}, "abcdefgh")) +
          Chunk(kChunkDone, kChunkOffsetData, Wire(uint64_t{0}, "abcdefgh")),
      Chunk(kChunkDone, kChunkOffsetHole, Wire(uint64_t{0}, ~0u)),
      Chunk(kChunkDone, kChunkBlockStatus, Wire(0u, 8u, 0u)),
      Chunk(kChunkDone, kChunkError, Wire(uint32_t{0}, uint16_t{0})),
      Chunk(kChunkDone, kChunkError, ""),
      Chunk(0, kChunkOffsetData, Wire(uint64_t{0}, "abcdefgh")),  // And then silence.
  };
  for (const std::string& reply : replies) EXPECT_EQ(ReadFrom(reply), EIO) << reply;
}

TEST(NbdClient, AMapIsWhatTheServerSaysAndNoMoreThanWasAskedFor) {
  ScriptedPeer peer(
      Structured(Answer(kOptSetMetaContext, kRepMetaContext, Wire(uint32_t{7}, kBaseAllocation))) +
          Size(1 << 20) + Answer(kOptGo, kRepAck) +
          Chunk(kChunkDone, kChunkBlockStatus, Wire(7u, 4096u, 0u, 0xffffffffu, kStatusHole | kStatusZero)),
      true);
  auto image = *CreateNbdImage(*Shake(&peer), {});
  const Extent first = *image->Map(0, 1 << 20);
  EXPECT_EQ(first.length, 4096u);
  EXPECT_TRUE(first.data);
  const Extent second = *image->Map(4096, (1 << 20) - 4096);
  EXPECT_EQ(second.length, (1u << 20) - 4096);
  EXPECT_TRUE(second.zero);
  EXPECT_FALSE(second.data);
  EXPECT_FALSE(image->Map(0, 4096));  // The server is gone.
}

TEST(NbdClient, BlockSizesOfNoSenseAreRefused) {
  for (const auto& [least, most] :
       std::vector<std::pair<uint32_t, uint32_t>>{{3, 0}, {1 << 20, 0}, {4096, 512}}) {
    Session session{.channel = nullptr,
                    .info = {.size_bytes = 4096, .min_block_bytes = least, .max_block_bytes = most}};
    EXPECT_FALSE(CreateNbdImage(std::move(session), {}));
  }
}

// Reading is done by one of those who wait; the others must not be forgotten when it fails.
TEST(NbdClient, EveryoneWhoWaitsLearnsThatTheServerIsGone) {
  ScriptedPeer peer(Structured() + Size(1 << 20) + Answer(kOptGo, kRepAck), true);
  auto image = *CreateNbdImage(*Shake(&peer), {});
  std::vector<std::thread> threads;
  std::atomic<int> failed = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      std::vector<uint8_t> bytes(4096);
      failed += Read(image.get(), static_cast<uint64_t>(i) * 4096, bytes) == EIO;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 8);
}

}  // namespace
}  // namespace berth::block::nbd
