// The kernel behind a HostTree's writable files: driver binding, SR-IOV, mediated devices and cgroups, with
// the rules and the errors of Linux, and misbehaving on demand.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host/control/control.h"
#include "tests/fakes/host_tree.h"

namespace berth::host {

// Thrown by the write that a test has chosen: what a SIGKILL does to the caller, whose stored records are all
// that is left.
struct Crash {};

class FakeKernel final : public SysfsWriter {
 public:
  explicit FakeKernel(HostTree& tree) : tree_(tree) {}

  // The driver that probes such functions when there is no override ("8086:10ca").
  void SetDriverFor(const std::string& vendor_and_device, const std::string& driver) {
    default_drivers_[vendor_and_device] = driver;
  }

  // Writes to files whose path ends so fail with `error` and do nothing, `times` times (-1: always).
  void Fail(const std::string& path_end, int error, int times = -1) {
    rules_.push_back({path_end, error, times});
  }
  // They report success and do nothing.
  void Ignore(const std::string& path_end, int times = -1) { rules_.push_back({path_end, 0, times}); }
  // This driver's probe refuses every function, as drivers_probe does not tell.
  void RefuseProbe(const std::string& driver) { refusing_.push_back(driver); }
  // The n-th change from now on (1 is the next) ends in a Crash: `before` it is done, or right after.
  void CrashAt(int change, bool before) { crash_at_ = change, crash_before_ = before; }

  // All changes so far: "PATH=VALUE", below the root.
  const std::vector<std::string>& log() const { return log_; }
  // The patience is what a step that fails by waiting costs a test.
  HostControl control(std::chrono::milliseconds patience = std::chrono::milliseconds(30)) {
    return {.roots = tree_.roots(), .writer = this, .patience = patience};
  }

  int Write(const std::string& path, std::string_view value, std::chrono::milliseconds timeout) override;
  int MakeDirectory(const std::string& path) override;
  int RemoveDirectory(const std::string& path) override;

 private:
  struct Rule {
    std::string path_end;
    int error;
    int times;
  };

  template <typename Change>
  int Do(const std::string& path, std::string_view value, Change&& change);
  int Dispatch(const std::string& file, const std::string& value);
  int Probe(const std::string& address, const std::string& only_driver);
  int Unbind(const std::string& address, const std::string& driver);
  int SetVfCount(const std::string& address, int count);
  int CreateMdev(const std::string& type_path, const std::string& uuid);
  int RemoveMdev(const std::string& uuid);
  int SetVgpuType(const std::string& address, int type);
  void AddControllers(const std::string& directory);
  std::vector<std::string> ChildrenOf(const std::string& directory) const;
  int WriteCgroup(const std::string& directory, const std::string& name, const std::string& value);

  HostTree& tree_;
  std::map<std::string, std::string> default_drivers_;
  std::vector<Rule> rules_;
  std::vector<std::string> refusing_;
  std::vector<std::string> log_;
  int crash_at_ = 0;
  bool crash_before_ = false;
};

}  // namespace berth::host
