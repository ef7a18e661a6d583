#include "server/volume/pools.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "server/volume/pool_directory.h"
#include "server/volume/pool_lvm_thin.h"

namespace berth::server {
namespace {

constexpr double kMaxRatio = 1000;

tl::unexpected<Error> BadOption(std::string message) {
  return Fail(Error(Code::kInvalidArgument, std::move(message)).Reason("BAD_OPTION"));
}

// lvm(8), "Valid names".
bool IsLvmName(std::string_view name) {
  constexpr size_t kMaxBytes = 127;
  const auto good = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("+_.-").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return !name.empty() && name.size() <= kMaxBytes && name[0] != '-' && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), good);
}

// "/var/lib/berth/fast", "lvm-thin:vg0/pool0". False if it is neither.
bool ParsePlace(std::string_view text, const std::string& lvm, PoolSettings* pool) {
  constexpr std::string_view kLvmThin = "lvm-thin:";
  if (text.starts_with('/')) {
    pool->directory = text;
    return true;
  }
  const size_t slash = text.find('/');
  if (!text.starts_with(kLvmThin) || slash == text.npos) return false;
  const std::string_view group = text.substr(kLvmThin.size(), slash - kLvmThin.size());
  const std::string_view thin_pool = text.substr(slash + 1);
  pool->lvm_thin = {.volume_group = std::string(group), .thin_pool = std::string(thin_pool), .program = lvm};
  return IsLvmName(group) && IsLvmName(thin_pool);
}

// Names of LVM's volumes are those of the group, whichever pool they are in.
bool Collide(const PoolSettings& one, const PoolSettings& other) {
  if (one.id == other.id) return true;
  if (one.lvm_thin && other.lvm_thin) return one.lvm_thin->volume_group == other.lvm_thin->volume_group;
  return one.Place() == other.Place();
}

}  // namespace

Result<std::vector<PoolSettings>> ParsePools(const std::vector<std::string>& pools,
                                             const std::vector<std::string>& ratios, const std::string& lvm) {
  std::vector<PoolSettings> parsed;
  for (const std::string& text : pools) {
    const size_t equals = text.find('=');
    PoolSettings pool{.id = text.substr(0, equals)};
    if (!IsResourceId(pool.id) || equals == text.npos ||
        !ParsePlace(std::string_view(text).substr(equals + 1), lvm, &pool)) {
      return BadOption(
          fmt::format("pool: \"{}\" is neither NAME=DIRECTORY, as fast=/var/lib/berth/fast, nor "
                      "NAME=lvm-thin:GROUP/POOL, as thin=lvm-thin:vg0/pool0",
                      text));
    }
    for (const PoolSettings& other : parsed) {
      if (Collide(pool, other))
        return BadOption(fmt::format("pool: \"{}\" is there already, or in the same volume group, as {}={}",
                                     text, other.id, other.Place()));
    }
    parsed.push_back(std::move(pool));
  }
  if (parsed.size() > kMaxPools) return BadOption(fmt::format("pool: at most {}", kMaxPools));
  for (const std::string& text : ratios) {
    const size_t equals = text.find('=');
    const auto pool = std::find_if(parsed.begin(), parsed.end(),
                                   [&](const PoolSettings& one) { return one.id == text.substr(0, equals); });
    if (pool == parsed.end()) return BadOption(fmt::format("pool-overcommit: \"{}\" is of no pool", text));
    const char* const end = text.data() + text.size();
    const auto [after, error] =
        std::from_chars(text.data() + std::min(equals, text.size() - 1) + 1, end, pool->overcommit_ratio);
    if (error != std::errc() || after != end || !(pool->overcommit_ratio > 0) ||
        pool->overcommit_ratio > kMaxRatio)
      return BadOption(
          fmt::format("pool-overcommit: \"{}\" is no NAME=RATIO, as fast=1.5, up to {}", text, kMaxRatio));
  }
  std::sort(parsed.begin(), parsed.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return parsed;
}

PoolSettings FindPool(const std::vector<PoolSettings>& pools, const std::string& id) {
  for (const PoolSettings& pool : pools) {
    if (pool.id == id) return pool;
  }
  return {.id = id};
}

Result<VolumePoolPtr> OpenVolumePool(const PoolSettings& pool) {
  if (pool.lvm_thin) return std::make_shared<PoolLvmThin>(pool);
  return std::make_shared<PoolDirectory>(TRY(PoolDirectory::Open(pool)));
}

}  // namespace berth::server
