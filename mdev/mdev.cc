#include "mdev/mdev.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "host/mdev.h"
#include "host/sysfs.h"

namespace berth::mdev {
namespace {

using host::HostControl;
using host::HostRoots;
using host::MdevParent;
using host::MdevType;

std::string DevicePath(const HostRoots& roots, const std::string& uuid) {
  return roots.sys + "/bus/mdev/devices/" + uuid;
}

Error Failure(Code code, const char* reason, const std::string& uuid, std::string message) {
  return Error(code, std::move(message)).Reason(reason).With("uuid", uuid);
}

// A file below the device: no way up, no empty step.
bool IsAttributeName(const std::string& name) {
  if (name.empty() || name.size() > 200 || name.front() == '/' || name.back() == '/') return false;
  if (name.find("//") != std::string::npos || name.find('\0') != std::string::npos) return false;
  return ("/" + name + "/").find("/../") == std::string::npos && name != "remove";
}

Error NoInstanceLeft(const std::string& uuid, const std::string& parent, const std::string& type) {
  return Failure(Code::kResourceExhausted, "NO_MDEV_INSTANCE_LEFT", uuid,
                 fmt::format("no {} of type {} is left{}{}", "mediated device", type,
                             parent.empty() ? "" : " on ", parent))
      .With("parent", parent)
      .With("type", type);
}

// Where the device is to be made: the parent asked for, or the first with an instance left.
Result<std::string> ChooseParent(const HostRoots& roots, const std::string& uuid, const std::string& wanted,
                                 const std::string& type) {
  std::string types;
  bool have_parent = false, have_type = false;
  for (const MdevParent& parent : ReadMdevParents(roots)) {
    if (!wanted.empty() && parent.name != wanted) continue;
    have_parent = true;
    for (const MdevType& other : parent.types) {
      if (types.find(other.id + ",") == std::string::npos) types += other.id + ",";
    }
    const MdevType* found = parent.FindType(type);
    have_type |= found != nullptr;
    if (found != nullptr && found->available_instances > 0) return parent.name;
  }
  if (have_type) return Fail(NoInstanceLeft(uuid, wanted, type));
  if (!types.empty()) types.pop_back();
  if (!wanted.empty() && !have_parent) {
    return Fail(Failure(Code::kNotFound, "MDEV_PARENT_NOT_FOUND", uuid,
                        fmt::format("{} has no mediated devices to give, or does not exist", wanted))
                    .With("parent", wanted));
  }
  return Fail(Failure(Code::kNotFound, "MDEV_TYPE_NOT_FOUND", uuid,
                      fmt::format("{} mediated devices of type {}; there {}",
                                  wanted.empty() ? "the host has no" : wanted + " makes no", type,
                                  types.empty() ? "are none of any type" : "are " + types))
                  .With("type", type)
                  .With("types", types));
}

std::optional<host::MdevInstance> FindInstance(const HostRoots& roots, const std::string& uuid) {
  for (host::MdevInstance& instance : ReadMdevInstances(roots)) {
    if (instance.uuid == uuid) return std::move(instance);
  }
  return std::nullopt;
}

Status WriteCreate(const HostControl& control, const MdevChange& change) {
  const std::string path = fmt::format("{}/class/mdev_bus/{}/mdev_supported_types/{}/create",
                                       control.roots.sys, change.parent, change.type);
  const int error = control.writer->Write(path, change.uuid, control.patience);
  switch (error) {
    case 0:
      return Ok();
    // The first is what the kernel's own count says since 6.1; the others are drivers'.
    case EUSERS:
    case ENOSPC:
      return Fail(NoInstanceLeft(change.uuid, change.parent, change.type));
    case EEXIST:
      return Fail(Failure(Code::kAlreadyExists, "MDEV_EXISTS", change.uuid,
                          fmt::format("there is a mediated device {} already", change.uuid)));
    case ETIMEDOUT:
      return Fail(Failure(Code::kDeadlineExceeded, "MDEV_NOT_CREATED", change.uuid,
                          fmt::format("{} did not make {} within {} ms", change.parent, change.uuid,
                                      control.patience.count())));
    default:
      return Fail(
          Failure(Code::kFailedPrecondition, "MDEV_NOT_CREATED", change.uuid,
                  fmt::format("{} does not make a {}: {}", change.parent, change.type, std::strerror(error)))
              .With("parent", change.parent)
              .With("type", change.type)
              .With("error", std::strerror(error)));
  }
}

Result<int> CreateSteps(const HostControl& control, const MdevChange& change) {
  TRY(WriteCreate(control, change));
  for (const MdevAttribute& attribute : change.attributes) {
    const std::string path = DevicePath(control.roots, change.uuid) + "/" + attribute.name;
    const int error = control.writer->Write(path, attribute.value, control.patience);
    if (error == 0) continue;
    return Fail(Failure(Code::kFailedPrecondition, "MDEV_NOT_CREATED", change.uuid,
                        fmt::format("cannot set {} of the mediated device {} to \"{}\": {}", attribute.name,
                                    change.uuid, attribute.value, std::strerror(error)))
                    .With("attribute", attribute.name)
                    .With("error", std::strerror(error)));
  }
  std::optional<host::MdevInstance> instance;
  const bool settled = host::WaitUntil(control.patience, [&] {
    instance = FindInstance(control.roots, change.uuid);
    return instance && instance->iommu_group;
  });
  if (settled) return *instance->iommu_group;
  return Fail(Failure(Code::kDeadlineExceeded, "MDEV_NOT_CREATED", change.uuid,
                      fmt::format("the mediated device {} did not get an IOMMU group within {} ms",
                                  change.uuid, control.patience.count())));
}

}  // namespace

Status CheckAttributes(const std::vector<MdevAttribute>& attributes) {
  constexpr size_t kMaxAttributes = 64, kMaxValueBytes = 4096;
  if (attributes.size() > kMaxAttributes) {
    return Fail(Error(Code::kInvalidArgument, fmt::format("more than {} attributes", kMaxAttributes))
                    .Reason("BAD_ATTRIBUTE"));
  }
  for (const MdevAttribute& attribute : attributes) {
    if (IsAttributeName(attribute.name) && !attribute.value.empty() &&
        attribute.value.size() <= kMaxValueBytes) {
      continue;
    }
    return Fail(
        Error(
            Code::kInvalidArgument,
            fmt::format("\"{}\" cannot be an attribute of a mediated device, or its value is empty or longer "
                        "than {} bytes",
                        attribute.name, kMaxValueBytes))
            .Reason("BAD_ATTRIBUTE")
            .With("attribute", attribute.name));
  }
  return Ok();
}

Result<MdevChange> PlanMdev(const HostRoots& roots, const std::string& uuid, const std::string& parent,
                            const std::string& type, const std::vector<MdevAttribute>& attributes) {
  MdevChange change{.uuid = TRY(ParseUuid(uuid)), .type = type, .attributes = attributes};
  TRY(CheckAttributes(attributes));
  if (const auto instance = FindInstance(roots, change.uuid)) {
    return Fail(Failure(Code::kAlreadyExists, "MDEV_EXISTS", change.uuid,
                        fmt::format("there is a mediated device {} already, of type {} on {}", change.uuid,
                                    instance->type, instance->parent))
                    .With("parent", instance->parent)
                    .With("type", instance->type));
  }
  change.parent = TRY(ChooseParent(roots, change.uuid, parent, type));
  return change;
}

Result<int> CreateMdev(const HostControl& control, const MdevChange& change) {
  Result<int> group = CreateSteps(control, change);
  // One that was there before is not ours to remove.
  if (group || group.error().code() == Code::kAlreadyExists) return group;
  const Status removed = RemoveMdev(control, change);
  if (removed) return group;
  return Fail(std::move(group).error().With("restoreError", removed.error().message()));
}

Status RemoveMdev(const HostControl& control, const MdevChange& change) {
  const auto instance = FindInstance(control.roots, change.uuid);
  if (!instance || instance->parent != change.parent || instance->type != change.type) return Ok();
  const int error =
      control.writer->Write(DevicePath(control.roots, change.uuid) + "/remove", "1", control.patience);
  if (error == ETIMEDOUT) {
    return Fail(
        Failure(Code::kDeadlineExceeded, "MDEV_REMOVE_TIMED_OUT", change.uuid,
                fmt::format("the mediated device {} was not removed within {} ms: something has it open",
                            change.uuid, control.patience.count())));
  }
  const bool gone = host::WaitUntil(error == 0 ? control.patience : std::chrono::milliseconds(0),
                                    [&] { return !FindInstance(control.roots, change.uuid); });
  if (gone) return Ok();
  return Fail(
      Failure(Code::kFailedPrecondition, "MDEV_BUSY", change.uuid,
              fmt::format("the mediated device {} cannot be removed: {}", change.uuid,
                          error == 0 ? "the kernel reports success but it stays" : std::strerror(error))));
}

}  // namespace berth::mdev
