#include "host/control/cgroup.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "base/mutex.h"
#include "host/sysfs.h"

namespace berth::host {
namespace {

constexpr char kKeeper[] = "keeper";
constexpr size_t kMaxChildren = 2048;
constexpr std::chrono::milliseconds kWriteTime{5000};

std::string PathOf(const HostRoots& roots, const CgroupChange& change, const std::string& child = {}) {
  const std::string path = roots.cgroup + "/" + change.path;
  return child.empty() ? path : path + "/" + child;
}

// A name that is a directory of its own and not one of the kernel's files ("cgroup.procs", "cpu.weight").
bool IsName(const std::string& name) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  };
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), plain);
}

Status CheckName(const std::string& name, const char* what) {
  if (IsName(name)) return Ok();
  return Fail(
      Error(Code::kInvalidArgument,
            fmt::format("\"{}\" cannot be the name of a {}: letters, digits, - and _ only", name, what))
          .Reason("BAD_CGROUP_NAME")
          .With("name", name));
}

Status WriteFile(const HostControl& control, const std::string& path, std::string_view value) {
  const int error = control.writer->Write(path, value, kWriteTime);
  if (error != 0) return FailErrno(error, "write \"{}\" to {}", value, path);
  return Ok();
}

Status MakeDirectory(const HostControl& control, const std::string& path) {
  const int error = control.writer->MakeDirectory(path);
  if (error != 0 && error != EEXIST) return FailErrno(error, "make the cgroup {}", path);
  return Ok();
}

CpuSet ReadSet(const SysfsDirectory& directory, const std::string& name) {
  return CpuSet::Parse(directory.Text(name).value_or("")).value_or(CpuSet());
}

