// Counts every reference in a qcow2 image, compares with its refcounts, and repairs what differs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "block/qcow2/image.h"
#include "block/qcow2/reference_counts.h"

namespace berth::block::qcow2 {

// Of an image that nobody else uses meanwhile and that has nothing dirty in memory.
class Checker {
 public:
  Checker(Qcow2Image* image, const Repair& repair)
      : image_(*image), header_(image->header_), repair_(repair) {}
  Result<CheckReport> Run();

 private:
  template <typename... Args>
  void Say(fmt::format_string<Args...> format, Args&&... args) {
    if (report_.messages.size() < kMaxCheckMessages) {
      report_.messages.push_back(fmt::format(format, std::forward<Args>(args)...));
    }
  }
  template <typename... Args>
  void Corrupt(fmt::format_string<Args...> format, Args&&... args) {
    ++report_.corruptions;
    Say(format, std::forward<Args>(args)...);
  }

  // What refers to what.
  int Count(uint64_t offset, uint64_t length);
  int CountL1(uint64_t offset, uint64_t entries, bool active);
  int CountL2(uint64_t table, bool active);
  int CountEntry(const L2Entry& entry, bool active, uint64_t* next_contiguous);
  int CountBitmaps(std::span<const uint8_t> extension);
  int CountUses(bool active);
  int CountRefcountBlocks();
  int CountEverything();

  // What the refcounts say of it.
  // Of the clusters before `end`. `rebuild`: clusters are in use that no count can be repaired for.
  int Compare(uint64_t end, bool fix, bool* rebuild);
  int CheckCopied();
  int CheckCopiedIn(uint64_t table);
  int Rebuild();
  Status Finish();

  Qcow2Image& image_;
  const Header& header_;
  const Repair repair_;
  CheckReport report_;
  ReferenceCounts references_;
  uint64_t file_bytes_ = 0;
  uint64_t highest_ = 0;  // Referenced or counted.
};

}  // namespace berth::block::qcow2
