// What of a directory is a volume, and that nothing else is reached through it.
#include "server/volume/pool_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/volume/new_volume_file.h"
#include "server/volume/pools.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

PoolDirectory Open(const ScratchDir& scratch) {
  return *PoolDirectory::Open({.id = "main", .directory = scratch.path()});
}

std::vector<std::string> FilesOf(const PoolDirectory& directory) {
  std::vector<std::string> files;
  const auto list = directory.List();
  for (const VolumeFile& file : *list) files.push_back(file.ToString());
  return files;
}

TEST(VolumeNames, AreOnlyWhatTheySay) {
  const auto name = VolumeName::Parse("pools/main/volumes/web-1");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->pool, "main");
  EXPECT_EQ(name->id, "web-1");
  EXPECT_EQ(name->ToString(), "pools/main/volumes/web-1");
  for (const char* bad : {"", "pools/main/volumes/", "pools//volumes/a", "pools/main/volumes/a/b",
                          "pools/main/volumes/..", "pools/../volumes/a", "x/pools/main/volumes/a",
                          "pools/main/volumes/a\n", "pools/a/volumes/b/volumes/c"})
    EXPECT_FALSE(VolumeName::Parse(bad)) << bad;
}

TEST(VolumeNames, OfFilesAreReadBack) {
  for (const std::string good : {"a.raw", "a.qcow2", "web-1@debian-12.qcow2"}) {
    const auto file = VolumeFile::Parse(good);
    ASSERT_TRUE(file) << good;
    EXPECT_EQ(file->ToString(), good);
  }
  for (const char* bad : {"a", ".raw", "a.vmdk", "a.qcow2.bak", "a@b.raw", "a@.qcow2", "@b.qcow2",
                          "a@b@c.qcow2", ".new-a", "A.raw", "a b.raw", "lost+found", "a.RAW", "a..raw"})
    EXPECT_FALSE(VolumeFile::Parse(bad)) << bad;
}

TEST(PoolDirectory, HasTheFilesThatAreVolumes) {
  const ScratchDir scratch;
  for (const char* name : {"b.raw", "a@b.qcow2", "notes.txt", ".new-c", "c.vmdk"}) scratch.Write(name, "");
  const PoolDirectory directory = Open(scratch);
  EXPECT_THAT(FilesOf(directory), ElementsAre("a@b.qcow2", "b.raw"));
  EXPECT_THAT(*directory.DependentsOf("b"), ElementsAre("a"));
  scratch.Write("b.qcow2", "");
  EXPECT_EQ(directory.Find("b").error().reason(), "VOLUME_AMBIGUOUS");
}

TEST(PoolDirectory, NoLinkIsFollowed) {
  const ScratchDir scratch;
  const std::string secret = scratch.Write("outside", "secret");
  std::filesystem::create_directory(scratch / "pool");
  std::filesystem::permissions(scratch / "pool", std::filesystem::perms::owner_all);
  const PoolDirectory directory = *PoolDirectory::Open({.id = "main", .directory = scratch / "pool"});
  ASSERT_EQ(::symlink(secret.c_str(), (scratch / "pool/a.raw").c_str()), 0);
  ASSERT_EQ(::mkfifo((scratch / "pool/b.raw").c_str(), 0600), 0);
  std::filesystem::create_directory(scratch / "pool/c.raw");
  scratch.Write("pool/d.raw", "");
  for (const char* id : {"a", "b", "c"})
    EXPECT_EQ(directory.OpenVolume({.id = id, .base = "", .format = "raw"}, O_RDONLY).error().reason(),
              "VOLUME_NOT_A_FILE")
        << id;
  EXPECT_TRUE(directory.OpenVolume({.id = "d", .base = "", .format = "raw"}, O_RDWR));
  for (const char* name : {"../outside", "/etc/passwd", "x/../../outside"})
    EXPECT_FALSE(OpenBeneath(directory.fd(), name, O_RDONLY, 0)) << name;
}

