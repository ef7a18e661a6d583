#include "kvm/msrs.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

#include "kvm/uapi.h"

namespace berth::kvm {
namespace {

// A request with its array behind it, aligned.
template <typename Request, typename Entry>
std::vector<uint64_t> Buffer(size_t entries) {
  return std::vector<uint64_t>((sizeof(Request) + entries * sizeof(Entry)) / sizeof(uint64_t) + 1);
}

}  // namespace

Result<std::vector<uint32_t>> MsrIndices(int kvm_fd) {
  kvm_msr_list count{};
  // Says how many there are by failing.
  if (::ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &count) != 0 && errno != E2BIG) {
    return FailErrno(errno, "ask KVM for its MSRs");
  }
  std::vector<uint64_t> buffer = Buffer<kvm_msr_list, uint32_t>(count.nmsrs);
  auto* list = reinterpret_cast<kvm_msr_list*>(buffer.data());
  list->nmsrs = count.nmsrs;
  if (::ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list) != 0) return FailErrno(errno, "ask KVM for its MSRs");
  return std::vector<uint32_t>(list->indices, list->indices + list->nmsrs);
}

std::vector<MsrValue> ReadMsrs(int vcpu_fd, std::span<const uint32_t> indices) {
  std::vector<MsrValue> values;
  while (!indices.empty()) {
    std::vector<uint64_t> buffer = Buffer<kvm_msrs, kvm_msr_entry>(indices.size());
    auto* request = reinterpret_cast<kvm_msrs*>(buffer.data());
    request->nmsrs = static_cast<uint32_t>(indices.size());
    for (size_t i = 0; i < indices.size(); ++i) request->entries[i].index = indices[i];
    const int result = ::ioctl(vcpu_fd, KVM_GET_MSRS, request);
    const size_t read = result < 0 ? 0 : static_cast<size_t>(result);
    for (size_t i = 0; i < read; ++i) values.push_back({request->entries[i].index, request->entries[i].data});
    // It stops at the first that fails.
    indices = indices.subspan(std::min(read + 1, indices.size()));
  }
  return values;
}

size_t WriteMsrs(int vcpu_fd, std::span<const MsrValue> values) {
  size_t failed = 0;
  while (!values.empty()) {
    std::vector<uint64_t> buffer = Buffer<kvm_msrs, kvm_msr_entry>(values.size());
    auto* request = reinterpret_cast<kvm_msrs*>(buffer.data());
    request->nmsrs = static_cast<uint32_t>(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      request->entries[i].index = values[i].index;
      request->entries[i].data = values[i].value;
    }
    const int result = ::ioctl(vcpu_fd, KVM_SET_MSRS, request);
    const size_t written = result < 0 ? 0 : static_cast<size_t>(result);
    failed += written < values.size();
    values = values.subspan(std::min(written + 1, values.size()));
  }
  return failed;
}

}  // namespace berth::kvm
