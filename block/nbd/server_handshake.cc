#include "block/nbd/server_handshake.h"

#include <array>

#include "base/bytes.h"
#include "block/nbd/protocol.h"
#include "block/nbd/wire.h"

namespace berth::block::nbd {
namespace {

// Of one option; longer ones are an error, and far longer ones the end.
constexpr uint32_t kMaxOptionBytes = 64 << 10, kMaxSkippedBytes = 1 << 20;
constexpr int kMaxOptions = 1000;
constexpr uint32_t kMaxQueries = 256;
constexpr std::string_view kUnknownExport = "export not present";

struct OptionRequest {
  uint32_t option = 0;
  std::string bytes{};
  bool too_long = false;
};

class Handshake {
 public:
  Handshake(std::unique_ptr<Channel> channel, const Export& what, const Deadline& deadline)
      : what_(what), deadline_(deadline) {
    session_.channel = std::move(channel);
  }
  Result<ServerSession> Run();

 private:
  // True: the client is in.
  Result<bool> Answer(const OptionRequest& request);
  Result<OptionRequest> Receive();
  Status Reply(uint32_t option, uint32_t type, std::string_view bytes = "");
  Status StartTls();
  Status ExportName(const std::string& name);
  Status List();
  Result<bool> Info(const OptionRequest& request);
  Status Contexts(const OptionRequest& request);
  Channel* channel() { return session_.channel.get(); }

