// Which files a disk's image brings along, and which it may not.
#include "server/guest/image_chain.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "block/driver.h"
#include "block/open.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::server {
namespace {

std::string Create(const std::string& path, const std::string& more = "") {
  block::CreateOptions options(block::kQcow2Format.create_options);
  EXPECT_TRUE(options.SetAll(more));
  EXPECT_TRUE(options.Set("size", "1M"));
  const Status created = block::kQcow2Format.create(path, options);
  EXPECT_TRUE(created) << created.error().message();
  return path;
}

FileDescriptor Image(const std::string& path, std::vector<std::string> beneath = {},
                     const std::string& format = "qcow2") {
  return {.role = FileDescriptor::Role::kImage,
          .path = path,
          .writable = true,
          .format = format,
          .beneath = std::move(beneath)};
}
FileDescriptor Raw(const std::string& path) { return Image(path, {}, "raw"); }

std::string ReasonOf(const FileDescriptor& image) {
  const auto chain = OpenImageChain(image);
  return chain ? "opened" : chain.error().reason();
}

bool IsWritable(const UniqueFd& fd) { return (::fcntl(fd.get(), F_GETFL) & O_ACCMODE) == O_RDWR; }

TEST(ImageChain, ARawImageStandsAlone) {
  const ScratchDir scratch;
  const auto chain = OpenImageChain(Raw(scratch.Write("disk.img", std::string(4096, 0))));
  ASSERT_TRUE(chain) << chain.error().message();
  ASSERT_EQ(chain->size(), 1u);
  EXPECT_TRUE(IsWritable(chain->at(0).image));
}

TEST(ImageChain, BackingImagesAreOpenedForReading) {
  const ScratchDir scratch;
  scratch.Write("base.raw", std::string(4096, 0));
  Create(scratch / "middle", "backing_file=base.raw,backing_fmt=raw");
  const auto chain = OpenImageChain(Image(Create(scratch / "top", "backing_file=middle,backing_fmt=qcow2"),
                                          {scratch / "middle", scratch / "base.raw"}));
  ASSERT_TRUE(chain) << chain.error().message();
  ASSERT_EQ(chain->size(), 3u);
  EXPECT_TRUE(IsWritable(chain->at(0).image));
  EXPECT_FALSE(IsWritable(chain->at(1).image));
  EXPECT_EQ(chain->at(1).format, "qcow2");
  EXPECT_EQ(chain->at(2).format, "raw");
}

TEST(ImageChain, ADataFileComesAlong) {
  const ScratchDir scratch;
  const auto chain =
      OpenImageChain(Image(Create(scratch / "top", "data_file=" + scratch / "data"), {scratch / "data"}));
  ASSERT_TRUE(chain) << chain.error().message();
  EXPECT_TRUE(IsWritable(chain->at(0).data));
}

// An image is whoever made it's word: it must not get a guest into files that nobody meant for it.
TEST(ImageChain, FilesThatNobodyNamedAreNotOpened) {
  const ScratchDir scratch;
  scratch.Write("secrets/base.raw", std::string(4096, 0));
  scratch.Write("images/other.raw", std::string(4096, 0));
  EXPECT_EQ(ReasonOf(Image(Create(scratch / "images/beside", "backing_file=other.raw,backing_fmt=raw"))),
            "IMAGE_NAMES_OTHER_FILE");
  const std::string top = Create(scratch / "images/top", "backing_file=../secrets/base.raw,backing_fmt=raw");
  FileDescriptor image = Image(top);
  EXPECT_EQ(ReasonOf(image), "IMAGE_NAMES_OTHER_FILE");
  image.beneath = {scratch / "images/../secrets/base.raw"};
  EXPECT_EQ(ReasonOf(image), "opened");

  const std::string data = Create(scratch / "images/data", "data_file=" + scratch / "secrets/data");
  EXPECT_EQ(ReasonOf(Image(data)), "IMAGE_NAMES_OTHER_FILE");
}

TEST(ImageChain, ALinkIsWhatItPointsTo) {
  const ScratchDir scratch;
  scratch.Write("secrets/base.raw", std::string(4096, 0));
  scratch.Write("images/readme", "");
  ASSERT_EQ(::symlink("../secrets/base.raw", (scratch / "images/base.raw").c_str()), 0);
  const std::string top = Create(scratch / "images/top", "backing_file=base.raw,backing_fmt=raw");
  EXPECT_EQ(ReasonOf(Image(top, {scratch / "images/other.raw"})), "IMAGE_NAMES_OTHER_FILE");
  EXPECT_EQ(ReasonOf(Image(top, {scratch / "secrets/base.raw"})), "opened");
}

TEST(ImageChain, OnlyFilesAreNamed) {
  const ScratchDir scratch;
  for (const std::string name :
       {"nbd:unix:/run/x", "json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}"}) {
    const std::string path = scratch / "top";
    scratch.Write("base", std::string(4096, 0));
    Create(path, "backing_file=base,backing_fmt=raw");
    auto opened = *block::OpenImage(path, "qcow2", {.writable = true, .no_backing = true});
    ASSERT_TRUE(
        dynamic_cast<block::FormatImage*>(opened.get())->ChangeBacking(block::BackingReference{name, "raw"}));
    opened.reset();
    EXPECT_EQ(ReasonOf(Image(path)), "IMAGE_NAMES_OTHER_FILE") << name;
  }
}

TEST(ImageChain, NothingIsProbed) {
  const ScratchDir scratch;
  const std::string path = Create(scratch / "top");
  Create(scratch / "base");
  auto opened = *block::OpenImage(path, "qcow2", {.writable = true});
  ASSERT_TRUE(
      dynamic_cast<block::FormatImage*>(opened.get())->ChangeBacking(block::BackingReference{"base", ""}));
  opened.reset();
  EXPECT_EQ(ReasonOf(Image(path, {scratch / "base"})), "IMAGE_FORMAT_NOT_NAMED");
  EXPECT_EQ(OpenImageChain(Raw(path))->size(), 1u) << "a raw image, whatever it looks like";
}

TEST(ImageChain, LoopsAndWhatIsNoImageAreRefused) {
  const ScratchDir scratch;
  const std::string path = Create(scratch / "top");
  auto opened = *block::OpenImage(path, "qcow2", {.writable = true});
  ASSERT_TRUE(dynamic_cast<block::FormatImage*>(opened.get())
                  ->ChangeBacking(block::BackingReference{"top", "qcow2"}));
  opened.reset();
  EXPECT_NE(ReasonOf(Image(path, {path})), "opened");
  EXPECT_EQ(ReasonOf(Image(scratch.Write("noise", std::string(70'000, 'x')))), "IMAGE_MALFORMED");
  EXPECT_EQ(ReasonOf(Image(scratch / "nothing")), "IMAGE_NOT_FOUND");
}

TEST(ImageChain, OtherProgramsSeeTheLocks) {
  const ScratchDir scratch;
  scratch.Write("base.raw", std::string(4096, 0));
  const std::string top = Create(scratch / "top", "backing_file=base.raw,backing_fmt=raw");
  const std::string write = "qemu-io -f qcow2 -c 'write 0 512' " + top + " >/dev/null 2>&1";
  {
    const std::vector<std::string> beneath = {scratch / "base.raw"};
    const auto chain = OpenImageChain(Image(top, beneath));
    ASSERT_TRUE(chain);
    EXPECT_NE(std::system(write.c_str()), 0);
    EXPECT_EQ(ReasonOf(Image(top, beneath)), "IMAGE_IN_USE");
    EXPECT_EQ(ReasonOf(Raw(scratch / "base.raw")), "IMAGE_IN_USE") << "somebody stands on it";
    EXPECT_EQ(ReasonOf(Image(Create(scratch / "other", "backing_file=base.raw,backing_fmt=raw"), beneath)),
              "opened");
  }
  EXPECT_EQ(std::system(write.c_str()), 0);
}

}  // namespace
}  // namespace berth::server
