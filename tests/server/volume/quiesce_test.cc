// Snapshots of running guests' disks with the guest's file systems at rest; and agents that do not help.
#include <thread>

#include "berth/v1/operation_metadata.pb.h"
#include "tests/server/volume/volume_fixture.h"

namespace berth::server {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using v1::VolumeSnapshot;

class QuiesceTest : public VolumeFixture {
 protected:
  void SetUp() override { ASSERT_TRUE(CreateVolume("web", kMiB)); }
  // A guest with the volume "web" as its disk.
  void Run(const std::string& behaviour, bool guest_agent = true) {
    v1::CreateGuestRequest request = GuestWith("g", Name("web"));
    request.set_start(true);
    request.mutable_guest()->mutable_spec()->set_guest_agent(guest_agent);
    request.mutable_guest()->mutable_spec()->mutable_boot()->set_command_line(behaviour);
    const auto guest = Create(request);
    ASSERT_TRUE(guest) << guest.error().message();
  }
  void UseTimes(const AgentTimes& times) {
    agent_times_ = times;
    StartDaemonAgain();
  }
  // "quiesced", "not quiesced: WHY", or the reason for which there is none.
  std::string Outcome(const Result<Operation>& operation) {
    if (!operation) return operation.error().reason();
    v1::OperationMetadata metadata;
    EXPECT_TRUE(operation->metadata().UnpackTo(&metadata));
    if (metadata.quiesced()) return "quiesced" + metadata.not_quiesced();
    return "not quiesced: " + metadata.not_quiesced();
  }
  // To a new volume above; and inside the volume.
  std::string Snapshot(VolumeSnapshot::Quiesce quiesce, const std::string& volume_id = "above") {
    v1::SnapshotDiskRequest request;
    request.set_name("guests/g");
    request.set_disk_id("disk0");
    request.set_volume_id(volume_id);
    request.set_quiesce(quiesce);
    grpc::ClientContext context;
    Operation operation;
    const grpc::Status status = guests_->SnapshotDisk(&context, request, &operation);
    return status.ok() ? Outcome(AwaitOperation(operation)) : ErrorOf(status).field();
  }
  std::string SnapshotInside(VolumeSnapshot::Quiesce quiesce, const std::string& volume = "web") {
    v1::CreateVolumeSnapshotRequest request;
    request.set_parent(Name(volume));
    request.set_snapshot_id("inside");
    request.set_quiesce(quiesce);
    const auto operation = Call(&v1::VolumeService::Stub::CreateVolumeSnapshot, request);
    return operation ? Outcome(AwaitOperation(*operation)) : operation.error().field();
  }
  // How often its agent has frozen it, and whether it is frozen now.
  std::string Frozen() {
    v1::ReadCountersRequest request;
    request.set_name("guests/g");
    grpc::ClientContext context;
    v1::ReadCountersResponse response;
    EXPECT_TRUE(guests_->ReadCounters(&context, request, &response).ok());
    std::string all;
    for (const auto& counter : response.counters()) {
      if (counter.name().starts_with("agent/")) all += fmt::format("{}={} ", counter.name(), counter.value());
    }
    return all;
  }
  bool OnRecord() { return Get("guests/g")->file_systems_frozen(); }
  std::string DiskOfG() { return Get("guests/g")->spec().disks(0).volume(); }
};

TEST_F(QuiesceTest, WhatTheDiskHasIsKeptWhileItsFileSystemsAreFrozen) {
  Run("agent=good frozen=exchange_disk");
  EXPECT_EQ(Snapshot(VolumeSnapshot::REQUIRED), "quiesced");
  EXPECT_EQ(DiskOfG(), Name("above"));
  EXPECT_EQ(Frozen(), "agent/freezes=1 agent/frozen=0 ");
  EXPECT_EQ(Snapshot(VolumeSnapshot::QUIESCE_UNSPECIFIED, "next"), "quiesced");
  EXPECT_EQ(Frozen(), "agent/freezes=2 agent/frozen=0 ");
  EXPECT_FALSE(OnRecord());
  EXPECT_EQ(Snapshot(VolumeSnapshot::NEVER, "third"), "NOT_FROZEN");
}

TEST_F(QuiesceTest, SoIsWhatIsKeptInsideTheVolume) {
  Run("agent=good frozen=change_snapshot fail=change_snapshot:REACHED");
  EXPECT_EQ(SnapshotInside(VolumeSnapshot::NEVER), "NOT_FROZEN");
  EXPECT_EQ(SnapshotInside(VolumeSnapshot::IF_POSSIBLE), "REACHED")
      << "and it is thawed, whatever has failed:";
  EXPECT_EQ(Frozen(), "agent/freezes=1 agent/frozen=0 ");
  EXPECT_FALSE(OnRecord());
}

TEST_F(QuiesceTest, WhereNoGuestRunsNobodyIsAsked) {
  EXPECT_EQ(SnapshotInside(VolumeSnapshot::REQUIRED), "not quiesced: ");
  EXPECT_EQ(SnapshotInside(static_cast<VolumeSnapshot::Quiesce>(9)), "quiesce");
  Run("agent=good");
  EXPECT_EQ(Snapshot(static_cast<VolumeSnapshot::Quiesce>(9)), "quiesce");
}

TEST_F(QuiesceTest, WithoutAPortThereIsNoAgent) {
  Run("agent=good", /*guest_agent=*/false);
  EXPECT_EQ(Snapshot(VolumeSnapshot::REQUIRED), "NO_AGENT_PORT");
  EXPECT_EQ(DiskOfG(), Name("web"));
  EXPECT_THAT(FilesOf(), ElementsAre("web.qcow2"));
  EXPECT_EQ(Snapshot(VolumeSnapshot::IF_POSSIBLE), "not quiesced: ");
  EXPECT_EQ(Frozen(), "agent/freezes=0 agent/frozen=0 ");
}

TEST_F(QuiesceTest, AGuestWithoutAnAgentSaysSo) {
  Run("");
  EXPECT_EQ(Snapshot(VolumeSnapshot::REQUIRED), "AGENT_NOT_RUNNING");
  EXPECT_THAT(FilesOf(), ElementsAre("web.qcow2"));
  EXPECT_THAT(Snapshot(VolumeSnapshot::IF_POSSIBLE), HasSubstr("not quiesced: guests/g: nobody is there"));
}

class BadAgent : public QuiesceTest,
                 public testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(BadAgent, IsThawedAndHoldsUpNobody) {
  const auto& [manner, reason] = GetParam();
  // Those that do not answer at all, and those that do at first.
  const bool never = std::string(manner) == "silent" || std::string(manner) == "garbage";
  const bool hangs = std::string(manner) == "hang_freeze";
  UseTimes({.synchronize = never ? milliseconds(50) : seconds(60),
            .freeze = hangs ? milliseconds(50) : seconds(60),
            .thaw = seconds(60)});
  Run(fmt::format("agent={}", manner));
  EXPECT_EQ(Snapshot(VolumeSnapshot::REQUIRED), reason);
  EXPECT_THAT(Frozen(), HasSubstr("frozen=0"));
  EXPECT_FALSE(OnRecord());
  EXPECT_EQ(DiskOfG(), Name("web"));
  EXPECT_THAT(FilesOf(), ElementsAre("web.qcow2"));
  EXPECT_THAT(Snapshot(VolumeSnapshot::IF_POSSIBLE), HasSubstr("not quiesced: guests/g: "));
  EXPECT_EQ(DiskOfG(), Name("above"));
  EXPECT_THAT(Frozen(), HasSubstr("frozen=0"));
}

INSTANTIATE_TEST_SUITE_P(QuiesceTest, BadAgent,
                         testing::Values(std::pair("silent", "AGENT_TIMED_OUT"),
                                         std::pair("garbage", "AGENT_TIMED_OUT"),
                                         std::pair("endless", "AGENT_PROTOCOL_ERROR"),
                                         std::pair("cut", "AGENT_GONE"), std::pair("refuse", "AGENT_REFUSED"),
                                         std::pair("hang_freeze", "AGENT_TIMED_OUT")),
                         [](const auto& suite) { return suite.param.first; });

TEST_F(QuiesceTest, AGuestThatThawsByItselfHasASnapshotThatIsNotQuiesced) {
  Run("agent=thaw_itself");
  EXPECT_THAT(Snapshot(VolumeSnapshot::IF_POSSIBLE), HasSubstr("not quiesced: the snapshot is there, but"));
  EXPECT_EQ(Snapshot(VolumeSnapshot::REQUIRED, "next"), "QUIESCE_LOST");
  EXPECT_EQ(DiskOfG(), Name("next")) << "which is said, and cannot be undone";
}

TEST_F(QuiesceTest, AThawThatFailsIsTriedAgain) {
  UseTimes({.thaw = milliseconds(100), .thaw_again = milliseconds(1)});
  Run("agent=lose_thaw");
  EXPECT_EQ(Snapshot(VolumeSnapshot::REQUIRED), "quiesced");
  while (OnRecord()) std::this_thread::yield();
  EXPECT_EQ(Frozen(), "agent/freezes=1 agent/frozen=0 ");
}

TEST_F(QuiesceTest, TheNextDaemonThawsWhatTheLastOneLeftFrozen) {
  UseTimes({.thaw = milliseconds(100), .thaw_again = hours(1)});
  Run("agent=lose_thaw");
  ASSERT_EQ(Snapshot(VolumeSnapshot::REQUIRED), "quiesced");
  ASSERT_TRUE(OnRecord());
  ASSERT_EQ(Frozen(), "agent/freezes=1 agent/frozen=1 ");
  UseTimes({});
  while (OnRecord()) std::this_thread::yield();
  EXPECT_EQ(Frozen(), "agent/freezes=1 agent/frozen=0 ");
}

TEST_F(QuiesceTest, TheNextSnapshotThawsFirstAndAGuestThatEndedIsNotFrozen) {
  UseTimes({.thaw = seconds(3), .thaw_again = hours(1)});
  Run("agent=lose_thaw");
  ASSERT_EQ(Snapshot(VolumeSnapshot::REQUIRED), "quiesced");
  ASSERT_TRUE(OnRecord());
  ASSERT_TRUE(Stop("guests/g", true));
  EXPECT_FALSE(OnRecord());
  ASSERT_TRUE(Start("guests/g"));
  ASSERT_EQ(Snapshot(VolumeSnapshot::REQUIRED, "next"), "quiesced");
  ASSERT_TRUE(OnRecord());
  EXPECT_EQ(Snapshot(VolumeSnapshot::REQUIRED, "third"), "quiesced");
  EXPECT_FALSE(OnRecord());
  EXPECT_EQ(Frozen(), "agent/freezes=2 agent/frozen=0 ");
}

}  // namespace
}  // namespace berth::server
