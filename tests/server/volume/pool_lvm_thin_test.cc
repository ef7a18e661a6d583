// Volumes in a thin pool of LVM's, with lvm's program a fake that misbehaves when it is told to.
#include <fcntl.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/open.h"
#include "server/volume/pools.h"
#include "server/volume/volume_chain.h"
#include "tests/server/volume/volume_fixture.h"

namespace berth::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PoolLvmThinTest : public VolumeFixture {
 protected:
  static constexpr int64_t kExtent = 4 * kMiB;

  PoolLvmThinTest() {
    for (const char* directory : {"dev/vg0", "inactive"})
      std::filesystem::create_directories(lvm_ / directory);
    std::filesystem::create_symlink(FAKE_LVM, lvm_ / "lvm");
    lvm_.Write("pool", "twi-aotz-- 1073741824 12.50 3.00\n");
    pools_.push_back({.id = "thin",
                      .lvm_thin = LvmThinSettings{.volume_group = "vg0",
                                                  .thin_pool = "pool",
                                                  .program = lvm_ / "lvm",
                                                  .dev = lvm_ / "dev",
                                                  .node_type = S_IFREG}});
    StartDaemonAgain();
  }

  void Misbehave(const std::string& how) { lvm_.Write("behaviour", how + "\n"); }
  // All logical volumes; what is not active in parentheses.
  std::set<std::string> Lvs() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(lvm_ / "dev/vg0"))
      names.insert(entry.path().filename());
    for (const auto& entry : std::filesystem::directory_iterator(lvm_ / "inactive"))
      names.insert("(" + entry.path().filename().string() + ")");
    return names;
  }
  void Write(const std::string& lv, const std::string& text) const {
    std::fstream(lvm_ / ("dev/vg0/" + lv), std::ios::in | std::ios::out) << text;
  }
  std::string Head(const std::string& lv, size_t size) const {
    std::string text(size, '\0');
    std::ifstream(lvm_ / ("dev/vg0/" + lv)).read(text.data(), static_cast<std::streamsize>(size));
    return text;
  }

  static std::string ThinVolume(const std::string& id) { return Name(id, "thin"); }
  Result<v1::Volume> CreateThin(const std::string& id, int64_t size_bytes = kExtent) {
    v1::CreateVolumeRequest request = NewVolume(id, size_bytes, v1::Volume::FORMAT_UNSPECIFIED);
    request.set_parent("pools/thin");
    return CreateVolume(request);
  }
  Result<v1::Volume> Import(const std::string& id, const std::string& path, const std::string& format = "") {
    v1::ImportVolumeRequest request;
    request.set_parent("pools/thin");
    request.set_volume_id(id);
    request.set_source_path(path);
    request.set_source_format(format);
    return Make(&v1::VolumeService::Stub::ImportVolume, request);
  }
  Result<v1::Volume> Clone(const std::string& source, const std::string& id, int64_t size_bytes = 0,
                           const std::string& full_to = "") {
    v1::CloneVolumeRequest request;
    request.set_name(source);
    request.set_volume_id(id);
    request.set_size_bytes(size_bytes);
    request.set_full(!full_to.empty());
    request.set_parent(full_to);
    return Make(&v1::VolumeService::Stub::CloneVolume, request);
  }
  Result<v1::Volume> Resize(const std::string& id, int64_t size_bytes) {
    v1::ResizeVolumeRequest request;
    request.set_name(ThinVolume(id));
    request.set_size_bytes(size_bytes);
    return Make(&v1::VolumeService::Stub::ResizeVolume, request);
  }
  Status Await(const Result<Operation>& started) {
    if (!started) return Fail(started.error());
    TRY(AwaitOperation(*started));
    return Ok();
  }
  Status KeepSnapshot(const std::string& id, const std::string& snapshot) {
    v1::CreateVolumeSnapshotRequest request;
    request.set_parent(ThinVolume(id));
    request.set_snapshot_id(snapshot);
    return Await(Call(&v1::VolumeService::Stub::CreateVolumeSnapshot, request));
  }
  Status ApplySnapshot(const std::string& id, const std::string& snapshot) {
    v1::ApplyVolumeSnapshotRequest request;
    request.set_name(ThinVolume(id) + "/snapshots/" + snapshot);
    return Await(Call(&v1::VolumeService::Stub::ApplyVolumeSnapshot, request));
  }
  Status DeleteSnapshot(const std::string& id, const std::string& snapshot) {
    v1::DeleteVolumeSnapshotRequest request;
    request.set_name(ThinVolume(id) + "/snapshots/" + snapshot);
    return Await(Call(&v1::VolumeService::Stub::DeleteVolumeSnapshot, request));
  }
  v1::Pool ThinPool() {
    v1::GetPoolRequest request;
    request.set_name("pools/thin");
    return *Call(&v1::VolumeService::Stub::GetPool, request);
  }
  VolumePoolPtr Pool() const { return *OpenVolumePool(pools_.back()); }

  const ScratchDir lvm_;
};

