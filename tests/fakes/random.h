// Random numbers for tests and simulations: the same seed gives the same ones with every compiler, which the
// standard library's distributions do not.
#pragma once

#include <cmath>
#include <cstdint>

namespace berth {

// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // 0 to count - 1.
  int Below(int count) { return static_cast<int>(Next() % static_cast<uint64_t>(count)); }
  int Between(int least, int most) { return least + Below(most - least + 1); }
  bool OneIn(int count) { return Below(count) == 0; }
  // Above 0, at most 1.
  double Unit() { return static_cast<double>((Next() >> 11) + 1) * 0x1p-53; }
  double Exponential(double mean) { return -mean * std::log(Unit()); }
  // Pareto: of these, the part above x falls as x^-shape.
  double Pareto(double least, double shape) { return least * std::pow(Unit(), -1 / shape); }

 private:
  uint64_t state_;
};

}  // namespace berth
