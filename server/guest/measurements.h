// What has been measured of running guests, for the admission of others.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "server/overcommit/overhead.h"

namespace berth::server {

// Any thread.
class Measurements {
 public:
  struct Values {
    std::map<std::string, OverheadSample> overhead;  // By guest, the most that was seen; gone ones are kept.
    // By guest, in thousandths of a CPU: what it is predicted to use at most, and what it has reserved.
    std::map<std::string, int> peaks, reserved;
  };
  Values Get() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return values_;
  }
  void Set(Values values) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    values_ = std::move(values);
  }

 private:
  mutable Mutex mutex_;
  Values values_ GUARDED_BY(mutex_);
};

}  // namespace berth::server
