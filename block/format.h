// Image formats by name: each opens as a node over the node that holds the image's bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "block/node.h"

namespace berth::block {

// Options by name, as text ("offset" = "1048576").
using FormatOptions = std::map<std::string, std::string, std::less<>>;

struct Format {
  std::string_view name;
  // How sure the format is that an image beginning with these bytes is its own: 0 (no) to 100. raw says 1 of
  // everything. Never use a probe on an image that a guest could write: it could make itself look like
  // another format.
  int (*probe)(std::span<const uint8_t> head);
  // INVALID_ARGUMENT for unknown options or values.
  Result<std::unique_ptr<BlockNode>> (*open)(std::unique_ptr<BlockNode> child, const FormatOptions& options);
};

// Every format there is; the list is in format.cc.
std::span<const Format* const> Formats();
// NOT_FOUND, naming those there are.
Result<const Format*> FindFormat(std::string_view name);

extern const Format kRawFormat;

}  // namespace berth::block
