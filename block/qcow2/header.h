// The qcow2 header with its extensions and the backing file's name: the whole first cluster.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "block/image.h"
#include "block/qcow2/format.h"

namespace berth::block::qcow2 {

struct Extension {
  uint32_t type = 0;
  std::vector<uint8_t> data;
};

struct Header {
  uint32_t version = 3;
  uint32_t cluster_bits = 16;
  uint64_t size_bytes = 0;
  uint32_t encryption = 0;
  uint32_t l1_entries = 0;
  uint64_t l1_offset = 0;
  uint64_t refcount_table_offset = 0;
  uint32_t refcount_table_clusters = 0;
  uint32_t snapshot_count = 0;
  uint64_t snapshots_offset = 0;
  uint64_t incompatible = 0, compatible = 0, autoclear = 0;
  uint32_t refcount_order = 4;
  Compression compression = Compression::kZlib;
  std::string backing_file;
  std::string backing_format;
  std::string data_file;
  // Of the header beyond what is known here, and extensions of unknown types: kept as they are.
  std::vector<uint8_t> unknown_fields;
  std::vector<Extension> unknown_extensions;

  uint64_t cluster_bytes() const { return uint64_t{1} << cluster_bits; }
  bool extended_l2() const { return (incompatible & kExtendedL2) != 0; }
  bool has_data_file() const { return (incompatible & kExternalData) != 0; }
  bool data_file_raw() const { return (autoclear & kRawExternalData) != 0; }
  uint64_t l2_entry_bytes() const { return extended_l2() ? 16 : 8; }
  uint64_t l2_entries() const { return cluster_bytes() / l2_entry_bytes(); }
  uint64_t refcount_bits() const { return uint64_t{1} << refcount_order; }
  uint64_t refcount_max() const { return ~uint64_t{0} >> (64 - refcount_bits()); }
  uint64_t refcounts_per_block() const { return cluster_bytes() * 8 / refcount_bits(); }
  // L1 entries that a disk of this size needs.
  uint64_t L1EntriesFor(uint64_t bytes) const;
};

// Reads and checks everything that can be checked from the first cluster alone.
Result<Header> ReadHeader(Image* file);
// The first cluster's bytes; INVALID_ARGUMENT if it has no room for all of it.
Result<std::vector<uint8_t>> EncodeHeader(const Header& header);

}  // namespace berth::block::qcow2
