// JSON as other tools print it: four blanks a level, and keys in the order in which QEMU's dictionaries have
// them.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace berth::img {

// The keys of objects in QEMU's order, at every depth.
nlohmann::ordered_json InQemuOrder(const nlohmann::ordered_json& value);
// Pretty, without a newline at the end.
std::string JsonText(const nlohmann::ordered_json& value);
// To standard output, for people: a line a value, nested ones indented from `level` on.
void PrintIndented(const nlohmann::ordered_json& value, int level);

}  // namespace berth::img
