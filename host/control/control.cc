#include "host/control/control.h"

#include <algorithm>
#include <thread>

namespace berth::host {

bool WaitUntil(std::chrono::milliseconds patience, const std::function<bool()>& done) {
  constexpr std::chrono::milliseconds kFirstPause{1}, kLongestPause{50};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (auto pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    if (done()) return true;
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace berth::host
