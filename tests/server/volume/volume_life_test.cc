// Volumes through the service: making, finding and deleting them, and what is refused.
#include <sys/stat.h>

#include <google/protobuf/empty.pb.h>

#include "block/open.h"
#include "tests/server/volume/volume_fixture.h"

namespace berth::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class VolumeLife : public VolumeFixture {};

TEST_F(VolumeLife, AVolumeIsAFileWhoseNameSaysWhatItIs) {
  const auto root = CreateVolume("root", 8 * kMiB);
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_EQ(root->name(), "pools/main/volumes/root");
  EXPECT_EQ(root->format(), v1::Volume::QCOW2);
  EXPECT_EQ(root->size_bytes(), 8 * kMiB);
  EXPECT_GT(root->allocated_bytes(), 0);
  ASSERT_TRUE(CreateVolume("data", 4 * kMiB, v1::Volume::RAW));
  EXPECT_THAT(FilesOf(), ElementsAre("data.raw", "root.qcow2"));
  EXPECT_EQ(std::filesystem::file_size(Pool() + "/data.raw"), 4u << 20);
  struct stat status {};
  ASSERT_EQ(::stat((Pool() + "/data.raw").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u) << "guests' disks are nobody else's";

  EXPECT_EQ(CreateVolume("root", kMiB, v1::Volume::RAW).error().reason(), "VOLUME_EXISTS");
  ASSERT_TRUE(DeleteVolume(Name("root")));
  EXPECT_EQ(GetVolume(Name("root")).error().reason(), "VOLUME_NOT_FOUND");
  EXPECT_EQ(DeleteVolume(Name("root")).error().reason(), "VOLUME_NOT_FOUND");
  EXPECT_THAT(FilesOf(), ElementsAre("data.raw"));
}

TEST_F(VolumeLife, AVolumeStandsOnItsBase) {
  ASSERT_TRUE(CreateVolume("debian", 8 * kMiB));
  const auto web = CreateVolume("web", 0, v1::Volume::QCOW2, "debian");
  ASSERT_TRUE(web) << web.error().message();
  EXPECT_EQ(web->base(), Name("debian"));
  EXPECT_EQ(web->size_bytes(), 8 * kMiB) << "its base's";
  ASSERT_TRUE(CreateVolume("web-test", 16 * kMiB, v1::Volume::QCOW2, "web"));
  EXPECT_THAT(FilesOf(), ElementsAre("debian.qcow2", "web-test@web.qcow2", "web@debian.qcow2"));
  EXPECT_TRUE(block::OpenImage(Pool() + "/web-test@web.qcow2", "qcow2", {})) << "as other tools do";

  const auto debian = GetVolume(Name("debian"));
  EXPECT_THAT(debian->dependents(), ElementsAre(Name("web")));
  const auto refused = DeleteVolume(Name("debian"));
  EXPECT_EQ(refused.error().reason(), "VOLUME_HAS_DEPENDENTS");
  EXPECT_THAT(refused.error().message(), HasSubstr(Name("web")));
  ASSERT_TRUE(DeleteVolume(Name("web-test")));
  ASSERT_TRUE(DeleteVolume(Name("web")));
  EXPECT_TRUE(DeleteVolume(Name("debian")));
}

TEST_F(VolumeLife, RoomIsGivenWhenItIsAskedFor) {
  for (const auto preallocation : {v1::Volume::FALLOC, v1::Volume::FULL}) {
    for (const auto format : {v1::Volume::RAW, v1::Volume::QCOW2}) {
      v1::CreateVolumeRequest request = NewVolume("full", 4 * kMiB, format);
      request.mutable_volume()->set_preallocation(preallocation);
      const auto full = CreateVolume(request);
      ASSERT_TRUE(full) << full.error().message();
      EXPECT_EQ(full->size_bytes(), 4 * kMiB);
      EXPECT_GE(full->allocated_bytes(), 4 * kMiB);
      ASSERT_TRUE(DeleteVolume(Name("full")));
    }
  }
  v1::CreateVolumeRequest request = NewVolume("tables", 64 * kMiB);
  request.mutable_volume()->set_preallocation(v1::Volume::METADATA);
  const auto tables = CreateVolume(request);
  ASSERT_TRUE(tables) << tables.error().message();
  EXPECT_LT(tables->allocated_bytes(), 64 * kMiB);
}

TEST_F(VolumeLife, ListsAreSortedFilteredAndPaged) {
  for (const std::string id : {"c", "a", "b"}) ASSERT_TRUE(CreateVolume(id, kMiB));
  ASSERT_TRUE(CreateVolume("d", kMiB, v1::Volume::RAW));
  v1::CreateVolumeRequest elsewhere = NewVolume("z", kMiB);
  elsewhere.set_parent("pools/other");
  ASSERT_TRUE(CreateVolume(elsewhere));

  v1::ListVolumesRequest request;
  request.set_parent("pools/-");
  request.set_page_size(3);
  const auto first = Call(&v1::VolumeService::Stub::ListVolumes, request);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->volumes(0).name(), Name("a"));
  ASSERT_EQ(first->volumes_size(), 3);
  request.set_page_token(first->next_page_token());
  const auto second = Call(&v1::VolumeService::Stub::ListVolumes, request);
  ASSERT_EQ(second->volumes_size(), 2);
  EXPECT_EQ(second->volumes(1).name(), Name("z", "other"));
  EXPECT_THAT(second->next_page_token(), IsEmpty());

  request.Clear();
  request.set_parent("pools/main");
  request.set_filter("format = RAW");
  const auto raw = Call(&v1::VolumeService::Stub::ListVolumes, request);
  ASSERT_EQ(raw->volumes_size(), 1);
  EXPECT_EQ(raw->volumes(0).name(), Name("d"));
}