TEST_F(PoolLvmThinTest, AVolumeIsAThinVolume) {
  const auto made = CreateThin("web", kMiB);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->format(), v1::Volume::RAW);
  EXPECT_EQ(made->size_bytes(), kExtent) << "in whole extents";
  EXPECT_EQ(made->allocated_bytes(), kMiB) << "a quarter, lvs says";
  EXPECT_THAT(Lvs(), ElementsAre("berth.web"));
  EXPECT_EQ(CreateThin("web").error().reason(), "VOLUME_EXISTS");
  ASSERT_TRUE(DeleteVolume(ThinVolume("web")));
  EXPECT_THAT(Lvs(), IsEmpty());
  EXPECT_EQ(DeleteVolume(ThinVolume("web")).error().reason(), "VOLUME_NOT_FOUND");
}

TEST_F(PoolLvmThinTest, WhatADeviceIsNotIsRefused) {
  v1::CreateVolumeRequest request = NewVolume("web", kMiB, v1::Volume::QCOW2);
  request.set_parent("pools/thin");
  EXPECT_EQ(CreateVolume(request).error().field(), "volume.format");
  request.mutable_volume()->set_format(v1::Volume::RAW);
  request.mutable_volume()->set_preallocation(v1::Volume::FULL);
  EXPECT_EQ(CreateVolume(request).error().field(), "volume.preallocation");
  request.mutable_volume()->clear_preallocation();
  request.mutable_volume()->set_base(ThinVolume("base"));
  const auto refused = CreateVolume(request);
  EXPECT_EQ(refused.error().field(), "volume.base");
  EXPECT_THAT(refused.error().message(), HasSubstr("stand alone"));
  const std::string longest(63, 'a'), dashes = "a" + std::string(61, '-') + "a";
  ASSERT_TRUE(CreateThin(longest));
  EXPECT_EQ(CreateThin(dashes).error().reason(), "NAME_TOO_LONG");
  EXPECT_EQ(KeepSnapshot(longest, longest).error().reason(), "NAME_TOO_LONG");
  EXPECT_THAT(Lvs(), ElementsAre("berth." + longest));
}

TEST_F(PoolLvmThinTest, ThePoolSaysHowFullItIs) {
  ASSERT_TRUE(CreateThin("web", 8 * kMiB));
  const v1::Pool pool = ThinPool();
  EXPECT_FALSE(pool.has_error()) << pool.error().message();
  EXPECT_EQ(pool.lvm_thin().volume_group(), "vg0");
  EXPECT_EQ(pool.lvm_thin().thin_pool(), "pool");
  EXPECT_EQ(pool.lvm_thin().metadata_percent(), 3);
  EXPECT_EQ(pool.capacity_bytes(), 1024 * kMiB);
  EXPECT_EQ(pool.available_bytes(), 896 * kMiB);
  EXPECT_EQ(pool.allocated_bytes(), 128 * kMiB);
  EXPECT_EQ(pool.promised_bytes(), 8 * kMiB);
  pools_.back().overcommit_ratio = 0.01;  // 10.24 MiB
  StartDaemonAgain();
  EXPECT_EQ(CreateThin("other").error().reason(), "POOL_FULL");
}

TEST_F(PoolLvmThinTest, AnImageIsImportedAsItsContent) {
  const std::string path = scratch_ / "image.qcow2";
  block::CreateOptions options(block::kQcow2Format.create_options);
  ASSERT_TRUE(options.Set("size", std::to_string(5 * kMiB)));
  ASSERT_TRUE(block::kQcow2Format.create(path, options));
  {
    const auto image = block::OpenImage(path, "qcow2", {.writable = true});
    ASSERT_EQ(block::Write(image->get(), 0, std::vector<uint8_t>(kMiB, 'x')), 0);
    ASSERT_EQ(block::Flush(image->get()), 0);
  }
  const auto imported = Import("web", path);
  ASSERT_TRUE(imported) << imported.error().message();
  EXPECT_EQ(imported->size_bytes(), 2 * kExtent);
  EXPECT_EQ(Head("berth.web", kMiB + 1), std::string(kMiB, 'x') + '\0');
}

