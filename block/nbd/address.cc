#include "block/nbd/address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include <netinet/tcp.h>

#include "block/nbd/protocol.h"

namespace berth::block::nbd {
namespace {

constexpr std::string_view kExportName = ":exportname=";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 && HexDigit(text[i + 2]) >= 0) {
      plain += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

tl::unexpected<Error> NoUrl() { return Fail(Code::kInvalidArgument, "No valid URL specified"); }

// Behind the scheme and its "://".
Result<Address> ParseUri(std::string_view rest, bool is_unix) {
  Address address;
  const size_t question = rest.find('?');
  const std::string_view query = question == rest.npos ? "" : rest.substr(question + 1);
  rest = rest.substr(0, question);
  const size_t slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  std::string_view name = slash == rest.npos ? "" : rest.substr(slash);
  while (name.starts_with('/')) name.remove_prefix(1);
  address.export_name = Unescape(name);
  if (is_unix) {
    if (!authority.empty() || !query.starts_with("socket=") || query.find('&') != query.npos) return NoUrl();
    address.path = Unescape(query.substr(7));
    if (address.path.empty()) return NoUrl();
    return address;
  }
  if (!query.empty() || authority.empty()) return NoUrl();
  address.port = std::to_string(kDefaultPort);
  const size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == authority.npos) return NoUrl();
  const size_t colon = authority.find(':', bracket);
  if (colon != authority.npos) {
    address.port = std::string(authority.substr(colon + 1));
    authority = authority.substr(0, colon);
  }
  if (bracket != 0) authority = authority.substr(1, bracket - 1);
  address.host = Unescape(authority);
  if (address.host.empty() || address.port.empty()) return NoUrl();
  return address;
}

}  // namespace

std::string Address::ToUri() const {
  if (!path.empty()) {
    return fmt::format("nbd+unix://{}{}?socket={}", export_name.empty() ? "" : "/", export_name, path);
  }
  const bool ipv6 = host.find(':') != host.npos;
  return fmt::format("nbd://{}{}{}:{}{}{}", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port,
                     export_name.empty() ? "" : "/", export_name);
}

std::string Address::Server() const { return path.empty() ? fmt::format("{}:{}", host, port) : path; }

Result<Address> ParseAddress(std::string_view filename) {
  for (const std::string_view scheme : {"nbd://", "nbd+tcp://"}) {
    if (filename.starts_with(scheme)) return ParseUri(filename.substr(scheme.size()), false);
  }
  if (constexpr std::string_view kUnix = "nbd+unix://"; filename.starts_with(kUnix)) {
    return ParseUri(filename.substr(kUnix.size()), true);
  }
  if (!filename.starts_with("nbd:")) {
    return Fail(Code::kInvalidArgument, "File name string for NBD must start with 'nbd:'");
  }
  filename.remove_prefix(4);
  Address address;
  if (const size_t at = filename.find(kExportName); at != filename.npos) {
    address.export_name = std::string(filename.substr(at + kExportName.size()));
    filename = filename.substr(0, at);
  }
  if (filename.starts_with("unix:")) {
    address.path = std::string(filename.substr(5));
    if (!address.path.empty()) return address;
  } else if (const size_t colon = filename.rfind(':'); colon != filename.npos && colon != 0) {
    std::string_view host = filename.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    address.host = std::string(host);
    address.port = std::string(filename.substr(colon + 1));
    if (!address.port.empty()) return address;
  }
  return Fail(Code::kInvalidArgument, "error parsing address '{}'", filename);
}

Result<Address> TakeAddress(Options* options) {
  const auto filename = Take(options, "filename");
  Options server = TakePrefix(options, "server.");
  const auto take = [&](std::string_view name) {
    auto value = Take(options, name);
    return value ? value : Take(&server, name);
  };
  const auto type = Take(&server, "type");
  const auto path = take("path"), host = take("host"), port = take("port");
  const auto name = Take(options, "export");
  Address address;
  if (!server.empty()) {
    return Fail(Code::kInvalidArgument, "Parameter 'server.{}' is unexpected", server.begin()->first);
  }
  if (path && host) return Fail(Code::kInvalidArgument, "path and host may not be used at the same time");
  if (filename) {
    if (path || host || port || name) {
      return Fail(Code::kInvalidArgument,
                  "host/port/path/export cannot be used together with a file name for NBD");
    }
    address = TRY(ParseAddress(*filename));
  } else if (path) {
    if (port) return Fail(Code::kInvalidArgument, "port may not be used without host");
    address.path = *path;
  } else if (host) {
    address.host = *host;
    address.port = port.value_or(std::to_string(kDefaultPort));
  } else {
    return Fail(Code::kInvalidArgument, "NBD server address missing");
  }
  if (type && (*type == "unix") != !address.path.empty()) {
    return Fail(Code::kInvalidArgument, "Parameter 'server.type' does not fit the address");
  }
  if (name) address.export_name = *name;
  if (address.export_name.size() > kMaxStringBytes) {
    return Fail(Code::kInvalidArgument, "export name too long to send to server");
  }
  return address;
}

Result<UniqueFd> Connect(const Address& address) {
  if (!address.path.empty()) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (address.path.size() >= sizeof(name.sun_path)) {
      return Fail(Code::kInvalidArgument, "UNIX socket path '{}' is too long", address.path);
    }
    std::memcpy(name.sun_path, address.path.data(), address.path.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return FailErrno(errno, "Failed to create Unix socket");
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
      return FailErrno(errno, "Failed to connect to '{}'", address.path);
    }
    return fd;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
      error != 0) {
    return Fail(Code::kNotFound, "address resolution failed for {}: {}", address.Server(),
                ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, &::freeaddrinfo);
  int error = 0;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    UniqueFd fd(::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol));
    if (fd && ::connect(fd.get(), one->ai_addr, one->ai_addrlen) == 0) {
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      return fd;
    }
    error = errno;
  }
  return FailErrno(error, "Failed to connect to '{}'", address.Server());
}

}  // namespace berth::block::nbd