std::vector<int> ReadIds(const SysfsDirectory& directory, const std::string& file) {
  std::vector<int> ids;
  for (const std::string& word : SplitWords(directory.Text(file).value_or(""))) {
    if (const auto id = ParseNumber(word); id && *id > 0 && *id <= INT32_MAX)
      ids.push_back(static_cast<int>(*id));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::string ParentOf(const HostRoots& roots) { return roots.cgroup + "/" + roots.guests_cgroup; }

// At the top of the hierarchy it is ours, and comes and goes with guests; elsewhere it was given to us.
bool IsOurs(const HostRoots& roots) { return roots.guests_cgroup.find('/') == std::string::npos; }

// Controllers that the cgroup may hand on, of those that we use.
std::string ControllersOf(const std::string& path) {
  std::string wanted;
  for (const std::string& controller :
       SplitWords(SysfsDirectory(path).Text("cgroup.controllers").value_or("")))
    for (const char* ours : {"cpuset", "cpu", "memory", "io"})
      if (controller == ours) wanted += fmt::format("{}+{}", wanted.empty() ? "" : " ", ours);
  return wanted;
}

// A cgroup with processes hands nothing on: those that its owner keeps in there move to a leaf.
Status MoveAside(const HostControl& control, const std::string& parent) {
  const std::vector<int> processes = ReadIds(SysfsDirectory(parent), "cgroup.procs");
  if (processes.empty()) return Ok();
  TRY(MakeDirectory(control, parent + "/" + kKeeper));
  for (int pid : processes)
    TRY(WriteFile(control, parent + "/" + kKeeper + "/cgroup.procs", std::to_string(pid)));
  return Ok();
}

Status MakeGuestDirectory(const HostControl& control, const std::string& path) {
  const std::string parent = ParentOf(control.roots);
  if (IsOurs(control.roots)) {
    // A parent hands its controllers to its children only when told. The root's setting stays.
    TRY(WriteFile(control, control.roots.cgroup + "/cgroup.subtree_control",
                  ControllersOf(control.roots.cgroup)));
    TRY(MakeDirectory(control, parent));
  } else {
    TRY(MoveAside(control, parent));
  }
  TRY(WriteFile(control, parent + "/cgroup.subtree_control", ControllersOf(parent)));
  return MakeDirectory(control, path);
}

// A child's memory is protected only as far as its parent's is (cgroup-v2.rst, "memory.min"): the parent has
// the sum of what its children have.
void ProtectParent(const HostControl& control) {
  static Mutex one_at_a_time;
  MutexLock lock(one_at_a_time);
  const std::string parent = ParentOf(control.roots);
  for (const char* file : {"memory.min", "memory.low"}) {
    const SysfsDirectory directory(parent);
    if (!directory.Text(file)) continue;
    uint64_t sum = 0;
    for (const std::string& name : directory.Names()) {
      const auto value = directory.Enter(name).Number(file);
      if (value && *value > 0) sum += static_cast<uint64_t>(*value);
    }
    const int error =
        control.writer->Write(fmt::format("{}/{}", parent, file), std::to_string(sum), kWriteTime);
    if (error != 0) LOG_WARNING("cannot set {} of {}: {}", file, parent, std::strerror(error));
  }
}

Status CreateTree(const HostControl& control, const CgroupChange& change) {
  const std::string path = PathOf(control.roots, change);
  Status made = MakeGuestDirectory(control, path);
  // Once more if the last of the other guests took the common parent away just now.
  if (!made && made.error().code() == Code::kNotFound) made = MakeGuestDirectory(control, path);
  TRY(std::move(made));
  TRY(SetLimits(control, path, change.limits));
  for (const CgroupChild& child : change.children) {
    TRY(MakeDirectory(control, path + "/" + child.name));
    TRY(WriteFile(control, path + "/" + child.name + "/cgroup.type", "threaded"));
  }
  // After the first threaded child: only then may a cgroup with processes in it hand controllers on.
  if (!change.children.empty()) TRY(WriteFile(control, path + "/cgroup.subtree_control", "+cpuset +cpu"));
  for (const CgroupChild& child : change.children) {
    TRY(SetLimits(control, path + "/" + child.name, child.limits));
  }
  ProtectParent(control);
  return Ok();
}

Status Move(const HostControl& control, const std::string& path, const char* file, int id) {
  const int error = control.writer->Write(path + "/" + file, std::to_string(id), kWriteTime);
  if (error == 0) return Ok();
  return Fail(
      SystemError(error, fmt::format("move {} {} to the cgroup {}",
                                     std::strcmp(file, "cgroup.procs") == 0 ? "process" : "thread", id, path))
          .Reason("CGROUP_MOVE_FAILED")
          .With("cgroup", path)
          .With("id", std::to_string(id)));
}

}  // namespace

Result<CgroupChange> PlanCgroup(const HostRoots& roots, const std::string& guest, const CgroupLimits& limits,
                                const std::vector<CgroupChild>& children) {
  TRY(CheckName(guest, "guest's cgroup"));
  TRY(CheckLimits(limits));
  if (children.size() > kMaxChildren)
    return Fail(Code::kInvalidArgument, "more than {} cgroups", kMaxChildren);
  for (const CgroupChild& child : children) {
    TRY(CheckName(child.name, "cgroup"));
    TRY(CheckLimits(child.limits));
  }
  const std::string above = IsOurs(roots) ? roots.cgroup : ParentOf(roots);
  if (!IsOurs(roots) && !SysfsDirectory(above).exists()) {
    return Fail(Error(Code::kFailedPrecondition, fmt::format("there is no cgroup {} (cgroup-parent)", above))
                    .Reason("CGROUP_PARENT_NOT_FOUND")
                    .With("path", above));
  }
  const auto controllers = SysfsDirectory(above).Text("cgroup.controllers");
  if (!controllers) {
    return Fail(
        Error(Code::kFailedPrecondition,
              fmt::format("{} is no cgroup v2 hierarchy; boot with systemd.unified_cgroup_hierarchy=1",
                          roots.cgroup))
            .Reason("CGROUP_V2_REQUIRED")
            .With("path", roots.cgroup));
  }
  const std::vector<std::string> present = SplitWords(*controllers);
  std::vector<const char*> needed{"cpu", "cpuset"};
  if (limits.UsesMemory()) needed.push_back("memory");
  if (limits.UsesIo()) needed.push_back("io");
  for (const char* controller : needed) {
    if (std::find(present.begin(), present.end(), controller) != present.end()) continue;
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("the cgroup hierarchy at {} has no {} controller", above, controller))
                    .Reason("CGROUP_CONTROLLER_MISSING")
                    .With("controller", controller));
  }
  CgroupChange change{.path = roots.guests_cgroup + "/" + guest, .limits = limits, .children = children};
  if (SysfsDirectory(PathOf(roots, change)).exists()) {
    return Fail(Error(Code::kAlreadyExists, fmt::format("there is a cgroup {} already", change.path))
                    .Reason("CGROUP_EXISTS")
                    .With("cgroup", change.path));
  }
  return change;
}

