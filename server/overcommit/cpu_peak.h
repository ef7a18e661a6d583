// What guests that share CPUs will use of them at most, from what they have used: overcommitment by
// prediction (Bashir et al., "Take it to the limit", EuroSys 2021). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "server/placement/ledger.h"

namespace berth::server {

// A guest's use of CPU time, in thousandths of a CPU, newer samples counting more.
class CpuHistory {
 public:
  static constexpr size_t kKept = 720;  // An hour of samples five seconds apart.

  void Add(int millicpus);
  size_t size() const { return samples_.size(); }
  // Of so many of a hundred samples no more than this was used.
  int Percentile(int percent) const;
  const std::vector<int>& samples() const { return samples_; }

 private:
  std::vector<int> samples_;  // A ring.
  size_t next_ = 0;
};

// The mean of all samples and so many standard deviations.
int MeanAndSigmas(const std::vector<int>& samples, int sigmas);

// For each guest of which enough is known, what it counts for: its 99th percentile, raised for all alike
// where the host as a whole (`total`, the guests' sums) has been seen to peak higher: mean + sigmas *
// deviation.
inline constexpr size_t kLeastSamples = 120;
std::map<std::string, int> PredictPeaks(const std::map<std::string, CpuHistory>& guests,
                                        const CpuHistory& total, int sigmas);

// The ledger with guests that share counted by their peaks instead of the ratio, but never for less than they
// have reserved (`reserved`, in thousandths; 0 where it is not said).
Ledger CountByUse(Ledger ledger, const std::map<std::string, int>& peaks,
                  const std::map<std::string, int>& reserved);

}  // namespace berth::server