TEST_F(VolumeLife, PoolsTellTheirRoom) {
  ASSERT_TRUE(CreateVolume("a", 8 * kMiB));
  const auto pools = Call(&v1::VolumeService::Stub::ListPools, v1::ListPoolsRequest());
  ASSERT_TRUE(pools) << pools.error().message();
  ASSERT_EQ(pools->pools_size(), 3);
  EXPECT_EQ(FromRpcStatus(pools->pools(0).error()).reason(), "POOL_NOT_AVAILABLE") << pools->pools(0).name();
  const v1::Pool& pool = pools->pools(1);
  EXPECT_EQ(pool.name(), "pools/main");
  EXPECT_EQ(pool.directory(), Pool());
  EXPECT_EQ(pool.volume_count(), 1);
  EXPECT_EQ(pool.promised_bytes(), 8 * kMiB);
  EXPECT_LT(pool.allocated_bytes(), 8 * kMiB);
  EXPECT_GT(pool.capacity_bytes(), pool.available_bytes());

  v1::GetPoolRequest request;
  request.set_name("pools/none");
  EXPECT_EQ(Call(&v1::VolumeService::Stub::GetPool, request).error().reason(), "POOL_NOT_FOUND");
}

TEST_F(VolumeLife, TheSameRequestTwiceIsOneVolume) {
  v1::CreateVolumeRequest request = NewVolume("a", kMiB);
  request.set_request_id("6f1f1c1e-7f3f-4e1a-9d53-0a4f4a3f7c11");
  ASSERT_TRUE(CreateVolume(request));
  EXPECT_TRUE(CreateVolume(request));
  request.set_volume_id("b");
  EXPECT_EQ(CreateVolume(request).error().reason(), "REQUEST_ID_REUSED");
}

TEST_F(VolumeLife, ValidateOnlyChangesNothing) {
  v1::CreateVolumeRequest request = NewVolume("a", kMiB);
  request.set_validate_only(true);
  EXPECT_EQ(CreateVolume(request)->name(), Name("a"));
  EXPECT_THAT(FilesOf(), IsEmpty());
  ASSERT_TRUE(CreateVolume("a", kMiB));
  EXPECT_EQ(CreateVolume(request).error().reason(), "VOLUME_EXISTS");
  v1::DeleteVolumeRequest deletion;
  deletion.set_name(Name("a"));
  deletion.set_validate_only(true);
  EXPECT_TRUE(Call(&v1::VolumeService::Stub::DeleteVolume, deletion));
  EXPECT_TRUE(GetVolume(Name("a")));
}

TEST_F(VolumeLife, WhatMakesNoSenseIsRefusedWithItsField) {
  const auto field = [&](const v1::CreateVolumeRequest& request) {
    const auto made = CreateVolume(request);
    return made ? "made" : made.error().field();
  };
  v1::CreateVolumeRequest request = NewVolume("a", kMiB);
  for (const std::string id : {"", "..", "../a", "a/b", "A", "a.raw", ".new-a", "a@b", "-a", "a-"}) {
    request.set_volume_id(id);
    EXPECT_EQ(field(request), "volume_id") << id;
  }
  for (const int64_t size : {int64_t{0}, int64_t{-512}, int64_t{513}, INT64_MAX, int64_t{1} << 57})
    EXPECT_EQ(field(NewVolume("a", size)), "volume.size_bytes") << size;
  for (const std::string parent : {"", "pools", "pools/../main", "pools/-", "guests/main"}) {
    request = NewVolume("a", kMiB);
    request.set_parent(parent);
    EXPECT_EQ(field(request), "parent") << parent;
  }
  ASSERT_TRUE(CreateVolume("base", 2 * kMiB));
  EXPECT_EQ(field(NewVolume("a", 0, v1::Volume::RAW, "base")), "volume.base");
  EXPECT_EQ(field(NewVolume("a", kMiB, v1::Volume::QCOW2, "base")), "volume.size_bytes")
      << "less than its base";
  EXPECT_EQ(CreateVolume("a", 0, v1::Volume::QCOW2, "none").error().reason(), "VOLUME_NOT_FOUND");
  request = NewVolume("a", kMiB, v1::Volume::RAW);
  request.mutable_volume()->set_preallocation(v1::Volume::METADATA);
  EXPECT_EQ(field(request), "volume.preallocation");
  request = NewVolume("a", kMiB);
  request.set_parent("pools/gone");
  EXPECT_EQ(CreateVolume(request).error().reason(), "POOL_NOT_AVAILABLE");
  for (const std::string name :
       {"", "pools/main/volumes/../a", "pools/main/volumes/", "pools/main/volumes/a/b"})
    EXPECT_EQ(GetVolume(name).error().field(), "name") << name;
  EXPECT_THAT(FilesOf(), ElementsAre("base.qcow2"));
}

}  // namespace
}  // namespace berth::server