// Who may write to it can say with a name what stands on what.
TEST(PoolDirectory, IsItsOwnersAlone) {
  const ScratchDir scratch;
  ASSERT_EQ(::chmod(scratch.path().c_str(), 0770), 0);
  EXPECT_EQ(PoolDirectory::Open({.id = "main", .directory = scratch.path()}).error().reason(),
            "POOL_NOT_PRIVATE");
  EXPECT_EQ(PoolDirectory::Open({.id = "main", .directory = scratch / "none"}).error().reason(),
            "POOL_NOT_AVAILABLE");
  EXPECT_EQ(PoolDirectory::Open({.id = "main"}).error().reason(), "POOL_NOT_FOUND");
}

TEST(NewVolumeFile, IsSeenWhenItIsComplete) {
  const ScratchDir scratch;
  const PoolDirectory directory = Open(scratch);
  const VolumeFile wanted{.id = "a", .base = "", .format = "raw"};
  {
    auto file = NewVolumeFile::Create(directory.fd(), {"main", "a"});
    ASSERT_TRUE(file) << file.error().message();
    EXPECT_THAT(FilesOf(directory), IsEmpty());
    EXPECT_EQ(NewVolumeFile::Create(directory.fd(), {"main", "a"}).error().reason(), "VOLUME_BUSY");
    directory.CleanUp();
    EXPECT_TRUE(std::filesystem::exists(scratch / ".new-a")) << "somebody is at it";
  }
  EXPECT_FALSE(std::filesystem::exists(scratch / ".new-a")) << "given up";
  auto file = NewVolumeFile::Create(directory.fd(), {"main", "a"});
  ASSERT_TRUE(file->Publish(wanted));
  EXPECT_THAT(FilesOf(directory), ElementsAre("a.raw"));
  auto second = NewVolumeFile::Create(directory.fd(), {"main", "a"});
  EXPECT_EQ(second->Publish(wanted).error().reason(), "VOLUME_EXISTS");
}

TEST(NewVolumeFile, WhatAnotherLeftIsRemoved) {
  const ScratchDir scratch;
  const PoolDirectory directory = Open(scratch);
  scratch.Write(".new-a", "half of it");
  scratch.Write(".new-b", "half of it");
  scratch.Write(".hidden", "not ours");
  EXPECT_TRUE(NewVolumeFile::Create(directory.fd(), {"main", "a"})) << "its name is free again";
  directory.CleanUp();
  EXPECT_FALSE(std::filesystem::exists(scratch / ".new-b"));
  EXPECT_TRUE(std::filesystem::exists(scratch / ".hidden"));
}

TEST(Pools, AreReadFromTheConfiguration) {
  const auto pools = ParsePools({"fast=/srv/fast", "bulk=/srv/a=b"}, {"bulk=1.5"});
  ASSERT_TRUE(pools) << pools.error().message();
  EXPECT_EQ(pools->at(0).id, "bulk");
  EXPECT_EQ(pools->at(0).directory, "/srv/a=b");
  EXPECT_EQ(pools->at(0).overcommit_ratio, 1.5);
  EXPECT_EQ(pools->at(1).overcommit_ratio, 0);
  for (const char* bad : {"", "fast", "fast=", "fast=relative", "Fast=/srv", "=/srv", "../x=/srv"})
    EXPECT_EQ(ParsePools({bad}, {}).error().reason(), "BAD_OPTION") << bad;
  EXPECT_FALSE(ParsePools({"a=/srv/1", "a=/srv/2"}, {}));
  for (const char* bad : {"", "b=1", "a", "a=", "a=x", "a=0", "a=-1", "a=nan", "a=inf", "a=1.5x"})
    EXPECT_EQ(ParsePools({"a=/srv"}, {bad}).error().reason(), "BAD_OPTION") << bad;
}

}  // namespace
}  // namespace berth::server
