#include <thread>

#include <google/protobuf/text_format.h>

#include "tests/server/daemon/daemon_fixture.h"

namespace berth::server {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Key;
using testing::Pair;

class GuestLife : public DaemonFixture {};

TEST_F(GuestLife, CreatedStoppedStartedAndDeleted) {
  v1::CreateGuestRequest request = Guest("web");
  ASSERT_TRUE(google::protobuf::TextFormat::MergeFromString(
      R"(cpus { vcpu_count: 2 } placement { host_cpus: [5, 4] }
         network_interfaces { bridge: "br0" mac_address: "52:54:00:12:34:56" }
         assigned_devices { virtual_function { physical_function: "0000:01:00.0" mac_address: "52:54:00:00:00:07" } }
         assigned_devices { virtual_function { physical_function: "0000:02:00.0" index: 1 } }
         assigned_devices { mediated_device { create { parent: "mtty" type: "mtty-2" } } })",
      request.mutable_guest()->mutable_spec()));
  const auto created = Create(request);
  ASSERT_TRUE(created) << created.error().message();
  EXPECT_EQ(created->state(), v1::Guest::RUNNING);
  EXPECT_EQ(created->placement().vcpus(0).host_cpus(0), 5);
  EXPECT_GT(created->placement().vcpus(0).thread_id(), 0);
  EXPECT_EQ(created->claimed_devices(0).guest_address(), "0000:02:00.0");
  EXPECT_EQ(created->network_interfaces(0).mac_address(), "52:54:00:12:34:56");
  EXPECT_THAT(host_->Places(), Contains(Pair("vcpu0", "5")));
  EXPECT_THAT(host_->Places(), Contains(Pair("vcpu1", "4")));
  const auto changes = host_->Changes();
  EXPECT_THAT(changes, Contains(Pair("vfs 0000:01:00.0", "7")));
  EXPECT_THAT(changes, Contains(Pair("vf-settings 0000:01:00.0 VF 0", HasSubstr("52:54:00:00:00:07"))));
  EXPECT_THAT(changes, Contains(Pair("driver 0000:02:00.2", "vfio-pci")));
  EXPECT_THAT(changes, Contains(Key("mdev " + created->claimed_devices(2).mdev_uuid())));
  EXPECT_THAT(changes, Contains(Key(HasSubstr("tap "))));

  const auto stopped = Stop("guests/web");
  ASSERT_TRUE(stopped) << stopped.error().message();
  EXPECT_EQ(stopped->state(), v1::Guest::STOPPED);
  EXPECT_FALSE(stopped->has_placement());
  ExpectNothingLeft();

  const auto again = Start("guests/web");
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->claimed_devices(0).host_device(), created->claimed_devices(0).host_device());
  EXPECT_EQ(again->claimed_devices(2).mdev_uuid(), created->claimed_devices(2).mdev_uuid())
      << "the same devices";

  EXPECT_EQ(Delete("guests/web").error().reason(), "GUEST_RUNNING");
  ASSERT_TRUE(Delete("guests/web", true));
  EXPECT_EQ(Get("guests/web").error().reason(), "GUEST_NOT_FOUND");
  ExpectNothingLeft();
}

TEST_F(GuestLife, DefinedWithoutBeingStarted) {
  v1::CreateGuestRequest request = Guest("web");
  request.set_start(false);
  const auto created = Create(request);
  ASSERT_TRUE(created) << created.error().message();
  EXPECT_EQ(created->state(), v1::Guest::DEFINED);
  ExpectNothingLeft();
  EXPECT_EQ(Stop("guests/web").error().reason(), "GUEST_NOT_RUNNING");
  ASSERT_TRUE(Start("guests/web"));
  EXPECT_EQ(Start("guests/web").error().reason(), "GUEST_RUNNING");
}

TEST_F(GuestLife, ValidateOnlyTellsThePlacementAndChangesNothing) {
  v1::CreateGuestRequest request = Guest("web");
  request.set_validate_only(true);
  request.mutable_guest()->mutable_spec()->add_assigned_devices()->set_pci_address("0000:03:00.0");
  const auto guest = Create(request);
  ASSERT_TRUE(guest) << guest.error().message();
  EXPECT_EQ(guest->placement().memory(0).host_nodes(0), 0) << "where its device is";
  EXPECT_EQ(guest->claimed_devices(0).host_device(), "host/devices/pci-0000-03-00-0");
  EXPECT_EQ(Get("guests/web").error().reason(), "GUEST_NOT_FOUND");
  ExpectNothingLeft();
}

