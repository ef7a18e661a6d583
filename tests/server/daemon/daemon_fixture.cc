#include "tests/server/daemon/daemon_fixture.h"

#include <filesystem>

namespace berth::server {

DaemonOptions DaemonFixture::Options() const {
  DaemonOptions options;
  options.state_dir = scratch_ / "state";
  options.runtime_dir = scratch_ / "run";
  options.vmm_program = FAKE_VMM;
  options.confinement = {.namespaces = false, .empty_root = false, .user_and_limits = false};
  options.listen.socket_path = scratch_ / "api";
  options.control = control_;
  options.pools = pools_;
  options.policy.memory.interval_seconds = 1;
  options.version = "test";
  options.describe_timeout = std::chrono::milliseconds(300);
  options.agent_times = agent_times_;
  return options;
}

DaemonFixture::DaemonFixture() {
  for (const std::string id : {"gone", "main", "other"}) {
    pools_.push_back({.id = id, .directory = scratch_ / "pools/" + id});
    if (id == "gone") continue;
    std::filesystem::create_directories(pools_.back().directory);
    std::filesystem::permissions(pools_.back().directory, std::filesystem::perms::owner_all);
  }
  StartDaemonAgain();
}

DaemonFixture::~DaemonFixture() {
  if (daemon_ && !host_->stopped()) {
    v1::ListGuestsResponse all;
    grpc::ClientContext context;
    (void)guests_->ListGuests(&context, {}, &all);
    for (const v1::Guest& guest : all.guests()) (void)Delete(guest.name(), true);
  }
}

void DaemonFixture::StartDaemonAgain() { UseHost(std::make_unique<FakeHost>(scratch_ / "host")); }

void DaemonFixture::UseHost(std::unique_ptr<FakeHost> host) {
  daemon_.reset();
  host_ = host.get();
  auto daemon = StartDaemon(Options(), std::move(host));
  ASSERT_TRUE(daemon) << daemon.error().message();
  daemon_ = *std::move(daemon);
  channel_ = grpc::CreateChannel("unix:" + scratch_ / "api", grpc::InsecureChannelCredentials());
  guests_ = v1::GuestService::NewStub(channel_);
  hosts_ = v1::HostService::NewStub(channel_);
  events_ = v1::EventService::NewStub(channel_);
  volumes_ = v1::VolumeService::NewStub(channel_);
  operations_ = google::longrunning::Operations::NewStub(channel_);
}

v1::CreateGuestRequest DaemonFixture::Guest(const std::string& id, const std::string& command_line) const {
  v1::CreateGuestRequest request;
  request.set_guest_id(id);
  *request.mutable_guest()->mutable_spec() = SampleSpec(kernel_);
  request.mutable_guest()->mutable_spec()->mutable_boot()->set_command_line(command_line);
  request.set_start(true);
  return request;
}

Error DaemonFixture::ErrorOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details())) << status.error_message();
  EXPECT_EQ(details.code(), static_cast<int>(status.error_code()));
  return FromRpcStatus(details);
}

Result<Operation> DaemonFixture::AwaitOperation(const Operation& operation) {
  Operation done = operation;
  while (!done.done()) {
    google::longrunning::WaitOperationRequest request;
    request.set_name(operation.name());
    grpc::ClientContext context;
    const grpc::Status status = operations_->WaitOperation(&context, request, &done);
    if (!status.ok()) return Fail(ErrorOf(status));
  }
  if (done.has_error()) return Fail(FromRpcStatus(done.error()));
  return done;
}

Result<v1::Guest> DaemonFixture::Create(const v1::CreateGuestRequest& request) {
  return Operate(&v1::GuestService::Stub::CreateGuest, request);
}

Result<v1::Guest> DaemonFixture::Start(const std::string& name) {
  v1::StartGuestRequest request;
  request.set_name(name);
  return Operate(&v1::GuestService::Stub::StartGuest, request);
}

Result<v1::Guest> DaemonFixture::Stop(const std::string& name, bool force) {
  v1::StopGuestRequest request;
  request.set_name(name);
  request.set_force(force);
  request.set_grace_period_seconds(1);
  return Operate(&v1::GuestService::Stub::StopGuest, request);
}

Result<v1::Guest> DaemonFixture::Attach(const std::string& name, const v1::AssignedDeviceSpec& device) {
  v1::AttachDeviceRequest request;
  request.set_name(name);
  *request.mutable_device() = device;
  return Operate(&v1::GuestService::Stub::AttachDevice, request);
}

Result<v1::Guest> DaemonFixture::Detach(const std::string& name, const std::string& device_id, bool force) {
  v1::DetachDeviceRequest request;
  request.set_name(name);
  request.set_device_id(device_id);
  request.set_force(force);
  request.set_grace_period_seconds(1);
  return Operate(&v1::GuestService::Stub::DetachDevice, request);
}

Result<v1::HostDevice> DaemonFixture::GetDevice(const std::string& name) {
  grpc::ClientContext context;
  v1::GetHostDeviceRequest request;
  request.set_name(name);
  v1::HostDevice device;
  const grpc::Status status = hosts_->GetHostDevice(&context, request, &device);
  if (!status.ok()) return Fail(ErrorOf(status));
  return device;
}

Status DaemonFixture::Delete(const std::string& name, bool force) {
  grpc::ClientContext context;
  v1::DeleteGuestRequest request;
  request.set_name(name);
  request.set_force(force);
  Operation operation;
  const grpc::Status status = guests_->DeleteGuest(&context, request, &operation);
  if (!status.ok()) return Fail(ErrorOf(status));
  TRY(AwaitOperation(operation));
  return Ok();
}

Result<v1::Guest> DaemonFixture::Get(const std::string& name) {
  grpc::ClientContext context;
  v1::GetGuestRequest request;
  request.set_name(name);
  v1::Guest guest;
  const grpc::Status status = guests_->GetGuest(&context, request, &guest);
  if (!status.ok()) return Fail(ErrorOf(status));
  return guest;
}

v1::Guest DaemonFixture::Await(const std::string& name, v1::Guest::State state) {
  // Watch first, look then: nothing that happens in between is missed.
  grpc::ClientContext context;
  v1::WatchEventsRequest request;
  request.set_guest(name);
  auto stream = events_->WatchEvents(&context, request);
  stream->WaitForInitialMetadata();
  v1::Event event;
  while (true) {
    const auto guest = Get(name);
    EXPECT_TRUE(guest) << guest.error().message();
    if (!guest || guest->state() == state) {
      context.TryCancel();
      return guest.value_or(v1::Guest());
    }
    if (!stream->Read(&event)) {
      ADD_FAILURE() << "no more events";
      return *guest;
    }
  }
}

void DaemonFixture::ExpectNothingLeft() {
  EXPECT_THAT(host_->Changes(), testing::IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(scratch_ / "run/guests"));
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::error_code ignored;
    const auto program = std::filesystem::read_symlink(entry.path() / "exe", ignored);
    if (program != FAKE_VMM) continue;
    // Those of other tests that run at the same time are not ours.
    std::ifstream status(entry.path() / "stat");
    std::string pid, command, state, parent;
    status >> pid >> command >> state >> parent;
    EXPECT_NE(parent, std::to_string(::getpid())) << "process " << pid;
  }
}

}  // namespace berth::server
