// Where an image file's metadata is, so that nothing else is ever written there.
#pragma once

#include <cstdint>
#include <unordered_map>

namespace berth::block::qcow2 {

enum class Section : uint8_t {
  kNone,
  kHeader,
  kL1,
  kL2,
  kRefcountTable,
  kRefcountBlock,
  kSnapshotTable,
  kInactiveL1,
  kInactiveL2,
  kSeveral,  // Of a corrupt image: nothing may be written there.
};
const char* SectionName(Section section);

// By cluster; not thread-safe. Grows with the image's tables, whose sizes are bounded.
class MetadataMap {
 public:
  explicit MetadataMap(uint32_t cluster_bits) : cluster_bits_(cluster_bits) {}

  void Add(uint64_t offset, uint64_t length, Section section);
  void Remove(uint64_t offset, uint64_t length);
  void Clear() { sections_.clear(); }
  // What writing `length` bytes (not 0) at `offset` as `section` (kNone: as data) would destroy; kNone:
  // nothing.
  Section Conflict(uint64_t offset, uint64_t length, Section section) const;

 private:
  const uint32_t cluster_bits_;
  std::unordered_map<uint64_t, Section> sections_;
};

}  // namespace berth::block::qcow2
