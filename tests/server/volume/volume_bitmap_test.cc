// Records, inside volumes, of where they were written to.
#include <gtest/gtest.h>

#include "block/open.h"
#include "block/sync.h"
#include "tests/server/volume/volume_fixture.h"

namespace berth::server {
namespace {

class VolumeBitmaps : public VolumeFixture {
 protected:
  Result<v1::VolumeBitmap> CreateBitmap(const std::string& volume, const std::string& id,
                                        int64_t granularity_bytes = 0) {
    v1::CreateVolumeBitmapRequest request;
    request.set_parent(Name(volume));
    request.set_bitmap_id(id);
    request.mutable_bitmap()->set_granularity_bytes(granularity_bytes);
    v1::VolumeBitmap bitmap;
    const Operation done =
        TRY(AwaitOperation(TRY(Call(&v1::VolumeService::Stub::CreateVolumeBitmap, request))));
    EXPECT_TRUE(done.response().UnpackTo(&bitmap));
    return bitmap;
  }
  Status DeleteBitmap(const std::string& volume, const std::string& id) {
    v1::DeleteVolumeBitmapRequest request;
    request.set_name(Name(volume) + "/bitmaps/" + id);
    TRY(AwaitOperation(TRY(Call(&v1::VolumeService::Stub::DeleteVolumeBitmap, request))));
    return Ok();
  }
  Result<v1::ListVolumeBitmapsResponse> List(const std::string& volume) {
    v1::ListVolumeBitmapsRequest request;
    request.set_parent(Name(volume));
    return Call(&v1::VolumeService::Stub::ListVolumeBitmaps, request);
  }
  static std::string ReasonOf(const Result<v1::VolumeBitmap>& made) {
    return made ? "made" : made.error().reason();
  }
};

TEST_F(VolumeBitmaps, AVolumeRecordsWhereItIsWrittenTo) {
  ASSERT_TRUE(CreateVolume("web", 4 * kMiB));
  const auto monday = CreateBitmap("web", "monday");
  ASSERT_TRUE(monday) << monday.error().message();
  EXPECT_EQ(monday->name(), Name("web") + "/bitmaps/monday");
  EXPECT_EQ(monday->granularity_bytes(), 64 << 10);
  ASSERT_TRUE(CreateBitmap("web", "fine", 4096));
  EXPECT_EQ(ReasonOf(CreateBitmap("web", "fine")), "BITMAP_EXISTS");
  {
    const auto image = block::OpenImage(Pool() + "/web.qcow2", "qcow2", {.writable = true});
    ASSERT_EQ(block::Write(image->get(), kMiB, std::vector<uint8_t>(4096, 'x')), 0);
    EXPECT_EQ(List("web").error().reason(), "IMAGE_IN_USE") << "what it records is not on the disk yet";
  }

  const auto list = List("web");
  ASSERT_TRUE(list) << list.error().message();
  ASSERT_EQ(list->bitmaps_size(), 2);
  EXPECT_EQ(list->bitmaps(0).name(), Name("web") + "/bitmaps/fine");
  EXPECT_EQ(list->bitmaps(0).dirty_bytes(), 4096);
  EXPECT_EQ(list->bitmaps(1).dirty_bytes(), 64 << 10);
  EXPECT_FALSE(list->bitmaps(1).inconsistent());
  EXPECT_TRUE(DeleteBitmap("web", "monday"));
  EXPECT_EQ(DeleteBitmap("web", "monday").error().reason(), "BITMAP_NOT_FOUND");
  EXPECT_EQ(List("web")->bitmaps_size(), 1);
}

TEST_F(VolumeBitmaps, NotEveryVolumeAndEveryRequestCan) {
  ASSERT_TRUE(CreateVolume("raw", kMiB, v1::Volume::RAW));
  ASSERT_TRUE(CreateVolume("base", kMiB));
  ASSERT_TRUE(CreateVolume("top", 0, v1::Volume::QCOW2, "base"));
  EXPECT_EQ(ReasonOf(CreateBitmap("raw", "a")), "BITMAPS_NOT_SUPPORTED");
  EXPECT_EQ(ReasonOf(CreateBitmap("none", "a")), "VOLUME_NOT_FOUND");
  EXPECT_EQ(ReasonOf(CreateBitmap("base", "a")), "VOLUME_HAS_DEPENDENTS");
  for (const std::string id : {"", "..", "A", "a/b"})
    EXPECT_EQ(CreateBitmap("top", id).error().field(), "bitmap_id") << id;
  for (const int64_t granularity : {int64_t{-1}, int64_t{256}, int64_t{4097}, int64_t{1} << 32})
    EXPECT_EQ(CreateBitmap("top", "a", granularity).error().field(), "bitmap.granularity_bytes");
  EXPECT_EQ(DeleteBitmap("top", "../x").error().field(), "name");
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(CreateBitmap("top", "a" + std::to_string(i)));
  EXPECT_EQ(ReasonOf(CreateBitmap("top", "b")), "TOO_MANY_BITMAPS");
}

TEST_F(VolumeBitmaps, WhatARunningGuestsMonitorSaysCounts) {
  ASSERT_TRUE(CreateVolume("web", kMiB));
  v1::CreateGuestRequest request = GuestWith("g", Name("web"));
  request.set_start(true);
  request.mutable_guest()->mutable_spec()->mutable_boot()->set_command_line("fail=change_bitmap:NO_ROOM");
  ASSERT_TRUE(Create(request));

  const auto list = List("web");
  ASSERT_TRUE(list) << list.error().message();
  ASSERT_EQ(list->bitmaps_size(), 1) << "one has no name that is one";
  EXPECT_EQ(list->bitmaps(0).name(), Name("web") + "/bitmaps/monday");
  EXPECT_GT(list->bitmaps(0).dirty_bytes(), 0);
  EXPECT_EQ(ReasonOf(CreateBitmap("web", "tuesday")), "NO_ROOM");
  EXPECT_EQ(ReasonOf(CreateBitmap("web", "monday")), "BITMAP_EXISTS");
  EXPECT_EQ(DeleteBitmap("web", "monday").error().reason(), "NO_ROOM");
  EXPECT_EQ(DeleteBitmap("web", "tuesday").error().reason(), "BITMAP_NOT_FOUND");
}

}  // namespace
}  // namespace berth::server
