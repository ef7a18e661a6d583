// std::mutex with clang's thread-safety annotations, and the annotations themselves.
//
// State that is shared between threads names its mutex: `int count_ GUARDED_BY(mutex_);` and the
// thread-safety preset proves it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define BERTH_TSA(x) __attribute__((x))
#else
#define BERTH_TSA(x)
#endif
// Abseil, which gRPC's headers bring along, has some of these names too, and means the same by them.
#undef GUARDED_BY
#undef PT_GUARDED_BY
#undef NO_THREAD_SAFETY_ANALYSIS
#define CAPABILITY(name) BERTH_TSA(capability(name))
#define SCOPED_CAPABILITY BERTH_TSA(scoped_lockable)
#define GUARDED_BY(mutex) BERTH_TSA(guarded_by(mutex))
#define PT_GUARDED_BY(mutex) BERTH_TSA(pt_guarded_by(mutex))
#define REQUIRES(...) BERTH_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) BERTH_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) BERTH_TSA(acquire_capability(__VA_ARGS__))
// Of a function that returns a mutex: by which name it is known otherwise.
#define RETURN_CAPABILITY(mutex) BERTH_TSA(lock_returned(mutex))
#define TRY_ACQUIRE(...) BERTH_TSA(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) BERTH_TSA(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS BERTH_TSA(no_thread_safety_analysis)

namespace berth {

class CAPABILITY("mutex") Mutex {
 public:
  void Lock() ACQUIRE() { mutex_.lock(); }
  void Unlock() RELEASE() { mutex_.unlock(); }
  // For who must not wait; true if it is locked now.
  bool TryLock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }

 private:
  friend class MutexLock;
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : lock_(mutex.mutex_) {}
  ~MutexLock() RELEASE() {}

  // Waits until notified; the caller loops over its condition.
  void Wait(std::condition_variable& condition) { condition.wait(lock_); }
  // The same, but no longer than until `deadline`; false once that has come.
  template <typename Clock, typename Duration>
  bool WaitUntil(std::condition_variable& condition,
                 const std::chrono::time_point<Clock, Duration>& deadline) {
    return condition.wait_until(lock_, deadline) == std::cv_status::no_timeout;
  }

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace berth
