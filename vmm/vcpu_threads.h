// The threads that run the vCPUs: one each, all running or all parked.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "hw/memory/address_space.h"
#include "kvm/vcpu.h"

namespace berth::vmm {

// Called in a vCPU's thread; must not wait for the vCPUs.
struct VcpuCallbacks {
  // The machine is to be reset. `place` is where that vCPU was, if that is known.
  std::function<void(uint32_t vcpu, const std::string& place)> triple_fault;
  std::function<void(uint32_t vcpu, const std::string& why)> failed;  // That vCPU cannot go on.
  std::function<Status()> confine;  // First thing in each thread: its sandbox.
};

class VcpuThreads {
 public:
  // Starts a thread for each vCPU; they wait for Resume. Everything passed outlives this.
  VcpuThreads(std::vector<std::unique_ptr<kvm::Vcpu>> vcpus, hw::AddressSpace* memory,
              hw::AddressSpace* ports, VcpuCallbacks callbacks);
  ~VcpuThreads();
  // Ends the threads, for good. Until it returns they may call back, and the callbacks may call RequestPause.
  void End();

  void Resume();
  // Parks all vCPUs and waits until they are. Not from a vCPU's thread.
  void Pause();
  // Makes all of them park soon, and does not wait: for a vCPU that has just asked for a reset.
  void RequestPause();

  // By index; the threads exist from construction on.
  const std::vector<pid_t>& tids() const { return tids_; }
  // Only while paused.
  std::vector<std::unique_ptr<kvm::Vcpu>>& vcpus() { return vcpus_; }
  uint64_t exits(size_t index) const { return vcpus_[index]->exits(); }

 private:
  enum class Wanted { kPaused, kRunning, kEnded };
  void Main(size_t index);
  bool WaitToRun(size_t index);  // False when the thread is to end.
  void RunUntilWanted(size_t index);
  void Want(Wanted wanted);

  std::vector<std::unique_ptr<kvm::Vcpu>> vcpus_;
  hw::AddressSpace* const memory_;
  hw::AddressSpace* const ports_;
  const VcpuCallbacks callbacks_;

  std::atomic<Wanted> wanted_{Wanted::kPaused};
  Mutex mutex_;
  std::condition_variable changed_;
  size_t parked_ GUARDED_BY(mutex_) = 0;
  size_t started_ GUARDED_BY(mutex_) = 0;
  std::vector<pid_t> tids_;
  std::vector<std::thread> threads_;
};

}  // namespace berth::vmm
