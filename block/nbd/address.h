// Where an NBD server is, and which of its exports is meant.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"
#include "block/nbd/channel.h"
#include "block/options.h"

namespace berth::block::nbd {

struct Address {
  std::string path{};  // Of a Unix socket; empty: TCP.
  std::string host{};
  std::string port{};  // A number, or a service's name.
  std::string export_name{};

  // As tools show it: nbd+unix:///export?socket=path, nbd://host:port/export.
  std::string ToUri() const;
  // For messages: the path, or host:port.
  std::string Server() const;
};

// `nbd:unix:PATH[:exportname=NAME]`, `nbd:HOST:PORT[:exportname=NAME]`, `nbd://HOST[:PORT]/[NAME]`,
// `nbd+tcp://…`, `nbd+unix:///[NAME]?socket=PATH`.
Result<Address> ParseAddress(std::string_view filename);
// Takes out what says where the server is: filename, path, host, port, server.*, and export.
Result<Address> TakeAddress(Options* options);

Result<UniqueFd> Connect(const Address& address);

}  // namespace berth::block::nbd
