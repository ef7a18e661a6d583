// What is made of a large text file, made anew only after the file changed.
#pragma once

#include <sys/stat.h>

#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include "base/mutex.h"

namespace berth::host {

inline constexpr int64_t kMaxCachedFileBytes = 16 << 20;

// What T::Parse(std::string_view) makes of the file; a T() if it is missing or larger than
// kMaxCachedFileBytes. Any thread.
template <typename T>
std::shared_ptr<const T> LoadCached(const std::string& path) {
  struct File {
    timespec modified{};
    int64_t size = -1;
    std::shared_ptr<const T> value;
  };
  static Mutex mutex;
  static std::map<std::string, File>* const files = new std::map<std::string, File>;
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || status.st_size > kMaxCachedFileBytes) {
    return std::make_shared<const T>();
  }
  MutexLock lock(mutex);
  File& file = (*files)[path];
  if (file.size != status.st_size || file.modified.tv_sec != status.st_mtim.tv_sec ||
      file.modified.tv_nsec != status.st_mtim.tv_nsec) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    file = {status.st_mtim, status.st_size, std::make_shared<const T>(T::Parse(text.str()))};
  }
  return file.value;
}

}  // namespace berth::host
