// Makes and removes mediated devices.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "host/control/control.h"

namespace berth::mdev {

// An attribute of the new device, written below its directory: vendors have such ("nvidia/vgpu_params").
struct MdevAttribute {
  std::string name;
  std::string value;

  friend bool operator==(const MdevAttribute&, const MdevAttribute&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("name", self.name);
    visit("value", self.value);
  }
};

// A mediated device we make; store it before CreateMdev.
struct MdevChange {
  std::string uuid;    // Lower case.
  std::string parent;  // "0000:08:01.7", "mtty"
  std::string type;    // "nvidia-742", "mtty-2"
  std::vector<MdevAttribute> attributes;

  friend bool operator==(const MdevChange&, const MdevChange&) = default;
  template <typename Self, typename Visitor>
  static void VisitFields(Self& self, Visitor&& visit) {
    visit("uuid", self.uuid);
    visit("parent", self.parent);
    visit("type", self.type);
    visit("attributes", self.attributes);
  }
};

// At most 64, each the name of a file below the device with something to write to it. INVALID_ARGUMENT,
// BAD_ATTRIBUTE.
Status CheckAttributes(const std::vector<MdevAttribute>& attributes);

// `parent` empty: the first parent, by name, that has an instance of the type left. INVALID_ARGUMENT:
// BAD_UUID, BAD_ATTRIBUTE. NOT_FOUND: MDEV_PARENT_NOT_FOUND, MDEV_TYPE_NOT_FOUND (with the types there are).
// RESOURCE_EXHAUSTED, NO_MDEV_INSTANCE_LEFT. ALREADY_EXISTS, MDEV_EXISTS.
Result<MdevChange> PlanMdev(const host::HostRoots& roots, const std::string& uuid, const std::string& parent,
                            const std::string& type, const std::vector<MdevAttribute>& attributes = {});

// Makes it, sets its attributes, waits for its IOMMU group and returns that. On failure it is removed again.
// RESOURCE_EXHAUSTED, NO_MDEV_INSTANCE_LEFT; FAILED_PRECONDITION, MDEV_NOT_CREATED; DEADLINE_EXCEEDED.
Result<int> CreateMdev(const host::HostControl& control, const MdevChange& change);

// Removes it. Ok if it is not there, or if the UUID is another parent's or type's by now.
// FAILED_PRECONDITION, MDEV_BUSY; DEADLINE_EXCEEDED, MDEV_REMOVE_TIMED_OUT, while somebody has it open.
Status RemoveMdev(const host::HostControl& control, const MdevChange& change);

// Random (RFC 4122 version 4), lower case.
std::string NewUuid();
// Lower-case RFC 4122 text of `text`; INVALID_ARGUMENT, BAD_UUID.
Result<std::string> ParseUuid(const std::string& text);

}  // namespace berth::mdev
