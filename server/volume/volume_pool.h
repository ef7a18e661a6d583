// A place for volumes, of whatever kind.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "server/volume/device_volumes.h"
#include "server/volume/pool_settings.h"
#include "server/volume/volume_name.h"

namespace berth::server {

struct PoolSpace {
  int64_t capacity_bytes = 0, available_bytes = 0;
  // What volumes take together, where that is more, or less, than their sum.
  std::optional<int64_t> allocated_bytes{};
  double metadata_percent = 0;  // Used, of what keeps track of the volumes, where that has a limit.
};

// A volume that is being made. Hidden until Publish gives it its name, complete and on the disk; destroyed
// before that, nothing is left of it. What a process leaves that ends meanwhile, VolumePool::CleanUp removes,
// or who makes the same volume next.
class NewVolume {
 public:
  virtual ~NewVolume() = default;

  virtual int fd() const = 0;
  // For what opens by name: nobody can put anything else there.
  virtual std::string path() const = 0;
  // ALREADY_EXISTS, VOLUME_EXISTS.
  virtual Status Publish(const VolumeFile& as) = 0;
};

// Any thread. Of the errors, those with FAILED_PRECONDITION and POOL_NOT_AVAILABLE may be of any method.
class VolumePool {
 public:
  static constexpr size_t kMaxVolumes = 10'000;

  virtual ~VolumePool() = default;

  const std::string& pool() const { return id_; }
  std::string NameOf(std::string_view volume) const;  // "pools/fast/volumes/web"

  // By id. RESOURCE_EXHAUSTED, POOL_TOO_LARGE, for more than kMaxVolumes.
  virtual Result<std::vector<VolumeFile>> List() const = 0;
  // The host's path of it, for people.
  virtual std::string PathOf(const VolumeFile& file) const = 0;
  // NOT_FOUND, VOLUME_NOT_FOUND; PERMISSION_DENIED, VOLUME_NOT_A_FILE: what is there is something else.
  virtual Result<UniqueFd> OpenVolume(const VolumeFile& file, int flags) const = 0;
  // Lasts no longer than this. ABORTED, VOLUME_BUSY, if somebody is making it already.
  virtual Result<std::unique_ptr<NewVolume>> Begin(const VolumeFile& file, uint64_t size_bytes) const = 0;
  // And what is in it, for good. `lock` is a descriptor with the locks that keep others from it.
  virtual Status Remove(const VolumeFile& file, UniqueFd lock) const = 0;
  virtual Result<PoolSpace> Space() const = 0;
  // Removes what others that made volumes left behind when they were ended.
  virtual void CleanUp() const = 0;

  // Nothing, where volumes are images in files.
  virtual const DeviceVolumes* devices() const { return nullptr; }

  // Gives a volume another name, that nothing has: that of one which stands on something else. The volume may
  // be in use. UNIMPLEMENTED where volumes stand on nothing.
  virtual Status Rename(const VolumeFile& from, const VolumeFile& to) const;

  // NOT_FOUND, VOLUME_NOT_FOUND. FAILED_PRECONDITION, VOLUME_AMBIGUOUS, if there are two that claim the id.
  Result<VolumeFile> Find(std::string_view volume) const;
  // The same, among what List returned: for who looks for more than one.
  Result<VolumeFile> Find(std::string_view volume, const std::vector<VolumeFile>& among) const;
  // The ids of those that stand on it.
  Result<std::vector<std::string>> DependentsOf(std::string_view volume) const;

 protected:
  explicit VolumePool(std::string id) : id_(std::move(id)) {}
  VolumePool(VolumePool&&) = default;

 private:
  std::string id_;
};

using VolumePoolPtr = std::shared_ptr<const VolumePool>;

// ALREADY_EXISTS, VOLUME_EXISTS, of the volume of this name.
Error VolumeExists(const std::string& name);
// ABORTED, VOLUME_BUSY.
Error VolumeBeingMade(const std::string& name);
// FAILED_PRECONDITION, or whatever the code is, about a pool and the host's path that it is.
Error AboutPool(const PoolSettings& pool, Code code, const char* reason, std::string message);

}  // namespace berth::server
