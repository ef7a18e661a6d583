#include "block/image_workers.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

namespace berth::block {

Status ImageWorkers::Start(unsigned threads, const Prepare& prepare) {
  completed_ = TRY(CreateEventFd());
  // Edge-triggered: every write is an edge, so the counter need not be read.
  TRY(loop_->Watch(completed_.get(), EPOLLIN | EPOLLET, [this](uint32_t) { Deliver(); }));
  {
    MutexLock lock(mutex_);
    starting_ = threads;
  }
  // Signals are for the threads that expect them.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  try {
    while (threads_.size() < threads) {
      threads_.emplace_back([this, closes = threads_.empty(), prepare] { Run(closes, prepare); });
    }
  } catch (const std::system_error& refused) {
    error = refused.code().value();
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  MutexLock lock(mutex_);
  if (error != 0) {
    starting_ -= threads - static_cast<unsigned>(threads_.size());
    started_ = FailErrno(error, "start threads for an image");
  }
  while (starting_ != 0) lock.Wait(finished_);
  return started_;
}

ImageWorkers::~ImageWorkers() {
  if (completed_) loop_->Unwatch(completed_.get());
  {
    MutexLock lock(mutex_);
    CHECK(todo_.empty() && done_.empty() && !has_job_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ImageWorkers::Submit(Request* request) {
  {
    MutexLock lock(mutex_);
    todo_.PushBack(request);
  }
  work_.notify_one();
}

void ImageWorkers::Begin(std::function<void()> job) {
  {
    MutexLock lock(mutex_);
    CHECK(!has_job_);
    has_job_ = true;
    job_ = std::move(job);
  }
  work_.notify_one();
}

void ImageWorkers::AwaitJob() {
  MutexLock lock(mutex_);
  while (has_job_) lock.Wait(job_ended_);
}

void ImageWorkers::Call(const std::function<void()>& task) {
  std::condition_variable ended;
  bool running = true;
  const std::function<void()> wrapped = [&] {
    task();
    MutexLock lock(mutex_);
    running = false;
    ended.notify_one();
  };
  MutexLock lock(mutex_);
  task_ = &wrapped;
  work_.notify_one();
  while (running) lock.Wait(ended);
}

void ImageWorkers::Wait() {
  {
    MutexLock lock(mutex_);
    while (done_.empty()) lock.Wait(finished_);
  }
  Deliver();
}

void ImageWorkers::Run(bool closes, const Prepare& prepare) {
  ::pthread_setname_np(::pthread_self(), "image");
  const Status prepared = prepare ? prepare() : Ok();
  {
    MutexLock lock(mutex_);
    if (!prepared && started_) started_ = prepared;
    --starting_;
  }
  finished_.notify_one();
  Work();
  if (closes) image_.reset();
}

void ImageWorkers::Work() {
  for (;;) {
    Request* request = nullptr;
    const std::function<void()>* task = nullptr;
    std::function<void()> job;
    {
      MutexLock lock(mutex_);
      while (todo_.empty() && task_ == nullptr && !job_ && !stopping_) lock.Wait(work_);
      if (stopping_) return;
      task = std::exchange(task_, nullptr);
      if (task == nullptr) job = std::exchange(job_, nullptr);
      if (task == nullptr && !job) request = todo_.PopFront();
    }
    if (task != nullptr) {
      (*task)();
    } else if (job) {
      job();
      MutexLock lock(mutex_);
      has_job_ = false;
      job_ended_.notify_all();
    } else {
      CarryOut(request);
    }
  }
}

void ImageWorkers::CarryOut(Request* request) {
  request->error = image_->Perform(*request);
  bool first = false;
  {
    MutexLock lock(mutex_);
    first = done_.empty();
    done_.PushBack(request);
  }
  if (first) {
    SignalEventFd(completed_.get());
    finished_.notify_one();
  }
}

void ImageWorkers::Deliver() {
  List<Request> done;
  {
    MutexLock lock(mutex_);
    done = std::move(done_);
  }
  while (Request* request = done.PopFront()) done_callback_(request);
}

}  // namespace berth::block
