#include "block/qcow2/metadata_map.h"

namespace berth::block::qcow2 {

const char* SectionName(Section section) {
  switch (section) {
    case Section::kNone:
      return "nothing";
    case Section::kHeader:
      return "qcow2_header";
    case Section::kL1:
      return "active L1 table";
    case Section::kL2:
      return "active L2 table";
    case Section::kRefcountTable:
      return "refcount table";
    case Section::kRefcountBlock:
      return "refcount block";
    case Section::kSnapshotTable:
      return "snapshot table";
    case Section::kInactiveL1:
      return "inactive L1 table";
    case Section::kInactiveL2:
      return "inactive L2 table";
    case Section::kSeveral:
      return "metadata of several kinds";
  }
  return "nothing";
}

void MetadataMap::Add(uint64_t offset, uint64_t length, Section section) {
  if (length == 0) return;
  for (uint64_t cluster = offset >> cluster_bits_; cluster <= (offset + length - 1) >> cluster_bits_;
       ++cluster) {
    const auto [there, added] = sections_.emplace(cluster, section);
    if (!added && there->second != section) there->second = Section::kSeveral;
  }
}

void MetadataMap::Remove(uint64_t offset, uint64_t length) {
  if (length == 0) return;
  for (uint64_t cluster = offset >> cluster_bits_; cluster <= (offset + length - 1) >> cluster_bits_;
       ++cluster) {
    sections_.erase(cluster);
  }
}

Section MetadataMap::Conflict(uint64_t offset, uint64_t length, Section section) const {
  for (uint64_t cluster = offset >> cluster_bits_; cluster <= (offset + length - 1) >> cluster_bits_;
       ++cluster) {
    const auto found = sections_.find(cluster);
    if (found != sections_.end() && found->second != section) return found->second;
  }
  return Section::kNone;
}

}  // namespace berth::block::qcow2
