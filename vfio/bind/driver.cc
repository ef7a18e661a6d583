#include "vfio/bind/driver.h"

#include <cerrno>
#include <cstring>

#include "host/pci.h"
#include "host/sysfs.h"
#include "vfio/bind/group.h"

namespace berth::vfio {
namespace {

using host::HostControl;
using host::HostRoots;
using host::PciAddress;
using host::PciFunction;

std::string FunctionPath(const HostRoots& roots, const PciAddress& address) {
  return roots.sys + "/bus/pci/devices/" + address.ToString();
}
std::string DriverPath(const HostRoots& roots, const std::string& driver) {
  return roots.sys + "/bus/pci/drivers/" + driver;
}

std::string DriverOf(const HostRoots& roots, const PciAddress& address) {
  return host::SysfsDirectory(FunctionPath(roots, address)).LinkName("driver").value_or("");
}

std::string NameOf(const std::string& driver) { return driver.empty() ? "no driver" : driver; }

Error Failure(Code code, const char* reason, const PciAddress& address, std::string message) {
  return Error(code, std::move(message)).Reason(reason).With("device", address.ToString());
}

Error Missing(const PciAddress& address) {
  return Failure(Code::kNotFound, "DEVICE_NOT_FOUND", address,
                 fmt::format("the host has no PCI function {} (any more)", address.ToString()));
}

bool IsSame(const PciFunction& function, const DriverChange& change) {
  return function.vendor_id == change.vendor_id && function.device_id == change.device_id;
}

// Empty `driver`: no override.
Status SetOverride(const HostControl& control, const PciAddress& address, const std::string& driver) {
  const std::string path = FunctionPath(control.roots, address) + "/driver_override";
  // A line's end alone clears it; nothing at all would not reach the kernel.
  const int error = control.writer->Write(path, driver + "\n", control.patience);
  if (error == 0) return Ok();
  return Fail(Failure(Code::kFailedPrecondition, "BIND_FAILED", address,
                      fmt::format("cannot set driver_override of {} to \"{}\": {}", address.ToString(),
                                  driver, std::strerror(error)))
                  .With("error", std::strerror(error)));
}

Status Unbind(const HostControl& control, const PciAddress& address, const std::string& driver) {
  const int error = control.writer->Write(DriverPath(control.roots, driver) + "/unbind", address.ToString(),
                                          control.patience);
  if (error == ETIMEDOUT) {
    return Fail(Failure(Code::kDeadlineExceeded, "UNBIND_TIMED_OUT", address,
                        fmt::format("{} does not let go of {} within {} ms: something still uses the device",
                                    driver, address.ToString(), control.patience.count()))
                    .With("driver", driver));
  }
  const bool gone = host::WaitUntil(error == 0 ? control.patience : std::chrono::milliseconds(0),
                                    [&] { return DriverOf(control.roots, address) != driver; });
  if (gone) return Ok();
  const std::string cause =
      error == 0 ? "the kernel reports success but the driver stays" : std::strerror(error);
  return Fail(Failure(Code::kFailedPrecondition, "UNBIND_FAILED", address,
                      fmt::format("cannot take {} from its driver {}: {}", address.ToString(), driver, cause))
                  .With("driver", driver)
                  .With("error", cause));
}

// One attempt: `file` is the kernel's drivers_probe or a driver's bind.
Status Attach(const HostControl& control, const PciAddress& address, const std::string& file,
              const std::string& driver, const char* reason) {
  int error = 0;
  std::string now;
  // A driver may be busy for a moment after it let go.
  host::WaitUntil(control.patience, [&] {
    error = control.writer->Write(file, address.ToString(), control.patience);
    now = DriverOf(control.roots, address);
    return now == driver || !(error == EBUSY || error == EAGAIN);
  });
  if (now == driver) return Ok();
  std::string cause = fmt::format("{} has it", NameOf(now));
  if (error != 0) cause = fmt::format("{}; {}", std::strerror(error), cause);
  return Fail(Failure(error == ETIMEDOUT ? Code::kDeadlineExceeded : Code::kFailedPrecondition, reason,
                      address, fmt::format("{} was not bound to {}: {}", address.ToString(), driver, cause))
                  .With("driver", driver)
                  .With("actualDriver", now)
                  .With("error", error == 0 ? "" : std::strerror(error)));
}

Status BindSteps(const HostControl& control, const DriverChange& change, const PciFunction& function) {
  TRY(SetOverride(control, change.address, change.driver));
  if (!function.driver.empty()) TRY(Unbind(control, change.address, function.driver));
  return Attach(control, change.address, control.roots.sys + "/bus/pci/drivers_probe", change.driver,
                "BIND_FAILED");
}

}  // namespace

Result<DriverChange> PlanBind(const HostRoots& roots, const PciAddress& address, const std::string& driver) {
  if (!IsVfioDriver(driver)) {
    return Fail(Failure(Code::kInvalidArgument, "NOT_A_VFIO_DRIVER", address,
                        fmt::format("\"{}\" is no VFIO driver for PCI functions", driver))
                    .With("driver", driver));
  }
  const PciFunction function = TRY(ReadPciFunction(roots, address));
  const std::string name = Describe(function);
  if (function.is_bridge()) {
    return Fail(Failure(Code::kFailedPrecondition, "DEVICE_IS_BRIDGE", address,
                        fmt::format("{} is a bridge, which cannot be assigned", name)));
  }
  if (!function.iommu_group) {
    return Fail(
        Failure(Code::kFailedPrecondition, "NO_IOMMU_GROUP", address,
                fmt::format("{} has no IOMMU group: the host's IOMMU is off or does not serve it", name)));
  }
  if (function.sriov && function.sriov->num_vfs > 0 && function.driver != driver) {
    return Fail(
        Failure(
            Code::kFailedPrecondition, "VFS_ENABLED", address,
            fmt::format("{} has {} virtual functions, which would be lost with its driver {}; remove them "
                        "first",
                        name, function.sriov->num_vfs, NameOf(function.driver)))
            .With("vfs", std::to_string(function.sriov->num_vfs)));
  }
  for (const host::PciBar& bar : function.bars) {
    if (bar.address != 0 || bar.io || bar.index > 5) continue;
    return Fail(
        Failure(Code::kFailedPrecondition, "BAR_UNASSIGNED", address,
                fmt::format("BAR {} of {} has no address on the host: its bridge's window is too small (try "
                            "pci=realloc, or more MMIO space in the firmware)",
                            bar.index, name))
            .With("bar", std::to_string(bar.index)));
  }
  if (!host::SysfsDirectory(DriverPath(roots, driver)).exists()) {
    return Fail(Failure(Code::kFailedPrecondition, "VFIO_DRIVER_NOT_LOADED", address,
                        fmt::format("the driver {} is not loaded: modprobe {}", driver, driver))
                    .With("driver", driver));
  }
  return DriverChange{.address = address,
                      .vendor_id = function.vendor_id,
                      .device_id = function.device_id,
                      .driver = driver,
                      .original_driver = function.driver,
                      .original_override = function.driver_override};
}

Status Bind(const HostControl& control, const DriverChange& change) {
  const auto function = ReadPciFunction(control.roots, change.address);
  if (!function || !IsSame(*function, change)) return Fail(Missing(change.address));
  if (function->driver == change.driver) return Ok();
  Status bound = BindSteps(control, change, *function);
  if (bound) return Ok();
  if (!ReadPciFunction(control.roots, change.address)) return Fail(Missing(change.address));
  const Status restored = Restore(control, change);
  if (restored) return bound;
  return Fail(std::move(bound).error().With("restoreError", restored.error().message()));
}

Status Restore(const HostControl& control, const DriverChange& change) {
  const auto function = ReadPciFunction(control.roots, change.address);
  if (!function || !IsSame(*function, change)) return Ok();
  // With its own override back, the function goes to no VFIO driver again by itself.
  if (function->driver_override != change.original_override) {
    TRY(SetOverride(control, change.address, change.original_override));
  }
  std::string now = function->driver;
  if (now == change.driver && now != change.original_driver) {
    TRY(Unbind(control, change.address, now));
    now.clear();
  }
  // Whatever else has it by now was put there by somebody else.
  if (!now.empty() || change.original_driver.empty()) return Ok();
  const std::string original = DriverPath(control.roots, change.original_driver);
  if (!host::SysfsDirectory(original).exists()) {
    return Fail(Failure(Code::kFailedPrecondition, "RESTORE_FAILED", change.address,
                        fmt::format("{} cannot go back to {}, which is not loaded any more",
                                    change.address.ToString(), change.original_driver))
                    .With("driver", change.original_driver));
  }
  return Attach(control, change.address, original + "/bind", change.original_driver, "RESTORE_FAILED");
}

}  // namespace berth::vfio
