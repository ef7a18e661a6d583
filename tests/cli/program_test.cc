// The program against a daemon that says what it is told to say.
#include "cli/program.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>

#include "base/mutex.h"
#include "berth/v1/operation_metadata.pb.h"
#include "proto/error_details.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::cli {
namespace {

using google::longrunning::Operation;
using testing::HasSubstr;
namespace lro = google::longrunning;

// Held around whatever a service and a test both look at. gRPC has locks enough for that, but those the
// thread sanitizer does not see.
Mutex seen;

// Keeps what was asked, and begins an operation.
template <typename Asked>
grpc::Status Begin(const Asked& asked, Asked* kept, Operation* response) {
  MutexLock lock(seen);
  *kept = asked;
  response->set_name("operations/1");
  return grpc::Status::OK;
}

class FakeGuests final : public berth::v1::GuestService::Service {
 public:
  grpc::Status CreateGuest(grpc::ServerContext*, const berth::v1::CreateGuestRequest* request,
                           Operation* response) override {
    return Begin(*request, &created, response);
  }
  grpc::Status GetGuest(grpc::ServerContext*, const berth::v1::GetGuestRequest* request,
                        berth::v1::Guest* response) override {
    MutexLock lock(seen);
    if (request->name() != "guests/web") return Refuse(request->name());
    *response = guest;
    return grpc::Status::OK;
  }
  grpc::Status ListGuests(grpc::ServerContext*, const berth::v1::ListGuestsRequest* request,
                          berth::v1::ListGuestsResponse* response) override {
    MutexLock lock(seen);
    // Two pages.
    *response->add_guests() = guest;
    response->mutable_guests(0)->set_name(request->page_token().empty() ? "guests/db" : "guests/web");
    if (request->page_token().empty()) response->set_next_page_token("more");
    return grpc::Status::OK;
  }

  grpc::Status AttachDevice(grpc::ServerContext*, const berth::v1::AttachDeviceRequest* request,
                            Operation* response) override {
    return Begin(request->device(), &attached, response);
  }
  grpc::Status SnapshotDisk(grpc::ServerContext*, const berth::v1::SnapshotDiskRequest* request,
                            Operation* response) override {
    return Begin(*request, &kept, response);
  }
  grpc::Status CaptureScreenshot(grpc::ServerContext*, const berth::v1::CaptureScreenshotRequest* request,
                                 berth::v1::CaptureScreenshotResponse* response) override {
    if (request->name() != "guests/web") return Refuse(request->name());
    response->set_png(std::string(8 << 20, 'p'));
    response->set_width(640);
    response->set_height(480);
    return grpc::Status::OK;
  }

  static grpc::Status Refuse(const std::string& name) {
    const auto status = ToRpcStatus(Error(Code::kNotFound, "there is no guest " + name)
                                        .Reason("GUEST_NOT_FOUND")
                                        .With("resource", name)
                                        .Field("name"));
    return grpc::Status(grpc::StatusCode::NOT_FOUND, status.message(), status.SerializeAsString());
  }

