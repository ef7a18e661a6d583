// The NBD server beside its own client, and beside clients that say what they like.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "block/bitmap.h"
#include "block/driver.h"
#include "block/nbd/address.h"
#include "block/nbd/image.h"
#include "block/nbd/protocol.h"
#include "block/nbd/server.h"
#include "block/nbd/tls/credentials.h"
#include "block/open.h"
#include "block/raw.h"
#include "tests/fakes/loop_thread.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/nbd_script.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block::nbd {
namespace {

constexpr uint64_t kDiskBytes = 1 << 20;

// A server of a disk in memory at a Unix socket.
class Served {
 public:
  explicit Served(ServerOptions options = {}) : path_(scratch_ / "socket") {
    options.what.name = "disk";
    std::shared_ptr<FormatImage> raw = *CreateRawImage(
        std::make_unique<MemoryImage>(std::vector<uint8_t>(kDiskBytes)), {.size_bytes = kDiskBytes});
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::strcpy(address.sun_path, path_.c_str());
    CHECK(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    CHECK(::listen(listener.get(), 64) == 0);
    loop_.loop().Call([&] {
      server_ = *Server::Create(&loop_.loop(), std::move(raw), std::move(options), [] {});
      CHECK(server_->Listen(std::move(listener)).has_value());
    });
  }
  ~Served() {
    loop_.loop().Call([&] { server_.reset(); });
  }

  std::unique_ptr<Channel> Dial() { return CreateChannel(*Connect({.path = path_})); }
  Result<std::unique_ptr<Image>> Open(const OpenFlags& flags = {.writable = true},
                                      std::shared_ptr<const TlsCredentials> tls = nullptr) {
    Session session = TRY(ClientHandshake(
        Dial(), {.export_name = "disk", .context = std::string(kBaseAllocation), .tls = std::move(tls)}));
    return CreateNbdImage(std::move(session), flags);
  }
  const ScratchDir& scratch() const { return scratch_; }

 private:
  const ScratchDir scratch_;
  const std::string path_;
  LoopThread loop_;
  std::unique_ptr<Server> server_;
};

std::string Hello(uint32_t flags = kFixedNewstyle | kNoZeroes) { return Wire(flags); }
std::string Ask(uint32_t option, std::string_view bytes = "") {
  return Wire(kOptionMagic, option, static_cast<uint32_t>(bytes.size()), bytes);
}
std::string Enter() { return Hello() + Ask(kOptExportName, "disk"); }
std::string Command(uint16_t command, uint64_t cookie, uint64_t offset, uint32_t length, uint16_t flags = 0) {
  return Wire(kRequestMagic, flags, command, cookie, offset, length);
}
constexpr size_t kGreetingBytes = 18, kEnteredBytes = kGreetingBytes + 10;

// Everything that the server says to `message` until it closes, after this end has closed for writing.
std::string Answers(Served* served, const std::string& message) {
  auto channel = served->Dial();
  EXPECT_TRUE(WriteAll(channel.get(), message));
  ::shutdown(channel->fd(), SHUT_WR);
  std::string all;
  char bytes[4096];
  for (ssize_t got; (got = ::recv(channel->fd(), bytes, sizeof(bytes), 0)) > 0;) {
    all.append(bytes, static_cast<size_t>(got));
  }
  return all;
}

TEST(NbdServer, AClientReadsWhatItHasWritten) {
  Served served;
  auto image = *served.Open();
  EXPECT_EQ(image->size_bytes(), kDiskBytes);
  const std::vector<uint8_t> bytes(300'000, 0x5a);
  EXPECT_EQ(Write(image.get(), 4097, bytes), 0);
  EXPECT_EQ(WriteZeroes(image.get(), 5000, 100, false), 0);
  EXPECT_EQ(Discard(image.get(), 6000, 100), 0);
  EXPECT_EQ(Flush(image.get()), 0);
  std::vector<uint8_t> back(904);
  EXPECT_EQ(Read(image.get(), 4096, back), 0);
  EXPECT_EQ(back[0], 0);
  EXPECT_EQ(back[1], 0x5a);
  EXPECT_EQ(back[903], 0x5a);
  EXPECT_EQ(Read(image.get(), 5000, {back.data(), 100}), 0);
  EXPECT_EQ(back[99], 0);
  EXPECT_TRUE(image->Map(0, kDiskBytes));
}

// Pairs of length and flags of a block status.
std::vector<std::pair<uint32_t, uint32_t>> Extents(const std::vector<uint8_t>& payload) {
  std::vector<std::pair<uint32_t, uint32_t>> extents;
  for (size_t at = 4; at < payload.size(); at += 8)
    extents.emplace_back(LoadBe<uint32_t>(&payload[at]), LoadBe<uint32_t>(&payload[at + 4]));
  return extents;
}

TEST(NbdExport, TellsWhatADirtyBitmapSays) {
  const ScratchDir scratch;
  CreateOptions create(kQcow2Format.create_options);
  ASSERT_TRUE(create.Set("size", "1M") && kQcow2Format.create(scratch / "a", create));
  auto image = *OpenImage(scratch / "a", "qcow2", {.writable = true});
  auto* store = dynamic_cast<BitmapStore*>(image.get());
  ASSERT_TRUE(store->AddBitmap({.name = "b", .granularity_bytes = 64 << 10}));
  ASSERT_EQ(Write(image.get(), 100 << 10, std::vector<uint8_t>(1)), 0);
  Export what{.name = "disk", .image = image.get()};
  what.bitmaps = {*FindBitmap(image.get(), "b", false), *FindBitmap(image.get(), "b", true)};
  ASSERT_EQ(Write(image.get(), 1000 << 10, std::vector<uint8_t>(1)), 0);

  using Pairs = std::vector<std::pair<uint32_t, uint32_t>>;
  const auto status = [&](uint32_t context, uint64_t offset, uint32_t length, bool one) {
    return Extents(*BlockStatus(what, context, offset, length, one));
  };
  // What is recorded shows, unless nobody was to write.
  EXPECT_EQ(status(kContextFirstBitmap, 0, 1 << 20, false),
            (Pairs{{64 << 10, 0}, {64 << 10, kStatusDirty}, {832 << 10, 0}, {64 << 10, kStatusDirty}}));
  EXPECT_EQ(status(kContextFirstBitmap + 1, 0, 1 << 20, false),
            (Pairs{{64 << 10, 0}, {64 << 10, kStatusDirty}, {896 << 10, 0}}));
  EXPECT_EQ(status(kContextFirstBitmap, 70 << 10, 10, true), (Pairs{{10, kStatusDirty}}));
  EXPECT_EQ(SelectContexts(what, "qemu:dirty-bitmap:b", false).size(), 2u);
  EXPECT_EQ(SelectContexts(what, "qemu:", true).size(), 2u);
  EXPECT_EQ(SelectContexts(what, "qemu:dirty-bitmap:c", false).size(), 0u);
  EXPECT_EQ(FindBitmap(image.get(), "c", true).error().message(), "Bitmap 'c' is not found");
}

TEST(NbdServer, ManyThreadsShareAConnection) {
  Served served;
  auto image = *served.Open();
  std::vector<std::thread> threads;
  for (uint8_t thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&image, thread] {
      for (uint64_t i = 0; i < 50; ++i) {
        const uint64_t offset = (i * 8 + thread) * 2000;
        std::vector<uint8_t> bytes(2000, static_cast<uint8_t>(thread + i)), back(2000);
        EXPECT_EQ(Write(image.get(), offset, bytes), 0);
        EXPECT_EQ(Read(image.get(), offset, back), 0);
        EXPECT_EQ(back, bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(NbdServer, ConnectionsSeeEachOthersWritesAndFurtherOnesWait) {
  Served served({.what = {.multi_conn = true}, .max_connections = 2, .loops = 2});
  auto one = *served.Open();
  auto two = *served.Open();
  EXPECT_EQ(Write(one.get(), 100, std::vector<uint8_t>{1, 2, 3}), 0);
  std::vector<uint8_t> back(3);
  EXPECT_EQ(Read(two.get(), 100, back), 0);
  EXPECT_EQ(back, (std::vector<uint8_t>{1, 2, 3}));
  auto waiting = served.Dial();  // The kernel takes the call; the server does not yet.
  std::thread leave([&] { one.reset(); });
  std::vector<uint8_t> greeting(kGreetingBytes);
  EXPECT_TRUE(ReadAll(waiting.get(), greeting));
  leave.join();
}

TEST(NbdServer, AReadOnlyExportIsNotChanged) {
  Served served({.what = {.read_only = true}});
  EXPECT_EQ(served.Open().error().code(), Code::kPermissionDenied);
  const std::string answers =
      Answers(&served, Enter() + Command(kCmdWrite, 7, 0, 4) + "abcd" + Command(kCmdTrim, 8, 0, 4));
  EXPECT_EQ(answers.substr(kEnteredBytes), Wire(kSimpleReplyMagic, uint32_t{EPERM}, uint64_t{7}) +
                                               Wire(kSimpleReplyMagic, uint32_t{EPERM}, uint64_t{8}));
}

TEST(NbdServer, RequestsOfNoSenseAreAnsweredWithErrors) {
  Served served;
  const auto answer = [&](const std::string& request) {
    const std::string answers = Answers(&served, Enter() + request);
    return answers.size() < kEnteredBytes + 8 ? 0u : LoadBe<uint32_t>(&answers[kEnteredBytes + 4]);
  };
  EXPECT_EQ(answer(Command(kCmdRead, 1, kDiskBytes, 1)), uint32_t{EINVAL});
  EXPECT_EQ(answer(Command(kCmdRead, 1, ~uint64_t{0}, 2)), uint32_t{EINVAL});
  EXPECT_EQ(answer(Command(kCmdRead, 1, 0, kMaxPayloadBytes + 1)), uint32_t{EINVAL});
  EXPECT_EQ(answer(Command(kCmdWrite, 1, kDiskBytes - 1, 2) + "ab"), uint32_t{ENOSPC});
  EXPECT_EQ(answer(Command(99, 1, 0, 1)), uint32_t{EINVAL});
  EXPECT_EQ(answer(Command(kCmdRead, 1, 0, 1, 0x8000)), uint32_t{EINVAL});
  EXPECT_EQ(answer(Command(kCmdBlockStatus, 1, 0, 1)), uint32_t{EINVAL});  // No context was agreed on.
}

TEST(NbdServer, WhoBreaksTheProtocolIsHungUpOnAndNobodyElseIs) {
  Served served({.max_connections = 0});
  auto image = *served.Open();
  EXPECT_EQ(Answers(&served, Enter() + std::string(100, 'x')).size(), kEnteredBytes);
  EXPECT_EQ(Answers(&served, Enter() + Command(kCmdWrite, 1, 0, kMaxPayloadBytes + 1)).size(), kEnteredBytes);
  EXPECT_EQ(Answers(&served, Enter() + Command(kCmdWrite, 1, 0, 100) + "cut").size(), kEnteredBytes);
  EXPECT_EQ(Answers(&served, Hello(0x80)).size(), kGreetingBytes);
  EXPECT_EQ(Answers(&served, Hello() + "GET / HTTP/1.1 and so on").size(), kGreetingBytes);
  EXPECT_EQ(Answers(&served, Hello() + Ask(kOptExportName, "other")).size(), kGreetingBytes);
  EXPECT_EQ(Answers(&served, Hello() + Wire(kOptionMagic, uint32_t{99}, 0xffffffffu)).size(), kGreetingBytes);
  EXPECT_EQ(Write(image.get(), 0, std::vector<uint8_t>(512)), 0);
}

TEST(NbdServer, RequestsBeforeABrokenOneDoNotKeepTheConnection) {
  Served served({.max_connections = 1});
  for (const uint16_t command : {kCmdRead, kCmdFlush})
    Answers(&served, Enter() + Command(command, 1, 0, command == kCmdRead ? 512 : 0) + std::string(100, 'x'));
  EXPECT_TRUE(served.Open()) << "there is room for one";
}

// Large reads are carried out as the client takes what was read before.
TEST(NbdServer, ManyLargeReadsAtOnceAreAnsweredInFull) {
  Served served;
  auto image = *served.Open();
  std::vector<uint8_t> bytes(kDiskBytes);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i >> 12);
  ASSERT_EQ(Write(image.get(), 0, bytes), 0);
  image.reset();
  constexpr uint32_t kReadBytes = 256 << 10;
  std::string requests;
  for (uint64_t i = 0; i < 40; ++i) requests += Command(kCmdRead, i, i % 3 * kReadBytes, kReadBytes);
  const std::string answers = Answers(&served, Enter() + requests + Command(kCmdDisconnect, 0, 0, 0));
  ASSERT_EQ(answers.size(), kEnteredBytes + 40 * (kSimpleReplyBytes + kReadBytes));
  std::set<uint64_t> answered;  // In any order.
  for (size_t at = kEnteredBytes; at < answers.size(); at += kSimpleReplyBytes + kReadBytes) {
    EXPECT_EQ(LoadBe<uint32_t>(&answers[at + 4]), 0u);
    const uint64_t cookie = LoadBe<uint64_t>(&answers[at + 8]);
    answered.insert(cookie);
    EXPECT_EQ(std::memcmp(&answers[at + kSimpleReplyBytes], &bytes[cookie % 3 * kReadBytes], kReadBytes), 0);
  }
  EXPECT_EQ(answered.size(), 40u);
}

TEST(NbdServer, MalformedOptionsAreRefusedAndTheTalkGoesOn) {
  Served served;
  const auto type = [&](uint32_t option, std::string_view bytes) {
    const std::string answers = Answers(&served, Hello() + Ask(option, bytes));
    return answers.size() < kGreetingBytes + 16 ? 0u : LoadBe<uint32_t>(&answers[kGreetingBytes + 12]);
  };
  EXPECT_EQ(type(kOptGo, ""), uint32_t{kRepErrInvalid});
  EXPECT_EQ(type(kOptGo, Wire(0xffffffffu, "disk")), uint32_t{kRepErrInvalid});
  EXPECT_EQ(type(kOptGo, Wire(5u, "other", uint16_t{0})), uint32_t{kRepErrUnknown});
  EXPECT_EQ(type(kOptList, "x"), uint32_t{kRepErrInvalid});
  EXPECT_EQ(type(kOptStartTls, ""), uint32_t{kRepErrPolicy});
  EXPECT_EQ(type(kOptSetMetaContext, ""), uint32_t{kRepErrInvalid});
  EXPECT_EQ(type(kOptInfo, std::string(70'000, 'x')), uint32_t{kRepErrTooBig});
  EXPECT_EQ(type(1234, "x"), uint32_t{kRepErrUnsupported});
  EXPECT_EQ(type(kOptAbort, ""), uint32_t{kRepAck});
}

// It is no longer read from once it has asked for as much as is held for one client.
TEST(NbdServer, AClientThatNeverReadsIsBounded) {
  Served served({.max_connections = 0});
  auto channel = served.Dial();
  ASSERT_TRUE(WriteAll(channel.get(), Enter()));
  std::string requests;
  for (uint64_t i = 0; i < 1000; ++i) requests += Command(kCmdRead, i, 0, 1 << 20);
  const iovec piece{requests.data(), requests.size()};
  uint64_t taken = 0;
  while (taken < (64u << 20)) {
    const ssize_t put = channel->Write({&piece, 1});
    if (put > 0) taken += static_cast<uint64_t>(put);
    pollfd ready{.fd = channel->fd(), .events = POLLOUT};
    if (put == -EAGAIN && ::poll(&ready, 1, 1000) == 0) break;
  }
  EXPECT_LT(taken, 64u << 20);
  auto other = served.Open();
  ASSERT_TRUE(other);
  std::vector<uint8_t> bytes(512);
  EXPECT_EQ(Read(other->get(), 0, bytes), 0);
}

TEST(NbdServer, TheTimeForAHandshakeIsLimited) {
  Served served({.handshake_seconds = 1});
  auto dawdler = served.Dial();
  std::vector<uint8_t> greeting(kGreetingBytes + 1);
  EXPECT_EQ(ReadAll(dawdler.get(), greeting).error().code(), Code::kUnavailable);
  EXPECT_TRUE(served.Open());
}

TEST(NbdServer, RepliesInOneGoForWhatCameInOneGo) {
  Served served;
  std::string requests, expected;
  for (uint64_t i = 1; i <= 300; ++i) {
    requests += Command(kCmdFlush, i, 0, 0);
    expected += Wire(kSimpleReplyMagic, uint32_t{0}, i);
  }
  const std::string answers = Answers(&served, Enter() + requests + Command(kCmdDisconnect, 0, 0, 0));
  EXPECT_EQ(answers.size(), kEnteredBytes + expected.size());
}

TEST(NbdServer, WithSharedKeysOnlyTheirOwnersEnter) {
  ::signal(SIGPIPE, SIG_IGN);  // As programs with TLS do.
  const ScratchDir keys;
  keys.Write("keys.psk", "qemu:00112233445566778899aabbccddeeff\nother:0011\n");
  const ScratchDir wrong;
  wrong.Write("keys.psk", "qemu:ff112233445566778899aabbccddeeff\n");
  const auto server_keys = *LoadSharedKeys({.directory = keys.path(), .for_server = true});
  Served served({.what = {.tls = server_keys}, .max_connections = 0});
  auto image = served.Open({.writable = true}, *LoadSharedKeys({.directory = keys.path()}));
  ASSERT_TRUE(image) << image.error().message();
  const std::vector<uint8_t> bytes(200'000, 0x77);
  std::vector<uint8_t> back(bytes.size());
  EXPECT_EQ(Write(image->get(), 1, bytes), 0);
  EXPECT_EQ(Read(image->get(), 1, back), 0);
  EXPECT_EQ(back, bytes);
  EXPECT_FALSE(served.Open({}, *LoadSharedKeys({.directory = wrong.path()})));
  EXPECT_EQ(served.Open({}).error().code(), Code::kFailedPrecondition);
}

TEST(NbdTls, KeysOfNoSenseAreRefused) {
  const ScratchDir scratch;
  EXPECT_FALSE(LoadSharedKeys({.directory = scratch.path()}));
  scratch.Write("keys.psk", "qemu:xyz\n");
  EXPECT_FALSE(LoadSharedKeys({.directory = scratch.path()}));
  scratch.Write("keys.psk", "someone:00\n");
  EXPECT_FALSE(LoadSharedKeys({.directory = scratch.path()}));  // Not the client's name.
  EXPECT_FALSE(LoadCertificates({.directory = scratch.path(), .for_server = true}));
}

}  // namespace
}  // namespace berth::block::nbd
