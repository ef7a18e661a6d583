// What callers do to guests. Whatever can be refused is refused at once; the rest is an operation.
#pragma once

#include <string>

#include "base/error.h"
#include "base/mutex.h"
#include "berth/v1/guest_service.pb.h"
#include "server/guest/engine.h"
#include "server/guest/prepare.h"

namespace berth::server {

// Any thread. Borrows the engine.
class GuestVerbs {
 public:
  explicit GuestVerbs(Engine& engine) : engine_(engine) {}

  Result<Operation> Create(const v1::CreateGuestRequest& request);
  Result<v1::Guest> Update(const v1::UpdateGuestRequest& request);
  Result<Operation> Delete(const v1::DeleteGuestRequest& request);
  // Begins to delete the guests whose time is over.
  void DeleteExpired();
  Result<Operation> Start(const v1::StartGuestRequest& request);
  Result<Operation> Stop(const v1::StopGuestRequest& request);
  Result<Operation> Attach(const v1::AttachDeviceRequest& request);
  Result<Operation> Detach(const v1::DetachDeviceRequest& request);
  // Power button and reset: a request to the VMM of a running guest.
  Result<v1::Guest> Press(const std::string& name, bool reset);

 private:
  Result<PreparedStart> Prepare(const StoredGuest& guest, PrepareFor purpose) REQUIRES(admission_);
  Result<Operation> CreateAndStart(const OperationRequest& request, const GuestPtr& guest,
                                   const std::shared_ptr<PreparedStart>& prepared) REQUIRES(admission_);
  Result<Operation> BeginDelete(const OperationRequest& request, const GuestPtr& guest) REQUIRES(admission_);

  Engine& engine_;
  // Held from looking at what is free until it is taken, so that two callers cannot be given the same.
  Mutex admission_;
};

// The console of a running guest as a stream, both ways. FAILED_PRECONDITION, GUEST_NOT_RUNNING.
Result<UniqueFd> OpenConsole(Engine& engine, const std::string& name);

}  // namespace berth::server
