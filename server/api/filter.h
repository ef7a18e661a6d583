// The filters of list methods: the part of AIP-160 that compares fields with values, joined by AND.
//
//   filter     = [ comparison { "AND" comparison } ]
//   comparison = field ( "=" | "!=" ) value
//   field      = word { "." word }
//   value      = word | '"' characters '"'      (\" and \\ within)
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::server {

class Filter {
 public:
  static constexpr size_t kMaxBytes = 4096;
  static constexpr size_t kMaxComparisons = 32;

  // `knows` says which fields there are. INVALID_ARGUMENT, BAD_FILTER, with the place.
  static Result<Filter> Parse(std::string_view text, const std::function<bool(std::string_view)>& knows);

  // `value_of` gives a field's value as text; empty for one that is not set.
  bool Matches(const std::function<std::string(std::string_view)>& value_of) const;

 private:
  struct Comparison {
    std::string field, value;
    bool equal = true;
  };
  std::vector<Comparison> comparisons_;
};

}  // namespace berth::server