Status CreateCgroup(const HostControl& control, const CgroupChange& change) {
  Status created = CreateTree(control, change);
  if (!created) (void)RemoveCgroup(control, change);
  return created;
}

Status RemoveCgroup(const HostControl& control, const CgroupChange& change) {
  const std::string path = PathOf(control.roots, change);
  const auto leave_parent = [&] {
    ProtectParent(control);
    if (IsOurs(control.roots)) (void)control.writer->RemoveDirectory(ParentOf(control.roots));
  };
  if (!SysfsDirectory(path).exists()) {
    leave_parent();  // Goes with the last guest.
    return Ok();
  }
  (void)control.writer->Write(path + "/cgroup.kill", "1",
                              kWriteTime);  // Linux 5.14; without it only empty ones go.
  int error = 0;
  const auto remove = [&](const std::string& directory) {
    const int result = control.writer->RemoveDirectory(directory);
    if (result != 0 && result != ENOENT) error = result;
  };
  const bool gone = WaitUntil(control.patience, [&] {
    error = 0;
    const SysfsDirectory directory(path);
    for (const std::string& name : directory.Names()) {
      if (directory.Enter(name).exists()) remove(path + "/" + name);
    }
    remove(path);
    return error != EBUSY;
  });
  if (error == 0) {
    leave_parent();
    return Ok();
  }
  if (gone) return FailErrno(error, "remove the cgroup {}", path);
  std::string processes;
  for (const int pid : ProcessesOf(control.roots, change)) processes += fmt::format(" {}", pid);
  return Fail(
      Error(Code::kDeadlineExceeded,
            fmt::format("the cgroup {} cannot be removed: its processes do not end:{}", path, processes))
          .Reason("CGROUP_NOT_EMPTY")
          .With("cgroup", path)
          .With("processes", std::string(TrimBlanks(processes))));
}

Status ChangeLimits(const HostControl& control, const CgroupChange& change, const std::string& child,
                    const CgroupLimits& limits) {
  return SetLimits(control, PathOf(control.roots, change, child), limits);
}

Status MoveProcess(const HostControl& control, const CgroupChange& change, int pid) {
  return Move(control, PathOf(control.roots, change), "cgroup.procs", pid);
}

Status MoveThread(const HostControl& control, const CgroupChange& change, const std::string& child, int tid) {
  return Move(control, PathOf(control.roots, change, child), "cgroup.threads", tid);
}

Result<CgroupState> ReadCgroup(const HostRoots& roots, const CgroupChange& change, const std::string& child) {
  const std::string path = PathOf(roots, change, child);
  const SysfsDirectory directory(path);
  if (!directory.exists()) {
    return Fail(Error(Code::kNotFound, fmt::format("there is no cgroup {}", path))
                    .Reason("CGROUP_NOT_FOUND")
                    .With("cgroup", path));
  }
  CgroupState state;
  state.limits.cpus = ReadSet(directory, "cpuset.cpus");
  state.limits.memory_nodes = ReadSet(directory, "cpuset.mems");
  const auto weight = directory.Number("cpu.weight");
  if (weight && *weight > 0) state.limits.cpu_weight = static_cast<uint32_t>(*weight);
  state.effective_cpus = ReadSet(directory, "cpuset.cpus.effective");
  state.effective_memory_nodes = ReadSet(directory, "cpuset.mems.effective");
  state.threads = ReadIds(directory, "cgroup.threads");
  return state;
}

std::vector<std::string> ListGuestCgroups(const HostRoots& roots) {
  std::vector<std::string> guests;
  const SysfsDirectory ours(ParentOf(roots));
  for (const std::string& name : ours.Names()) {
    if (IsName(name) && name != kKeeper && ours.Enter(name).exists()) guests.push_back(name);
  }
  return guests;
}

std::vector<int> ProcessesOf(const HostRoots& roots, const CgroupChange& change) {
  return ReadIds(SysfsDirectory(PathOf(roots, change)), "cgroup.procs");
}

}  // namespace berth::host