  berth::v1::CreateGuestRequest created;
  berth::v1::AssignedDeviceSpec attached;
  berth::v1::SnapshotDiskRequest kept;
  berth::v1::Guest guest;
};

class FakeVolumes final : public berth::v1::VolumeService::Service {
 public:
  grpc::Status CreateVolume(grpc::ServerContext*, const berth::v1::CreateVolumeRequest* request,
                            Operation* response) override {
    return Begin(*request, &created, response);
  }
  grpc::Status CloneVolume(grpc::ServerContext*, const berth::v1::CloneVolumeRequest* request,
                           Operation* response) override {
    return Begin(*request, &cloned, response);
  }
  grpc::Status ImportVolume(grpc::ServerContext*, const berth::v1::ImportVolumeRequest* request,
                            Operation* response) override {
    return Begin(*request, &imported, response);
  }
  grpc::Status ResizeVolume(grpc::ServerContext*, const berth::v1::ResizeVolumeRequest* request,
                            Operation* response) override {
    return Begin(*request, &resized, response);
  }
  grpc::Status CreateVolumeSnapshot(grpc::ServerContext*,
                                    const berth::v1::CreateVolumeSnapshotRequest* request,
                                    Operation* response) override {
    return Begin(*request, &kept, response);
  }
  grpc::Status ApplyVolumeSnapshot(grpc::ServerContext*, const berth::v1::ApplyVolumeSnapshotRequest* request,
                                   Operation* response) override {
    return Begin(*request, &applied, response);
  }
  grpc::Status CreateVolumeBitmap(grpc::ServerContext*, const berth::v1::CreateVolumeBitmapRequest* request,
                                  Operation* response) override {
    return Begin(*request, &recorded, response);
  }
  grpc::Status ListVolumeBitmaps(grpc::ServerContext*, const berth::v1::ListVolumeBitmapsRequest* request,
                                 berth::v1::ListVolumeBitmapsResponse* response) override {
    for (const bool inconsistent : {false, true}) {
      berth::v1::VolumeBitmap* const bitmap = response->add_bitmaps();
      bitmap->set_name(request->parent() + (inconsistent ? "/bitmaps/tuesday" : "/bitmaps/monday"));
      bitmap->set_dirty_bytes(3 << 20);
      bitmap->set_inconsistent(inconsistent);
    }
    return grpc::Status::OK;
  }
  grpc::Status GetVolume(grpc::ServerContext*, const berth::v1::GetVolumeRequest* request,
                         berth::v1::Volume* response) override {
    response->set_name(request->name());
    response->set_format(berth::v1::Volume::QCOW2);
    response->set_size_bytes(1 << 30);
    return grpc::Status::OK;
  }
  grpc::Status ListPools(grpc::ServerContext*, const berth::v1::ListPoolsRequest*,
                         berth::v1::ListPoolsResponse* response) override {
    berth::v1::Pool* pool = response->add_pools();
    pool->set_name("pools/fast");
    pool->set_capacity_bytes(int64_t{4} << 30);
    pool->set_overcommit_ratio(1.5);
    return grpc::Status::OK;
  }

  berth::v1::CreateVolumeRequest created;
  berth::v1::CloneVolumeRequest cloned;
  berth::v1::ImportVolumeRequest imported;
  berth::v1::ResizeVolumeRequest resized;
  berth::v1::ApplyVolumeSnapshotRequest applied;
  berth::v1::CreateVolumeSnapshotRequest kept;
  berth::v1::CreateVolumeBitmapRequest recorded;
};

class FakeOperations final : public lro::Operations::Service {
 public:
  grpc::Status WaitOperation(grpc::ServerContext*, const lro::WaitOperationRequest* request,
                             Operation* response) override {
    MutexLock lock(seen);
    response->set_name(request->name());
    if (++waits < 3) return grpc::Status::OK;
    response->set_done(true);
    if (error.code() != 0) {
      *response->mutable_error() = error;
    } else {
      response->mutable_response()->PackFrom(guest);
      response->mutable_metadata()->PackFrom(metadata);
    }
    return grpc::Status::OK;
  }

  int waits = 0;
  berth::v1::Guest guest;
  berth::v1::OperationMetadata metadata;
  google::rpc::Status error;
};

class ProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    guests.guest.set_name("guests/web");
    guests.guest.set_state(berth::v1::Guest::RUNNING);
    guests.guest.mutable_spec()->mutable_cpus()->set_vcpu_count(2);
    operations.guest = guests.guest;
    address = "unix:" + scratch / "socket";
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(&guests);
    builder.RegisterService(&volumes);
    builder.RegisterService(&operations);
    server = builder.BuildAndStart();
    ASSERT_NE(server, nullptr);
    std::ofstream(scratch / "spec.yaml") << "cpus: {vcpu_count: 2}\n";
  }

  int Berth(std::vector<std::string> words) {
    words.insert(words.end(), {"--server", address});
    out.str("");
    err.str("");
    { MutexLock lock(seen); }
    const int status = RunProgram(words, out, err);
    MutexLock lock(seen);
    return status;
  }

  const ScratchDir scratch;
  FakeGuests guests;
  FakeVolumes volumes;
  FakeOperations operations;
  std::string address;
  std::unique_ptr<grpc::Server> server;
  std::ostringstream out, err;
};

