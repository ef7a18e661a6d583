#include "server/volume/thin_name.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "server/volume/volume_name.h"

namespace berth::server {
namespace {

using Kind = ThinName::Kind;

// Ids have no dots.
constexpr std::string_view kVolume = "berth.", kNew = "berth_new.", kReplaced = "berth_old.";
constexpr std::array kPrefixes = {std::pair(Kind::kVolume, kVolume), std::pair(Kind::kNew, kNew),
                                  std::pair(Kind::kReplaced, kReplaced)};

}  // namespace

std::optional<ThinName> ThinName::Parse(std::string_view name) {
  ThinName parsed;
  for (const auto& [kind, prefix] : kPrefixes) {
    if (!name.starts_with(prefix)) continue;
    std::string_view id = name.substr(prefix.size());
    const size_t dot = id.find('.');
    parsed.kind = kind;
    if (kind == Kind::kVolume && dot != id.npos) {
      parsed.kind = Kind::kSnapshot;
      parsed.snapshot = id.substr(dot + 1);
      id = id.substr(0, dot);
      if (!IsResourceId(parsed.snapshot)) return std::nullopt;
    }
    parsed.volume = id;
    if (!IsResourceId(id)) return std::nullopt;
    return parsed;
  }
  return std::nullopt;
}

std::string ThinName::ToString() const {
  switch (kind) {
    case Kind::kNew:
      return fmt::format("{}{}", kNew, volume);
    case Kind::kReplaced:
      return fmt::format("{}{}", kReplaced, volume);
    case Kind::kSnapshot:
      return fmt::format("{}{}.{}", kVolume, volume, snapshot);
    case Kind::kVolume:
      break;
  }
  return fmt::format("{}{}", kVolume, volume);
}

}  // namespace berth::server
