// What the name of a logical volume says that it is, in a pool of LVM's: there is no other record of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace berth::server {

struct ThinName {
  enum class Kind {
    kVolume,    // "berth.web"
    kSnapshot,  // "berth.web.before-upgrade", of that volume
    kNew,       // "berth_new.web": it is being made
    kReplaced,  // "berth_old.web": what it was before a snapshot was applied
  };
  Kind kind = Kind::kVolume;
  std::string volume;      // Its id.
  std::string snapshot{};  // kSnapshot: its id.

  // Nothing for what is not ours.
  static std::optional<ThinName> Parse(std::string_view name);
  std::string ToString() const;

  bool operator==(const ThinName&) const = default;
};

}  // namespace berth::server
