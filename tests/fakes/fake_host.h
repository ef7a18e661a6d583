// A host for the daemon's tests: the sample host, and changes to it as files of a directory, so that they
// outlive the process that made them. It can fail, and it can stop dead before or after the n-th change.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "server/guest/host_effects.h"

namespace berth::server {

class FakeHost final : public HostEffects {
 public:
  // Keeps its state in `directory`, which may hold another FakeHost's.
  explicit FakeHost(std::string directory);

  Result<host::HostSnapshot> Snapshot() override;
  Result<UniqueFd> ListenForChanges() override;
  Status CheckAnswers(const host::PciAddress& address) override;
  Status ResetFunction(const host::PciAddress& address) override;
  host::VitalProductData Vpd(const host::PciAddress& address) override;
  Result<PlannedStep> Plan(const Step& step) override;
  Result<std::vector<UniqueFd>> Apply(const PlannedStep& step) override;
  Status Undo(const PlannedStep& step) override;
  Result<UniqueFd> Open(const Descriptor& descriptor) override;
  Result<std::vector<ImageFiles>> OpenImage(const FileDescriptor& image) override;
  Result<VfioDevice> Locate(const VfioDeviceName& device) override;
  Status Place(const std::string& cgroup, const std::string& child, int id,
               const host::CpuSet& cpus) override;
  Status ChangeCpus(const std::string& cgroup, const std::string& child, const host::CpuSet& cpus) override;
  std::vector<std::string> FindMisplaced(const std::string& cgroup, host::GuestPlaces places) override;

  // What differs from the host as it was at first: "driver 0000:03:00.0" → "vfio-pci".
  std::map<std::string, std::string> Changes();
  // "apply driver 0000:03:00.0", "undo process", in order.
  std::vector<std::string> log();
  // "vcpu0" → "4" for every thread placed.
  std::map<std::string, std::string> Places();

  // Changes the host that Snapshot tells of. Before it is used.
  host::HostSnapshot& facts() { return facts_; }
  // The function no longer answers; with `for_good` a reset does not help.
  void Lose(const std::string& address, bool for_good = false);
  // What FindMisplaced finds from now on.
  void Misplace(std::vector<std::string> found);
  // As the kernel: "add@/devices/pci0000:00/0000:00:03.0" of the subsystem "pci".
  void TellChange(const std::string& event, const std::string& subsystem);
  // Every Apply, or Undo, of this kind fails from now on.
  void FailApply(const std::string& kind);
  void FailUndo(const std::string& kind);
  void Heal();
  // From the n-th change on (Apply or Undo, from 0), nothing is done any more and everything fails, as if the
  // daemon had ended there: before that change, or right after it. `on_stop` is called then; it may end the
  // process.
  void StopAt(
      int change, bool after, std::function<void()> on_stop = [] {});
  int changes_made();
  bool stopped();

 private:
  Result<std::string> Change(const PlannedStep& step, bool undo);
  std::string PathOf(const std::string& key) const;
  std::string Read(const std::string& key) const;
  void Write(const std::string& key, const std::string& value);

  const std::string directory_;
  host::HostSnapshot facts_;
  UniqueFd changes_;  // Our end of what ListenForChanges gave.
  Mutex mutex_;
  std::set<std::string> fail_apply_ GUARDED_BY(mutex_), fail_undo_ GUARDED_BY(mutex_);
  std::map<std::string, bool> lost_ GUARDED_BY(mutex_);  // Functions, and whether for good.
  std::map<std::string, std::string> places_ GUARDED_BY(mutex_);
  std::vector<std::string> misplaced_ GUARDED_BY(mutex_);
  std::vector<std::string> log_ GUARDED_BY(mutex_);
  int changes_made_ GUARDED_BY(mutex_) = 0;
  int stop_at_ GUARDED_BY(mutex_) = -1;
  bool stop_after_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::function<void()> on_stop_ GUARDED_BY(mutex_);
};

}  // namespace berth::server
