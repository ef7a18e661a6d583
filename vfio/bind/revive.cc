#include "vfio/bind/revive.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace berth::vfio {
namespace {

// Revision and class: the first registers that virtual functions have as well (PCI Express Base 5.0, 9.3.4).
constexpr size_t kRevision = 0x08;
// What a function may take to be back after a reset (PCI Express Base 5.0, 6.6.1).
constexpr std::chrono::milliseconds kReturnTime{1000};

std::string PathOf(const host::HostRoots& roots, const host::PciAddress& address) {
  return fmt::format("{}/bus/pci/devices/{}", roots.sys, address.ToString());
}

Status CheckExists(const std::string& path, const host::PciAddress& address) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return Ok();
  return Fail(Error(Code::kNotFound, fmt::format("the host has no PCI function {}", address.ToString()))
                  .Reason("DEVICE_NOT_FOUND")
                  .With("device", address.ToString()));
}

bool Answers(const std::string& config_path) {
  std::array<char, kRevision + 4> header{};
  std::ifstream config(config_path, std::ios::binary);
  if (!config.read(header.data(), header.size())) return true;
  constexpr char kNobody[4] = {'\xff', '\xff', '\xff', '\xff'};
  return std::memcmp(header.data() + kRevision, kNobody, sizeof(kNobody)) != 0;
}

}  // namespace

Status CheckAnswers(const host::HostRoots& roots, const host::PciAddress& address) {
  const std::string path = PathOf(roots, address);
  TRY(CheckExists(path, address));
  if (host::WaitUntil(kReturnTime, [&] { return Answers(path + "/config"); })) return Ok();
  return Fail(
      Error(Code::kFailedPrecondition,
            fmt::format("{} does not answer: its configuration space reads all ones", address.ToString()))
          .Reason("DEVICE_LOST")
          .With("device", address.ToString()));
}

Status ResetFunction(const host::HostControl& control, const host::PciAddress& address) {
  const std::string path = PathOf(control.roots, address);
  TRY(CheckExists(path, address));
  const int error = control.writer->Write(path + "/reset", "1", control.patience);
  if (error == 0) return CheckAnswers(control.roots, address);
  const auto failed = [&](Code code, const char* reason, std::string why) {
    return Fail(Error(code, fmt::format("{} cannot be reset: {}", address.ToString(), why))
                    .Reason(reason)
                    .With("device", address.ToString()));
  };
  if (error == ENOENT) {
    return failed(Code::kFailedPrecondition, "NO_RESET_METHOD",
                  "the kernel knows no way; only a power cycle of the host does it");
  }
  if (error == ETIMEDOUT) return failed(Code::kDeadlineExceeded, "RESET_TIMED_OUT", "it takes too long");
  return failed(Code::kFailedPrecondition, "RESET_FAILED", std::strerror(error));
}

}  // namespace berth::vfio
