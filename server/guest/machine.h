// A guest's machine: made, watched, taken apart.
#pragma once

#include <functional>
#include <optional>

#include "base/error.h"
#include "server/guest/engine.h"
#include "server/guest/prepare.h"

namespace berth::server {

// Prepares the host, starts the VMM, has it build the machine and runs it. The caller holds the guest's
// operation. On failure what was begun is still there, for ReleaseMachine.
Status StartMachine(Engine& engine, const GuestPtr& guest, PreparedStart& prepared,
                    OperationProgress& progress);

// Does a device's steps and plugs it into the running machine. The caller holds the guest's operation, and
// releases the device (device_release.h) on failure.
Status PlugDevice(Engine& engine, const GuestPtr& guest, const DevicePlan& plan, OperationProgress& progress);

// Asks the guest to give up a device, or pulls it out. What comes of it is awaited.
Status AskForDevice(GuestEntry& guest, const std::string& device_id, bool force);
// Whether the device left the machine in time. FAILED_PRECONDITION, GUEST_NOT_RUNNING; CANCELLED.
Result<bool> AwaitUnplugged(GuestEntry& guest, const std::string& device_id, std::chrono::milliseconds time,
                            const OperationProgress& progress);
// How long the VMM may take to close a device that it pulls out.
inline constexpr std::chrono::seconds kPulledOutTime{30};

// Lets the VMM go and puts everything back that was changed for it, ending the process if it is still there.
// The caller holds the guest's operation. The state becomes `after`, with `why` as its error; FAILED if
// something could not be put back, which is then the result. `ends_operation`: with that state, as
// GuestBook::Change.
Status ReleaseMachine(Engine& engine, GuestEntry& guest, v1::Guest::State after,
                      const std::optional<Error>& why, bool ends_operation = false);
// Why a machine ended that nobody told to, if that was a fault: VCPU_FAILED, GUEST_PANICKED, VMM_DIED,
// VMM_PROTOCOL_ERROR.
std::optional<Error> FaultOf(GuestEntry& guest);

// Connects to a VMM and starts watching it. For a new one, and one that another daemon started.
Result<std::shared_ptr<Vmm>> WatchMachine(Engine& engine, const GuestPtr& guest, Vmm::Parts parts);

// Gives the guest's operation back; if the machine has ended meanwhile, has it taken apart.
void EndOperation(Engine& engine, const GuestPtr& guest);
// Takes the guest's operation. ABORTED, OPERATION_IN_PROGRESS, naming the other one.
Status BeginOperation(const GuestPtr& guest, const std::string& verb);

}  // namespace berth::server
