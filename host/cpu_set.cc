#include "host/cpu_set.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "host/sysfs.h"

namespace berth::host {
namespace {

std::optional<int> ParseMember(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (number < 0 || number > CpuSet::kMaxNumber) return std::nullopt;
  return number;
}

}  // namespace

CpuSet::CpuSet(std::initializer_list<int> numbers) {
  for (const int number : numbers) Insert(number);
}

Result<CpuSet> CpuSet::Parse(std::string_view list) {
  const std::string_view text = TrimBlanks(list);
  const auto fail = [&] {
    return Fail(Code::kInvalidArgument, "\"{}\" is not a list of numbers such as 0-3,8 (0 to {})",
                text.substr(0, 100), kMaxNumber);
  };
  // Membership by number: overlapping ranges cost no more than the largest number.
  std::vector<bool> member;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view range = rest.substr(0, comma);
    if (comma + 1 == rest.size()) return fail();  // Nothing after the comma.
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    const size_t dash = range.find('-');
    const auto first = ParseMember(range.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : ParseMember(range.substr(dash + 1));
    if (!first || !last || *last < *first) return fail();
    if (member.size() <= static_cast<size_t>(*last)) member.resize(*last + 1);
    std::fill(member.begin() + *first, member.begin() + *last + 1, true);
  }
  CpuSet set;
  for (size_t number = 0; number < member.size(); ++number) {
    if (member[number]) set.numbers_.push_back(static_cast<int>(number));
  }
  return set;
}

std::string CpuSet::ToString() const {
  std::string text;
  for (size_t i = 0; i < numbers_.size();) {
    size_t last = i;
    while (last + 1 < numbers_.size() && numbers_[last + 1] == numbers_[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(numbers_[i]);
    if (last > i) text += '-' + std::to_string(numbers_[last]);
    i = last + 1;
  }
  return text;
}

void CpuSet::Insert(int number) {
  CHECK(number >= 0 && number <= kMaxNumber);
  const auto place = std::lower_bound(numbers_.begin(), numbers_.end(), number);
  if (place == numbers_.end() || *place != number) numbers_.insert(place, number);
}

void CpuSet::Erase(int number) {
  const auto place = std::lower_bound(numbers_.begin(), numbers_.end(), number);
  if (place != numbers_.end() && *place == number) numbers_.erase(place);
}

bool CpuSet::Contains(int number) const {
  return std::binary_search(numbers_.begin(), numbers_.end(), number);
}

bool CpuSet::ContainsAll(const CpuSet& other) const {
  return std::includes(numbers_.begin(), numbers_.end(), other.numbers_.begin(), other.numbers_.end());
}

CpuSet operator|(const CpuSet& a, const CpuSet& b) {
  CpuSet result;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result.numbers_));
  return result;
}
CpuSet operator&(const CpuSet& a, const CpuSet& b) {
  CpuSet result;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result.numbers_));
  return result;
}
CpuSet operator-(const CpuSet& a, const CpuSet& b) {
  CpuSet result;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(result.numbers_));
  return result;
}

}  // namespace berth::host
