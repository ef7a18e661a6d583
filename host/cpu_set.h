// A set of CPU or NUMA node numbers, in the kernel's list format ("0-3,8").
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::host {

class CpuSet {
 public:
  // The highest number a set holds; a list that names more is an error, so that "0-4000000000" costs nothing.
  static constexpr int kMaxNumber = 65535;

  CpuSet() = default;
  CpuSet(std::initializer_list<int> numbers);

  // "0-3,8", with or without a line's end; "" is the empty set. INVALID_ARGUMENT for anything else.
  static Result<CpuSet> Parse(std::string_view list);
  std::string ToString() const;

  void Insert(int number);  // 0 to kMaxNumber.
  void Erase(int number);
  bool Contains(int number) const;
  bool ContainsAll(const CpuSet& other) const;
  bool empty() const { return numbers_.empty(); }
  size_t size() const { return numbers_.size(); }
  // In ascending order.
  auto begin() const { return numbers_.begin(); }
  auto end() const { return numbers_.end(); }

  friend CpuSet operator|(const CpuSet& a, const CpuSet& b);
  friend CpuSet operator&(const CpuSet& a, const CpuSet& b);
  friend CpuSet operator-(const CpuSet& a, const CpuSet& b);
  friend bool operator==(const CpuSet&, const CpuSet&) = default;

 private:
  std::vector<int> numbers_;  // Sorted, no duplicates.
};

}  // namespace berth::host