TEST_F(GuestLife, AGuestThatPowersOffIsStoppedAndReleased) {
  ASSERT_TRUE(Create(Guest("web", "power_off=run")));
  const v1::Guest guest = Await("guests/web", v1::Guest::STOPPED);
  EXPECT_FALSE(guest.has_error());
  ExpectNothingLeft();
}

TEST_F(GuestLife, AGuestThatDoesNotPowerOffIsEndedAfterItsGracePeriod) {
  ASSERT_TRUE(Create(Guest("web", "ignore_power_button")));
  EXPECT_EQ(Stop("guests/web")->state(), v1::Guest::STOPPED);
  ExpectNothingLeft();
}

TEST_F(GuestLife, AKilledVmmIsNoticedAndEverythingReleased) {
  const auto created = Create(Guest("web"));
  ASSERT_TRUE(created);
  ::kill(created->process_id(), SIGKILL);
  const v1::Guest guest = Await("guests/web", v1::Guest::FAILED);
  EXPECT_EQ(FromRpcStatus(guest.error()).reason(), "VMM_DIED");
  ExpectNothingLeft();
  EXPECT_TRUE(Start("guests/web")) << "it can be started again";
  EXPECT_FALSE(Get("guests/web")->has_error());
}

TEST_F(GuestLife, TheSameRequestTwiceIsOneGuest) {
  v1::CreateGuestRequest request = Guest("web");
  request.set_request_id("6f1f1c1e-7f3f-4e1a-9d53-0a4f4a3f7c11");
  const auto first = Create(request);
  const auto second = Create(request);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->uid(), second->uid());
  request.set_guest_id("other");
  EXPECT_EQ(Create(request).error().reason(), "REQUEST_ID_REUSED");
  request.set_request_id("not a uuid");
  EXPECT_EQ(Create(request).error().reason(), "BAD_REQUEST_ID");
}

TEST_F(GuestLife, VirtualFunctionsOfOneCardServeTwoGuests) {
  for (const char* id : {"one", "two"}) {
    v1::CreateGuestRequest request = Guest(id);
    request.mutable_guest()
        ->mutable_spec()
        ->add_assigned_devices()
        ->mutable_virtual_function()
        ->set_physical_function("0000:01:00.0");
    ASSERT_TRUE(Create(request));
  }
  ASSERT_TRUE(Delete("guests/one", true));
  EXPECT_THAT(host_->Changes(), Contains(Pair("vfs 0000:01:00.0", "7")));
  ASSERT_TRUE(Delete("guests/two", true));
  ExpectNothingLeft();
}

TEST_F(GuestLife, AVirtualFunctionHasItsAddressOnlyWhileItIsThere) {
  v1::CreateGuestRequest request = Guest("web");
  request.mutable_guest()
      ->mutable_spec()
      ->add_assigned_devices()
      ->mutable_virtual_function()
      ->set_physical_function("0000:01:00.0");
  const auto running = Create(request);
  ASSERT_TRUE(running) << running.error().message();
  const std::string address = running->claimed_devices(0).pci_address();
  EXPECT_THAT(host_->Changes(), Contains(Pair("driver " + address, "vfio-pci")));
  // Made for this guest, it goes with it; the claim stays.
  const auto stopped = Stop("guests/web");
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->claimed_devices(0).pci_address(), "");
  EXPECT_NE(stopped->claimed_devices(0).host_device(), "");
  ASSERT_TRUE(Start("guests/web"));
  EXPECT_EQ(Get("guests/web")->claimed_devices(0).pci_address(), address);
}