TEST_F(PoolLvmThinTest, ACloneIsASnapshotThatStandsAlone) {
  ASSERT_TRUE(CreateThin("debian"));
  Write("berth.debian", "debian");
  const auto clone = Clone(ThinVolume("debian"), "web", 2 * kExtent);
  ASSERT_TRUE(clone) << clone.error().message();
  EXPECT_EQ(clone->size_bytes(), 2 * kExtent);
  EXPECT_EQ(clone->base(), "");
  ASSERT_TRUE(DeleteVolume(ThinVolume("debian"))) << "nothing stands on it";
  EXPECT_EQ(Head("berth.web", 6), "debian");
  EXPECT_THAT(Lvs(), ElementsAre("berth.web"));
}

TEST_F(PoolLvmThinTest, BetweenPoolsContentIsCopied) {
  ASSERT_TRUE(CreateThin("web"));
  Write("berth.web", "web");
  const auto out = Clone(ThinVolume("web"), "copy", 0, "pools/main");
  ASSERT_TRUE(out) << out.error().message();
  EXPECT_EQ(out->format(), v1::Volume::RAW);
  ASSERT_TRUE(CreateVolume("image", kMiB));
  const auto in = Clone(Name("image"), "copy", 0, "pools/thin");
  ASSERT_TRUE(in) << in.error().message();
  EXPECT_EQ(in->format(), v1::Volume::RAW);
  const auto back = Clone(Name("copy"), "back", 0, "pools/thin");
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(Head("berth.back", 4), std::string("web\0", 4));
}

TEST_F(PoolLvmThinTest, ItGrowsAndItsGuestIsTold) {
  ASSERT_TRUE(CreateThin("web"));
  EXPECT_EQ(Resize("web", kExtent + 512)->size_bytes(), 2 * kExtent);
  EXPECT_EQ(Resize("web", 2 * kExtent)->size_bytes(), 2 * kExtent) << "as it is";
  EXPECT_EQ(Resize("web", kExtent).error().field(), "size_bytes");
  v1::CreateGuestRequest guest = GuestWith("web", ThinVolume("web"));
  guest.set_start(true);
  guest.mutable_guest()->mutable_spec()->mutable_boot()->set_command_line("fail=grow_disk:CANNOT_GROW");
  const auto created = Create(guest);
  ASSERT_TRUE(created) << created.error().message();
  EXPECT_EQ(Resize("web", 3 * kExtent).error().reason(), "CANNOT_GROW") << "its monitor was asked";
  EXPECT_EQ(GetVolume(ThinVolume("web"))->size_bytes(), 3 * kExtent);
}

TEST_F(PoolLvmThinTest, SnapshotsAreKeptAppliedAndForgotten) {
  ASSERT_TRUE(CreateThin("web"));
  Write("berth.web", "before");
  ASSERT_TRUE(KeepSnapshot("web", "s1"));
  EXPECT_EQ(KeepSnapshot("web", "s1").error().reason(), "SNAPSHOT_EXISTS");
  Write("berth.web", "after!");
  ASSERT_TRUE(Resize("web", 2 * kExtent));
  ASSERT_TRUE(KeepSnapshot("web", "s2"));
  EXPECT_THAT(Lvs(), ElementsAre("(berth.web.s1)", "(berth.web.s2)", "berth.web"));

  v1::ListVolumeSnapshotsRequest list;
  list.set_parent(ThinVolume("web"));
  const auto snapshots = Call(&v1::VolumeService::Stub::ListVolumeSnapshots, list);
  ASSERT_EQ(snapshots->snapshots_size(), 2);
  EXPECT_EQ(snapshots->snapshots(0).name(), ThinVolume("web") + "/snapshots/s1");
  EXPECT_EQ(snapshots->snapshots(0).size_bytes(), kExtent);
  EXPECT_EQ(snapshots->snapshots(0).create_time().seconds(), 1700000001);

  ASSERT_TRUE(ApplySnapshot("web", "s1"));
  EXPECT_EQ(Head("berth.web", 6), "before");
  EXPECT_EQ(GetVolume(ThinVolume("web"))->size_bytes(), kExtent);
  ASSERT_TRUE(ApplySnapshot("web", "s2"));
  EXPECT_EQ(Head("berth.web", 6), "after!");
  ASSERT_TRUE(DeleteSnapshot("web", "s1"));
  EXPECT_EQ(ApplySnapshot("web", "s1").error().reason(), "SNAPSHOT_NOT_FOUND");
  EXPECT_THAT(Lvs(), ElementsAre("(berth.web.s2)", "berth.web"));
  ASSERT_TRUE(DeleteVolume(ThinVolume("web"))) << "with its snapshots";
  EXPECT_THAT(Lvs(), IsEmpty());
}

