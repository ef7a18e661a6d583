#include "server/volume/new_thin_volume.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "server/volume/thin_name.h"

namespace berth::server {
namespace {

std::string HiddenName(const VolumeName& name) {
  return ThinName{.kind = ThinName::Kind::kNew, .volume = name.id}.ToString();
}

}  // namespace

Result<std::unique_ptr<NewThinVolume>> NewThinVolume::Create(const LvmGroup& group, const VolumeName& name,
                                                             std::vector<std::string> lvcreate) {
  const std::string hidden = HiddenName(name);
  TRY(group.CheckName(hidden));
  lvcreate.insert(lvcreate.begin() + 1, {"--name", hidden});
  TRY(group.Run(std::move(lvcreate)));
  std::unique_ptr<NewThinVolume> made(new NewThinVolume(group, name, hidden));
  made->fd_ = TRY(group.Open(hidden, O_RDWR));
  if (::flock(made->fd_.get(), LOCK_EX | LOCK_NB) != 0) return Fail(VolumeBeingMade(name.ToString()));
  return made;
}

NewThinVolume::~NewThinVolume() {
  fd_.Reset();
  if (hidden_.empty()) return;
  if (const Status removed = group_.Remove({hidden_}); !removed)
    LOG_WARNING("{} is left: {}", group_.NameOf(hidden_), removed.error().message());
}

std::string NewThinVolume::path() const {
  return fmt::format("{}/self/fd/{}", host::HostRoots{}.proc, fd_.get());
}

Status NewThinVolume::Publish(const VolumeFile& as) {
  if (::fsync(fd_.get()) != 0)
    return FailErrno(errno, "write {} (`lvs {}` shows whether the thin pool is full)", name_.ToString(),
                     group_.settings().volume_group);
  TRY(group_.Rename(hidden_, ThinName{.volume = as.id}.ToString()));
  hidden_.clear();
  fd_.Reset();
  return Ok();
}

Status NewThinVolume::Grow(uint64_t size_bytes) {
  return group_.Run({"lvextend", "--size", fmt::format("{}b", size_bytes), group_.NameOf(hidden_)});
}

Status NewThinVolume::RemoveLeftover(const LvmGroup& group, const VolumeName& name) {
  const std::string hidden = HiddenName(name);
  // Whoever is making it has it open.
  if (auto fd = group.OpenActive(hidden, O_RDONLY); fd && ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0)
    return Fail(VolumeBeingMade(name.ToString()));
  return group.Remove({hidden});
}

}  // namespace berth::server
