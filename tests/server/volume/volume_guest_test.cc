// Volumes as disks of guests: what is opened for them, and what is then refused.
#include <sys/stat.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/open.h"
#include "server/guest/image_chain.h"
#include "server/volume/pool_directory.h"
#include "server/volume/volume_chain.h"
#include "tests/server/volume/volume_fixture.h"

namespace berth::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class VolumeGuest : public VolumeFixture {
 protected:
  PoolDirectory Directory() const { return *PoolDirectory::Open(pools_[1]); }
  std::string ReasonOf(const std::string& volume, bool writable = true) const {
    const auto chain = OpenVolumeChain(Directory(), volume, {.writable = writable});
    return chain ? "opened" : chain.error().reason();
  }
  // Rewrites what an image says that it stands on, as whoever has taken over a monitor could.
  void Rebase(const std::string& file, const std::string& backing, const std::string& format) const {
    auto image = block::OpenImage(Pool() + "/" + file, "qcow2", {.writable = true, .no_backing = true});
    ASSERT_TRUE(image) << image.error().message();
    ASSERT_TRUE(dynamic_cast<block::FormatImage*>(image->get())
                    ->ChangeBacking(block::BackingReference{backing, format}));
  }
};

TEST_F(VolumeGuest, ADiskMayBeAVolume) {
  ASSERT_TRUE(CreateVolume("debian", 4 * kMiB));
  ASSERT_TRUE(CreateVolume("web", 0, v1::Volume::QCOW2, "debian"));
  v1::CreateGuestRequest request = GuestWith("web", Name("web"));
  request.set_start(true);
  const auto guest = Create(request);
  ASSERT_TRUE(guest) << guest.error().message();
  EXPECT_EQ(guest->state(), v1::Guest::RUNNING);
  const auto volume = GetVolume(Name("web"));
  EXPECT_THAT(volume->guests(), ElementsAre("guests/web"));
}

TEST_F(VolumeGuest, AVolumeOfAGuestIsNotDeleted) {
  ASSERT_TRUE(CreateVolume("web", kMiB));
  ASSERT_TRUE(Create(GuestWith("web", Name("web"))));
  const auto refused = DeleteVolume(Name("web"));
  EXPECT_EQ(refused.error().reason(), "VOLUME_IN_USE");
  EXPECT_THAT(refused.error().message(), HasSubstr("guests/web"));
  EXPECT_EQ(CreateVolume("clone", 0, v1::Volume::QCOW2, "web").error().reason(), "VOLUME_IN_USE")
      << "the guest writes to it";
  ASSERT_TRUE(Delete("guests/web"));
  EXPECT_TRUE(DeleteVolume(Name("web")));
}

TEST_F(VolumeGuest, WhatAnotherProgramUsesIsNotDeletedNorStoodOn) {
  ASSERT_TRUE(CreateVolume("a", kMiB));
  const auto writer = OpenVolumeChain(Directory(), "a", {.writable = true});
  ASSERT_TRUE(writer) << writer.error().message();
  EXPECT_EQ(DeleteVolume(Name("a")).error().reason(), "IMAGE_IN_USE");
  EXPECT_EQ(CreateVolume("b", 0, v1::Volume::QCOW2, "a").error().reason(), "IMAGE_IN_USE");
  EXPECT_THAT(FilesOf(), ElementsAre("a.qcow2")) << "and nothing is left of that";
}

TEST_F(VolumeGuest, WhatOthersStandOnIsNotWrittenTo) {
  ASSERT_TRUE(CreateVolume("base", kMiB));
  ASSERT_TRUE(CreateVolume("top", 0, v1::Volume::QCOW2, "base"));
  EXPECT_EQ(ReasonOf("base"), "VOLUME_HAS_DEPENDENTS");
  EXPECT_EQ(ReasonOf("base", false), "opened");
  EXPECT_EQ(ReasonOf("top"), "opened");
  const auto refused = Create(GuestWith("web", Name("base")));
  EXPECT_EQ(refused.error().reason(), "VOLUME_HAS_DEPENDENTS");
  EXPECT_EQ(refused.error().field(), "guest.spec.disks[0].volume");
}

TEST_F(VolumeGuest, TheSpecNamesAVolumeOrAPath) {
  ASSERT_TRUE(CreateVolume("a", kMiB));
  const auto field = [&](const std::function<void(v1::DiskSpec*)>& change) {
    v1::CreateGuestRequest request = GuestWith("web", Name("a"));
    change(request.mutable_guest()->mutable_spec()->mutable_disks(0));
    const auto made = Create(request);
    return made ? "made" : made.error().field();
  };
  EXPECT_EQ(field([](auto* disk) { disk->set_path("/srv/a"); }), "guest.spec.disks[0].path");
  EXPECT_EQ(field([](auto* disk) { disk->set_format(v1::DiskSpec::RAW); }), "guest.spec.disks[0].format");
  EXPECT_EQ(field([](auto* disk) { disk->add_beneath_paths("/srv/b"); }),
            "guest.spec.disks[0].beneath_paths");
  EXPECT_EQ(field([](auto* disk) { disk->set_volume("pools/main/volumes/../a"); }),
            "guest.spec.disks[0].volume");
  EXPECT_EQ(field([](auto* disk) { disk->clear_volume(); }), "guest.spec.disks[0].path");
  EXPECT_EQ(Create(GuestWith("web", Name("none"))).error().reason(), "VOLUME_NOT_FOUND");
  EXPECT_EQ(Create(GuestWith("web", Name("a", "none"))).error().reason(), "POOL_NOT_FOUND");
  EXPECT_EQ(Create(GuestWith("web", Name("a", "gone"))).error().reason(), "POOL_NOT_AVAILABLE");
  EXPECT_EQ(field([](auto*) {}), "made");
}

