#include "block/create_options.h"

#include "block/options.h"

namespace berth::block {
namespace {

const CreateOption* Find(std::span<const CreateOption> table, std::string_view name) {
  for (const CreateOption& option : table) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

}  // namespace

CreateOptions::CreateOptions(std::vector<CreateOption> table) : table_(std::move(table)) {
  for (const CreateOption& option : table_) {
    if (!option.default_value.empty()) (void)Set(option.name, option.default_value);
  }
}

Status CreateOptions::Set(std::string_view name, std::string_view value) {
  const CreateOption* option = Find(table_, name);
  if (option == nullptr) return Fail(Code::kInvalidArgument, "Invalid parameter '{}'", name);
  std::string kept(value);
  switch (option->type) {
    case CreateOption::Type::kString:
      break;
    case CreateOption::Type::kBool:
      kept = TRY(ParseBool(name, value)) ? "on" : "off";
      break;
    case CreateOption::Type::kSize: {
      const auto size = ParseSize(value);
      if (!size) {
        if (size.error().code() == Code::kOutOfRange)
          return Fail(Code::kInvalidArgument, "Value '{}' is out of range for parameter '{}'", value, name);
        return Fail(
            Code::kInvalidArgument,
            "Parameter '{}' expects a non-negative number below 2^64\nOptional suffix k, M, G, T, P or E "
            "means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.",
            name);
      }
      kept = std::to_string(*size);
      break;
    }
    case CreateOption::Type::kNumber: {
      const auto number = ParseNumber(value);
      if (!number) return Fail(Code::kInvalidArgument, "Parameter '{}' expects a number", name);
      kept = std::to_string(*number);
      break;
    }
  }
  values_.insert_or_assign(std::string(name), std::move(kept));
  return Ok();
}

Status CreateOptions::SetAll(std::string_view text) {
  for (const auto& [name, value] : TRY(SplitKeyValues(text))) TRY(Set(name, value));
  return Ok();
}

std::string CreateOptions::String(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string() : found->second;
}

uint64_t CreateOptions::Number(std::string_view name) const { return ParseNumber(String(name)).value_or(0); }

bool CreateOptions::Bool(std::string_view name) const { return String(name) == "on"; }

}  // namespace berth::block
