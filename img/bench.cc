#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr int kMaxThreads = 64;

struct BenchRequest {
  Source source;
  std::string cache = "writeback";
  block::OpenFlags flags;
  uint64_t count = 75000, depth = 64, buffer_bytes = 4096, step_bytes = 0, offset = 0, flush_interval = 0;
  uint8_t pattern = 0;
  bool writes = false, drain = true, native = false;
};

bool ParseInt(std::string_view text, std::string_view what, uint64_t least, uint64_t most, uint64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  if (error == std::errc() && end == text.data() + text.size() && *value >= least && *value <= most)
    return true;
  Complain("Invalid {} specified", what);
  return false;
}

bool ParseSizeOf(const char* text, std::string_view what, uint64_t* value) {
  const auto size = ParseSizeArgument(text, what);
  if (size) *value = *size;
  return size.has_value();
}

bool ParseAio(std::string_view name, BenchRequest* request) {
  request->native = name == "native";
  if (request->native || name == "threads" || name == "io_uring") return true;
  Complain("Invalid aio option: {}", name);
  return false;
}

// False: complained, the status is 1.
bool TakeBenchOption(int option, BenchRequest* request) {
  uint64_t pattern = 0;
  switch (option) {
    case 'c':
      return ParseInt(::optarg, "request count", 0, INT32_MAX, &request->count);
    case 'd':
      return ParseInt(::optarg, "queue depth", 1, INT32_MAX, &request->depth);
    case 's':
      return ParseSizeOf(::optarg, "buffer size", &request->buffer_bytes);
    case 'S':
      return ParseSizeOf(::optarg, "step_size", &request->step_bytes);
    case 'o':
      return ParseSizeOf(::optarg, "offset", &request->offset);
    case 'i':
      return ParseAio(::optarg, request);
    case kOptionPattern:
      if (!ParseInt(::optarg, "pattern byte", 0, 255, &pattern)) return false;
      request->pattern = static_cast<uint8_t>(pattern);
      return true;
    case kOptionFlushInterval:
      return ParseInt(::optarg, "flush interval", 0, INT32_MAX, &request->flush_interval);
    case 'f':
      request->source.format = ::optarg;
      return true;
    case 't':
      request->cache = ::optarg;
      return true;
    case 'n':
      request->native = true;
      return true;
    case 'w':
      request->writes = request->flags.writable = true;
      return true;
    case 'U':
      request->flags.force_share = true;
      return true;
    case kOptionNoDrain:
      request->drain = false;
      return true;
    case kOptionImageOpts:
      request->source.is_options = true;
      return true;
    default:
      return true;
  }
}

bool ParseBench(int argc, char** argv, BenchRequest* request) {
  Arguments arguments(argc, argv, "c:d:f:ni:o:qs:S:t:wU",
                      {{"flush-interval", required_argument, nullptr, kOptionFlushInterval},
                       {"pattern", required_argument, nullptr, kOptionPattern},
                       {"no-drain", no_argument, nullptr, kOptionNoDrain},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force-share", no_argument, nullptr, 'U'}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (!TakeBenchOption(option, request)) return false;
  }
  if (!ParseCache(request->cache, &request->flags)) {
    Complain("Invalid cache mode");
    return false;
  }
  if (arguments.Rest().size() != 1) RefuseArguments("Expecting one image file name");
  request->source.name = arguments.Rest()[0];
  if (!request->writes && request->flush_interval != 0) {
    Complain("--flush-interval is only available in write tests");
    return false;
  }
  if (request->flush_interval != 0 && request->flush_interval < request->depth) {
    Complain("Flush interval can't be smaller than depth");
    return false;
  }
  if (request->native && !request->flags.direct) {
    Complain(
        "Could not open '{}': aio=native was specified, but it requires cache.direct=on, which was not "
        "specified.",
        request->source.name);
    return false;
  }
  if (request->step_bytes == 0) request->step_bytes = request->buffer_bytes;
  return true;
}

class Bench {
 public:
  Bench(block::Image* image, const BenchRequest& request)
      : image_(image), request_(request), next_offset_(request.offset), left_(request.count) {}
  // 0, or an errno value.
  int Run() {
    std::vector<std::thread> threads;
    const auto count =
        std::min<uint64_t>({request_.depth, kMaxThreads, std::max<uint64_t>(request_.count, 1)});
    for (uint64_t i = 1; i < count; ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    MutexLock lock(mutex_);
    return error_;
  }

 private:
  // One request's place; false if none are left.
  bool Next(uint64_t* offset, bool* flush) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (flushing_ && request_.drain) lock.Wait(changed_);
    if (left_ == 0 || error_ != 0) return false;
    --left_;
    *offset = next_offset_;
    next_offset_ += request_.step_bytes;
    next_offset_ = image_->size_bytes() == 0 ? 0 : next_offset_ % image_->size_bytes();
    *flush = request_.flush_interval != 0 && ++since_flush_ == request_.flush_interval;
    if (*flush) since_flush_ = 0;
    if (*flush) flushing_ = true;
    ++running_;
    return true;
  }
  void End(int error, bool flush) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    --running_;
    if (error != 0 && error_ == 0) error_ = error;
    while (flush && request_.drain && running_ != 0) lock.Wait(changed_);
    changed_.notify_all();
  }
  void Flushed(int error) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    flushing_ = false;
    if (error != 0 && error_ == 0) error_ = error;
    changed_.notify_all();
  }
  void Work() EXCLUDES(mutex_) {
    std::vector<uint8_t> buffer(request_.buffer_bytes, request_.pattern);
    uint64_t offset = 0;
    bool flush = false;
    while (Next(&offset, &flush)) {
      const bool outside = request_.buffer_bytes > image_->size_bytes() ||
                           offset > image_->size_bytes() - request_.buffer_bytes;
      const int error = outside           ? EIO
                        : request_.writes ? block::Write(image_, offset, buffer)
                                          : block::Read(image_, offset, buffer);
      End(error, flush);
      if (flush) Flushed(block::Flush(image_));
    }
  }

  block::Image* const image_;
  const BenchRequest& request_;
  Mutex mutex_;
  std::condition_variable changed_;
  uint64_t next_offset_ GUARDED_BY(mutex_);
  uint64_t left_ GUARDED_BY(mutex_);
  uint64_t since_flush_ GUARDED_BY(mutex_) = 0;
  uint64_t running_ GUARDED_BY(mutex_) = 0;
  bool flushing_ GUARDED_BY(mutex_) = false;
  int error_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

int RunBench(int argc, char** argv) {
  BenchRequest request;
  if (!ParseBench(argc, argv, &request)) return 1;
  const auto image = OpenSource(request.source, request.flags);
  if (image == nullptr) return 1;
  fmt::print("Sending {} {} requests, {} bytes each, {} in parallel (starting at offset {}, step size {})\n",
             request.count, request.writes ? "write" : "read", request.buffer_bytes, request.depth,
             request.offset, request.step_bytes);
  if (request.flush_interval != 0) {
    fmt::print("Sending flush every {} {}requests\n", request.flush_interval,
               request.drain ? "" : "in-flight ");
  }
  const auto begun = std::chrono::steady_clock::now();
  if (const int error = Bench(image.get(), request).Run(); error != 0) {
    Complain("Failed request: {}", std::strerror(error));
    return 1;
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
  fmt::print("Run completed in {:3.3f} seconds.\n", taken.count());
  return 0;
}

}  // namespace berth::img
