#include <algorithm>
#include <tuple>

#include <fmt/ranges.h>

#include "mdev/mdev.h"
#include "server/guest/device_key.h"
#include "server/guest/device_resolver.h"

namespace berth::server {
namespace {

// Something that can become, or give, a device of a mediated type.
struct Maker {
  std::string name;  // A parent of mediated devices, or a function that its vendor's driver makes a vGPU of.
  std::optional<int> host_node;
  std::vector<std::string> types;
  int left = 0;  // Of the type that is wanted.
  const host::PciFunction* vgpu = nullptr;
};

bool Has(const Maker& maker, const std::string& type) {
  return std::find(maker.types.begin(), maker.types.end(), type) != maker.types.end();
}

Maker MakerFor(const host::MdevParent& parent, const std::string& type) {
  Maker maker{.name = parent.name, .host_node = parent.numa_node};
  for (const host::MdevType& other : parent.types) {
    maker.types.push_back(other.id);
    if (other.id == type) maker.left = other.available_instances;
  }
  return maker;
}

Maker MakerFor(const host::PciFunction& function, const std::string& type) {
  Maker maker{.name = function.address.ToString(), .host_node = function.numa_node, .vgpu = &function};
  for (const host::VgpuType& other : function.vgpu->creatable_types) {
    maker.types.push_back(VgpuTypeName(other.id));
  }
  if (function.vgpu->current_type != 0) maker.types = {VgpuTypeName(function.vgpu->current_type)};
  maker.left = function.vgpu->current_type == 0 && Has(maker, type) ? 1 : 0;
  return maker;
}

// All, or the one of this name.
std::vector<Maker> MakersOf(const host::HostSnapshot& host, const v1::MediatedDeviceTypeSpec& wanted) {
  std::vector<Maker> makers;
  for (const host::MdevParent& parent : host.mdev_parents) {
    if (wanted.parent().empty() || parent.name == wanted.parent())
      makers.push_back(MakerFor(parent, wanted.type()));
  }
  // What becomes a vGPU is known by its address, and has no attributes.
  const bool mdev_only = !wanted.uuid().empty() || wanted.attributes_size() > 0;
  for (const host::PciFunction& function : host.functions) {
    if (mdev_only) break;
    if (function.vgpu && (wanted.parent().empty() || function.address.ToString() == wanted.parent()))
      makers.push_back(MakerFor(function, wanted.type()));
  }
  return makers;
}

Error NoMaker(const v1::MediatedDeviceTypeSpec& wanted, const std::vector<Maker>& makers) {
  if (makers.empty() && !wanted.parent().empty()) {
    return Error(Code::kNotFound,
                 fmt::format("the host has no parent of mediated devices {}", wanted.parent()))
        .Reason("MDEV_PARENT_NOT_FOUND")
        .With("device", wanted.parent())
        .With("resource", MdevParentName(wanted.parent()));
  }
  const std::string whose = wanted.parent().empty() ? "the host" : wanted.parent();
  std::vector<std::string> known;
  bool has = false;
  for (const Maker& maker : makers) {
    has |= Has(maker, wanted.type());
    known.insert(known.end(), maker.types.begin(), maker.types.end());
  }
  if (has) {
    return Error(Code::kResourceExhausted, fmt::format("{} has no {} left", whose, wanted.type()))
        .Reason("NO_MDEV_INSTANCE_LEFT")
        .With("device", wanted.parent())
        .With("type", wanted.type());
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  const std::string types = fmt::format("{}", fmt::join(known, ", "));
  return Error(Code::kNotFound, fmt::format("{} has no type {} of mediated devices; it has {}", whose,
                                            wanted.type(), types.empty() ? "none" : types))
      .Reason("MDEV_TYPE_NOT_FOUND")
      .With("device", wanted.parent())
      .With("type", wanted.type())
      .With("types", types);
}

// One that is defined with mdevctl and not there: it is made when it is used.
Result<ResolvedDevice> ResolveDefined(const DeviceResolver& resolver,
                                      const host::MdevDefinition& definition) {
  v1::MediatedDeviceTypeSpec wanted;
  wanted.set_parent(definition.parent);
  wanted.set_type(definition.type);
  const std::vector<Maker> makers = MakersOf(resolver.host, wanted);
  if (makers.empty() || makers[0].left == 0)
    return Fail(NoMaker(wanted, makers).Context("as mdevctl defines it"));
  ResolvedDevice device{.key = MdevKey(definition.uuid), .host_node = makers[0].host_node};
  device.mdev = ResolvedDevice::Mdev{
      .uuid = definition.uuid, .create = true, .parent = definition.parent, .type = definition.type};
  for (const auto& [name, value] : definition.attributes) {
    device.mdev->attributes.push_back({.name = name, .value = value});
  }
  return device;
}

Result<ResolvedDevice> ResolveExisting(const DeviceResolver& resolver, const std::string& text) {
  const std::string uuid = TRY(mdev::ParseUuid(text));
  const host::MdevInstance* instance = resolver.host.FindMdev(uuid);
  const host::MdevDefinition* definition = resolver.host.FindMdevDefinition(uuid);
  if (instance == nullptr && definition != nullptr) return ResolveDefined(resolver, *definition);
  if (instance == nullptr) {
    return Fail(Error(Code::kNotFound, fmt::format("the host has no mediated device {}", uuid))
                    .Reason("DEVICE_NOT_FOUND")
                    .With("device", uuid)
                    .With("resource", MdevDeviceName(uuid)));
  }
  const host::MdevParent* parent = resolver.host.FindMdevParent(instance->parent);
  ResolvedDevice device{.key = MdevKey(uuid)};
  if (parent != nullptr) device.host_node = parent->numa_node;
  device.mdev = ResolvedDevice::Mdev{.uuid = uuid};
  return device;
}

// What a new one is called: as is asked for, else as before, else as none is.
std::string UuidFor(const v1::MediatedDeviceTypeSpec& wanted, const std::string& earlier) {
  if (const Result<std::string> uuid = mdev::ParseUuid(wanted.uuid())) return *uuid;
  return earlier.starts_with("mdev/") ? earlier.substr(5) : mdev::NewUuid();
}

ResolvedDevice DeviceFrom(const Maker& maker, const v1::MediatedDeviceTypeSpec& wanted,
                          const std::string& earlier) {
  if (maker.vgpu != nullptr) {
    return {.key = KeyOf(*maker.vgpu),
            .host_node = maker.host_node,
            .address = maker.vgpu->address,
            .vgpu_type = ParseVgpuTypeName(wanted.type())};
  }
  const std::string uuid = UuidFor(wanted, earlier);
  ResolvedDevice device{.key = MdevKey(uuid), .host_node = maker.host_node};
  device.mdev =
      ResolvedDevice::Mdev{.uuid = uuid, .create = true, .parent = maker.name, .type = wanted.type()};
  for (const v1::MediatedDeviceAttribute& attribute : wanted.attributes()) {
    device.mdev->attributes.push_back({.name = attribute.name(), .value = attribute.value()});
  }
  return device;
}

// Whether the device that the guest had is this maker's, and there: the guest runs.
bool GaveEarlier(const DeviceResolver& resolver, const Maker& maker, const std::string& earlier) {
  if (maker.vgpu != nullptr) return KeyOf(*maker.vgpu) == earlier;
  const host::MdevInstance* instance =
      earlier.starts_with("mdev/") ? resolver.host.FindMdev(earlier.substr(5)) : nullptr;
  return instance != nullptr && instance->parent == maker.name;
}

// Where a new one is to come from: where the one from before did; from the guest's node; from where most are
// left; by name.
Result<ResolvedDevice> ResolveNew(const DeviceResolver& resolver, const v1::MediatedDeviceTypeSpec& wanted,
                                  const std::string& earlier) {
  const auto rank = [&](const Maker& maker) {
    return std::tuple(!GaveEarlier(resolver, maker, earlier), !resolver.Prefers(maker.host_node),
                      -maker.left);
  };
  const std::vector<Maker> makers = MakersOf(resolver.host, wanted);
  const Maker* best = nullptr;
  for (const Maker& maker : makers) {
    const bool usable = GaveEarlier(resolver, maker, earlier) ||
                        (maker.left > 0 && (maker.vgpu == nullptr || resolver.IsFree(KeyOf(*maker.vgpu))));
    if (!Has(maker, wanted.type()) || !usable) continue;
    if (best == nullptr || rank(maker) < rank(*best)) best = &maker;
  }
  if (best == nullptr) return Fail(NoMaker(wanted, makers));
  return DeviceFrom(*best, wanted, earlier);
}

}  // namespace

Result<ResolvedDevice> ResolveMdev(const DeviceResolver& resolver, const v1::MediatedDeviceSpec& spec,
                                   const std::string& earlier) {
  if (spec.device_case() == v1::MediatedDeviceSpec::kUuid) return ResolveExisting(resolver, spec.uuid());
  return ResolveNew(resolver, spec.create(), earlier);
}

}  // namespace berth::server
