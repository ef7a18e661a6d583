#include "block/snapshot.h"

namespace berth::block {

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
