#include "host/mdev_definition.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "host/sysfs.h"

namespace berth::host {
namespace {

using Json = nlohmann::json;

// RFC 4122's text, in lower case.
bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    if (dash ? text[i] != '-' : !digit) return false;
  }
  return true;
}

std::string LowerCase(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  }
  return text;
}

tl::unexpected<Error> Bad(const std::string& uuid, std::string_view why) {
  return Fail(
      Error(Code::kInvalidArgument, fmt::format("the definition of mediated device {}: {}", uuid, why))
          .Reason("BAD_DEFINITION")
          .With("uuid", uuid));
}

}  // namespace

Result<MdevDefinition> ParseMdevDefinition(const std::string& uuid, const std::string& parent,
                                           std::string_view text) {
  MdevDefinition definition{.uuid = LowerCase(uuid), .parent = parent};
  if (!IsUuid(definition.uuid)) return Bad(uuid, "its name is no UUID");
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Bad(uuid, "it is no JSON object");
  const auto type = json.find("mdev_type");
  if (type == json.end() || !type->is_string()) return Bad(uuid, "it has no mdev_type");
  definition.type = type->get<std::string>();
  const auto start = json.find("start");
  definition.starts_with_host = start != json.end() && *start == "auto";
  const auto attributes = json.find("attrs");
  if (attributes == json.end()) return definition;
  if (!attributes->is_array()) return Bad(uuid, "its attrs are no list");
  for (const Json& attribute : *attributes) {
    const bool pair = attribute.is_object() && attribute.size() == 1 && attribute.begin().value().is_string();
    if (!pair) return Bad(uuid, "one of its attrs is no name with a text");
    definition.attributes.emplace_back(attribute.begin().key(), attribute.begin().value().get<std::string>());
  }
  return definition;
}

std::vector<MdevDefinition> ReadMdevDefinitions(const HostRoots& roots) {
  std::vector<MdevDefinition> definitions;
  const SysfsDirectory parents(roots.mdevctl);
  for (const std::string& parent : parents.Names()) {
    const SysfsDirectory directory = parents.Enter(parent);
    for (const std::string& uuid : directory.Names()) {
      const auto text = directory.Text(uuid);
      auto definition = text ? ParseMdevDefinition(uuid, parent, *text) : Bad(uuid, "it cannot be read");
      if (definition) definitions.push_back(*std::move(definition));
    }
  }
  return definitions;
}

}  // namespace berth::host
