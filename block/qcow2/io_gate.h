// Who is using host clusters outside the metadata lock, so that a cluster is not given away under them.
#pragma once

#include <condition_variable>

#include "base/mutex.h"

namespace berth::block::qcow2 {

class IoGate {
 public:
  // Under the metadata lock, together with the lookup; the ticket is for Exit.
  int Enter() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ++inside_[turn_];
    return turn_;
  }
  void Exit(int ticket) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (--inside_[ticket] == 0) left_.notify_all();
  }
  // Waits until everybody who is inside now has left. One caller at a time, who is not inside.
  void WaitForThoseInside() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const int old = turn_;
    turn_ = 1 - turn_;
    while (inside_[old] != 0) lock.Wait(left_);
  }

 private:
  Mutex mutex_;
  std::condition_variable left_;
  int turn_ GUARDED_BY(mutex_) = 0;
  int inside_[2] GUARDED_BY(mutex_) = {0, 0};
};

}  // namespace berth::block::qcow2
