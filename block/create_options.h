// Options of creating an image: a table a format, and the values somebody gave.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::block {

struct CreateOption {
  enum class Type : uint8_t { kString, kBool, kSize, kNumber };
  std::string_view name;
  Type type = Type::kString;
  std::string_view help{};
  std::string_view default_value{};  // Empty: none.
};

// Values by name, each of a known option and of its type. Sizes are kept as numbers of bytes.
class CreateOptions {
 public:
  // Starts with the defaults.
  explicit CreateOptions(std::vector<CreateOption> table);
  explicit CreateOptions(std::span<const CreateOption> table)
      : CreateOptions(std::vector<CreateOption>(table.begin(), table.end())) {}

  // INVALID_ARGUMENT if the table has no such option or the value is not of its type.
  Status Set(std::string_view name, std::string_view value);
  // name=value,name=value
  Status SetAll(std::string_view text);

  bool Has(std::string_view name) const { return values_.find(name) != values_.end(); }
  std::string String(std::string_view name) const;  // Empty if not set.
  uint64_t Number(std::string_view name) const;     // Of sizes and numbers; 0 if not set.
  bool Bool(std::string_view name) const;           // False if not set.

  const std::vector<CreateOption>& table() const { return table_; }

 private:
  std::vector<CreateOption> table_;
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace berth::block
