// Means of a few repetitions, and how sure they are.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace berth::fleet {

// Two-sided 95% of Student's t for 1 to 9 degrees of freedom; beyond, the normal distribution's.
inline double StudentT(size_t degrees) {
  constexpr double kTable[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262};
  return degrees >= 1 && degrees <= 9 ? kTable[degrees - 1] : 1.96;
}

struct Estimate {
  double mean = 0, half_width = 0;
};

inline Estimate EstimateOf(const std::vector<double>& values) {
  Estimate estimate;
  for (double value : values) estimate.mean += value / static_cast<double>(values.size());
  if (values.size() < 2) return estimate;
  double squares = 0;
  for (double value : values) squares += (value - estimate.mean) * (value - estimate.mean);
  const double deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  estimate.half_width =
      StudentT(values.size() - 1) * deviation / std::sqrt(static_cast<double>(values.size()));
  return estimate;
}

inline std::string Text(const Estimate& estimate) {
  return fmt::format("{:.2f} ±{:.2f}", estimate.mean, estimate.half_width);
}

}  // namespace berth::fleet
