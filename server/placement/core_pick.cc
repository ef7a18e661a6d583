#include "server/placement/core_pick.h"

#include <algorithm>
#include <bit>
#include <map>

namespace berth::server {
namespace {

class Picker {
 public:
  Picker(const HostModel& model, int node, const CpuShape& shape, std::vector<uint8_t>* free)
      : model_(model), shape_(shape), free_(*free) {
    for (int core : model.nodes[node].cores) {
      if (shape.kind == CoreKind::kAny || shape.kind == model.cores[core].kind) cores_.push_back(core);
    }
  }

  CorePick Pick(int vcpus, int helpers) {
    if (shape_.isolate) {
      PickIsolated(vcpus);
    } else if (shape_.group > 1) {
      PickGroups(vcpus / shape_.group);
    } else {
      PickThreads(vcpus);
    }
    PickSingles(helpers, &pick_.helpers);
    return std::move(pick_);
  }

 private:
  int FreeOf(int core) const { return std::popcount(free_[core]); }
  bool IsWhole(int core) const { return FreeOf(core) == static_cast<int>(model_.cores[core].cpus.size()); }

  // The first free threads of a core.
  void Take(int core, int count, std::vector<int>* to) {
    const std::vector<int>& cpus = model_.cores[core].cpus;
    for (size_t i = 0; i < cpus.size() && count > 0; ++i) {
      if ((free_[core] >> i & 1) == 0) continue;
      free_[core] &= static_cast<uint8_t>(~(1 << i));
      to->push_back(cpus[i]);
      --count;
    }
  }

  // `count` of these cores: all under one cache, the fullest that has as many, or else the emptiest caches
  // first.
  std::vector<int> Compact(const std::vector<int>& cores, size_t count) const {
    std::map<int, std::vector<int>> by_cache;
    for (int core : cores) by_cache[model_.cores[core].cache].push_back(core);
    std::vector<int> chosen;
    while (chosen.size() < count && !by_cache.empty()) {
      const size_t wanted = count - chosen.size();
      auto best = by_cache.begin();
      for (auto it = by_cache.begin(); it != by_cache.end(); ++it) {
        const size_t size = it->second.size(), known = best->second.size();
        const bool better = known >= wanted ? size >= wanted && size < known : size > known;
        if (better) best = it;
      }
      const size_t taken = std::min(wanted, best->second.size());
      chosen.insert(chosen.end(), best->second.begin(), best->second.begin() + static_cast<long>(taken));
      by_cache.erase(best);
    }
    return chosen;
  }

  template <typename Predicate>
  std::vector<int> CoresWhere(Predicate&& predicate) const {
    std::vector<int> cores;
    std::copy_if(cores_.begin(), cores_.end(), std::back_inserter(cores), predicate);
    return cores;
  }

  // Cores of fewest threads first: the others' idle threads would be lost.
  void PickIsolated(int vcpus) {
    for (size_t size = 1; size <= kMaxThreadsPerCore && vcpus > 0; ++size) {
      const auto cores =
          CoresWhere([&](int core) { return IsWhole(core) && model_.cores[core].cpus.size() == size; });
      for (int core : Compact(cores, vcpus)) {
        Take(core, 1, &pick_.vcpus);
        Take(core, kMaxThreadsPerCore, &pick_.idle);
        --vcpus;
      }
    }
  }

  // The fullest cores first, so that whole ones remain.
  void PickGroups(int groups) {
    for (int size = shape_.group; size <= kMaxThreadsPerCore && groups > 0; ++size) {
      const auto cores = CoresWhere([&](int core) { return FreeOf(core) == size; });
      for (int core : Compact(cores, groups)) {
        const int taken = std::min(groups, size / shape_.group);
        Take(core, taken * shape_.group, &pick_.vcpus);
        groups -= taken;
      }
    }
  }

  // One kind of cores if either will do.
  void PickThreads(int vcpus) {
    const std::vector<int> all = cores_;
    for (CoreKind kind : {CoreKind::kPerformance, CoreKind::kEfficiency}) {
      const auto cores = CoresWhere([&](int core) { return model_.cores[core].kind == kind; });
      int threads = 0;
      for (int core : cores) threads += FreeOf(core);
      if (threads < vcpus) continue;
      cores_ = cores;
      break;
    }
    const auto whole = CoresWhere([&](int core) { return IsWhole(core); });
    for (int core : Compact(whole, vcpus / std::max(LargestOf(whole), 1))) {
      const int threads = FreeOf(core);
      Take(core, threads, &pick_.vcpus);
      vcpus -= threads;
    }
    PickSingles(vcpus, &pick_.vcpus);
    cores_ = all;
  }

  int LargestOf(const std::vector<int>& cores) const {
    int largest = 0;
    for (int core : cores) largest = std::max(largest, FreeOf(core));
    return largest;
  }

  // Cores that are broken already, the fullest first; then whole ones, the smallest first.
  void PickSingles(int count, std::vector<int>* to) {
    for (bool whole : {false, true}) {
      for (int size = 1; size <= kMaxThreadsPerCore && count > 0; ++size) {
        const auto cores =
            CoresWhere([&](int core) { return FreeOf(core) == size && IsWhole(core) == whole; });
        for (int core : Compact(cores, (count + size - 1) / size)) {
          const int taken = std::min(count, size);
          Take(core, taken, to);
          count -= taken;
        }
      }
    }
  }

  const HostModel& model_;
  const CpuShape& shape_;
  std::vector<uint8_t>& free_;
  std::vector<int> cores_;
  CorePick pick_;
};

}  // namespace

CorePick PickCores(const HostModel& model, int node, const Demand& demand, const CpuShape& shape,
                   std::vector<uint8_t>* free) {
  return Picker(model, node, shape, free).Pick(demand.dedicated(), demand.helpers);
}

}  // namespace berth::server
