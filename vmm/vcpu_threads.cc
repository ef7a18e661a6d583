#include "vmm/vcpu_threads.h"

#include <pthread.h>
#include <unistd.h>

#include <type_traits>

#include "base/log.h"
#include "vmm/trace.h"

namespace berth::vmm {
namespace {

void Handle(const kvm::exits::Io& io, hw::ViewReader& ports) {
  for (uint32_t i = 0; i < io.count; ++i) {
    uint8_t* data = io.data + size_t{i} * io.size;
    if (io.write) {
      ports.Write(io.port, io.size, LoadLeSized(data, io.size));
    } else {
      StoreLeSized(data, io.size, ports.Read(io.port, io.size));
    }
  }
}

void Handle(const kvm::exits::Mmio& mmio, hw::ViewReader& memory) {
  if (mmio.write) {
    memory.Write(mmio.address, mmio.size, LoadLeSized(mmio.data, mmio.size));
  } else {
    StoreLeSized(mmio.data, mmio.size, memory.Read(mmio.address, mmio.size));
  }
}

}  // namespace

VcpuThreads::VcpuThreads(std::vector<std::unique_ptr<kvm::Vcpu>> vcpus, hw::AddressSpace* memory,
                         hw::AddressSpace* ports, VcpuCallbacks callbacks)
    : vcpus_(std::move(vcpus)),
      memory_(memory),
      ports_(ports),
      callbacks_(std::move(callbacks)),
      tids_(vcpus_.size()) {
  for (size_t i = 0; i < vcpus_.size(); ++i) threads_.emplace_back([this, i] { Main(i); });
  MutexLock lock(mutex_);
  while (started_ < vcpus_.size()) lock.Wait(changed_);
}

VcpuThreads::~VcpuThreads() { End(); }

void VcpuThreads::End() {
  Want(Wanted::kEnded);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void VcpuThreads::Resume() {
  MutexLock lock(mutex_);
  for (auto& vcpu : vcpus_) vcpu->ClearKick();
  wanted_ = Wanted::kRunning;
  changed_.notify_all();
}

void VcpuThreads::RequestPause() { Want(Wanted::kPaused); }

void VcpuThreads::Pause() {
  Want(Wanted::kPaused);
  MutexLock lock(mutex_);
  while (parked_ < vcpus_.size()) lock.Wait(changed_);
}

void VcpuThreads::Want(Wanted wanted) {
  {
    MutexLock lock(mutex_);
    if (wanted_ == Wanted::kEnded) return;  // A guest that resets at that moment revives nothing.
    wanted_ = wanted;
    changed_.notify_all();
  }
  for (size_t i = 0; i < threads_.size(); ++i) vcpus_[i]->Kick(threads_[i].native_handle());
}

void VcpuThreads::Main(size_t index) {
  ::pthread_setname_np(::pthread_self(), fmt::format("vcpu{}", index).c_str());
  const Status confined = callbacks_.confine ? callbacks_.confine() : Ok();
  {
    MutexLock lock(mutex_);
    tids_[index] = ::gettid();
    ++started_;
    changed_.notify_all();
  }
  if (!confined) callbacks_.failed(static_cast<uint32_t>(index), confined.error().message());
  while (WaitToRun(index)) {
    if (confined) RunUntilWanted(index);
  }
}

bool VcpuThreads::WaitToRun(size_t) {
  MutexLock lock(mutex_);
  ++parked_;
  changed_.notify_all();
  while (wanted_ == Wanted::kPaused) lock.Wait(changed_);
  --parked_;
  return wanted_ != Wanted::kEnded;
}

void VcpuThreads::RunUntilWanted(size_t index) {
  kvm::Vcpu& vcpu = *vcpus_[index];
  hw::ViewReader memory(*memory_), ports(*ports_);
  while (wanted_.load(std::memory_order_acquire) == Wanted::kRunning) {
    const kvm::Exit exit = vcpu.Run();
    if (const auto* mmio = std::get_if<kvm::exits::Mmio>(&exit)) {
      trace::vcpu_mmio(index, mmio->address, mmio->size, mmio->write);
      Handle(*mmio, memory);
    } else if (const auto* io = std::get_if<kvm::exits::Io>(&exit)) {
      trace::vcpu_port(index, io->port, io->size, io->count, io->write);
      Handle(*io, ports);
    } else if (std::holds_alternative<kvm::exits::Shutdown>(exit)) {
      callbacks_.triple_fault(static_cast<uint32_t>(index), vcpu.DescribePlace());
    } else if (const auto* failed = std::get_if<kvm::exits::Failed>(&exit)) {
      callbacks_.failed(static_cast<uint32_t>(index), failed->why);
      RequestPause();
    }
  }
}

}  // namespace berth::vmm
