#include "block/nbd/client_handshake.h"

#include <array>

#include "base/bytes.h"
#include "block/nbd/protocol.h"
#include "block/nbd/wire.h"

namespace berth::block::nbd {
namespace {

// Of one reply to an option; strings of the protocol are 4096 bytes at most.
constexpr uint32_t kMaxReplyBytes = 16 << 10;

std::string_view OptionName(uint32_t option) {
  switch (option) {
    case kOptExportName:
      return "export name";
    case kOptList:
      return "list";
    case kOptStartTls:
      return "starttls";
    case kOptInfo:
      return "info";
    case kOptGo:
      return "go";
    case kOptStructuredReply:
      return "structured reply";
    case kOptListMetaContext:
      return "list meta context";
    case kOptSetMetaContext:
      return "set meta context";
    default:
      return "<unknown>";
  }
}

struct Reply {
  uint32_t type = 0;
  std::string bytes{};
  bool is_error() const { return (type & kRepIsError) != 0; }
};

class Handshake {
 public:
  Handshake(std::unique_ptr<Channel> channel, const HandshakeOptions& options)
      : channel_(std::move(channel)),
        options_(options),
        deadline_(Clock::now() + std::chrono::seconds(kHandshakeSeconds)) {}

  // Greeting and, if asked for, TLS. False: the server speaks the old style, in which nothing is chosen.
  Result<bool> Begin(ExportInfo* info);
  Status Enter(Session* session);
  Result<std::vector<ExportInfo>> List();
  std::unique_ptr<Channel> TakeChannel() { return std::move(channel_); }

 private:
  Status Send(uint32_t option, std::string_view bytes);
  Result<Reply> Receive(uint32_t option);
  // Whether the server agrees to an option without replies of its own.
  Result<bool> Ask(uint32_t option);
  Status StartTls();
  // Contexts of `name`: those that `query` selects, by id, or with an empty one all, by name.
  Status Contexts(uint32_t option, std::string_view name, std::string_view query, ExportInfo* info,
                  std::optional<uint32_t>* id);
  // False: the server has no such option.
  Result<bool> Info(uint32_t option, const std::string& name, ExportInfo* info);
  Status ExportName(ExportInfo* info);
  template <typename T>
  Result<T> Read() {
    std::array<uint8_t, sizeof(T)> bytes;
    TRY(ReadAll(channel_.get(), bytes, deadline_));
    return LoadBe<T>(bytes.data());
  }