TEST_F(GuestLife, SpecAndLabelsChangeWhileItDoesNotRun) {
  ASSERT_TRUE(Create(Guest("web")));
  v1::UpdateGuestRequest request;
  request.mutable_guest()->set_name("guests/web");
  (*request.mutable_guest()->mutable_labels())["team"] = "red";
  const auto update = [&]() -> Result<v1::Guest> {
    grpc::ClientContext context;
    v1::Guest guest;
    const grpc::Status status = guests_->UpdateGuest(&context, request, &guest);
    if (!status.ok()) return Fail(ErrorOf(status));
    return guest;
  };
  const auto labelled = update();
  ASSERT_TRUE(labelled) << labelled.error().message();
  EXPECT_EQ(labelled->labels().at("team"), "red");
  EXPECT_EQ(labelled->spec().cpus().vcpu_count(), 1) << "what was not named stays";

  request.mutable_update_mask()->add_paths("spec.cpus.vcpu_count");
  request.mutable_guest()->mutable_spec()->mutable_cpus()->set_vcpu_count(2);
  EXPECT_EQ(update().error().reason(), "GUEST_RUNNING");
  ASSERT_TRUE(Stop("guests/web"));
  request.mutable_guest()->set_etag("old");
  EXPECT_EQ(update().error().reason(), "ETAG_MISMATCH");
  EXPECT_EQ(update().error().code(), Code::kAborted);
  request.mutable_guest()->clear_etag();
  const auto grown = update();
  ASSERT_TRUE(grown) << grown.error().message();
  EXPECT_EQ(grown->spec().cpus().vcpu_count(), 2);
  EXPECT_EQ(Start("guests/web")->placement().vcpus_size(), 2);
  request.mutable_update_mask()->add_paths("state");
  EXPECT_EQ(update().error().reason(), "BAD_UPDATE_MASK");
}

TEST_F(GuestLife, ResetAndPowerButtonReachTheMachine) {
  ASSERT_TRUE(Create(Guest("web")));
  grpc::ClientContext reset_context, button_context;
  v1::ResetGuestRequest reset;
  v1::PowerButtonGuestRequest button;
  reset.set_name("guests/web");
  button.set_name("guests/web");
  v1::Guest guest;
  EXPECT_TRUE(guests_->ResetGuest(&reset_context, reset, &guest).ok());
  EXPECT_EQ(guest.state(), v1::Guest::RUNNING);
  EXPECT_TRUE(guests_->PowerButtonGuest(&button_context, button, &guest).ok());
  EXPECT_EQ(Await("guests/web", v1::Guest::STOPPED).state(), v1::Guest::STOPPED);
}

TEST_F(GuestLife, OneThatNobodyStartsInTimeIsDeletedAndItsDeviceIsFree) {
  v1::CreateGuestRequest request = Guest("web");
  request.mutable_guest()->mutable_spec()->add_assigned_devices()->set_pci_address("0000:03:00.0");
  request.mutable_guest()->mutable_ttl()->set_seconds(1);
  EXPECT_EQ(Create(request).error().field(), "guest.ttl") << "what is started does not expire";
  request.set_start(false);
  const auto created = Create(request);
  ASSERT_TRUE(created) << created.error().message();
  EXPECT_EQ(created->expire_time().seconds() - created->create_time().seconds(), 1);
  EXPECT_FALSE(created->has_ttl());
  while (Get("guests/web")) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(GetDevice("host/devices/pci-0000-03-00-0")->state(), v1::HostDevice::AVAILABLE);
}

TEST_F(GuestLife, AStartEndsTheLeaseAndMoreTimeLengthensIt) {
  v1::CreateGuestRequest request = Guest("web");
  request.set_start(false);
  request.mutable_guest()->mutable_ttl()->set_seconds(3600);
  const auto created = Create(request);
  ASSERT_TRUE(created) << created.error().message();
  v1::UpdateGuestRequest more;
  more.mutable_guest()->set_name("guests/web");
  more.mutable_guest()->mutable_ttl()->set_seconds(7200);
  v1::Guest updated;
  grpc::ClientContext context;
  ASSERT_TRUE(guests_->UpdateGuest(&context, more, &updated).ok());
  EXPECT_GE(updated.expire_time().seconds() - created->expire_time().seconds(), 3600);
  StartDaemonAgain();
  EXPECT_EQ(Get("guests/web")->expire_time().seconds(), updated.expire_time().seconds());
  const auto started = Start("guests/web");
  ASSERT_TRUE(started) << started.error().message();
  EXPECT_FALSE(started->has_expire_time());
  grpc::ClientContext running;
  EXPECT_EQ(ErrorOf(guests_->UpdateGuest(&running, more, &updated)).reason(), "GUEST_RUNNING");
}

