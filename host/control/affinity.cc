#include "host/control/affinity.h"

#include <sched.h>

#include <cerrno>
#include <vector>

namespace berth::host {
namespace {

// The kernel's mask format: one bit a CPU in longs, of the kernel's own size or longer.
class CpuMask {
 public:
  CpuMask() : words_(CPU_ALLOC_SIZE(CpuSet::kMaxNumber + 1) / sizeof(unsigned long)) {}
  cpu_set_t* get() { return reinterpret_cast<cpu_set_t*>(words_.data()); }
  size_t size_bytes() const { return words_.size() * sizeof(unsigned long); }

 private:
  std::vector<unsigned long> words_;
};

Error NoSuchThread(int tid, int errno_value, const char* what) {
  return SystemError(errno_value, fmt::format("{} the CPUs of thread {}", what, tid))
      .With("tid", std::to_string(tid));
}

}  // namespace

Status SetAffinity(int tid, const CpuSet& cpus) {
  if (cpus.empty()) return Fail(Code::kInvalidArgument, "a thread cannot run on no CPU");
  CpuMask mask;
  for (const int cpu : cpus) CPU_SET_S(cpu, mask.size_bytes(), mask.get());
  if (::sched_setaffinity(tid, mask.size_bytes(), mask.get()) != 0)
    return Fail(NoSuchThread(tid, errno, "set"));
  const CpuSet held = TRY(GetAffinity(tid));
  if (held == cpus) return Ok();
  return Fail(
      Error(Code::kFailedPrecondition,
            fmt::format("thread {} was to run on the CPUs {} but may run on {} only: a cpuset or an offline "
                        "CPU is in the way",
                        tid, cpus.ToString(), held.ToString()))
          .Reason("AFFINITY_NOT_HELD")
          .With("tid", std::to_string(tid))
          .With("wantedCpus", cpus.ToString())
          .With("actualCpus", held.ToString()));
}

Result<CpuSet> GetAffinity(int tid) {
  CpuMask mask;
  if (::sched_getaffinity(tid, mask.size_bytes(), mask.get()) != 0)
    return Fail(NoSuchThread(tid, errno, "read"));
  CpuSet cpus;
  for (int cpu = 0; cpu <= CpuSet::kMaxNumber; ++cpu) {
    if (CPU_ISSET_S(cpu, mask.size_bytes(), mask.get())) cpus.Insert(cpu);
  }
  return cpus;
}

}  // namespace berth::host
