#include "server/volume/volume_chain.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include <fmt/ranges.h>

#include "server/volume/volume_facts.h"

namespace berth::server {
namespace {

// Where a snapshot is applied, another device gets the volume's name, under the locks of the one before.
Status CheckIsStillVolume(const VolumePool& pool, const VolumeFile& file, int fd) {
  struct stat opened {
  }, named{};
  if (pool.devices() == nullptr) return Ok();
  if (::fstat(fd, &opened) != 0) return FailErrno(errno, "look at {}", pool.PathOf(file));
  if (::stat(pool.PathOf(file).c_str(), &named) == 0 && opened.st_rdev == named.st_rdev &&
      opened.st_ino == named.st_ino)
    return Ok();
  return Fail(Error(Code::kAborted, fmt::format("{} was replaced at this moment", pool.NameOf(file.id)))
                  .Reason("VOLUME_BUSY")
                  .With("resource", pool.NameOf(file.id)));
}

}  // namespace

Status LockVolume(const VolumePool& directory, const VolumeFile& file, int fd, const block::FileUse& use) {
  if (block::LockFile(fd, directory.PathOf(file), use)) return Ok();
  return Fail(
      Error(Code::kFailedPrecondition,
            fmt::format("{} is in use by a guest or another program, or something else is being done with it",
                        directory.NameOf(file.id)))
          .Reason("IMAGE_IN_USE")
          .With("resource", directory.NameOf(file.id))
          .With("path", directory.PathOf(file)));
}

Status CheckNoDependents(const VolumePool& directory, const std::string& volume, std::string_view done) {
  std::vector<std::string> names;
  for (const std::string& dependent : TRY(directory.DependentsOf(volume)))
    names.push_back(directory.NameOf(dependent));
  if (names.empty()) return Ok();
  const std::string all = fmt::format("{}", fmt::join(names, ", "));
  return Fail(Error(Code::kFailedPrecondition, fmt::format("{} cannot be {}, because these stand on it: {}",
                                                           directory.NameOf(volume), done, all))
                  .Reason("VOLUME_HAS_DEPENDENTS")
                  .With("resource", directory.NameOf(volume))
                  .With("dependents", all));
}

Result<std::vector<block::LayerFiles>> OpenVolumeChain(const VolumePool& directory, const std::string& volume,
                                                       const VolumeUse& use) {
  std::vector<block::LayerFiles> layers;
  const std::vector<VolumeFile> files = TRY(directory.List());
  VolumeFile file = TRY(directory.Find(volume, files));
  for (bool writable = use.writable;; writable = layers.size() == 1 && use.base_writable) {
    if (layers.size() == kMaxImageLayers) {
      return Fail(Error(Code::kInvalidArgument, fmt::format("{} stands on more than {} volumes",
                                                            directory.NameOf(volume), kMaxImageLayers - 1))
                      .Reason("IMAGE_CHAIN_TOO_LONG")
                      .With("resource", directory.NameOf(volume)));
    }
    const int flags = (writable ? O_RDWR : O_RDONLY) | (use.direct ? O_DIRECT : 0);
    UniqueFd fd = TRY(directory.OpenVolume(file, flags));
    if (writable && layers.empty()) TRY(CheckNoDependents(directory, volume, "written to"));
    TRY(LockVolume(directory, file, fd.get(),
                   {.write = writable,
                    .resize = writable && file.format != "raw",
                    .takes_over = layers.size() >= use.taken_over_from}));
    TRY(CheckIsStillVolume(directory, file, fd.get()));
    // Again behind the lock: what comes to stand on it from now on finds that.
    if (writable && layers.empty()) TRY(CheckNoDependents(directory, volume, "written to"));
    TRY(Examine(directory, file, fd.get(), files));
    layers.push_back({.format = file.format, .image = std::move(fd), .data = {}, .writable = writable});
    if (file.base.empty()) return layers;
    file = TRY(FindBase(directory, file, files));
  }
}

}  // namespace berth::server
