#include "img/json.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace berth::img {
namespace {

constexpr unsigned kBuckets = 512;

// QEMU keeps dictionaries in hash tables and prints them bucket by bucket; scripts have learnt that order.
unsigned Bucket(std::string_view key) {
  auto hash = static_cast<unsigned>(0x238f13af * key.size());
  for (size_t i = 0; i < key.size(); ++i) hash += static_cast<unsigned char>(key[i]) << (i * 5 % 24);
  return (1103515243u * hash + 12345u) % kBuckets;
}

}  // namespace

nlohmann::ordered_json InQemuOrder(const nlohmann::ordered_json& value) {
  if (value.is_array()) {
    auto sorted = nlohmann::ordered_json::array();
    for (const auto& element : value) sorted.push_back(InQemuOrder(element));
    return sorted;
  }
  if (!value.is_object()) return value;
  std::vector<std::string> keys;
  for (const auto& item : value.items())
    keys.insert(keys.begin(), item.key());  // Later ones go first in a bucket.
  std::stable_sort(keys.begin(), keys.end(),
                   [](const std::string& a, const std::string& b) { return Bucket(a) < Bucket(b); });
  auto sorted = nlohmann::ordered_json::object();
  for (const std::string& key : keys) sorted[key] = InQemuOrder(value[key]);
  return sorted;
}

std::string JsonText(const nlohmann::ordered_json& value) {
  std::string text = InQemuOrder(value).dump(4, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  // An empty list takes two lines.
  for (size_t at = text.find(": []"); at != text.npos; at = text.find(": []", at + 1)) {
    const size_t line = text.rfind('\n', at) + 1;
    const size_t indent = text.find_first_not_of(' ', line) - line;
    text.replace(at, 4, ": [\n" + std::string(indent, ' ') + "]");
  }
  return text;
}

void PrintIndented(const nlohmann::ordered_json& value, int level) {
  for (const auto& item : value.items()) {
    std::string key = item.key();
    for (char& c : key) {
      if (c == '-') c = ' ';
    }
    const nlohmann::ordered_json& field = item.value();
    const bool composite = field.is_object() || field.is_array();
    fmt::print("{:{}}{}:{}", "", 4 * level, value.is_array() ? "[" + key + "]" : key, composite ? "\n" : " ");
    if (composite) {
      PrintIndented(field, level + 1);
    } else if (field.is_string()) {
      fmt::print("{}\n", field.get<std::string>());
    } else {
      fmt::print("{}\n", field.dump());
    }
  }
}

}  // namespace berth::img
