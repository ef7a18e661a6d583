#include "vfio/info_chain.h"

#include <linux/vfio.h>

#include "base/bytes.h"

namespace berth::vfio {
namespace {
constexpr int kMaxQueries = 5;
}

Result<std::vector<uint8_t>> QueryInfo(Syscalls& syscalls, int fd, unsigned long request,
                                       std::span<const uint8_t> head, std::string_view what) {
  uint32_t size = static_cast<uint32_t>(head.size());
  for (int i = 0; i < kMaxQueries; ++i) {
    std::vector<uint8_t> info(size);
    std::memcpy(info.data(), head.data(), head.size());
    StoreLe<uint32_t>(info.data(), size);
    if (const int error = Ioctl(syscalls, fd, request, info.data()); error < 0) {
      return FailErrno(-error, "ask for {}", what);
    }
    const auto wanted = LoadLe<uint32_t>(info.data());
    if (wanted <= size) return info;
    if (wanted > kMaxInfoBytes)
      return Fail(Code::kInternal, "{}: the kernel wants to say {} bytes", what, wanted);
    size = wanted;
  }
  return Fail(Code::kInternal, "{}: the kernel's answer grows at every question", what);
}

void ForEachInfoCapability(
    std::span<const uint8_t> info, uint32_t first,
    const std::function<void(uint16_t id, uint16_t version, std::span<const uint8_t> capability)>& visit) {
  // No chain has more members than headers fit, so a loop ends.
  size_t left = info.size() / sizeof(vfio_info_cap_header);
  for (uint32_t at = first; at != 0 && left > 0; --left) {
    if (at > info.size() || info.size() - at < sizeof(vfio_info_cap_header)) return;
    vfio_info_cap_header header;
    std::memcpy(&header, &info[at], sizeof(header));
    visit(header.id, header.version, info.subspan(at));
    at = header.next;
  }
}

}  // namespace berth::vfio