  std::unique_ptr<Channel> channel_;
  const HandshakeOptions& options_;
  const Deadline deadline_;
  bool fixed_ = false;
  bool zeroes_ = true;
};

Error Refused(uint32_t option, const Reply& reply) {
  const std::string of_option = fmt::format("option {} ({})", option, OptionName(option));
  Code code = Code::kUnavailable;
  std::string text;
  switch (reply.type) {
    case kRepErrUnsupported:
      code = Code::kUnimplemented;
      text = "Unsupported option type " + of_option;
      break;
    case kRepErrPolicy:
      code = Code::kPermissionDenied;
      text = "Denied by server for " + of_option;
      break;
    case kRepErrInvalid:
      text = "Invalid parameters for " + of_option;
      break;
    case kRepErrPlatform:
      text = "Server lacks support for " + of_option;
      break;
    case kRepErrTlsRequired:
      code = Code::kFailedPrecondition;
      text = fmt::format("TLS negotiation required before {}\nDid you forget a valid tls-creds?", of_option);
      break;
    case kRepErrUnknown:
      code = Code::kNotFound;
      text = "Requested export not available";
      break;
    case kRepErrShutdown:
      text = "Server shutting down before " + of_option;
      break;
    case kRepErrBlockSizeRequired:
      text = "Server requires INFO_BLOCK_SIZE for " + of_option;
      break;
    default:
      text = "Unknown error code when asking for " + of_option;
  }
  // What a stranger wrote: one line of what can be printed.
  std::string said;
  for (const char c : reply.bytes) said += c >= ' ' && c != 0x7f ? c : '?';
  if (!said.empty()) text += "\nserver reported: " + said;
  return {code, text};
}

Status Handshake::Send(uint32_t option, std::string_view bytes) {
  std::string message;
  AppendBe<uint64_t>(&message, kOptionMagic);
  AppendBe<uint32_t>(&message, option);
  AppendString(&message, bytes);
  return WriteAll(channel_.get(), message, deadline_);
}

Result<Reply> Handshake::Receive(uint32_t option) {
  std::array<uint8_t, kOptionReplyHeaderBytes> header;
  TRY(ReadAll(channel_.get(), header, deadline_));
  if (LoadBe<uint64_t>(&header[0]) != kOptionReplyMagic || LoadBe<uint32_t>(&header[8]) != option) {
    return Fail(Code::kUnavailable, "Unexpected option reply");
  }
  Reply reply{.type = LoadBe<uint32_t>(&header[12])};
  const auto length = LoadBe<uint32_t>(&header[16]);
  if (length > kMaxReplyBytes) return Fail(Code::kUnavailable, "option reply is too long");
  reply.bytes.resize(length);
  TRY(ReadAll(channel_.get(), {reinterpret_cast<uint8_t*>(reply.bytes.data()), length}, deadline_));
  return reply;
}

Result<bool> Handshake::Ask(uint32_t option) {
  TRY(Send(option, ""));
  const Reply reply = TRY(Receive(option));
  if (reply.type == kRepAck) return true;
  if (reply.type == kRepErrTlsRequired) return Fail(Refused(option, reply));
  if (!reply.is_error()) return Fail(Code::kUnavailable, "Unexpected reply type {:#x}", reply.type);
  return false;
}

Status Handshake::StartTls() {
  TRY(Send(kOptStartTls, ""));
  const Reply reply = TRY(Receive(kOptStartTls));
  if (reply.is_error()) {
    return Fail(std::move(Refused(kOptStartTls, reply)).Context("Server doesn't support STARTTLS option"));
  }
  if (reply.type != kRepAck || !reply.bytes.empty()) {
    return Fail(Code::kUnavailable, "Server answered STARTTLS with a reply of its own");
  }
  channel_ = TRY(options_.tls->Upgrade(std::move(channel_), options_.tls_hostname, deadline_));
  return Ok();
}

Result<bool> Handshake::Begin(ExportInfo* info) {
  if (TRY(Read<uint64_t>()) != kInitMagic) return Fail(Code::kUnavailable, "Bad initial magic received");
  const uint64_t magic = TRY(Read<uint64_t>());
  if (magic == kOldstyleMagic) {
    if (options_.tls) return Fail(Code::kUnavailable, "Server does not support STARTTLS");
    info->size_bytes = TRY(Read<uint64_t>());
    info->flags = static_cast<uint16_t>(TRY(Read<uint32_t>()));
    TRY(SkipBytes(channel_.get(), 124, deadline_));
    return false;
  }
  if (magic != kOptionMagic) return Fail(Code::kUnavailable, "Bad server magic received");
  const auto flags = TRY(Read<uint16_t>());
  fixed_ = (flags & kFixedNewstyle) != 0;
  zeroes_ = (flags & kNoZeroes) == 0;
  std::string answer;
  AppendBe<uint32_t>(&answer, flags & (kFixedNewstyle | kNoZeroes));
  TRY(WriteAll(channel_.get(), answer, deadline_));
  if (!options_.tls) return true;
  if (!fixed_) return Fail(Code::kUnavailable, "Server does not support STARTTLS");
  TRY(StartTls());
  return true;
}

Status Handshake::Contexts(uint32_t option, std::string_view name, std::string_view query, ExportInfo* info,
                           std::optional<uint32_t>* id) {
  std::string message;
  AppendString(&message, name);
  AppendBe<uint32_t>(&message, query.empty() ? 0 : 1);
  if (!query.empty()) AppendString(&message, query);
  TRY(Send(option, message));
  for (size_t count = 0; count < kMaxListed; ++count) {
    const Reply reply = TRY(Receive(option));
    if (reply.type == kRepAck || reply.is_error()) return Ok();
    WireReader reader(reply.bytes);
    const auto its_id = reader.Take<uint32_t>();
    if (reply.type != kRepMetaContext || !reader.whole()) {
      return Fail(Code::kUnavailable, "Unexpected reply type {:#x} for meta contexts", reply.type);
    }
    if (reader.rest() == query) *id = its_id;
    info->contexts.emplace_back(reader.rest());
  }
  return Fail(Code::kUnavailable, "the server lists more than {} contexts", kMaxListed);
}

Result<bool> Handshake::Info(uint32_t option, const std::string& name, ExportInfo* info) {
  std::string message;
  AppendString(&message, name);
  const bool all = option == kOptInfo;
  AppendBe<uint16_t>(&message, all ? 3 : 1);
  if (all) {
    AppendBe<uint16_t>(&message, kInfoName);
    AppendBe<uint16_t>(&message, kInfoDescription);
  }
  AppendBe<uint16_t>(&message, kInfoBlockSize);
  TRY(Send(option, message));
  bool known = false;
  for (size_t count = 0; count < kMaxListed; ++count) {
    const Reply reply = TRY(Receive(option));
    if (reply.type == kRepErrUnsupported) return false;
    if (reply.is_error()) return Fail(Refused(option, reply));
    if (reply.type == kRepAck) {
      if (!known) return Fail(Code::kUnavailable, "broken server omitted NBD_INFO_EXPORT");
      return true;
    }
    if (reply.type != kRepInfo) return Fail(Code::kUnavailable, "Unexpected reply type {:#x}", reply.type);
    WireReader reader(reply.bytes);
    switch (reader.Take<uint16_t>()) {
      case kInfoExport:
        info->size_bytes = reader.Take<uint64_t>();
        info->flags = reader.Take<uint16_t>();
        known = true;
        break;
      case kInfoBlockSize:
        info->min_block_bytes = reader.Take<uint32_t>();
        info->preferred_block_bytes = reader.Take<uint32_t>();
        info->max_block_bytes = reader.Take<uint32_t>();
        break;
      case kInfoDescription:
        info->description = std::string(reader.rest());
        break;
      default:
        break;
    }
    if (!reader.whole()) return Fail(Code::kUnavailable, "the server's information is cut short");
  }
  return Fail(Code::kUnavailable, "the server tells more than there is to know");
}

Status Handshake::ExportName(ExportInfo* info) {
  TRY(Send(kOptExportName, options_.export_name));
  info->size_bytes = TRY(Context(Read<uint64_t>(), "Failed to read export length"));
  info->flags = TRY(Read<uint16_t>());
  return zeroes_ ? SkipBytes(channel_.get(), 124, deadline_) : Ok();
}

Status Handshake::Enter(Session* session) {
  ExportInfo* const info = &session->info;
  info->name = options_.export_name;
  if (!TRY(Begin(info))) {
    if (!options_.export_name.empty())
      return Fail(Code::kUnavailable, "Server does not support non-empty export names");
    return Ok();
  }
  if (fixed_) {
    session->structured_replies = TRY(Ask(kOptStructuredReply));
    if (session->structured_replies && !options_.context.empty()) {
      TRY(Contexts(kOptSetMetaContext, options_.export_name, options_.context, info, &session->context_id));
    }
    if (TRY(Info(kOptGo, options_.export_name, info))) return Ok();
    session->context_id.reset();
  }
  return ExportName(info);
}

Result<std::vector<ExportInfo>> Handshake::List() {
  ExportInfo only;
  if (!TRY(Begin(&only))) return std::vector{only};
  if (!fixed_) return Fail(Code::kUnimplemented, "Server does not support export lists");
  const bool structured = TRY(Ask(kOptStructuredReply));
  std::vector<ExportInfo> all;
  TRY(Send(kOptList, ""));
  while (true) {
    const Reply reply = TRY(Receive(kOptList));
    if (reply.type == kRepAck) break;
    if (reply.is_error()) return Fail(Refused(kOptList, reply));
    WireReader reader(reply.bytes);
    const std::string_view name = reader.TakeBytes(reader.Take<uint32_t>());
    if (reply.type != kRepServer || !reader.whole()) {
      return Fail(Code::kUnavailable, "Unexpected reply type {:#x} for a list", reply.type);
    }
    if (all.size() == kMaxListed)
      return Fail(Code::kUnavailable, "the server lists more than {} exports", kMaxListed);
    all.push_back({.name = std::string(name), .description = std::string(reader.rest())});
  }
  for (ExportInfo& one : all) {
    std::optional<uint32_t> id;
    if (!TRY(Info(kOptInfo, one.name, &one))) break;
    if (structured) TRY(Contexts(kOptListMetaContext, one.name, "", &one, &id));
  }
  (void)Send(kOptAbort, "");
  return all;
}

}  // namespace

Result<Session> ClientHandshake(std::unique_ptr<Channel> channel, const HandshakeOptions& options) {
  Handshake handshake(std::move(channel), options);
  Session session;
  TRY(handshake.Enter(&session));
  session.channel = handshake.TakeChannel();
  return session;
}

Result<std::vector<ExportInfo>> ListExports(std::unique_ptr<Channel> channel,
                                            const HandshakeOptions& options) {
  return Handshake(std::move(channel), options).List();
}

}  // namespace berth::block::nbd