TEST_F(PoolLvmThinTest, UnderARunningGuestSnapshotsAreKeptAndNotApplied) {
  ASSERT_TRUE(CreateThin("web"));
  v1::CreateGuestRequest guest = GuestWith("web", ThinVolume("web"));
  guest.set_start(true);
  const auto created = Create(guest);
  ASSERT_TRUE(created) << created.error().message();
  const std::string disk = created->spec().disks(0).id().empty() ? "disk0" : created->spec().disks(0).id();
  EXPECT_TRUE(KeepSnapshot("web", "s1"));
  EXPECT_EQ(ApplySnapshot("web", "s1").error().reason(), "IMAGE_IN_USE");
  EXPECT_EQ(Clone(ThinVolume("web"), "copy").error().reason(), "IMAGE_IN_USE") << "it is written to";
  EXPECT_EQ(DeleteVolume(ThinVolume("web")).error().reason(), "VOLUME_IN_USE");
  EXPECT_TRUE(DeleteSnapshot("web", "s1"));

  v1::SnapshotDiskRequest snapshot;
  snapshot.set_name("guests/web");
  snapshot.set_disk_id(disk);
  snapshot.set_volume_id("above");
  const auto refused = Operate(&v1::GuestService::Stub::SnapshotDisk, snapshot);
  EXPECT_EQ(refused.error().reason(), "DISK_RAW");
  EXPECT_THAT(refused.error().message(), HasSubstr("a snapshot of the volume can be kept"));
  EXPECT_THAT(Lvs(), ElementsAre("berth.web"));
}

TEST_F(PoolLvmThinTest, WhatIsNotOursIsLeftAlone) {
  lvm_.Write(
      "others",
      R"({"lv_name":"berth.root", "lv_attr":"-wi-ao----", "pool_lv":"", "lv_size":"4194304", )"
      R"("data_percent":"", "metadata_percent":"", "lv_time":"1"})"
      "\n"
      R"({"lv_name":"berth_new.web", "lv_attr":"Vwi-a-tz--", "pool_lv":"another", "lv_size":"4194304", )"
      R"("data_percent":"", "metadata_percent":"", "lv_time":"1"})"
      "\n");
  lvm_.Write("dev/vg0/home", "a thin volume of somebody's");
  StartDaemonAgain();
  v1::ListVolumesRequest list;
  list.set_parent("pools/thin");
  EXPECT_EQ(Call(&v1::VolumeService::Stub::ListVolumes, list)->volumes_size(), 0);
  EXPECT_EQ(GetVolume(ThinVolume("home")).error().reason(), "VOLUME_NOT_FOUND");
  EXPECT_TRUE(CreateThin("web"));
  EXPECT_THAT(Lvs(), ElementsAre("berth.web", "home"));
}

TEST_F(PoolLvmThinTest, WhatADaemonLeftIsSettledByTheNext) {
  StopDaemon();
  lvm_.Write("dev/vg0/berth_new.half", "");
  lvm_.Write("dev/vg0/berth.applied", "new");
  lvm_.Write("dev/vg0/berth_old.applied", "old");
  lvm_.Write("dev/vg0/berth_old.between", "old");
  lvm_.Write("dev/vg0/berth_new.between", "new");
  lvm_.Write("inactive/berth.between.s1", "kept");
  lvm_.Write("inactive/berth.deleted.s1", "of none");
  StartDaemonAgain();
  EXPECT_THAT(Lvs(), ElementsAre("(berth.between.s1)", "berth.applied", "berth.between"));
  EXPECT_EQ(Head("berth.applied", 3), "new");
  EXPECT_EQ(Head("berth.between", 3), "old");
}

