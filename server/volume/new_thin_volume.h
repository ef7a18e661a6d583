// The logical volume of a volume that is being made.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/volume/lvm_group.h"
#include "server/volume/volume_pool.h"

namespace berth::server {

// Locked until it has its name. What a process leaves that ends meanwhile, RemoveLeftover removes.
class NewThinVolume final : public NewVolume {
 public:
  // By `lvcreate`, which lacks the name.
  static Result<std::unique_ptr<NewThinVolume>> Create(const LvmGroup& group, const VolumeName& name,
                                                       std::vector<std::string> lvcreate);
  ~NewThinVolume() override;

  int fd() const override { return fd_.get(); }
  std::string path() const override;
  Status Publish(const VolumeFile& as) override;
  Status Grow(uint64_t size_bytes);

  // ABORTED, VOLUME_BUSY, if somebody is making it.
  static Status RemoveLeftover(const LvmGroup& group, const VolumeName& name);

 private:
  NewThinVolume(const LvmGroup& group, VolumeName name, std::string hidden)
      : group_(group), name_(std::move(name)), hidden_(std::move(hidden)) {}

  const LvmGroup group_;
  const VolumeName name_;
  std::string hidden_;  // Empty once it has its name.
  UniqueFd fd_;
};

}  // namespace berth::server