// The header of an image is where a monitor can write: it reaches no other volume by it, nor any file.
TEST_F(VolumeGuest, AnImageThatNamesAnotherIsNotBelieved) {
  ASSERT_TRUE(CreateVolume("base", kMiB));
  ASSERT_TRUE(CreateVolume("secret", kMiB));
  ASSERT_TRUE(CreateVolume("alone", kMiB));
  ASSERT_TRUE(CreateVolume("top", 0, v1::Volume::QCOW2, "base"));
  Rebase("top@base.qcow2", "secret.qcow2", "qcow2");
  EXPECT_EQ(ReasonOf("top"), "IMAGE_NAMES_OTHER_FILE");
  EXPECT_EQ(FromRpcStatus(GetVolume(Name("top"))->error()).reason(), "IMAGE_NAMES_OTHER_FILE");
  Rebase("top@base.qcow2", "base.qcow2", "raw");
  EXPECT_EQ(ReasonOf("top"), "IMAGE_NAMES_OTHER_FILE") << "not as raw either";
  Rebase("top@base.qcow2", "base.qcow2", "qcow2");
  EXPECT_EQ(ReasonOf("top"), "opened");
  for (const std::string name : {"secret.qcow2", "/etc/passwd", "nbd:unix:/run/x"}) {
    Rebase("alone.qcow2", name, "qcow2");
    EXPECT_EQ(ReasonOf("alone"), "IMAGE_NAMES_OTHER_FILE") << name;
  }
}

TEST_F(VolumeGuest, AVolumeHasNoFileOutsideItsPool) {
  block::CreateOptions options(block::kQcow2Format.create_options);
  ASSERT_TRUE(options.SetAll("size=1M,data_file=" + scratch_ / "data"));
  ASSERT_TRUE(block::kQcow2Format.create(Pool() + "/a.qcow2", options));
  EXPECT_EQ(ReasonOf("a"), "IMAGE_NAMES_OTHER_FILE");
  ASSERT_EQ(::symlink("/etc/passwd", (Pool() + "/b.raw").c_str()), 0);
  EXPECT_EQ(ReasonOf("b"), "VOLUME_NOT_A_FILE");
  EXPECT_EQ(FromRpcStatus(GetVolume(Name("b"))->error()).reason(), "VOLUME_NOT_A_FILE");
}

TEST_F(VolumeGuest, ARawVolumeIsRawWhateverItLooksLike) {
  ASSERT_TRUE(CreateVolume("image", kMiB));
  std::filesystem::rename(Pool() + "/image.qcow2", Pool() + "/disk.raw");
  EXPECT_EQ(GetVolume(Name("disk"))->format(), v1::Volume::RAW);
  const auto chain = OpenVolumeChain(Directory(), "disk", {});
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->at(0).format, "raw");
}

TEST_F(VolumeGuest, WhatIsMalformedIsShownAndCanBeDeleted) {
  scratch_.Write("pools/main/bad.qcow2", std::string(65536, 'x'));
  scratch_.Write("pools/main/lost@none.qcow2", std::string(65536, 'x'));
  ASSERT_TRUE(CreateVolume("good", kMiB));
  EXPECT_EQ(ReasonOf("bad"), "IMAGE_MALFORMED");
  v1::ListVolumesRequest request;
  request.set_parent("pools/main");
  const auto list = Call(&v1::VolumeService::Stub::ListVolumes, request);
  ASSERT_EQ(list->volumes_size(), 3);
  EXPECT_EQ(FromRpcStatus(list->volumes(0).error()).reason(), "IMAGE_MALFORMED");
  EXPECT_FALSE(list->volumes(1).has_error());
  EXPECT_TRUE(DeleteVolume(Name("bad")));
  EXPECT_TRUE(DeleteVolume(Name("lost")));
}

TEST_F(VolumeGuest, VolumesThatStandOnThemselvesAreRefused) {
  ASSERT_TRUE(CreateVolume("a", kMiB));
  std::filesystem::rename(Pool() + "/a.qcow2", Pool() + "/a@b.qcow2");
  Rebase("a@b.qcow2", "b@a.qcow2", "qcow2");
  std::filesystem::copy_file(Pool() + "/a@b.qcow2", Pool() + "/b@a.qcow2");
  Rebase("b@a.qcow2", "a@b.qcow2", "qcow2");
  EXPECT_EQ(ReasonOf("a", false), "IMAGE_CHAIN_TOO_LONG");
}

TEST_F(VolumeGuest, AChainHasAnEnd) {
  ASSERT_TRUE(CreateVolume("v0", kMiB));
  size_t made = 1;
  while (made < kMaxImageLayers) {
    ASSERT_TRUE(CreateVolume(fmt::format("v{}", made), 0, v1::Volume::QCOW2, fmt::format("v{}", made - 1)));
    ++made;
  }
  EXPECT_EQ(CreateVolume("more", 0, v1::Volume::QCOW2, fmt::format("v{}", made - 1)).error().reason(),
            "IMAGE_CHAIN_TOO_LONG");
  EXPECT_EQ(ReasonOf(fmt::format("v{}", made - 1)), "opened");
}

// What a daemon that was killed left behind is gone when the next one has started.
TEST_F(VolumeGuest, HalfMadeVolumesAreRemovedAtTheStart) {
  scratch_.Write("pools/main/.new-half", "half of it");
  ASSERT_TRUE(CreateVolume("whole", kMiB));
  StartDaemonAgain();
  EXPECT_THAT(FilesOf(), ElementsAre("whole.qcow2"));
}

}  // namespace
}  // namespace berth::server
