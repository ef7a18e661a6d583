// What compressing a raw disk takes at the very least: all CPUs read clusters, call the library, and write
// what comes of it one behind the other.
//
//   usage: compress-library zlib|zstd DISK OUTPUT
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr size_t kClusterBytes = 64 << 10;

// Those who make qcow2 images use zlib with a window of 4 KiB.
class Zlib {
 public:
  Zlib() { ::deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY); }
  Zlib(const Zlib&) = delete;
  ~Zlib() { ::deflateEnd(&stream_); }
  // The compressed size; 0 if that is no less.
  size_t Run(std::vector<uint8_t>* in, std::vector<uint8_t>* out) {
    ::deflateReset(&stream_);
    stream_.next_in = in->data();
    stream_.avail_in = static_cast<uInt>(in->size());
    stream_.next_out = out->data();
    stream_.avail_out = static_cast<uInt>(out->size());
    return ::deflate(&stream_, Z_FINISH) == Z_STREAM_END ? out->size() - stream_.avail_out : 0;
  }

 private:
  z_stream stream_{};
};

class Zstd {
 public:
  Zstd() = default;
  Zstd(const Zstd&) = delete;
  ~Zstd() { ::ZSTD_freeCCtx(context_); }
  size_t Run(std::vector<uint8_t>* in, std::vector<uint8_t>* out) {
    const size_t size = ::ZSTD_compress2(context_, out->data(), out->size(), in->data(), in->size());
    return ::ZSTD_isError(size) ? 0 : size;
  }

 private:
  ZSTD_CCtx* context_ = ::ZSTD_createCCtx();
};

struct Job {
  int disk = -1, output = -1;
  off_t size = 0;
  std::atomic<off_t> next = 0, end = 0;
};

// Clusters from `next` on, until the disk ends; holes and zeroes are passed over.
template <typename Library>
void Work(Job* job) {
  Library library;
  std::vector<uint8_t> in(kClusterBytes), out(kClusterBytes - 1);
  for (off_t at = 0; (at = job->next.fetch_add(kClusterBytes)) < job->size;) {
    const off_t data = ::lseek(job->disk, at, SEEK_DATA);
    if (data < 0 || data >= at + static_cast<off_t>(kClusterBytes)) continue;
    if (::pread(job->disk, in.data(), in.size(), at) <= 0) return;
    if (std::all_of(in.begin(), in.end(), [](uint8_t byte) { return byte == 0; })) continue;
    const size_t packed = library.Run(&in, &out);
    const std::vector<uint8_t>& content = packed == 0 ? in : out;
    const size_t length = packed == 0 ? in.size() : packed;
    if (::pwrite(job->output, content.data(), length, job->end.fetch_add(static_cast<off_t>(length))) < 0)
      return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: compress-library zlib|zstd DISK OUTPUT\n", stderr), 2;
  Job job{.disk = ::open(argv[2], O_RDONLY | O_CLOEXEC),
          .output = ::open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
  if (job.disk < 0 || job.output < 0) return std::perror("compress-library"), 1;
  job.size = ::lseek(job.disk, 0, SEEK_END);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back(std::string_view(argv[1]) == "zstd" ? Work<Zstd> : Work<Zlib>, &job);
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}
