#include "block/driver.h"

namespace berth::block {
namespace {

constexpr const Format* kFormats[] = {
    &kRawFormat,  &kQcow2Format, &kVmdkFormat,      &kVdiFormat,      &kVpcFormat,        &kVhdxFormat,
    &kLuksFormat, &kQedFormat,   &kParallelsFormat, &kThrottleFormat, &kCopyOnReadFormat, &kCompressFormat};
constexpr const Protocol* kProtocols[] = {&kFileProtocol, &kNbdProtocol, &kNullCoProtocol, &kNullAioProtocol,
                                          &kBlkdebugProtocol};

}  // namespace

std::span<const Format* const> Formats() { return kFormats; }
std::span<const Protocol* const> Protocols() { return kProtocols; }

const Format* FindFormat(std::string_view name) {
  for (const Format* format : kFormats) {
    if (format->name == name) return format;
  }
  return nullptr;
}

const Protocol* FindProtocol(std::string_view name) {
  for (const Protocol* protocol : kProtocols) {
    if (protocol->name == name) return protocol;
  }
  return name == "host_device" ? &kFileProtocol : nullptr;
}

const Protocol* ProtocolOf(std::string_view filename) {
  for (const Protocol* protocol : kProtocols) {
    if (filename.starts_with(protocol->prefix)) return protocol;
    for (const std::string_view prefix : protocol->more_prefixes) {
      if (filename.starts_with(prefix)) return protocol;
    }
  }
  const size_t colon = filename.find(':');
  const bool has_prefix = colon != filename.npos && filename.find('/') > colon;
  return has_prefix ? nullptr : &kFileProtocol;
}

}  // namespace berth::block