// The limits of a guest's disk, of which one is made on the way.
v1::UpdateGuestRequest LimitsOf(v1::GuestSpec spec, int64_t operations) {
  v1::UpdateGuestRequest request;
  request.mutable_guest()->set_name("guests/web");
  spec.mutable_disks(0)->mutable_io_limits()->set_operations_per_second(operations);
  *request.mutable_guest()->mutable_spec() = std::move(spec);
  return request;
}

TEST_F(GuestLife, DisksGetOtherLimitsWhileItRuns) {
  v1::CreateGuestRequest request = Guest("web");
  request.mutable_guest()->mutable_spec()->add_disks()->set_path(
      scratch_.Write("disk", std::string(4096, 0)));
  const auto created = Create(request);
  ASSERT_TRUE(created) << created.error().message();

  v1::Guest updated;
  grpc::ClientContext context;
  const grpc::Status status = guests_->UpdateGuest(&context, LimitsOf(created->spec(), 500), &updated);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(updated.state(), v1::Guest::RUNNING);
  StartDaemonAgain();
  EXPECT_EQ(Get("guests/web")->spec().disks(0).io_limits().operations_per_second(), 500);

  v1::UpdateGuestRequest more = LimitsOf(created->spec(), 600);
  more.mutable_guest()->mutable_spec()->mutable_disks(0)->set_serial("other");
  grpc::ClientContext second;
  EXPECT_EQ(ErrorOf(guests_->UpdateGuest(&second, more, &updated)).reason(), "GUEST_RUNNING");
}

TEST_F(GuestLife, DisksGrowWhileItRunsIfTheMachineCan) {
  for (const char* behaviour : {"", "fail=grow_disk:FAILED_PRECONDITION"}) {
    v1::CreateGuestRequest request = Guest("web", behaviour);
    request.mutable_guest()->mutable_spec()->add_disks()->set_path(
        scratch_.Write("disk", std::string(4096, 0)));
    const auto created = Create(request);
    ASSERT_TRUE(created) << created.error().message();

    v1::UpdateGuestRequest larger;
    *larger.mutable_guest() = *created;
    larger.mutable_guest()->clear_etag();
    larger.mutable_guest()->mutable_spec()->mutable_disks(0)->set_size_bytes(8192);
    larger.mutable_update_mask()->add_paths("spec");
    v1::Guest updated;
    grpc::ClientContext context;
    const bool can = *behaviour == '\0';
    EXPECT_EQ(guests_->UpdateGuest(&context, larger, &updated).ok(), can);
    EXPECT_EQ(Get("guests/web")->spec().disks(0).size_bytes(), can ? 8192 : 0);
    ASSERT_TRUE(Delete("guests/web", true));
  }
}

TEST_F(GuestLife, LimitsThatTheMachineRefusesAreNotKept) {
  v1::CreateGuestRequest request = Guest("web", "fail=set_disk_limits:DEVICE_NOT_FOUND");
  request.mutable_guest()->mutable_spec()->add_disks()->set_path(
      scratch_.Write("disk", std::string(4096, 0)));
  const auto created = Create(request);
  ASSERT_TRUE(created) << created.error().message();
  v1::Guest updated;
  grpc::ClientContext context;
  EXPECT_FALSE(guests_->UpdateGuest(&context, LimitsOf(created->spec(), 500), &updated).ok());
  EXPECT_FALSE(Get("guests/web")->spec().disks(0).has_io_limits());
}

