// The daemon ends, in every way and at every moment; the next one puts things in order.
#include <google/protobuf/text_format.h>

#include "tests/server/daemon/daemon_fixture.h"

namespace berth::server {
namespace {

class Restart : public DaemonFixture {
 protected:
  v1::CreateGuestRequest GuestWithDevices(const std::string& id) const {
    v1::CreateGuestRequest request = Guest(id);
    EXPECT_TRUE(google::protobuf::TextFormat::MergeFromString(
        R"(network_interfaces { bridge: "br0" }
           assigned_devices { virtual_function { physical_function: "0000:01:00.0" mac_address: "52:54:00:00:00:07" } }
           assigned_devices { mediated_device { create { parent: "mtty" type: "mtty-2" } } })",
        request.mutable_guest()->mutable_spec()));
    return request;
  }
};

TEST_F(Restart, ARunningGuestRunsOnAndIsFoundAgain) {
  const auto before = Create(GuestWithDevices("web"));
  ASSERT_TRUE(before) << before.error().message();
  const auto changes = host_->Changes();
  StartDaemonAgain();
  const auto after = Get("guests/web");
  ASSERT_TRUE(after);
  EXPECT_EQ(after->state(), v1::Guest::RUNNING) << after->error().message();
  EXPECT_EQ(after->process_id(), before->process_id());
  EXPECT_EQ(host_->Changes(), changes);
  // Its claims and its promises are known again.
  v1::CreateGuestRequest rival = Guest("rival");
  v1::VirtualFunctionSpec* vf =
      rival.mutable_guest()->mutable_spec()->add_assigned_devices()->mutable_virtual_function();
  vf->set_physical_function("0000:01:00.0");
  vf->set_index(0);
  EXPECT_EQ(Create(rival).error().reason(), "DEVICE_IN_USE");
  ASSERT_TRUE(Stop("guests/web"));
  ExpectNothingLeft();
}

TEST_F(Restart, AGuestThatDiedMeanwhileIsReleased) {
  const auto created = Create(GuestWithDevices("web"));
  ASSERT_TRUE(created);
  StopDaemon();
  ::kill(created->process_id(), SIGKILL);
  StartDaemonAgain();
  const v1::Guest guest = *Get("guests/web");
  EXPECT_EQ(guest.state(), v1::Guest::FAILED);
  EXPECT_EQ(FromRpcStatus(guest.error()).reason(), "VMM_DIED");
  ExpectNothingLeft();
}

TEST_F(Restart, AGuestWhoseVmmDoesNotAnswerIsLeftAlone) {
  ASSERT_TRUE(Create(Guest("web", "hang=describe")));
  StartDaemonAgain();
  EXPECT_EQ(Get("guests/web")->state(), v1::Guest::RUNNING);
}

TEST_F(Restart, AGuestThatIsNoGuestAnyMoreIsEnded) {
  ASSERT_TRUE(Create(Guest("web", "garbage=describe")));
  StartDaemonAgain();
  EXPECT_EQ(Get("guests/web")->state(), v1::Guest::FAILED);
  ExpectNothingLeft();
}

TEST_F(Restart, ADaemonThatEndsAnywhereInACreationLeavesNothingForGood) {
  // Steps: directory, tap, VFs, VF settings, driver, mdev, cgroup, process.
  for (int change = 0; change < 8; ++change) {
    for (const bool after : {false, true}) {
      SCOPED_TRACE(testing::Message() << "change " << change << (after ? " done" : " not done"));
      host_->StopAt(host_->changes_made() + change, after);
      EXPECT_FALSE(Create(GuestWithDevices("web")));
      StartDaemonAgain();
      EXPECT_EQ(Get("guests/web").error().reason(), "GUEST_NOT_FOUND");
      ExpectNothingLeft();
    }
  }
}

TEST_F(Restart, ADaemonThatEndsAnywhereInAStopFinishesItAfterwards) {
  for (int undo = 0; undo < 8; ++undo) {
    SCOPED_TRACE(testing::Message() << "undo " << undo);
    ASSERT_TRUE(Create(GuestWithDevices("web")));
    host_->StopAt(host_->changes_made() + undo, undo % 2 == 0);
    EXPECT_FALSE(Stop("guests/web", true));
    StartDaemonAgain();
    ExpectNothingLeft();
    ASSERT_TRUE(Delete("guests/web"));
  }
}

TEST_F(Restart, OperationsThatWereUnderWayAreAborted) {
  host_->StopAt(2, false);
  grpc::ClientContext context;
  Operation operation;
  ASSERT_TRUE(guests_->CreateGuest(&context, GuestWithDevices("web"), &operation).ok());
  StartDaemonAgain();
  google::longrunning::GetOperationRequest get;
  get.set_name(operation.name());
  grpc::ClientContext get_context;
  ASSERT_TRUE(operations_->GetOperation(&get_context, get, &operation).ok());
  EXPECT_TRUE(operation.done());
  EXPECT_TRUE(operation.has_error());
}

TEST_F(Restart, AfterABootOfTheHostNothingRunsAndNothingIsUndone) {
  ASSERT_TRUE(Create(GuestWithDevices("web")));
  const int pid = Get("guests/web")->process_id();
  StopDaemon();
  ::kill(pid, SIGKILL);
  std::filesystem::remove_all(scratch_ / "host");
  std::filesystem::remove_all(scratch_ / "run");
  // Another boot.
  auto host = std::make_unique<FakeHost>(scratch_ / "host");
  host->facts().boot_id = "boot-2";
  host->FailUndo("driver");
  UseHost(std::move(host));
  const v1::Guest guest = *Get("guests/web");
  EXPECT_EQ(guest.state(), v1::Guest::STOPPED);
  EXPECT_EQ(FromRpcStatus(guest.error()).reason(), "HOST_REBOOTED");
}

TEST_F(Restart, TwoDaemonsDoNotShareAState) {
  const auto second = StartDaemon(Options(), std::make_unique<FakeHost>(scratch_ / "host2"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().reason(), "STATE_IN_USE");
}

}  // namespace
}  // namespace berth::server
