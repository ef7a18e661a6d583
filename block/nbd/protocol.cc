#include "block/nbd/protocol.h"

#include <cerrno>

namespace berth::block::nbd {
namespace {

struct ErrorPair {
  int here;
  uint32_t wire;
};
constexpr ErrorPair kErrors[] = {{EPERM, 1},   {EIO, 5},        {ENOMEM, 12},     {EINVAL, 22},
                                 {ENOSPC, 28}, {EOVERFLOW, 75}, {EOPNOTSUPP, 95}, {ESHUTDOWN, 108}};

}  // namespace

uint32_t ErrorToWire(int error) {
  if (error == 0) return 0;
  if (error == EROFS) error = EPERM;
  if (error == EFBIG || error == EDQUOT) error = ENOSPC;
  for (const ErrorPair& pair : kErrors) {
    if (pair.here == error) return pair.wire;
  }
  return 22;
}

int ErrorFromWire(uint32_t error) {
  if (error == 0) return 0;
  for (const ErrorPair& pair : kErrors) {
    if (pair.wire == error) return pair.here;
  }
  return EINVAL;
}

}  // namespace berth::block::nbd
