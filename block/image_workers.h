// Threads that carry out requests by an image's blocking code, for an event loop that must not.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "block/image.h"
#include "block/list.h"

namespace berth::block {

// Threads: everything on the loop's thread, or while no thread runs the loop.
class ImageWorkers {
 public:
  // Gets each request that was carried out, its `error` set.
  using Done = std::function<void(Request* request)>;
  // Run first on each thread, to confine it; its error is Start's.
  using Prepare = std::function<Status()>;

  // The loop outlives it.
  ImageWorkers(EventLoop* loop, std::unique_ptr<Image> image, Done done)
      : loop_(loop), image_(std::move(image)), done_callback_(std::move(done)) {}
  Status Start(unsigned threads, const Prepare& prepare);
  // Nothing may be in flight. The image is closed on one of the threads, which may do what that takes.
  ~ImageWorkers();

  void Submit(Request* request);
  // Runs `job` on one of the threads, beside all else; one at a time. AwaitJob waits for its end, which has
  // come before this is destroyed.
  void Begin(std::function<void()> job);
  void AwaitJob();
  // Runs `task` on one of the threads and waits for it.
  void Call(const std::function<void()>& task);
  // Blocks until something was carried out, which must be under way, and hands it over.
  void Wait();
  // Within a Call, with nothing in flight: the image from now on; the one before.
  std::unique_ptr<Image> Replace(std::unique_ptr<Image> image) {
    return std::exchange(image_, std::move(image));
  }

 private:
  void Run(bool closes, const Prepare& prepare);
  void Work();
  void CarryOut(Request* request);
  void Deliver();

  EventLoop* const loop_;
  std::unique_ptr<Image> image_;
  const Done done_callback_;
  UniqueFd completed_;
  std::vector<std::thread> threads_;

  Mutex mutex_;
  std::condition_variable work_, finished_, job_ended_;
  List<Request> todo_ GUARDED_BY(mutex_);
  List<Request> done_ GUARDED_BY(mutex_);
  const std::function<void()>* task_ GUARDED_BY(mutex_) = nullptr;  // Of a Call that no thread has taken yet.
  std::function<void()> job_ GUARDED_BY(mutex_);                    // That no thread has taken yet.
  bool has_job_ GUARDED_BY(mutex_) = false;
  unsigned starting_ GUARDED_BY(mutex_) = 0;
  Status started_ GUARDED_BY(mutex_) = Ok();
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace berth::block
