#include "block/format.h"

#include <charconv>

#include "block/raw.h"

namespace berth::block {
namespace {

Result<uint64_t> ParseBytes(std::string_view name, std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  return Fail(Code::kInvalidArgument, "{} is a number of bytes, not \"{}\"", name, text);
}

Result<std::unique_ptr<BlockNode>> OpenRaw(std::unique_ptr<BlockNode> child, const FormatOptions& options) {
  RawOptions raw;
  for (const auto& [name, value] : options) {
    if (name == "offset") {
      raw.offset_bytes = TRY(ParseBytes(name, value));
    } else if (name == "size") {
      raw.size_bytes = TRY(ParseBytes(name, value));
    } else {
      return Fail(Code::kInvalidArgument, "the raw format has no option \"{}\", only offset and size", name);
    }
  }
  return CreateRawNode(std::move(child), raw);
}

constexpr const Format* kFormats[] = {&kRawFormat};

}  // namespace

const Format kRawFormat{.name = "raw", .probe = [](std::span<const uint8_t>) { return 1; }, .open = OpenRaw};

std::span<const Format* const> Formats() { return kFormats; }

Result<const Format*> FindFormat(std::string_view name) {
  std::string known;
  for (const Format* format : Formats()) {
    if (format->name == name) return format;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", format->name);
  }
  return Fail(Code::kNotFound, "there is no image format \"{}\"; there are: {}", name, known);
}

}  // namespace berth::block
