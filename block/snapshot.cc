#include "block/snapshot.h"

#include <chrono>
#include <utility>

namespace berth::block {

Snapshot NewSnapshot(std::string name) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
  Snapshot snapshot;
  snapshot.name = std::move(name);
  snapshot.date_seconds = seconds.count();
  snapshot.date_nanoseconds =
      static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now - seconds).count());
  return snapshot;
}

std::optional<size_t> FindSnapshot(std::span<const Snapshot> snapshots, const SnapshotKey& key) {
  for (size_t i = 0; i < snapshots.size(); ++i) {
    if (key.id && snapshots[i].id != *key.id) continue;
    if (key.name && snapshots[i].name != *key.name) continue;
    return i;
  }
  return std::nullopt;
}

std::optional<SnapshotKey> FindSnapshotByText(std::span<const Snapshot> snapshots, std::string_view text) {
  const SnapshotKey by_id{.id = std::string(text)}, by_name{.name = std::string(text)};
  if (FindSnapshot(snapshots, by_id)) return by_id;
  if (const auto index = FindSnapshot(snapshots, by_name)) return SnapshotKey{.id = snapshots[*index].id};
  return std::nullopt;
}

}  // namespace berth::block
