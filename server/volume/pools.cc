#include "server/volume/pools.h"

#include <algorithm>
#include <charconv>

#include "server/volume/pool_directory.h"

namespace berth::server {
namespace {

constexpr double kMaxRatio = 1000;

tl::unexpected<Error> BadOption(std::string message) {
  return Fail(Error(Code::kInvalidArgument, std::move(message)).Reason("BAD_OPTION"));
}

}  // namespace

Result<std::vector<PoolSettings>> ParsePools(const std::vector<std::string>& pools,
                                             const std::vector<std::string>& ratios) {
  std::vector<PoolSettings> parsed;
  for (const std::string& text : pools) {
    const size_t equals = text.find('=');
    PoolSettings pool{.id = text.substr(0, equals)};
    if (equals != text.npos) pool.directory = text.substr(equals + 1);
    if (!IsResourceId(pool.id) || !pool.directory.starts_with('/'))
      return BadOption(fmt::format("pool: \"{}\" is no NAME=DIRECTORY, as fast=/var/lib/berth/fast", text));
    for (const PoolSettings& other : parsed) {
      if (other.id == pool.id || other.directory == pool.directory)
        return BadOption(
            fmt::format("pool: \"{}\" is there already, as {}={}", text, other.id, other.directory));
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
  return std::make_shared<PoolDirectory>(TRY(PoolDirectory::Open(pool)));
}

}  // namespace berth::server
