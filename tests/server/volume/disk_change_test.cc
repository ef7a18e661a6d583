// What a running guest's disk stands on is changed: what is then where, and what comes of it when somebody
// ends in between.
#include <fcntl.h>

#include <functional>
#include <optional>

#include "block/driver.h"
#include "block/file_image.h"
#include "block/qcow2/header.h"
#include "server/store/guest_table.h"
#include "server/volume/pool_directory.h"
#include "server/volume/volume_chain.h"
#include "tests/server/volume/volume_fixture.h"

namespace berth::server {
namespace {

using testing::ElementsAre;
class DiskChange : public VolumeFixture {
 protected:
  PoolDirectory Directory() const { return *PoolDirectory::Open(pools_[1]); }
  // A running guest with the volume "web" as its disk.
  void RunWeb(const std::string& behaviour = "") {
    ASSERT_TRUE(CreateVolume("web", kMiB));
    v1::CreateGuestRequest request = GuestWith("g", Name("web"));
    request.set_start(true);
    request.mutable_guest()->mutable_spec()->mutable_boot()->set_command_line(behaviour);
    const auto guest = Create(request);
    ASSERT_TRUE(guest) << guest.error().message();
  }
  Result<v1::Guest> Snapshot(const std::string& volume_id, const std::string& disk_id = "disk0",
                             const std::string& guest = "guests/g") {
    v1::SnapshotDiskRequest request;
    request.set_name(guest);
    request.set_disk_id(disk_id);
    request.set_volume_id(volume_id);
    return Operate(&v1::GuestService::Stub::SnapshotDisk, request);
  }
  std::string ReasonOf(const Result<v1::Guest>& guest) const {
    return guest ? "done" : guest.error().reason();
  }
  std::string DiskOfG() { return Get("guests/g")->spec().disks(0).volume(); }
  // As it would be found if the daemon had ended while the disk was to become another volume.
  void StartDaemonWithRecord(const std::string& disk, const std::string& becomes) {
    StartDaemonWithRecord(disk, becomes, [](v1::PendingDiskChange*) {});
  }
  void StartDaemonWithRecord(const std::string& disk, const std::string& becomes,
                             const std::function<void(v1::PendingDiskChange*)>& more) {
    StopDaemon();
    {
      auto database = Database::Open(scratch_ / "state/state.db");
      ASSERT_TRUE(database) << database.error().message();
      GuestTable table(**database);
      StoredGuest stored = table.List()->at(0);
      stored.guest.mutable_spec()->mutable_disks(0)->set_volume(Name(disk));
      stored.guest.mutable_pending_disk_change()->set_disk_id("disk0");
      stored.guest.mutable_pending_disk_change()->set_volume(Name(becomes));
      more(stored.guest.mutable_pending_disk_change());
      ASSERT_TRUE(table.Update(stored));
    }
    StartDaemonAgain();
  }
  // An empty volume over "web", as the daemon makes it.
  void MakeOverWeb(const std::string& id) {
    block::CreateOptions options(block::kQcow2Format.create_options);
    ASSERT_TRUE(options.SetAll("size=1M,backing_file=web.qcow2,backing_fmt=qcow2"));
    ASSERT_TRUE(block::kQcow2Format.create(Pool() + "/" + id + "@web.qcow2", options));
  }
};

TEST_F(DiskChange, ASnapshotIsWhatTheVolumeWasAndTheGuestGoesOnWithANewOne) {
  RunWeb();
  const std::string etag = Get("guests/g")->etag();

  const auto guest = Snapshot("web-2");

  ASSERT_TRUE(guest) << guest.error().message();
  EXPECT_EQ(guest->spec().disks(0).volume(), Name("web-2"));
  EXPECT_FALSE(guest->has_pending_disk_change());
  EXPECT_NE(guest->etag(), etag);
  EXPECT_THAT(FilesOf(), ElementsAre("web-2@web.qcow2", "web.qcow2"));
  EXPECT_THAT(GetVolume(Name("web-2"))->guests(), ElementsAre("guests/g"));
  EXPECT_THAT(GetVolume(Name("web"))->dependents(), ElementsAre(Name("web-2")));
  EXPECT_EQ(OpenVolumeChain(Directory(), "web-2", {.writable = true}).error().reason(), "IMAGE_IN_USE");
  EXPECT_EQ(DeleteVolume(Name("web")).error().reason(), "VOLUME_HAS_DEPENDENTS");
  EXPECT_TRUE(CreateVolume("clone", 0, v1::Volume::QCOW2, "web")) << "a base as others are";
  EXPECT_EQ(ReasonOf(Snapshot("web-3")), "done");
  EXPECT_EQ(DiskOfG(), Name("web-3"));
  ASSERT_TRUE(Stop("guests/g", true));
  EXPECT_TRUE(Start("guests/g"));
}

// The old volume is never without a lock: first it is written to, then it is a base.
TEST_F(DiskChange, WhatWasTheDiskIsReadByItsGuestFromThenOn) {
  RunWeb();
  ASSERT_TRUE(Snapshot("web-2"));
  const auto directory = Directory();
  const VolumeFile web = *directory.Find("web");
  {
    const UniqueFd other = *directory.OpenVolume(web, O_RDWR);
    EXPECT_FALSE(LockVolume(directory, web, other.get(), {.write = true}));
  }
  const UniqueFd reader = *directory.OpenVolume(web, O_RDONLY);
  EXPECT_TRUE(LockVolume(directory, web, reader.get(), {}));
}

TEST_F(DiskChange, WhatTheMonitorRefusesIsUndone) {
  RunWeb("fail=exchange_disk:NO_FLUSH");
  const auto refused = Snapshot("web-2");
  EXPECT_EQ(ReasonOf(refused), "NO_FLUSH");
  EXPECT_EQ(DiskOfG(), Name("web"));
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_THAT(FilesOf(), ElementsAre("web.qcow2"));
  ASSERT_TRUE(Stop("guests/g", true));
  EXPECT_TRUE(Start("guests/g"));
}

// Whether it went on with the new volume, and wrote to it, nobody can say any more.
TEST_F(DiskChange, AMonitorThatEndsMeanwhileLeavesTheNewVolumeToTheNextStart) {
  for (const char* behaviour : {"die=exchange_disk", "die_after=exchange_disk"}) {
    RunWeb(behaviour);
    EXPECT_EQ(ReasonOf(Snapshot("web-2")), "VMM_GONE");
    EXPECT_EQ(Await("guests/g", v1::Guest::FAILED).spec().disks(0).volume(), Name("web"));
    EXPECT_EQ(OpenVolumeChain(Directory(), "web", {.writable = true}).error().reason(),
              "VOLUME_HAS_DEPENDENTS");
    const auto started = Start("guests/g");
    ASSERT_TRUE(started) << started.error().message();
    EXPECT_EQ(started->spec().disks(0).volume(), Name("web-2")) << behaviour;
    EXPECT_FALSE(started->has_pending_disk_change());
    ASSERT_TRUE(Delete("guests/g", true));
    for (const std::string id : {"web-2", "web"}) ASSERT_TRUE(DeleteVolume(Name(id)));
  }
}

TEST_F(DiskChange, ADaemonThatEndedBeforeTheVolumeWasThereForgets) {
  RunWeb();
  StartDaemonWithRecord("web", "web-2");
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_EQ(DiskOfG(), Name("web"));
}

TEST_F(DiskChange, ADaemonThatEndedBeforeTheMonitorHadItRemovesIt) {
  RunWeb();
  MakeOverWeb("web-2");
  StartDaemonWithRecord("web", "web-2");
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_EQ(DiskOfG(), Name("web"));
  EXPECT_THAT(FilesOf(), ElementsAre("web.qcow2"));
}

TEST_F(DiskChange, ADaemonThatEndedAfterTheMonitorHadItGoesOn) {
  RunWeb();
  ASSERT_TRUE(Snapshot("web-2"));
  StartDaemonWithRecord("web", "web-2");
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_EQ(DiskOfG(), Name("web-2"));
  EXPECT_THAT(FilesOf(), ElementsAre("web-2@web.qcow2", "web.qcow2"));
}

// A monitor that was taken over reaches no other volume by what it says.
TEST_F(DiskChange, OnlyWhatIsOnRecordIsBelieved) {
  RunWeb();
  ASSERT_TRUE(CreateVolume("secret", kMiB));
  ASSERT_TRUE(Snapshot("web-2"));
  StartDaemonWithRecord("web-2", "secret");
  EXPECT_EQ(DiskOfG(), Name("web-2")) << "which is what the monitor says";
  EXPECT_TRUE(GetVolume(Name("secret"))) << "stands on nothing of the guest's, and is not removed";
}

TEST_F(DiskChange, WhatCannotBeIsRefusedAtOnce) {
  RunWeb();
  EXPECT_EQ(Snapshot("Web").error().field(), "volume_id");
  EXPECT_EQ(ReasonOf(Snapshot("web")), "VOLUME_EXISTS");
  EXPECT_EQ(ReasonOf(Snapshot("new", "disk7")), "DISK_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Snapshot("new", "disk0", "guests/none")), "GUEST_NOT_FOUND");
  ASSERT_TRUE(CreateVolume("raw", kMiB, v1::Volume::RAW));
  v1::CreateGuestRequest other = GuestWith("h", Name("raw"));
  v1::DiskSpec* const read_only = other.mutable_guest()->mutable_spec()->add_disks();
  read_only->set_volume(Name("raw"));
  ASSERT_TRUE(CreateVolume("base", kMiB));
  read_only->set_volume(Name("base"));
  read_only->set_read_only(true);
  other.mutable_guest()->mutable_spec()->add_disks()->set_path(scratch_.Write("image", "raw"));
  ASSERT_TRUE(Create(other));
  EXPECT_EQ(ReasonOf(Snapshot("new", "disk0", "guests/h")), "GUEST_NOT_RUNNING");
  ASSERT_TRUE(Start("guests/h"));
  EXPECT_EQ(ReasonOf(Snapshot("new", "disk0", "guests/h")), "DISK_RAW");
  EXPECT_EQ(ReasonOf(Snapshot("new", "disk1", "guests/h")), "DISK_READ_ONLY");
  EXPECT_EQ(ReasonOf(Snapshot("new", "disk2", "guests/h")), "DISK_NOT_A_VOLUME");
  EXPECT_THAT(FilesOf(), ElementsAre("base.qcow2", "raw.raw", "web.qcow2"));
}

class DiskJob : public DiskChange {
 protected:
  // A running guest with the volume "web" as its disk, which stands on "base".
  void RunWebOverBase(const std::string& behaviour = "") {
    ASSERT_TRUE(CreateVolume("base", kMiB));
    ASSERT_TRUE(CreateVolume("web", 0, v1::Volume::QCOW2, "base"));
    v1::CreateGuestRequest request = GuestWith("g", Name("web"));
    request.set_start(true);
    request.mutable_guest()->mutable_spec()->mutable_boot()->set_command_line(behaviour);
    const auto guest = Create(request);
    ASSERT_TRUE(guest) << guest.error().message();
  }
  static v1::StreamDiskRequest StreamOf(const std::string& disk_id = "disk0") {
    v1::StreamDiskRequest request;
    request.set_name("guests/g");
    request.set_disk_id(disk_id);
    return request;
  }
  Result<v1::Guest> Stream() { return Operate(&v1::GuestService::Stub::StreamDisk, StreamOf()); }
  Result<v1::Guest> Commit() {
    v1::CommitDiskRequest request;
    request.set_name("guests/g");
    request.set_disk_id("disk0");
    return Operate(&v1::GuestService::Stub::CommitDisk, request);
  }
  Result<Operation> BeginStream() {
    grpc::ClientContext context;
    Operation operation;
    const grpc::Status status = guests_->StreamDisk(&context, StreamOf(), &operation);
    if (!status.ok()) return Fail(ErrorOf(status));
    return operation;
  }
  // As a monitor does when all is copied.
  void DropBacking(const std::string& file_name) {
    const auto file = *block::CreateFileImage(*Open(Pool() + "/" + file_name, O_RDWR));
    block::qcow2::Header header = *block::qcow2::ReadHeader(file.get());
    header.backing_file = header.backing_format = "";
    ASSERT_EQ(block::Write(file.get(), 0, *block::qcow2::EncodeHeader(header)), 0);
  }
};

TEST_F(DiskJob, AStreamedVolumeHasTheNameOfOneThatStandsAlone) {
  RunWebOverBase();
  DropBacking("web@base.qcow2");
  const auto guest = Stream();
  ASSERT_TRUE(guest) << guest.error().message();
  EXPECT_EQ(guest->spec().disks(0).volume(), Name("web"));
  EXPECT_FALSE(guest->has_pending_disk_change());
  EXPECT_THAT(FilesOf(), ElementsAre("base.qcow2", "web.qcow2"));
  EXPECT_EQ(ReasonOf(Stream()), "NO_BASE");
  EXPECT_TRUE(DeleteVolume(Name("base")));
}

TEST_F(DiskJob, AMonitorThatOnlySaysSoIsFound) {
  RunWebOverBase();
  EXPECT_EQ(ReasonOf(Stream()), "VMM_PROTOCOL_ERROR");
  EXPECT_THAT(FilesOf(), ElementsAre("base.qcow2", "web@base.qcow2"));
}

TEST_F(DiskJob, ADaemonThatEndedBeforeTheNameWasChangedChangesIt) {
  RunWebOverBase();
  DropBacking("web@base.qcow2");
  StartDaemonWithRecord("web", "web");
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_THAT(FilesOf(), ElementsAre("base.qcow2", "web.qcow2"));
}

TEST_F(DiskJob, ACommittedDiskIsTheBaseAndTheUpperVolumeIsGone) {
  RunWebOverBase();
  const auto guest = Commit();
  ASSERT_TRUE(guest) << guest.error().message();
  EXPECT_EQ(guest->spec().disks(0).volume(), Name("base"));
  EXPECT_FALSE(guest->has_pending_disk_change());
  EXPECT_THAT(FilesOf(), ElementsAre("base.qcow2"));
  ASSERT_TRUE(Stop("guests/g", true));
  EXPECT_TRUE(Start("guests/g"));
}

TEST_F(DiskJob, WhatOthersHaveIsNotCommittedTo) {
  RunWebOverBase();
  ASSERT_TRUE(CreateVolume("clone", 0, v1::Volume::QCOW2, "base"));
  EXPECT_EQ(ReasonOf(Commit()), "VOLUME_HAS_DEPENDENTS");
  ASSERT_TRUE(DeleteVolume(Name("clone")));
  v1::CreateGuestRequest other = GuestWith("h", Name("base"));
  other.mutable_guest()->mutable_spec()->mutable_disks(0)->set_read_only(true);
  ASSERT_TRUE(Create(other));
  EXPECT_EQ(ReasonOf(Commit()), "VOLUME_IN_USE");
  ASSERT_TRUE(Delete("guests/h"));
  {
    const auto reader = OpenVolumeChain(Directory(), "base", {});
    ASSERT_TRUE(reader);
    EXPECT_EQ(ReasonOf(Commit()), "IMAGE_IN_USE");
    EXPECT_EQ(DiskOfG(), Name("web"));
    EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
    EXPECT_TRUE(OpenVolumeChain(Directory(), "base", {})) << "the guest only reads it again";
  }
  EXPECT_EQ(ReasonOf(Commit()), "done");
}

TEST_F(DiskJob, AJobThatFailsOrIsCancelledLeavesTheDisk) {
  RunWebOverBase("fail=read_disk_job:NOT_CONVERGING");
  EXPECT_EQ(ReasonOf(Commit()), "NOT_CONVERGING");
  EXPECT_EQ(DiskOfG(), Name("web"));
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_THAT(FilesOf(), ElementsAre("base.qcow2", "web@base.qcow2"));
  EXPECT_TRUE(OpenVolumeChain(Directory(), "base", {})) << "the guest only reads it again";
}

TEST_F(DiskJob, AJobIsCancelled) {
  RunWebOverBase("endless_job");
  const auto operation = BeginStream();
  ASSERT_TRUE(operation);
  EXPECT_EQ(ReasonOf(Snapshot("new")), "OPERATION_IN_PROGRESS");
  google::longrunning::CancelOperationRequest cancel;
  cancel.set_name(operation->name());
  grpc::ClientContext context;
  google::protobuf::Empty empty;
  ASSERT_TRUE(operations_->CancelOperation(&context, cancel, &empty).ok());
  EXPECT_EQ(AwaitOperation(*operation).error().reason(), "CANCELLED");
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_TRUE(Stop("guests/g"));
}

TEST_F(DiskJob, AGuestThatPowersOffEndsItsJob) {
  RunWebOverBase("endless_job");
  const auto operation = BeginStream();
  ASSERT_TRUE(operation);
  v1::PowerButtonGuestRequest press;
  press.set_name("guests/g");
  grpc::ClientContext context;
  v1::Guest guest;
  ASSERT_TRUE(guests_->PowerButtonGuest(&context, press, &guest).ok());
  EXPECT_EQ(AwaitOperation(*operation).error().reason(), "GUEST_NOT_RUNNING");
  Await("guests/g", v1::Guest::STOPPED);
}

TEST_F(DiskJob, ADaemonThatEndedBeforeACommitWasDoneForgetsIt) {
  RunWebOverBase();
  StartDaemonWithRecord("web", "base");
  EXPECT_EQ(DiskOfG(), Name("web"));
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_THAT(FilesOf(), ElementsAre("base.qcow2", "web@base.qcow2"));
}

TEST_F(DiskJob, ADaemonThatEndedWhenACommitWasDoneEndsIt) {
  RunWebOverBase();
  ASSERT_TRUE(Commit());
  StartDaemonWithRecord("web", "base");
  EXPECT_EQ(DiskOfG(), Name("base")) << "the upper volume was removed already";
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
}

TEST_F(DiskJob, RatesAreNotNegative) {
  RunWebOverBase();
  v1::StreamDiskRequest request = StreamOf();
  request.set_bytes_per_second(-1);
  EXPECT_EQ(Operate(&v1::GuestService::Stub::StreamDisk, request).error().field(), "bytes_per_second");
}

class DiskMirror : public DiskChange {
 protected:
  static v1::MirrorDiskRequest MirrorTo(const std::string& volume_id, const std::string& pool = "") {
    v1::MirrorDiskRequest request;
    request.set_name("guests/g");
    request.set_disk_id("disk0");
    request.set_parent(pool);
    request.set_volume_id(volume_id);
    return request;
  }
  Result<v1::Guest> Mirror(const v1::MirrorDiskRequest& request) {
    return Operate(&v1::GuestService::Stub::MirrorDisk, request);
  }
  std::string MarkPath() { return scratch_ / "state/mirror-" + Get("guests/g")->uid(); }
  // As a daemon that ended leaves it: there are "web", which is the disk, and the volume "copy".
  void StartDaemonWithMirror(const std::optional<std::string>& mark) {
    const std::string path = MarkPath();
    StartDaemonWithRecord("web", "copy", [&](v1::PendingDiskChange* change) {
      change->set_mirror(true);
      if (mark) scratch_.Write("state/" + std::filesystem::path(path).filename().string(), *mark);
    });
  }
};

TEST_F(DiskMirror, AMirroredDiskIsTheCopyInWhicheverPoolAndFormat) {
  RunWeb();
  v1::MirrorDiskRequest request = MirrorTo("copy", "pools/other");
  request.set_format(v1::Volume::RAW);
  const auto guest = Mirror(request);
  ASSERT_TRUE(guest) << guest.error().message();
  EXPECT_EQ(guest->spec().disks(0).volume(), Name("copy", "other"));
  EXPECT_FALSE(guest->has_pending_disk_change());
  EXPECT_THAT(FilesOf("other"), ElementsAre("copy.raw"));
  EXPECT_THAT(FilesOf(), ElementsAre("web.qcow2"));
  EXPECT_FALSE(std::filesystem::exists(MarkPath()));
  EXPECT_EQ(OpenVolumeChain(*PoolDirectory::Open(pools_[2]), "copy", {.writable = true}).error().reason(),
            "IMAGE_IN_USE");
  EXPECT_TRUE(DeleteVolume(Name("web")));
  EXPECT_EQ(ReasonOf(Mirror(MirrorTo("again"))), "DISK_RAW");
  ASSERT_TRUE(Stop("guests/g", true));
  EXPECT_TRUE(Start("guests/g"));
}

TEST_F(DiskMirror, WhatFailsLeavesNothing) {
  for (const char* behaviour :
       {"fail=start_disk_job:NO_MEMORY", "fail=read_disk_job:NOT_CONVERGING", "fail=end_disk_job:NO_ROOM"}) {
    RunWeb(behaviour);
    EXPECT_NE(ReasonOf(Mirror(MirrorTo("copy"))), "done");
    EXPECT_EQ(DiskOfG(), Name("web"));
    EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
    EXPECT_THAT(FilesOf(), ElementsAre("web.qcow2")) << behaviour;
    EXPECT_FALSE(std::filesystem::exists(MarkPath()));
    ASSERT_TRUE(Delete("guests/g", true));
    ASSERT_TRUE(DeleteVolume(Name("web")));
  }
}

// Whether the guest went on with the copy, only the mark says.
TEST_F(DiskMirror, AMonitorThatEndsMeanwhileLeavesTheDiskThatHasEverything) {
  for (const std::string behaviour : {"die=end_disk_job", "die_after=end_disk_job"}) {
    RunWeb(behaviour);
    EXPECT_EQ(ReasonOf(Mirror(MirrorTo("copy"))), "VMM_GONE");
    Await("guests/g", v1::Guest::FAILED);
    if (behaviour == "die_after=end_disk_job") {
      EXPECT_EQ(DeleteVolume(Name("copy")).error().reason(), "VOLUME_IN_USE");
    }
    const auto started = Start("guests/g");
    ASSERT_TRUE(started) << started.error().message();
    EXPECT_EQ(started->spec().disks(0).volume(), Name(behaviour == "die=end_disk_job" ? "web" : "copy"));
    EXPECT_FALSE(started->has_pending_disk_change());
    EXPECT_FALSE(std::filesystem::exists(MarkPath()));
    ASSERT_TRUE(Delete("guests/g", true));
    (void)DeleteVolume(Name("copy"), /*allow_missing=*/true);
    ASSERT_TRUE(DeleteVolume(Name("web")));
  }
}

TEST_F(DiskMirror, ADaemonThatEndedBeforeTheCopyHadItsNameTouchesNoOther) {
  RunWeb();
  ASSERT_TRUE(CreateVolume("copy", kMiB));
  StartDaemonWithMirror(std::nullopt);
  EXPECT_EQ(DiskOfG(), Name("web"));
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_THAT(FilesOf(), ElementsAre("copy.qcow2", "web.qcow2"));
}

// Marked as well: the monitor says what the disk is.
TEST_F(DiskMirror, ADaemonThatEndedBeforeTheMonitorHadTheCopyRemovesIt) {
  for (const char* mark : {"", "1"}) {
    RunWeb();
    ASSERT_TRUE(CreateVolume("copy", kMiB));
    StartDaemonWithMirror(mark);
    EXPECT_EQ(DiskOfG(), Name("web"));
    EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
    EXPECT_THAT(FilesOf(), ElementsAre("web.qcow2"));
    EXPECT_FALSE(std::filesystem::exists(MarkPath()));
    ASSERT_TRUE(Delete("guests/g", true));
    ASSERT_TRUE(DeleteVolume(Name("web")));
  }
}

TEST_F(DiskMirror, ADaemonThatEndedAfterTheMonitorHadTheCopyGoesOn) {
  RunWeb();
  ASSERT_TRUE(Mirror(MirrorTo("copy")));
  StartDaemonWithMirror("1");
  EXPECT_EQ(DiskOfG(), Name("copy"));
  EXPECT_FALSE(Get("guests/g")->has_pending_disk_change());
  EXPECT_THAT(FilesOf(), ElementsAre("copy.qcow2", "web.qcow2"));
}

TEST_F(DiskMirror, WhatCannotBeIsRefusedAtOnce) {
  RunWeb();
  EXPECT_EQ(ReasonOf(Mirror(MirrorTo("web"))), "VOLUME_EXISTS");
  EXPECT_EQ(Mirror(MirrorTo("Copy")).error().field(), "volume_id");
  EXPECT_EQ(ReasonOf(Mirror(MirrorTo("copy", "pools/none"))), "POOL_NOT_FOUND");
  v1::MirrorDiskRequest request = MirrorTo("copy");
  request.set_bytes_per_second(-1);
  EXPECT_EQ(Mirror(request).error().field(), "bytes_per_second");
  EXPECT_THAT(FilesOf(), ElementsAre("web.qcow2"));
}

TEST_F(DiskChange, AStateInsideAVolumeThatIsWrittenToIsTheMonitorsToKeep) {
  RunWeb("fail=change_snapshot:NO_ROOM");
  v1::CreateVolumeSnapshotRequest request;
  request.set_parent(Name("web"));
  request.set_snapshot_id("before");
  const auto operation = Call(&v1::VolumeService::Stub::CreateVolumeSnapshot, request);
  EXPECT_EQ(AwaitOperation(*operation).error().reason(), "NO_ROOM");
  v1::ApplyVolumeSnapshotRequest apply;
  apply.set_name(Name("web") + "/snapshots/before");
  const auto applied = Call(&v1::VolumeService::Stub::ApplyVolumeSnapshot, apply);
  EXPECT_EQ(AwaitOperation(*applied).error().reason(), "IMAGE_IN_USE") << "not under a running guest";
  v1::DeleteVolumeSnapshotRequest forget;
  forget.set_name(apply.name());
  const auto forgotten = Call(&v1::VolumeService::Stub::DeleteVolumeSnapshot, forget);
  EXPECT_EQ(AwaitOperation(*forgotten).error().reason(), "SNAPSHOT_NOT_FOUND");
}

}  // namespace
}  // namespace berth::server