TEST_F(ProgramTest, ShowListsTheDisks) {
  auto* const spec = guests.guest.mutable_spec();
  spec->add_disks()->set_path("/srv/a.img");
  auto* const data = spec->add_disks();
  data->set_id("data");
  data->set_volume("pools/fast/volumes/data");
  data->set_bus(berth::v1::DiskSpec::VIRTIO_SCSI);
  auto* const cd = spec->add_disks();
  cd->set_path("/srv/b.iso");
  cd->set_kind(berth::v1::DiskSpec::CD_ROM);
  EXPECT_EQ(Berth({"guest", "show", "web"}), 0) << err.str();
  EXPECT_THAT(out.str(), HasSubstr("disk0  /srv/a.img               virtio-blk\n"
                                   "data   pools/fast/volumes/data  virtio-scsi LUN 0\n"
                                   "disk2  /srv/b.iso               virtio-scsi LUN 1, CD-ROM\n"));
}

TEST_F(ProgramTest, CreateSendsTheSpecAndTellsTheOperation) {
  EXPECT_EQ(Berth({"guest", "create", "web", "-f", scratch / "spec.yaml", "--start"}), 0) << err.str();
  EXPECT_EQ(guests.created.guest_id(), "web");
  EXPECT_EQ(guests.created.guest().spec().cpus().vcpu_count(), 2);
  EXPECT_TRUE(guests.created.start());
  EXPECT_FALSE(guests.created.request_id().empty());
  EXPECT_THAT(out.str(), HasSubstr("operations/1"));
}

