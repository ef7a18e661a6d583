// What `--object` makes: things of one kind, known by their ids for as long as the program runs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/mutex.h"

namespace berth::block {

// Any thread.
template <typename T>
class NamedObjects {
 public:
  // ALREADY_EXISTS.
  Status Define(const std::string& id, T object) {
    MutexLock lock(mutex_);
    if (by_id_.emplace(id, std::move(object)).second) return Ok();
    return Fail(Code::kAlreadyExists, "attempt to add duplicate property '{}' to object (type 'container')",
                id);
  }
  std::optional<T> Find(const std::string& id) {
    MutexLock lock(mutex_);
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? std::nullopt : std::optional<T>(found->second);
  }

 private:
  Mutex mutex_;
  std::map<std::string, T> by_id_ GUARDED_BY(mutex_);
};

}  // namespace berth::block
