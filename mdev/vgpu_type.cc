#include "mdev/vgpu_type.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "host/pci.h"

namespace berth::mdev {
namespace {

using host::HostControl;
using host::HostRoots;
using host::VendorVgpu;

Error Failure(Code code, const char* reason, const host::PciAddress& address, std::string message) {
  return Error(code, std::move(message)).Reason(reason).With("device", address.ToString());
}

std::string TypePath(const HostRoots& roots, const host::PciAddress& address) {
  return fmt::format("{}/bus/pci/devices/{}/nvidia/current_vgpu_type", roots.sys, address.ToString());
}

Result<VendorVgpu> Read(const HostRoots& roots, const host::PciAddress& address) {
  const host::PciFunction function = TRY(host::ReadPciFunction(roots, address));
  if (function.vgpu) return *function.vgpu;
  return Fail(Failure(Code::kFailedPrecondition, "NOT_A_VGPU", address,
                      fmt::format("{} is no function that its driver ({}) makes a vGPU of",
                                  address.ToString(), function.driver.empty() ? "none" : function.driver)));
}

int TypeNow(const HostRoots& roots, const host::PciAddress& address) {
  const auto vgpu = Read(roots, address);
  return vgpu ? vgpu->current_type : 0;
}

}  // namespace

Result<VgpuTypeChange> PlanVgpuType(const HostRoots& roots, const host::PciAddress& address, int type) {
  const VendorVgpu vgpu = TRY(Read(roots, address));
  if (vgpu.current_type != 0) {
    return Fail(Failure(Code::kFailedPrecondition, "VGPU_IN_USE", address,
                        fmt::format("{} is a vGPU of type {} already", address.ToString(), vgpu.current_type))
                    .With("type", std::to_string(vgpu.current_type)));
  }
  std::string types;
  for (const host::VgpuType& one : vgpu.creatable_types) {
    if (one.id == type) return VgpuTypeChange{.address = address, .type = type};
    types += fmt::format("{}{} ({})", types.empty() ? "" : ", ", one.id, one.name);
  }
  return Fail(Failure(Code::kNotFound, "MDEV_TYPE_NOT_FOUND", address,
                      fmt::format("{} cannot become a vGPU of type {} now; it could become {}",
                                  address.ToString(), type, types.empty() ? "none" : types))
                  .With("types", types));
}

Status SetVgpuType(const HostControl& control, const VgpuTypeChange& change) {
  const int error = control.writer->Write(TypePath(control.roots, change.address),
                                          std::to_string(change.type), control.patience);
  if (error == 0 && host::WaitUntil(control.patience,
                                    [&] { return TypeNow(control.roots, change.address) == change.type; })) {
    return Ok();
  }
  const std::string what =
      fmt::format("{} does not become a vGPU of type {}: {}", change.address.ToString(), change.type,
                  error == 0 ? "its driver reports success but it is none" : std::strerror(error));
  if (error == ENOSPC)
    return Fail(Failure(Code::kResourceExhausted, "NO_MDEV_INSTANCE_LEFT", change.address, what));
  const Code code = error == ETIMEDOUT ? Code::kDeadlineExceeded : Code::kFailedPrecondition;
  return Fail(Failure(code, "VGPU_TYPE_NOT_SET", change.address, what));
}

Status ClearVgpuType(const HostControl& control, const VgpuTypeChange& change) {
  if (TypeNow(control.roots, change.address) != change.type) return Ok();
  const int error = control.writer->Write(TypePath(control.roots, change.address), "0", control.patience);
  if (error == 0 && host::WaitUntil(control.patience,
                                    [&] { return TypeNow(control.roots, change.address) != change.type; })) {
    return Ok();
  }
  return Fail(Failure(
      error == ETIMEDOUT ? Code::kDeadlineExceeded : Code::kFailedPrecondition, "VGPU_BUSY", change.address,
      fmt::format("{} stays a vGPU of type {}: {}", change.address.ToString(), change.type,
                  error == 0 ? "its driver reports success but it stays" : std::strerror(error))));
}

}  // namespace berth::mdev
