// Mediated devices that somebody has defined with mdevctl, whether they are there or not: files
// /etc/mdevctl.d/PARENT/UUID. mdevctl(8), "Device configuration".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "host/roots.h"

namespace berth::host {

struct MdevDefinition {
  std::string uuid;    // Lower case.
  std::string parent;  // As MdevParent::name.
  std::string type;
  bool starts_with_host = false;  // "start": "auto"
  // To be written to the device's files, in order: name below its directory, and value.
  std::vector<std::pair<std::string, std::string>> attributes;

  friend bool operator==(const MdevDefinition&, const MdevDefinition&) = default;
};

// By parent and UUID. What is no definition is left out.
std::vector<MdevDefinition> ReadMdevDefinitions(const HostRoots& roots);

// A definition's text; `uuid` and `parent` are its file's name and directory. INVALID_ARGUMENT,
// BAD_DEFINITION.
Result<MdevDefinition> ParseMdevDefinition(const std::string& uuid, const std::string& parent,
                                           std::string_view text);

}  // namespace berth::host