TEST_F(PoolLvmThinTest, WhatSomebodyIsMakingIsNotLeft) {
  {
    const auto making = Pool()->Begin({.id = "web", .base = "", .format = "raw"}, kExtent);
    ASSERT_TRUE(making) << making.error().message();
    EXPECT_EQ(CreateThin("web").error().reason(), "VOLUME_BUSY");
    Pool()->CleanUp();
    EXPECT_THAT(Lvs(), ElementsAre("berth_new.web"));
  }
  EXPECT_THAT(Lvs(), IsEmpty()) << "given up";
}

TEST_F(PoolLvmThinTest, AnInactiveVolumeIsMadeActiveToBeOpened) {
  ASSERT_TRUE(CreateThin("web"));
  std::filesystem::rename(lvm_ / "dev/vg0/berth.web", lvm_ / "inactive/berth.web");
  EXPECT_TRUE(OpenVolumeChain(*Pool(), "web", {}));
  EXPECT_THAT(Lvs(), ElementsAre("berth.web"));
}

TEST_F(PoolLvmThinTest, OneThatHasVanishedIsSaid) {
  lvm_.Write("others",
             R"({"lv_name":"berth.ghost", "lv_attr":"Vwi-a-tz--", "pool_lv":"pool", "lv_size":"4194304", )"
             R"("data_percent":"", "metadata_percent":"", "lv_time":"1"})"
             "\n");
  EXPECT_TRUE(GetVolume(ThinVolume("ghost"))) << "lvs has it";
  const auto opened = OpenVolumeChain(*Pool(), "ghost", {});
  EXPECT_EQ(opened.error().reason(), "LVM_FAILED");
  EXPECT_THAT(opened.error().message(), HasSubstr("Failed to find logical volume \"vg0/berth.ghost\""));
}

// Whichever step fails, nothing is left, and the error is lvm's.
TEST_F(PoolLvmThinTest, AFailureLeavesWhatWas) {
  const std::string image = scratch_.Write("image", std::string(kMiB, 'x'));
  for (const std::string step : {"lvcreate", "lvrename"}) {
    Misbehave(step + " fail");
    for (const auto& failed : {CreateThin("web"), Import("web", image, "raw")}) {
      EXPECT_EQ(failed.error().reason(), "LVM_FAILED");
      EXPECT_EQ(failed.error().code(), Code::kFailedPrecondition);
      EXPECT_THAT(failed.error().message(),
                  HasSubstr(step + " failed with status 5: WARNING: it is one of those days. Device or "
                                   "resource is out of order."));
    }
    EXPECT_THAT(Lvs(), IsEmpty()) << step;
  }
  Misbehave("none");
  ASSERT_TRUE(CreateThin("web"));
  Write("berth.web", "now");
  ASSERT_TRUE(KeepSnapshot("web", "s1"));
  for (const std::string step : {"lvcreate", "lvrename"}) {
    Misbehave(step + " fail");
    EXPECT_EQ(ApplySnapshot("web", "s1").error().reason(), "LVM_FAILED");
    EXPECT_THAT(Lvs(), ElementsAre("(berth.web.s1)", "berth.web")) << step;
  }
  Misbehave("lvextend fail");
  EXPECT_EQ(Resize("web", 2 * kExtent).error().reason(), "LVM_FAILED");
  EXPECT_EQ(Clone(ThinVolume("web"), "copy", 2 * kExtent).error().reason(), "LVM_FAILED");
  Misbehave("lvremove fail");
  EXPECT_EQ(DeleteVolume(ThinVolume("web")).error().reason(), "LVM_FAILED");
  EXPECT_THAT(Lvs(), ElementsAre("(berth.web.s1)", "berth.web"));
}

TEST_F(PoolLvmThinTest, AnOldVolumeThatCannotBeRemovedGoesAtTheNextStart) {
  ASSERT_TRUE(CreateThin("web"));
  ASSERT_TRUE(KeepSnapshot("web", "s1"));
  Misbehave("lvremove fail");
  EXPECT_TRUE(ApplySnapshot("web", "s1")) << "it was applied";
  EXPECT_THAT(Lvs(), ElementsAre("(berth.web.s1)", "berth.web", "berth_old.web"));
  Misbehave("none");
  StartDaemonAgain();
  EXPECT_THAT(Lvs(), ElementsAre("(berth.web.s1)", "berth.web"));
}