TEST_F(GuestLife, AnExpirationIsWithinThirtyDays) {
  v1::CreateGuestRequest request = Guest("web");
  request.set_start(false);
  for (int64_t seconds : {int64_t{0}, int64_t{-1}, int64_t{31} * 24 * 3600, INT64_MAX}) {
    request.mutable_guest()->mutable_ttl()->set_seconds(seconds);
    EXPECT_EQ(Create(request).error().field(), "guest.ttl") << seconds;
  }
  for (int64_t seconds : {int64_t{0}, int64_t{1}, INT64_MIN, INT64_MAX, int64_t{253'402'300'799}}) {
    request.mutable_guest()->mutable_expire_time()->set_seconds(seconds);
    EXPECT_EQ(Create(request).error().field(), "guest.expire_time") << seconds;
  }
}

TEST_F(GuestLife, AScreenshotIsAPngOfItsDisplay) {
  v1::CaptureScreenshotRequest request;
  request.set_name("guests/web");
  const auto capture = [&]() -> Result<v1::CaptureScreenshotResponse> {
    grpc::ClientContext context;
    v1::CaptureScreenshotResponse response;
    const grpc::Status status = guests_->CaptureScreenshot(&context, request, &response);
    if (!status.ok()) return Fail(ErrorOf(status));
    return response;
  };
  EXPECT_EQ(capture().error().reason(), "GUEST_NOT_FOUND");
  ASSERT_TRUE(Create(Guest("web")));
  EXPECT_EQ(capture().error().reason(), "NO_DISPLAY") << "it has no assigned device at all";
  ASSERT_TRUE(Delete("guests/web", true));
  v1::CreateGuestRequest guest = Guest("web");
  guest.mutable_guest()->mutable_spec()->add_assigned_devices()->set_pci_address("0000:03:00.0");
  ASSERT_TRUE(Create(guest));
  const auto picture = capture();
  ASSERT_TRUE(picture) << picture.error().message();
  EXPECT_EQ(picture->width(), 2);
  EXPECT_EQ(picture->height(), 1);
  EXPECT_TRUE(picture->png().starts_with("\x89PNG\r\n"));
  ASSERT_TRUE(Stop("guests/web"));
  EXPECT_EQ(capture().error().reason(), "GUEST_NOT_RUNNING");
}

TEST_F(GuestLife, AVmmThatLiesAboutAPictureIsNotBelieved) {
  v1::CreateGuestRequest guest = Guest("web", "tall_picture");
  guest.mutable_guest()->mutable_spec()->add_assigned_devices()->set_pci_address("0000:03:00.0");
  ASSERT_TRUE(Create(guest));
  v1::CaptureScreenshotRequest request;
  request.set_name("guests/web");
  grpc::ClientContext context;
  v1::CaptureScreenshotResponse response;
  EXPECT_EQ(ErrorOf(guests_->CaptureScreenshot(&context, request, &response)).reason(), "VMM_PROTOCOL_ERROR");
}

TEST_F(GuestLife, TellsWhatItsMonitorCounts) {
  const auto read = [&]() -> Result<v1::ReadCountersResponse> {
    v1::ReadCountersRequest request;
    request.set_name("guests/web");
    grpc::ClientContext context;
    v1::ReadCountersResponse response;
    const grpc::Status status = guests_->ReadCounters(&context, request, &response);
    if (!status.ok()) return Fail(ErrorOf(status));
    return response;
  };
  EXPECT_EQ(read().error().reason(), "GUEST_NOT_FOUND");
  ASSERT_TRUE(Create(Guest("web")));
  const auto counters = read();
  ASSERT_TRUE(counters) << counters.error().message();
  ASSERT_EQ(counters->counters_size(), 1);
  EXPECT_EQ(counters->counters(0).name(), "vcpu0/exits");
  EXPECT_EQ(counters->counters(0).value(), 7u);
  ASSERT_TRUE(Stop("guests/web"));
  EXPECT_EQ(read().error().reason(), "GUEST_NOT_RUNNING");
}

TEST_F(GuestLife, TraceEventsAreEnabledByPattern) {
  ASSERT_TRUE(Create(Guest("web")));
  const auto trace = [&](const std::string& pattern) -> Result<int> {
    v1::TraceGuestRequest request;
    request.set_name("guests/web");
    request.set_pattern(pattern);
    grpc::ClientContext context;
    v1::TraceGuestResponse response;
    const grpc::Status status = guests_->TraceGuest(&context, request, &response);
    if (!status.ok()) return Fail(ErrorOf(status));
    return response.matched();
  };
  EXPECT_EQ(trace("hw/*"), 3);
  EXPECT_EQ(trace("").error().reason(), "BAD_TRACE_PATTERN");
  EXPECT_EQ(trace(std::string(257, 'x')).error().reason(), "BAD_TRACE_PATTERN");
  EXPECT_EQ(trace("nothing/*").error().reason(), "TRACE_EVENT_NOT_FOUND");
}

}  // namespace
}  // namespace berth::server
