// The descriptors that came with a message, by index, each given out once.
#pragma once

#include <vector>

#include "base/unique_fd.h"

namespace berth::vmm {

class Descriptors {
 public:
  explicit Descriptors(std::vector<UniqueFd> fds) : fds_(std::move(fds)) {}

  // INVALID_ARGUMENT if there is none, or it was taken before.
  Result<UniqueFd> Take(uint32_t index) {
    if (index >= fds_.size() || !fds_[index]) {
      return Fail(Code::kInvalidArgument, "descriptor {} of {} is not there or used twice", index,
                  fds_.size());
    }
    return std::move(fds_[index]);
  }
  // A copy: for what several devices share.
  Result<UniqueFd> Copy(uint32_t index) {
    if (index >= fds_.size())
      return Fail(Code::kInvalidArgument, "descriptor {} of {} is not there", index, fds_.size());
    return Duplicate(fds_[index].get());
  }

 private:
  std::vector<UniqueFd> fds_;
};

}  // namespace berth::vmm
