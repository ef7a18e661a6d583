// What the verbs share.
#pragma once

#include <memory>
#include <string>

#include "google/protobuf/empty.pb.h"
#include "server/guest/engine.h"
#include "server/guest/machine.h"
#include "server/guest/state.h"

namespace berth::server {

// A done operation without a name: the answer to a request that only asked what would be.
inline Operation DoneOperation(const google::protobuf::Message& response) {
  Operation operation;
  operation.set_done(true);
  operation.mutable_response()->PackFrom(response);
  return operation;
}

inline std::unique_ptr<google::protobuf::Message> ResponseOf(v1::Guest guest) {
  return std::make_unique<v1::Guest>(std::move(guest));
}

// Ends the guest's operation whichever way its scope is left, unless that was handed on.
class OperationScope {
 public:
  OperationScope(Engine& engine, GuestPtr guest) : engine_(engine), guest_(std::move(guest)) {}
  OperationScope(const OperationScope&) = delete;
  ~OperationScope() {
    if (guest_) EndOperation(engine_, guest_);
  }
  void HandOn() { guest_.reset(); }

 private:
  Engine& engine_;
  GuestPtr guest_;
};

}  // namespace berth::server