TEST_F(ProgramTest, AGuestMayExpire) {
  EXPECT_EQ(Berth({"guest", "create", "web", "-f", scratch / "spec.yaml", "--ttl", "60"}), 0) << err.str();
  EXPECT_EQ(guests.created.guest().ttl().seconds(), 60);
  guests.guest.mutable_expire_time()->set_seconds(1'700'000'000);
  EXPECT_EQ(Berth({"guest", "show", "web"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("started before 2023-11-14T22:13:20Z"));
}

TEST_F(ProgramTest, ADeviceIsOneOrAnyOfItsKind) {
  EXPECT_EQ(Berth({"guest", "attach", "web", "--pci", "0000:65:00.0"}), 0) << err.str();
  EXPECT_EQ(guests.attached.pci_address(), "0000:65:00.0");
  EXPECT_EQ(Berth({"guest", "attach", "web", "--pci", "10de:2330"}), 0) << err.str();
  EXPECT_EQ(guests.attached.pci_selector().id(), "10de:2330");
  EXPECT_EQ(Berth({"guest", "attach", "web", "--mdev", "/nvidia-558"}), 0) << err.str();
  EXPECT_EQ(guests.attached.mediated_device().create().parent(), "");
  EXPECT_EQ(guests.attached.mediated_device().create().type(), "nvidia-558");
}

TEST_F(ProgramTest, AVolumeIsNamedByItsPoolAndId) {
  EXPECT_EQ(Berth({"volume", "create", "fast/web", "--size", "20G", "--base", "pools/fast/volumes/debian"}),
            0)
      << err.str();
  EXPECT_EQ(volumes.created.parent(), "pools/fast");
  EXPECT_EQ(volumes.created.volume_id(), "web");
  EXPECT_EQ(volumes.created.volume().size_bytes(), int64_t{20} << 30);
  EXPECT_EQ(volumes.created.volume().base(), "pools/fast/volumes/debian");
  EXPECT_EQ(Berth({"volume", "show", "fast/web"}), 0) << err.str();
  EXPECT_THAT(out.str(), HasSubstr("pools/fast/volumes/web  QCOW2"));
  EXPECT_THAT(out.str(), HasSubstr("1 GiB"));
  EXPECT_EQ(Berth({"volume", "show", "web"}), kExitFailed) << "of which pool?";
  EXPECT_EQ(Berth({"volume", "create", "fast/web", "--format", "vmdk"}), kExitFailed);
  EXPECT_EQ(Berth({"volume", "create", "fast/web", "--size", "much"}), kExitFailed);
}

TEST_F(ProgramTest, VolumesAreImportedClonedAndResized) {
  EXPECT_EQ(Berth({"volume", "import", "/srv/debian.vmdk", "fast/debian", "--sha256", "00"}), 0) << err.str();
  EXPECT_EQ(volumes.imported.parent(), "pools/fast");
  EXPECT_EQ(volumes.imported.source_path(), "/srv/debian.vmdk");
  EXPECT_EQ(volumes.imported.source_sha256(), "00");
  EXPECT_EQ(Berth({"volume", "import", "debian.vmdk", "fast/debian"}), 0) << err.str();
  EXPECT_THAT(volumes.imported.source_path(), testing::StartsWith("/"))
      << "the daemon's directory is another";
  EXPECT_EQ(Berth({"volume", "clone", "fast/debian", "bulk/web", "--full", "--format", "raw"}), 0)
      << err.str();
  EXPECT_EQ(volumes.cloned.name(), "pools/fast/volumes/debian");
  EXPECT_EQ(volumes.cloned.parent(), "pools/bulk");
  EXPECT_TRUE(volumes.cloned.full());
  EXPECT_EQ(volumes.cloned.format(), berth::v1::Volume::RAW);
  EXPECT_EQ(Berth({"volume", "resize", "fast/debian", "30G"}), 0) << err.str();
  EXPECT_EQ(volumes.resized.size_bytes(), int64_t{30} << 30);
  EXPECT_EQ(Berth({"volume", "apply", "fast/debian", "before"}), 0) << err.str();
  EXPECT_EQ(volumes.applied.name(), "pools/fast/volumes/debian/snapshots/before");
}

TEST_F(ProgramTest, SnapshotsAreQuiescedAsIsAskedFor) {
  using berth::v1::VolumeSnapshot;
  EXPECT_EQ(Berth({"guest", "snapshot", "web", "disk0", "web-2", "--quiesce"}), 0) << err.str();
  EXPECT_EQ(guests.kept.quiesce(), VolumeSnapshot::REQUIRED);
  EXPECT_EQ(Berth({"guest", "snapshot", "web", "disk0", "web-2"}), 0) << err.str();
  EXPECT_EQ(guests.kept.quiesce(), VolumeSnapshot::QUIESCE_UNSPECIFIED);
  EXPECT_EQ(Berth({"volume", "snapshot", "fast/web", "before", "--no-quiesce"}), 0) << err.str();
  EXPECT_EQ(volumes.kept.quiesce(), VolumeSnapshot::NEVER);
  EXPECT_EQ(Berth({"guest", "snapshot", "web", "disk0", "web-2", "--quiesce", "--no-quiesce"}), kExitFailed);
  operations.metadata.set_not_quiesced("guests/web: nobody is there");
  EXPECT_EQ(Berth({"guest", "snapshot", "web", "disk0", "web-2", "--wait"}), 0);
  EXPECT_THAT(err.str(), HasSubstr("not quiesced: guests/web: nobody is there"));
}

TEST_F(ProgramTest, BitmapsOfVolumesAreMadeAndListed) {
  EXPECT_EQ(Berth({"volume", "bitmap", "fast/web", "monday", "--granularity", "4K"}), 0) << err.str();
  EXPECT_EQ(volumes.recorded.parent(), "pools/fast/volumes/web");
  EXPECT_EQ(volumes.recorded.bitmap_id(), "monday");
  EXPECT_EQ(volumes.recorded.bitmap().granularity_bytes(), 4096);
  EXPECT_EQ(Berth({"volume", "bitmaps", "fast/web"}), 0) << err.str();
  EXPECT_THAT(out.str(), HasSubstr("3 MiB"));
  EXPECT_THAT(out.str(), HasSubstr("inconsistent"));
}

TEST_F(ProgramTest, PoolsShowWhatMayBePromised) {
  EXPECT_EQ(Berth({"pool", "list"}), 0) << err.str();
  EXPECT_THAT(out.str(), HasSubstr("6 GiB")) << "once and a half of 4";
  EXPECT_EQ(Berth({"pool", "list", "-o", "name"}), 0);
  EXPECT_EQ(out.str(), "pools/fast\n");
}

TEST_F(ProgramTest, AScreenshotIsAFileOrOutput) {
  const std::string path = scratch / "picture.png";
  EXPECT_EQ(Berth({"guest", "screenshot", "web", path}), 0) << err.str();
  EXPECT_EQ(std::filesystem::file_size(path), 8u << 20) << "more than gRPC receives by itself";
  EXPECT_THAT(err.str(), HasSubstr("640x480 pixels"));
  EXPECT_EQ(Berth({"guest", "screenshot", "web", "-"}), 0);
  EXPECT_EQ(out.str().size(), 8u << 20);
  EXPECT_EQ(Berth({"guest", "screenshot", "web", scratch / "no/such/place"}), kExitFailed);
}

TEST_F(ProgramTest, WaitWaitsUntilItIsDone) {
  EXPECT_EQ(Berth({"guest", "create", "web", "-f", scratch / "spec.yaml", "--wait"}), 0) << err.str();
  EXPECT_EQ(operations.waits, 3);
  EXPECT_THAT(out.str(), HasSubstr("RUNNING"));
}

TEST_F(ProgramTest, AFailedOperationIsAFailedCommand) {
  operations.error = ToRpcStatus(Error(Code::kFailedPrecondition, "in use").Reason("DEVICE_IN_USE"));
  EXPECT_EQ(Berth({"guest", "create", "web", "-f", scratch / "spec.yaml", "--wait"}), kExitFailed);
  EXPECT_EQ(err.str(), "berth: in use (FAILED_PRECONDITION, DEVICE_IN_USE)\n");
  EXPECT_EQ(out.str(), "");
}

TEST_F(ProgramTest, ErrorsSayWhatAndWhere) {
  EXPECT_EQ(Berth({"guest", "show", "nobody"}), kExitFailed);
  EXPECT_EQ(err.str(), "berth: there is no guest guests/nobody (NOT_FOUND, GUEST_NOT_FOUND)\n  at name\n");
}

TEST_F(ProgramTest, ErrorsAreJsonForPrograms) {
  EXPECT_EQ(Berth({"guest", "show", "nobody", "-o", "json"}), kExitFailed);
  EXPECT_THAT(err.str(), HasSubstr("\"reason\": \"GUEST_NOT_FOUND\""));
}

TEST_F(ProgramTest, ListsEveryPage) {
  EXPECT_EQ(Berth({"guest", "list", "-o", "name"}), 0);
  EXPECT_EQ(out.str(), "guests/db\nguests/web\n");
}

TEST_F(ProgramTest, ShowsAGuestInEveryFormat) {
  EXPECT_EQ(Berth({"guest", "show", "web"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("guests/web  RUNNING  2"));
  EXPECT_EQ(Berth({"guest", "show", "guests/web", "-o", "yaml"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("name: guests/web\n"));
  EXPECT_EQ(Berth({"guest", "show", "web", "-o", "json"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("\"state\": \"RUNNING\""));
}

TEST_F(ProgramTest, ADaemonThatIsNotThereIsNamed) {
  server->Shutdown();
  EXPECT_EQ(Berth({"guest", "show", "web"}), kExitFailed);
  EXPECT_THAT(err.str(), HasSubstr("berthd does not answer at " + address));
}

TEST_F(ProgramTest, UsageErrorsAreToldApart) {
  const std::vector<std::vector<std::string>> wrong = {{"guest"},
                                                       {"guest", "fly"},
                                                       {"guest", "show"},
                                                       {"guest", "show", "a", "b"},
                                                       {"guest", "list", "-o", "xml"},
                                                       {"guest", "list", "--colour"},
                                                       {"guest", "create", "web"}};
  for (const auto& words : wrong) {
    EXPECT_EQ(Berth(words), kExitUsage) << testing::PrintToString(words);
    EXPECT_THAT(err.str(), HasSubstr("berth: "));
  }
}

TEST_F(ProgramTest, EveryCommandHasHelp) {
  for (const Command* command : Commands()) {
    const std::string words(command->words);
    const size_t space = words.find(' ');
    std::vector<std::string> line = {words.substr(0, space)};
    if (space != std::string::npos) line.push_back(words.substr(space + 1));
    line.push_back("--help");
    EXPECT_EQ(Berth(line), 0) << words;
    EXPECT_THAT(out.str(), HasSubstr("usage: berth " + words));
  }
}

TEST_F(ProgramTest, CompletesCommandsOptionsAndGuests) {
  const auto complete = [this](std::vector<std::string> line) {
    std::vector<std::string> words = {"completion", "words", "--server", address, "--"};
    words.insert(words.end(), line.begin(), line.end());
    out.str("");
    EXPECT_EQ(RunProgram(words, out, err), 0) << err.str();
    return out.str();
  };
  EXPECT_EQ(complete({"gu"}), "guest\n");
  EXPECT_EQ(complete({"guest", "st"}), "start\nstop\nstream\n");
  EXPECT_EQ(complete({"guest", "start", "--wa"}), "--wait\n");
  EXPECT_EQ(complete({"guest", "list", "-o", "ya"}), "yaml\n");
  EXPECT_EQ(complete({"guest", "start", "d"}), "db\n");
}

}  // namespace
}  // namespace berth::cli
