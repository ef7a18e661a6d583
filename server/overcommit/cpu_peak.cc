#include "server/overcommit/cpu_peak.h"

#include <algorithm>
#include <cmath>

namespace berth::server {

void CpuHistory::Add(int millicpus) {
  if (samples_.size() < kKept) {
    samples_.push_back(millicpus);
    return;
  }
  samples_[next_] = millicpus;
  next_ = (next_ + 1) % kKept;
}

int CpuHistory::Percentile(int percent) const {
  if (samples_.empty()) return 0;
  std::vector<int> sorted = samples_;
  const size_t rank = (samples_.size() * static_cast<size_t>(percent) + 99) / 100;
  const auto place = sorted.begin() + static_cast<ptrdiff_t>(std::max<size_t>(rank, 1) - 1);
  std::nth_element(sorted.begin(), place, sorted.end());
  return *place;
}

int MeanAndSigmas(const std::vector<int>& samples, int sigmas) {
  if (samples.empty()) return 0;
  double sum = 0, squares = 0;
  for (int sample : samples) {
    sum += sample;
    squares += static_cast<double>(sample) * sample;
  }
  const auto count = static_cast<double>(samples.size());
  const double mean = sum / count;
  return static_cast<int>(std::ceil(mean + sigmas * std::sqrt(std::max(0.0, squares / count - mean * mean))));
}

std::map<std::string, int> PredictPeaks(const std::map<std::string, CpuHistory>& guests,
                                        const CpuHistory& total, int sigmas) {
  constexpr int kPercentile = 99;
  std::map<std::string, int> peaks;
  int64_t sum = 0;
  for (const auto& [guest, history] : guests) {
    if (history.size() < kLeastSamples) continue;
    sum += peaks[guest] = std::max(history.Percentile(kPercentile), 1);
  }
  const int64_t peak = total.size() < kLeastSamples ? 0 : MeanAndSigmas(total.samples(), sigmas);
  if (peak <= sum) return peaks;
  for (auto& [guest, millicpus] : peaks)
    millicpus = static_cast<int>((int64_t{millicpus} * peak + sum - 1) / sum);
  return peaks;
}

Ledger CountByUse(Ledger ledger, const std::map<std::string, int>& peaks,
                  const std::map<std::string, int>& reserved) {
  for (Reservation& reservation : ledger) {
    const auto peak = peaks.find(reservation.guest);
    int64_t counted = 0;
    for (const Reservation::SharedCpus& cpus : reservation.shared_cpus) counted += cpus.millicpus;
    if (peak == peaks.end() || counted == 0) continue;
    const auto least = reserved.find(reservation.guest);
    const int64_t wanted = std::max(peak->second, least == reserved.end() ? 0 : least->second);
    for (Reservation::SharedCpus& cpus : reservation.shared_cpus)
      cpus.millicpus = static_cast<int>((cpus.millicpus * wanted + counted - 1) / counted);
  }
  return ledger;
}

}  // namespace berth::server
