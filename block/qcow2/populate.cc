// Taking over from the backing image what this one does not have.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "block/content.h"
#include "block/qcow2/image.h"

namespace berth::block::qcow2 {
namespace {

constexpr uint64_t kStepBytes = 1 << 20;

}  // namespace

// As a write of what is there already: clusters that somebody else is writing to are waited for, and those
// that have a place by then are left alone.
int Qcow2Image::Populate(uint64_t offset, uint64_t length) {
  if (limits_.read_only) return EROFS;
  if (const int error = PrepareToChange(); error != 0) return error;
  std::vector<uint8_t> content;
  for (const uint64_t end = offset + length; offset < end;) {
    if (const int error = RelieveCaches(); error != 0) return error;
    uint64_t now = std::min(end - offset, kStepBytes);
    WritePlan plan;
    {
      MutexLock lock(mutex_);
      WaitForTurn(&lock, offset, &now);
      Mapping mapping;
      if (const int error = Lookup(offset, now, &mapping); error != 0) return error;
      const bool missing = mapping.kind == Kind::kUnallocated || mapping.kind == Kind::kUnallocatedKept;
      if (!missing || BackingIsZero(offset)) {
        offset += mapping.length;
        continue;
      }
      if (const int error = EnsureTable(offset); error != 0) return error;
      if (const int error = PlanAllocation(offset, mapping.length, mapping, &plan); error != 0) return error;
    }
    content.resize(plan.length);
    const iovec piece{content.data(), content.size()};
    int error = ReadBacking(*this, offset, plan.length, {&piece, 1});
    // Zeroes need no place: it reads so with no image beneath it.
    const bool zero = error == 0 && AllZero(content);
    if (error == 0 && !zero) error = FillAllocation(*plan.allocation, offset, plan.length, {&piece, 1});
    error = FinishAllocation(plan.allocation, offset, plan.length, zero ? ECANCELED : error);
    if (error != 0 && !zero) return error;
    offset += plan.length;
  }
  return 0;
}

}  // namespace berth::block::qcow2
