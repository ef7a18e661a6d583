#include "server/volume/lvm_group.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "base/program.h"
#include "server/volume/volume_pool.h"

namespace berth::server {
namespace {

// Of what lvm says: the last lines tell most.
constexpr size_t kMaxMessageBytes = 1000;

// In one line.
std::string MessageOf(const std::string& errors) {
  std::string message;
  bool gap = false;
  for (const char c : errors) {
    const bool blank = c == ' ' || c == '\n' || c == '\t';
    if (gap && !blank && !message.empty()) message += ' ';
    if (!blank) message += c;
    gap = blank;
  }
  if (message.size() > kMaxMessageBytes) message = "…" + message.substr(message.size() - kMaxMessageBytes);
  return message.empty() ? "it does not say why" : message;
}

// With '-' doubled, as the device mapper has names.
size_t LengthInMapper(std::string_view name) {
  return name.size() + static_cast<size_t>(std::count(name.begin(), name.end(), '-'));
}

}  // namespace

std::string LvmGroup::NameOf(std::string_view volume) const {
  return fmt::format("{}/{}", settings().volume_group, volume);
}

std::string LvmGroup::NodeOf(std::string_view volume) const {
  return fmt::format("{}/{}", settings().dev, NameOf(volume));
}

Error LvmGroup::About(Code code, const char* reason, std::string message) const {
  return AboutPool(pool_, code, reason, fmt::format("the pool {}: {}", pool_.id, message));
}

Result<std::string> LvmGroup::Output(std::vector<std::string> words) const {
  const std::string command = words[0];
  words.insert(words.begin(), settings().program);
  auto ran = RunProgram(words, settings().timeout);
  if (ran && ran->status == 0) return std::move(ran->output);
  if (ran)
    return Fail(
        About(Code::kFailedPrecondition, "LVM_FAILED",
              fmt::format("{} failed with status {}: {}", command, ran->status, MessageOf(ran->errors))));
  if (ran.error().code() == Code::kDeadlineExceeded) {
    return Fail(About(Code::kDeadlineExceeded, "LVM_TIMEOUT",
                      fmt::format("{} did not end within {} ms: another lvm command may hold the lock of {}, "
                                  "or `dmsetup info` shows a device that is suspended",
                                  command, settings().timeout.count(), settings().volume_group)));
  }
  return Fail(About(Code::kFailedPrecondition, "POOL_NOT_AVAILABLE",
                    fmt::format("{}: install lvm2, or say with `lvm` where it is", ran.error().message())));
}

Status LvmGroup::Run(std::vector<std::string> words) const {
  TRY(Output(std::move(words)));
  return Ok();
}

Result<std::vector<LogicalVolume>> LvmGroup::List() const {
  const auto text = Output(LvmReportCommand(settings().volume_group));
  if (text) return ParseLvmReport(*text);
  if (text.error().reason() != "LVM_FAILED") return Fail(text.error());
  return Fail(
      AboutPool(pool_, Code::kFailedPrecondition, "POOL_NOT_AVAILABLE",
                fmt::format("{}; `vgs` shows which volume groups there are", text.error().message())));
}

Status LvmGroup::Remove(const std::vector<std::string>& volumes) const {
  std::vector<std::string> words{"lvremove", "--yes"};
  for (const std::string& volume : volumes) words.push_back(NameOf(volume));
  return Run(std::move(words));
}

Status LvmGroup::Rename(std::string_view from, std::string_view to) const {
  return Run({"lvrename", settings().volume_group, std::string(from), std::string(to)});
}

Result<UniqueFd> LvmGroup::OpenActive(std::string_view volume, int flags) const {
  // Whoever writes has it alone among all users of block devices that say so: open(2), O_EXCL.
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  const std::string path = NodeOf(volume);
  UniqueFd fd(::open(path.c_str(), flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (writes ? O_EXCL : 0)));
  const int error = errno;
  const auto fail = [&](Code code, const char* reason, std::string message) {
    return Fail(Error(code, std::move(message)).Reason(reason).With("path", path).With("resource", path));
  };
  if (!fd && error == ENOENT)
    return fail(Code::kNotFound, "VOLUME_NOT_FOUND", fmt::format("there is no active volume {}", path));
  if (!fd && error == EBUSY) {
    return fail(Code::kFailedPrecondition, "IMAGE_IN_USE",
                fmt::format("{} is in use, or mounted, on the host", path));
  }
  if (!fd) return FailErrno(error, "open {}", path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return FailErrno(errno, "look at {}", path);
  if ((status.st_mode & S_IFMT) != settings().node_type)
    return fail(Code::kPermissionDenied, "VOLUME_NOT_A_FILE", fmt::format("{} is no block device", path));
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  return fd;
}

Result<UniqueFd> LvmGroup::Open(std::string_view volume, int flags) const {
  auto fd = OpenActive(volume, flags);
  if (fd || fd.error().code() != Code::kNotFound) return fd;
  TRY(Run({"lvchange", "--activate", "y", "--ignoreactivationskip", NameOf(volume)}));
  return OpenActive(volume, flags);
}

Status LvmGroup::CheckName(std::string_view volume) const {
  constexpr size_t kMaxMapperName = 127;  // DM_NAME_LEN of <linux/dm-ioctl.h>, with the 0 at its end.
  if (LengthInMapper(settings().volume_group) + 1 + LengthInMapper(volume) <= kMaxMapperName) return Ok();
  return Fail(About(
      Code::kInvalidArgument, "NAME_TOO_LONG",
      fmt::format("{} would be too long a name: the device mapper takes {} bytes, and counts each '-' twice",
                  NameOf(volume), kMaxMapperName)));
}

}  // namespace berth::server
