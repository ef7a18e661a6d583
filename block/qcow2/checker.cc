#include "block/qcow2/checker.h"

#include <algorithm>

namespace berth::block::qcow2 {

int Checker::Compare(uint64_t end, bool fix, bool* rebuild) {
  MutexLock lock(image_.mutex_);
  Refcounts& refcounts = image_.refcounts_;
  const uint64_t per_block = header_.refcounts_per_block();
  for (uint64_t cluster = 0; cluster < end; ++cluster) {
    const uint64_t block = cluster / per_block;
    const bool past_table = block >= refcounts.table().size();
    if (past_table || refcounts.table()[block] == 0) {
      // No block counts these: on to what is referred to, or to the next block.
      const uint64_t next = references_.NextPossible(cluster);
      if (next > cluster) {
        cluster = (past_table ? next : std::min(next, (block + 1) * per_block)) - 1;
        continue;
      }
    }
    const uint64_t reference = references_.Get(cluster);
    uint64_t count = 0;
    if (refcounts.Get(cluster, &count) != 0) {
      ++report_.errors;
      Say("Can't get refcount for cluster {}", cluster);
      continue;
    }
    if (count != 0 || reference != 0) highest_ = cluster;
    if (count == reference) continue;
    const bool leak = count > reference;
    bool repairing = fix && (leak ? repair_.leaks : repair_.corruptions);
    if (count == 0) {
      *rebuild = true;
      repairing = false;
    }
    Say("{} cluster {} refcount={} reference={}",
        repairing ? "Repairing"
        : leak    ? "Leaked"
                  : "ERROR",
        cluster, count, reference);
    if (repairing && refcounts.Store(cluster, reference) == 0) {
      ++(leak ? report_.leaks_fixed : report_.corruptions_fixed);
      continue;
    }
    ++(leak ? report_.leaks : report_.corruptions);
  }
  return 0;
}

Status Checker::Finish() {
  if (!repair_.leaks && !repair_.corruptions) return Ok();
  for (int i = 0; i < 2; ++i) {
    if (const int error = image_.FlushMetadata(); error != 0)
      return FailErrno(error, "write what was repaired");
  }
  if (!repair_.corruptions || report_.corruptions != 0 || report_.errors != 0) return Ok();
  MutexLock lock(image_.mutex_);
  Header changed = header_;
  changed.incompatible &= ~(kDirty | kCorrupt);
  return changed.incompatible == header_.incompatible ? Ok() : image_.WriteHeader(changed);
}

Result<CheckReport> Checker::Run() {
  file_bytes_ = image_.file()->size_bytes();
  const uint64_t file_clusters = (file_bytes_ + header_.cluster_bytes() - 1) / header_.cluster_bytes();
  if (const int error = CountEverything(); error != 0)
    return FailErrno(error, "count the image's references");
  const uint64_t end = std::max(file_clusters, references_.end());
  const CheckReport before = report_;
  bool rebuild = false;
  if (const int error = Compare(end, false, &rebuild); error != 0)
    return FailErrno(error, "compare refcounts");
  if (rebuild && repair_.corruptions) {
    Say("Rebuilding refcount structure");
    const CheckReport found = report_;
    if (const int error = Rebuild(); error != 0) return FailErrno(error, "rebuild the refcounts");
    report_.corruptions_fixed += found.corruptions - before.corruptions;
    report_.leaks_fixed += found.leaks - before.leaks;
    report_.corruptions = before.corruptions;
    report_.leaks = before.leaks;
  } else if (rebuild && repair_.leaks) {
    return Fail(Code::kFailedPrecondition, "the refcount structures must be rebuilt, which -r all does");
  } else if ((repair_.leaks || repair_.corruptions) &&
             report_.leaks + report_.corruptions != before.leaks + before.corruptions) {
    // Once more, now with the intention to repair.
    report_.leaks = before.leaks;
    report_.corruptions = before.corruptions;
    if (const int error = Compare(end, true, &rebuild); error != 0)
      return FailErrno(error, "repair refcounts");
  }
  if (const int error = CheckCopied(); error != 0) return FailErrno(error, "check the copied flags");
  report_.image_end_offset = (highest_ + 1) << header_.cluster_bits;
  TRY(Finish());
  return report_;
}

Result<CheckReport> Qcow2Image::Check(const Repair& repair) {
  if (!flags_.writable) {
    MutexLock lock(mutex_);
    TRY(refcounts_.LoadTable());
  }
  if ((repair.leaks || repair.corruptions) && limits_.read_only) {
    return Fail(Code::kFailedPrecondition, "a read-only image cannot be repaired");
  }
  return Checker(this, repair).Run();
}

}  // namespace berth::block::qcow2