  const Export& what_;
  const Deadline deadline_;
  ServerSession session_;
  bool encrypted_ = false;
  bool no_zeroes_ = false;
};

Status Handshake::Reply(uint32_t option, uint32_t type, std::string_view bytes) {
  std::string message;
  AppendBe<uint64_t>(&message, kOptionReplyMagic);
  AppendBe<uint32_t>(&message, option);
  AppendBe<uint32_t>(&message, type);
  AppendString(&message, bytes);
  return WriteAll(channel(), message, deadline_);
}

Result<OptionRequest> Handshake::Receive() {
  std::array<uint8_t, kOptionHeaderBytes> header;
  TRY(ReadAll(channel(), header, deadline_));
  if (LoadBe<uint64_t>(&header[0]) != kOptionMagic) {
    return Fail(Code::kInvalidArgument, "the client sent something that is no option");
  }
  OptionRequest request{.option = LoadBe<uint32_t>(&header[8])};
  const auto length = LoadBe<uint32_t>(&header[12]);
  if (length > kMaxSkippedBytes) return Fail(Code::kInvalidArgument, "an option of {} bytes", length);
  request.too_long = length > kMaxOptionBytes;
  if (request.too_long) {
    TRY(SkipBytes(channel(), length, deadline_));
    return request;
  }
  request.bytes.resize(length);
  TRY(ReadAll(channel(), {reinterpret_cast<uint8_t*>(request.bytes.data()), length}, deadline_));
  return request;
}

Status Handshake::StartTls() {
  TRY(Reply(kOptStartTls, kRepAck));
  session_.channel = TRY(what_.tls->Upgrade(std::move(session_.channel), "", deadline_));
  encrypted_ = true;
  return Ok();
}

Status Handshake::ExportName(const std::string& name) {
  if (name != what_.name) return Fail(Code::kNotFound, "the client asked for an export that is not here");
  std::string message;
  AppendBe<uint64_t>(&message, what_.image->size_bytes());
  AppendBe<uint16_t>(&message, what_.TransmissionFlags());
  if (!no_zeroes_) message.append(124, '\0');
  session_.contexts.clear();
  return WriteAll(channel(), message, deadline_);
}

Status Handshake::List() {
  std::string one;
  AppendString(&one, what_.name);
  one += what_.description;
  TRY(Reply(kOptList, kRepServer, one));
  return Reply(kOptList, kRepAck);
}

Result<bool> Handshake::Info(const OptionRequest& request) {
  WireReader reader(request.bytes);
  const std::string_view name = reader.TakeBytes(reader.Take<uint32_t>());
  const size_t count = reader.Take<uint16_t>();
  bool wants_name = false, wants_description = false;
  for (size_t i = 0; i < count && reader.whole(); ++i) {
    const auto wanted = reader.Take<uint16_t>();
    wants_name |= wanted == kInfoName;
    wants_description |= wanted == kInfoDescription;
  }
  if (!reader.whole() || !reader.rest().empty()) {
    TRY(Reply(request.option, kRepErrInvalid, "malformed request"));
    return false;
  }
  if (name != what_.name) {
    TRY(Reply(request.option, kRepErrUnknown, kUnknownExport));
    return false;
  }
  const auto tell = [&](uint16_t kind, std::string_view bytes) {
    std::string message;
    AppendBe<uint16_t>(&message, kind);
    message += bytes;
    return Reply(request.option, kRepInfo, message);
  };
  if (wants_name) TRY(tell(kInfoName, what_.name));
  if (wants_description && !what_.description.empty()) TRY(tell(kInfoDescription, what_.description));
  std::string sizes, size;
  AppendBe<uint32_t>(&sizes, 1);
  AppendBe<uint32_t>(&sizes, what_.PreferredBlockBytes());
  AppendBe<uint32_t>(&sizes, kMaxPayloadBytes);
  TRY(tell(kInfoBlockSize, sizes));
  AppendBe<uint64_t>(&size, what_.image->size_bytes());
  AppendBe<uint16_t>(&size, what_.TransmissionFlags());
  TRY(tell(kInfoExport, size));
  TRY(Reply(request.option, kRepAck));
  return request.option == kOptGo;
}

Status Handshake::Contexts(const OptionRequest& request) {
  const bool listing = request.option == kOptListMetaContext;
  if (!listing) session_.contexts.clear();
  if (!session_.structured_replies) {
    return Reply(request.option, kRepErrInvalid, "structured replies come first");
  }
  WireReader reader(request.bytes);
  const std::string_view name = reader.TakeBytes(reader.Take<uint32_t>());
  const auto count = reader.Take<uint32_t>();
  std::vector<std::string_view> queries;
  for (uint32_t i = 0; i < count && i <= kMaxQueries && reader.whole(); ++i) {
    queries.push_back(reader.TakeBytes(reader.Take<uint32_t>()));
  }
  if (!reader.whole() || !reader.rest().empty()) {
    return Reply(request.option, kRepErrInvalid, "malformed request");
  }
  if (count > kMaxQueries) return Reply(request.option, kRepErrTooBig);
  if (name != what_.name) return Reply(request.option, kRepErrUnknown, kUnknownExport);
  std::vector<NamedContext> all = AllContexts(what_);
  if (!(listing && queries.empty())) {
    std::erase_if(all, [&](const NamedContext& context) {
      for (const std::string_view query : queries) {
        for (const NamedContext& one : SelectContexts(what_, query, listing)) {
          if (one.id == context.id) return false;
        }
      }
      return true;
    });
  }
  for (const NamedContext& context : all) {
    std::string message;
    AppendBe<uint32_t>(&message, listing ? 0 : context.id);
    message += context.name;
    TRY(Reply(request.option, kRepMetaContext, message));
    if (!listing) session_.contexts.push_back(context.id);
  }
  return Reply(request.option, kRepAck);
}

Result<bool> Handshake::Answer(const OptionRequest& request) {
  const bool empty = request.bytes.empty() && !request.too_long;
  if (what_.tls && !encrypted_ && request.option != kOptStartTls && request.option != kOptAbort) {
    if (request.option == kOptExportName) return Fail(Code::kPermissionDenied, "the client does without TLS");
    TRY(Reply(request.option, kRepErrTlsRequired, "this server is reached over TLS"));
    return false;
  }
  if (request.too_long) {
    TRY(Reply(request.option, kRepErrTooBig));
    return false;
  }
  switch (request.option) {
    case kOptExportName:
      TRY(ExportName(request.bytes));
      return true;
    case kOptAbort:
      TRY(Reply(request.option, kRepAck));
      return Fail(Code::kUnavailable, "the client said goodbye");
    case kOptStartTls:
      if (!empty || encrypted_) {
        TRY(Reply(request.option, kRepErrInvalid));
      } else if (!what_.tls) {
        TRY(Reply(request.option, kRepErrPolicy, "TLS is not configured"));
      } else {
        TRY(StartTls());
      }
      return false;
    case kOptList:
      TRY(empty ? List() : Reply(request.option, kRepErrInvalid));
      return false;
    case kOptInfo:
    case kOptGo:
      return Info(request);
    case kOptStructuredReply:
      session_.structured_replies |= empty;
      TRY(Reply(request.option, empty ? uint32_t{kRepAck} : uint32_t{kRepErrInvalid}));
      return false;
    case kOptListMetaContext:
    case kOptSetMetaContext:
      TRY(Contexts(request));
      return false;
    default:
      TRY(Reply(request.option, kRepErrUnsupported));
      return false;
  }
}

Result<ServerSession> Handshake::Run() {
  std::string greeting;
  AppendBe<uint64_t>(&greeting, kInitMagic);
  AppendBe<uint64_t>(&greeting, kOptionMagic);
  AppendBe<uint16_t>(&greeting, kFixedNewstyle | kNoZeroes);
  TRY(WriteAll(channel(), greeting, deadline_));
  std::array<uint8_t, 4> flags_bytes;
  TRY(ReadAll(channel(), flags_bytes, deadline_));
  const auto flags = LoadBe<uint32_t>(flags_bytes.data());
  if ((flags & ~uint32_t{kFixedNewstyle | kNoZeroes}) != 0) {
    return Fail(Code::kInvalidArgument, "the client sent flags {:#x}", flags);
  }
  no_zeroes_ = (flags & kNoZeroes) != 0;
  for (int count = 0; count < kMaxOptions; ++count) {
    if (TRY(Answer(TRY(Receive())))) return std::move(session_);
  }
  return Fail(Code::kInvalidArgument, "the client asked for too much");
}

}  // namespace

Result<ServerSession> ServerHandshake(std::unique_ptr<Channel> channel, const Export& what,
                                      const Deadline& deadline) {
  return Handshake(std::move(channel), what, deadline).Run();
}

}  // namespace berth::block::nbd
