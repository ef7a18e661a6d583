// A whole daemon in the test's process: real gRPC over a Unix socket, real VMM processes (the fake program),
// a real store on disk; the host below is fake.
#pragma once

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include "berth/v1/event_service.grpc.pb.h"
#include "berth/v1/guest_service.grpc.pb.h"
#include "berth/v1/host_service.grpc.pb.h"
#include "berth/v1/volume_service.grpc.pb.h"
#include "google/longrunning/operations.grpc.pb.h"
#include "proto/error_details.h"
#include "server/daemon.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/sample_spec.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::server {

using google::longrunning::Operation;

class DaemonFixture : public testing::Test {
 protected:
  DaemonFixture();
  ~DaemonFixture() override;

  // Starts a daemon with a host on the same directory as the last one's.
  void StartDaemonAgain();
  void StopDaemon() { daemon_.reset(); }
  void UseHost(std::unique_ptr<FakeHost> host);
  DaemonOptions Options() const;

  // A create request for the sample spec with this kernel command line.
  v1::CreateGuestRequest Guest(const std::string& id, const std::string& command_line = "") const;
  // Calls and, if that is not refused, waits for the operation's end. The error of either.
  Result<v1::Guest> Create(const v1::CreateGuestRequest& request);
  Result<v1::Guest> Start(const std::string& name);
  Result<v1::Guest> Stop(const std::string& name, bool force = false);
  Status Delete(const std::string& name, bool force = false);
  Result<v1::Guest> Attach(const std::string& name, const v1::AssignedDeviceSpec& device);
  Result<v1::Guest> Detach(const std::string& name, const std::string& device_id, bool force = false);
  Result<v1::Guest> Get(const std::string& name);
  Result<v1::HostDevice> GetDevice(const std::string& name);
  // Waits until the guest is in this state; the guest as it then is.
  v1::Guest Await(const std::string& name, v1::Guest::State state);
  Result<Operation> AwaitOperation(const Operation& operation);

  // Whether nothing is left of any guest: on the host, in the runtime directory, in the process table.
  void ExpectNothingLeft();

  static Error ErrorOf(const grpc::Status& status);

  // Calls a method that starts an operation, and waits for that; the guest that comes of it.
  template <typename Request>
  Result<v1::Guest> Operate(grpc::Status (v1::GuestService::Stub::*method)(grpc::ClientContext*,
                                                                           const Request&, Operation*),
                            const Request& request) {
    grpc::ClientContext context;
    Operation operation;
    const grpc::Status status = (*guests_.*method)(&context, request, &operation);
    if (!status.ok()) return Fail(ErrorOf(status));
    v1::Guest guest;
    EXPECT_TRUE(TRY(AwaitOperation(operation)).response().UnpackTo(&guest));
    return guest;
  }

  const ScratchDir scratch_;
  const std::string kernel_ = scratch_.Write("vmlinuz", "a kernel");
  // Pools of the daemons to come: "main" and "other", and "gone", whose directory is not there.
  std::vector<PoolSettings> pools_;
  AgentTimes agent_times_;     // Of the daemons to come.
  host::HostControl control_;  // For the autopilot of the daemons to come; without a writer they have none.
  FakeHost* host_ = nullptr;
  std::unique_ptr<Daemon> daemon_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::GuestService::Stub> guests_;
  std::unique_ptr<v1::HostService::Stub> hosts_;
  std::unique_ptr<v1::EventService::Stub> events_;
  std::unique_ptr<v1::VolumeService::Stub> volumes_;
  std::unique_ptr<google::longrunning::Operations::Stub> operations_;
};

}  // namespace berth::server