TEST_F(PoolLvmThinTest, GarbageIsNotBelieved) {
  ASSERT_TRUE(CreateThin("web"));
  for (const char* how : {"garbage", "truncated"}) {
    Misbehave(std::string("lvs ") + how);
    EXPECT_EQ(GetVolume(ThinVolume("web")).error().reason(), "LVM_REPORT_MALFORMED") << how;
    EXPECT_TRUE(ThinPool().has_error());
    EXPECT_EQ(DeleteVolume(ThinVolume("web"), /*allow_missing=*/true).error().reason(),
              "LVM_REPORT_MALFORMED");
    StartDaemonAgain();
    EXPECT_THAT(Lvs(), ElementsAre("berth.web"));
  }
  Misbehave("lvs die");
  EXPECT_THAT(GetVolume(ThinVolume("web")).error().message(), HasSubstr("lvs failed with status 137"));
}

TEST_F(PoolLvmThinTest, WhatHangsIsGivenUp) {
  pools_.back().lvm_thin->timeout = std::chrono::milliseconds(300);
  Misbehave("lvs hang");
  const auto listed = Pool()->List();
  EXPECT_EQ(listed.error().reason(), "LVM_TIMEOUT");
  EXPECT_EQ(listed.error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(listed.error().message(), HasSubstr("lvs did not end within 300 ms"));
}

TEST_F(PoolLvmThinTest, APoolThatCannotBeUsedSaysWhatToDo) {
  const auto error = [&](const std::string& pool) {
    lvm_.Write("pool", pool + "\n");
    const auto made = CreateThin("web");
    return made ? std::string("made") : made.error().reason() + " " + made.error().message();
  };
  EXPECT_THAT(error("twi-aotz-- 1073741824 99.50 3.00"),
              HasSubstr("POOL_FULL the pool thin: of vg0/pool, 99.50 %"));
  EXPECT_THAT(error("twi-aotz-- 1073741824 1.00 100.00"), HasSubstr("lvextend"));
  EXPECT_THAT(error("twi-aotzD- 1073741824 100.00 3.00"), HasSubstr("POOL_FULL"));
  EXPECT_THAT(error("twi-aotzM- 1073741824 1.00 3.00"), HasSubstr("lvconvert --repair vg0/pool"));
  EXPECT_THAT(error("twi-aotzF- 1073741824 1.00 3.00"), HasSubstr("has failed"));
  EXPECT_THAT(error("twi-aot--- 1073741824 1.00 3.00"), HasSubstr("lvchange --zero y vg0/pool"));
  EXPECT_THAT(error("-wi-ao---- 1073741824 1.00 3.00"), HasSubstr("lvcreate --type thin-pool"));
  EXPECT_EQ(error("twi-aotz-- 1073741824 1.00 3.00"), "made");
  pools_.back().lvm_thin->volume_group = "vg1";
  EXPECT_THAT(Pool()->List().error().message(), HasSubstr("Volume group \"vg1\" not found"));
  pools_.back().lvm_thin->program = lvm_ / "none";
  EXPECT_THAT(Pool()->List().error().message(), HasSubstr("install lvm2"));
}

TEST(LvmPools, AreReadFromTheConfiguration) {
  const auto pools = ParsePools({"thin=lvm-thin:vg-0/pool_0", "fast=/srv/fast"}, {"thin=2"}, "/opt/lvm");
  ASSERT_TRUE(pools) << pools.error().message();
  EXPECT_EQ(pools->at(1).lvm_thin->volume_group, "vg-0");
  EXPECT_EQ(pools->at(1).lvm_thin->thin_pool, "pool_0");
  EXPECT_EQ(pools->at(1).lvm_thin->program, "/opt/lvm");
  EXPECT_EQ(pools->at(1).overcommit_ratio, 2);
  for (const char* bad : {"thin=lvm-thin:", "thin=lvm-thin:vg0", "thin=lvm-thin:vg0/", "thin=lvm-thin:/pool",
                          "thin=lvm-thin:vg0/a/b", "thin=lvm-thin:-vg/pool", "thin=lvm-thin:../pool",
                          "thin=lvm-thin:vg0/a b", "thin=lvm:vg0/pool", "thin=vg0/pool"})
    EXPECT_EQ(ParsePools({bad}, {}).error().reason(), "BAD_OPTION") << bad;
  EXPECT_THAT(ParsePools({"a=lvm-thin:vg0/one", "b=lvm-thin:vg0/two"}, {}).error().message(),
              HasSubstr("in the same volume group"));
}

}  // namespace
}  // namespace berth::server
