#include <algorithm>

#include "proto/error_details.h"
#include "server/guest/device_release.h"
#include "server/guest/machine.h"
#include "server/guest/shared_cpus.h"

namespace berth::server {
namespace {

// For writing back the metadata of its disks' images.
constexpr std::chrono::seconds kFinishTimeout{10};

bool HasMetadata(const v1::GuestSpec& spec) {
  return std::any_of(spec.disks().begin(), spec.disks().end(), [](const v1::DiskSpec& disk) {
    return (disk.format() == v1::DiskSpec::QCOW2 || !disk.volume().empty()) && !disk.read_only();
  });
}

// What is shown of a guest only while it runs; and virtual functions that were made for it are gone.
void HideMachine(const Result<host::HostSnapshot>& host, v1::Guest* guest) {
  guest->clear_placement();
  guest->clear_network_interfaces();
  guest->clear_process_id();
  guest->clear_file_systems_frozen();
  for (auto& device : *guest->mutable_claimed_devices()) {
    device.clear_guest_address();
    const auto address = host::PciAddress::Parse(device.pci_address());
    if (host && address && host->FindFunction(*address) == nullptr) device.clear_pci_address();
  }
}

}  // namespace

Status ReleaseMachine(Engine& engine, GuestEntry& guest, v1::Guest::State after,
                      const std::optional<Error>& why, bool ends_operation) {
  const std::shared_ptr<Vmm> running = guest.GetVmm();
  if (running && HasMetadata(guest.Get().spec())) {
    // One that does not answer leaves what a crash leaves.
    control::Request finish;
    finish.mutable_finish_disks();
    (void)running->Call(std::move(finish), {}, kFinishTimeout);
  }
  std::shared_ptr<Vmm> vmm;
  {
    MutexLock lock(guest.mutex);
    vmm = std::move(guest.vmm);
    guest.vmm.reset();
  }
  // Before its process ends, so that nobody is told of that.
  vmm.reset();
  Status undone = engine.executor.Undo(guest.uid);
  QuarantineTheLost(engine, guest);
  {
    MutexLock lock(guest.mutex);
    guest.reservation.reset();
    guest.usage.reset();
  }
  // What it had to itself is others' to share.
  RefitGuests(engine);
  std::optional<Error> shown = why;
  if (!undone) {
    shown = undone.error();
    after = v1::Guest::FAILED;
  }
  const Result<host::HostSnapshot> host = engine.host.Snapshot();
  const auto change = [&](StoredGuest& stored) {
    HideMachine(host, &stored.guest);
    stored.guest.set_state(after);
    if (shown) *stored.guest.mutable_error() = ToRpcStatus(*shown);
  };
  (void)engine.book.Change(guest, change, ends_operation);
  return undone;
}

}  // namespace berth::server
