// Bringing together what a disk stands on while it is written to.
#include "block/image_job.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <cerrno>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "block/bitmap.h"
#include "block/driver.h"
#include "block/layers.h"
#include "block/open.h"
#include "block/sync.h"
#include "tests/fakes/random.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

constexpr uint64_t kDisk = 16 << 20;

// No descriptor can be opened or duplicated meanwhile.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const UniqueFd first_free = *Open("/dev/null", O_RDONLY);
    const rlimit none{.rlim_cur = static_cast<rlim_t>(first_free.get()), .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

class ImageJobTest : public testing::Test {
 protected:
  void Create(const std::string& name, const std::string& more = "", uint64_t size = kDisk) {
    CreateOptions options(kQcow2Format.create_options);
    EXPECT_TRUE(options.SetAll(more));
    EXPECT_TRUE(options.Set("size", std::to_string(size)));
    EXPECT_TRUE(kQcow2Format.create(scratch_ / name, options));
  }
  std::unique_ptr<FormatImage> Opened(const std::string& name,
                                      const OpenFlags& flags = {.force_share = true}) {
    auto image = OpenImage(scratch_ / name, "qcow2", flags);
    EXPECT_TRUE(image) << image.error().message();
    return std::unique_ptr<FormatImage>(dynamic_cast<FormatImage*>(image->release()));
  }
  // "top" over "base", each with random content somewhere. What the disk has is in disk_.
  void MakeDisk(const std::string& more = "", uint64_t base_bytes = kDisk) {
    Create("base", "", base_bytes);
    Fill(Opened("base", {.writable = true}).get(), base_bytes, 1);
    Create("top", "backing_file=base,backing_fmt=qcow2" + more);
    Fill(Opened("top", {.writable = true}).get(), kDisk, 2);
    OpenDisk();
  }
  void OpenDisk() {
    std::vector<LayerFiles> layers(2);
    layers[0] = {.format = "qcow2", .image = *Open(scratch_ / "top", O_RDWR), .data = {}};
    layers[1] = {.format = "qcow2", .image = *Open(scratch_ / "base", O_RDWR), .data = {}, .writable = true};
    auto image = OpenLayers(std::move(layers), {.writable = true});
    ASSERT_TRUE(image) << image.error().message();
    node_ = *CreateImageNode(loop_.get(), engine_.get(), *std::move(image));
  }
  void Fill(Image* image, uint64_t size, uint8_t with) {
    for (int i = 0; i < 20; ++i) {
      const uint64_t at = Below(size / 512 - 200) * 512;
      const std::vector<uint8_t> bytes(512 * (1 + Below(200)), static_cast<uint8_t>(with + 3 * i));
      ASSERT_EQ(Write(image, at, bytes), 0);
      std::copy(bytes.begin(), bytes.end(), disk_.begin() + static_cast<ptrdiff_t>(at));
    }
    ASSERT_EQ(WriteZeroes(image, size / 2, 256 << 10, true), 0);
    std::fill_n(disk_.begin() + static_cast<ptrdiff_t>(size / 2), 256 << 10, 0);
  }
  // As a guest does while the job goes on: writes, zeroes and discards of what it will not read.
  void Use() {
    const uint64_t at = Below(kDisk / 512 - 300) * 512;
    std::vector<uint8_t> bytes(512 * (1 + Below(300)), static_cast<uint8_t>(Below(256)));
    if (Below(4) == 0) {
      Request zeroes{.op = Op::kWriteZeroes, .may_unmap = true, .offset = at, .length = bytes.size()};
      ASSERT_EQ(Perform(node_.get(), &zeroes), 0);
      std::fill(bytes.begin(), bytes.end(), 0);
    } else {
      ASSERT_EQ(WriteAt(node_.get(), at, bytes), 0);
    }
    std::copy(bytes.begin(), bytes.end(), disk_.begin() + static_cast<ptrdiff_t>(at));
  }
  // Uses the disk until the job is ready; how often.
  int UseUntilReady(ImageJob* job) {
    int uses = 0;
    for (JobProgress progress = job->progress(); !progress.ready && progress.outcome; ++uses) {
      Use();
      progress = job->progress();
    }
    EXPECT_TRUE(job->progress().outcome);
    return uses;
  }
  uint64_t Below(uint64_t count) { return random_.Next() % count; }
  std::vector<uint8_t> Read(BlockNode* node) {
    std::vector<uint8_t> read(kDisk);
    EXPECT_EQ(ReadAt(node, 0, read), 0);
    return read;
  }
  std::vector<uint8_t> Read(const std::string& name) {
    std::vector<uint8_t> read(kDisk);
    EXPECT_EQ(block::Read(Opened(name).get(), 0, read), 0);
    return read;
  }
  std::vector<uint8_t> Read(const std::string& name, const std::string& format) {
    std::vector<uint8_t> read(kDisk);
    const auto image = OpenImage(scratch_ / name, format, {.force_share = true});
    EXPECT_TRUE(image) << image.error().message();
    EXPECT_EQ(block::Read(image->get(), 0, read), 0);
    return read;
  }
  // What a mirror copies to.
  void MakeTarget(const std::string& format) {
    if (format == "qcow2") return Create("target", "cluster_size=4k");
    ASSERT_TRUE(Open(scratch_ / "target", O_RDWR | O_CREAT, 0600));
    std::filesystem::resize_file(scratch_ / "target", kDisk);
  }
  OpenTarget OpenerOf(const std::string& format) {
    return [this, format]() -> Result<std::unique_ptr<FormatImage>> {
      std::vector<LayerFiles> layers(1);
      layers[0] = {.format = format, .image = TRY(Open(scratch_ / "target", O_RDWR)), .data = {}};
      return OpenLayers(std::move(layers), {.writable = true});
    };
  }
  void ExpectSound(const std::string& name) {
    EXPECT_EQ(std::system(("qemu-img check -q " + scratch_ / name).c_str()), 0) << name;
  }

  const ScratchDir scratch_;
  Random random_{7};
  std::vector<uint8_t> disk_ = std::vector<uint8_t>(kDisk);
  const std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  const std::unique_ptr<IoEngine> engine_ = *CreateIoEngine(loop_.get());
  std::unique_ptr<ImageNode> node_;
};

TEST_F(ImageJobTest, AStreamedDiskStandsAlone) {
  for (const char* more :
       {"", ",cluster_size=512", ",cluster_size=2M", ",extended_l2=on,cluster_size=128k"}) {
    MakeDisk(more, kDisk / 2);
    auto job = *ImageJob::Start(node_.get(), JobKind::kStream, 0);
    UseUntilReady(job.get());
    for (int i = 0; i < 10; ++i) Use();
    ASSERT_TRUE(job->Complete());
    job.reset();
    EXPECT_EQ(Read(node_.get()), disk_) << more;
    for (int i = 0; i < 10; ++i) Use();
    node_.reset();

    EXPECT_FALSE(Opened("top")->backing_reference()) << more;
    EXPECT_EQ(Read("top"), disk_) << more;
    ExpectSound("top");
    for (const char* name : {"base", "top"}) std::filesystem::remove(scratch_ / name);
    std::fill(disk_.begin(), disk_.end(), 0);
  }
}

TEST_F(ImageJobTest, ACommittedDiskIsTheBase) {
  for (const uint64_t base_bytes : {kDisk, kDisk / 2}) {
    MakeDisk("", base_bytes);
    auto job = *ImageJob::Start(node_.get(), JobKind::kCommit, 0);
    UseUntilReady(job.get());
    for (int i = 0; i < 10; ++i) Use();
    ASSERT_TRUE(job->Complete());
    job.reset();
    EXPECT_EQ(Read(node_.get()), disk_);
    for (int i = 0; i < 10; ++i) Use();
    EXPECT_EQ(Read(node_.get()), disk_);
    node_.reset();

    EXPECT_EQ(Read("base"), disk_);
    EXPECT_EQ(Read("top"), disk_) << "which shows what the base has, for good";
    ExpectSound("base");
    ExpectSound("top");
    for (const char* name : {"base", "top"}) std::filesystem::remove(scratch_ / name);
    std::fill(disk_.begin(), disk_.end(), 0);
  }
}

// At no time would the disk be other than it was if it ended there.
// What an incremental backup of the base copies next has to be in it.
TEST_F(ImageJobTest, ABitmapOfTheBaseHasWhatIsCommittedToIt) {
  MakeDisk();
  node_.reset();
  ASSERT_EQ(std::system(("qemu-img bitmap --add " + (scratch_ / "base") + " b").c_str()), 0);
  const std::vector<uint8_t> before = Read("base");
  OpenDisk();
  auto job = *ImageJob::Start(node_.get(), JobKind::kCommit, 0);
  UseUntilReady(job.get());
  ASSERT_TRUE(job->Complete());
  job.reset();
  for (int i = 0; i < 10; ++i) Use();
  node_.reset();

  const std::vector<uint8_t> after = Read("base");
  EXPECT_EQ(after, disk_);
  std::vector<uint8_t> copy = before;
  const auto image = Opened("base");
  const std::vector<Range> dirty = *dynamic_cast<BitmapStore&>(*image).DirtyRanges("b");
  for (const Range& range : dirty) {
    const auto at = static_cast<ptrdiff_t>(range.start), end = static_cast<ptrdiff_t>(range.end());
    std::copy(after.begin() + at, after.begin() + end, copy.begin() + at);
  }
  EXPECT_EQ(copy, after);
  EXPECT_NE(before, after);
}

TEST_F(ImageJobTest, AJobThatIsEndedLeavesTheDisk) {
  for (const JobKind kind : {JobKind::kStream, JobKind::kCommit}) {
    MakeDisk();
    auto job = *ImageJob::Start(node_.get(), kind, 4 << 20);
    while (job->progress().done_bytes < 1 << 20 && job->progress().outcome) Use();
    job.reset();
    for (int i = 0; i < 10; ++i) Use();
    EXPECT_EQ(Read(node_.get()), disk_);
    node_.reset();
    EXPECT_EQ(Read("top"), disk_);
    ExpectSound("base");
    ExpectSound("top");
    for (const char* name : {"base", "top"}) std::filesystem::remove(scratch_ / name);
    std::fill(disk_.begin(), disk_.end(), 0);
  }
}

// To another format and cluster size; the images that the disk stood on are left as they were.
TEST_F(ImageJobTest, AMirroredDiskIsACopyThatStandsAlone) {
  for (const char* format : {"raw", "qcow2"}) {
    MakeDisk("", kDisk / 2);
    MakeTarget(format);
    auto job = *ImageJob::Start(node_.get(), JobKind::kMirror, 0, OpenerOf(format));
    UseUntilReady(job.get());
    for (int i = 0; i < 10; ++i) Use();
    std::vector<uint8_t> then;
    ASSERT_TRUE(job->Complete([&]() -> Status {
      then = Read("target", format);
      return Ok();
    }));
    job.reset();
    EXPECT_EQ(then, disk_) << "complete before the disk goes on with it";
    for (int i = 0; i < 10; ++i) Use();
    EXPECT_EQ(Read(node_.get()), disk_) << format;
    ASSERT_TRUE(node_->WriteBack());
    node_.reset();

    EXPECT_EQ(Read("target", format), disk_) << format;
    EXPECT_EQ(Read("top"), then) << "has nothing that was written after";
    ExpectSound("top");
    if (format == std::string_view("qcow2")) ExpectSound("target");
    for (const char* name : {"base", "top", "target"}) std::filesystem::remove(scratch_ / name);
    std::fill(disk_.begin(), disk_.end(), 0);
  }
}

TEST_F(ImageJobTest, AMirrorThatEndsOtherwiseLeavesTheDisk) {
  MakeDisk();
  MakeTarget("qcow2");
  {
    auto job = *ImageJob::Start(node_.get(), JobKind::kMirror, 4 << 20, OpenerOf("qcow2"));
    while (job->progress().done_bytes < 1 << 20 && job->progress().outcome) Use();
  }
  std::filesystem::remove(scratch_ / "target");
  MakeTarget("qcow2");
  {
    auto job = *ImageJob::Start(node_.get(), JobKind::kMirror, 0, OpenerOf("qcow2"));
    UseUntilReady(job.get());
    const Status refused = job->Complete([]() -> Status { return Fail(Code::kUnavailable, "no mark"); });
    EXPECT_EQ(refused.error().message(), "no mark");
  }
  for (int i = 0; i < 10; ++i) Use();
  EXPECT_EQ(Read(node_.get()), disk_);
  node_.reset();
  EXPECT_EQ(Read("top"), disk_);
  ExpectSound("top");
}

// Otherwise a monitor that then ends would have left the disk's writes in one image and the record of the
// other.
TEST_F(ImageJobTest, AMirrorIsPutOnRecordOnlyOnceItIsSureToBeGoneOnWith) {
  MakeDisk();
  MakeTarget("qcow2");
  bool recorded = false;
  {
    auto job = *ImageJob::Start(node_.get(), JobKind::kMirror, 0, OpenerOf("qcow2"));
    UseUntilReady(job.get());
    const NoMoreDescriptors none;
    EXPECT_FALSE(job->Complete([&] { return recorded = true, Ok(); }));
  }
  EXPECT_FALSE(recorded);
  for (int i = 0; i < 10; ++i) Use();
  EXPECT_EQ(Read(node_.get()), disk_);

  std::filesystem::remove(scratch_ / "target");
  MakeTarget("qcow2");
  auto job = *ImageJob::Start(node_.get(), JobKind::kMirror, 0, OpenerOf("qcow2"));
  UseUntilReady(job.get());
  std::unique_ptr<NoMoreDescriptors> none;
  EXPECT_TRUE(job->Complete([&] { return none = std::make_unique<NoMoreDescriptors>(), Ok(); }));
  none.reset();
  job.reset();
  for (int i = 0; i < 10; ++i) Use();
  EXPECT_EQ(Read(node_.get()), disk_);
  node_.reset();
  EXPECT_EQ(Read("target"), disk_);
}

TEST_F(ImageJobTest, AMirrorsTargetHasTheDisksSizeAndIsThere) {
  MakeDisk();
  Create("target", "", kDisk / 2);
  EXPECT_EQ(ImageJob::Start(node_.get(), JobKind::kMirror, 0, OpenerOf("qcow2")).error().code(),
            Code::kInvalidArgument);
  const auto none = []() -> Result<std::unique_ptr<FormatImage>> { return Fail(Code::kNotFound, "none"); };
  EXPECT_EQ(ImageJob::Start(node_.get(), JobKind::kMirror, 0, none).error().code(), Code::kNotFound);
  EXPECT_EQ(Read(node_.get()), disk_);
}

TEST_F(ImageJobTest, AMirrorTakesNoRoomForWhatIsZero) {
  MakeDisk();
  ASSERT_EQ(WriteAt(node_.get(), 0, std::vector<uint8_t>(kDisk)), 0);
  MakeTarget("qcow2");
  auto job = *ImageJob::Start(node_.get(), JobKind::kMirror, 0, OpenerOf("qcow2"));
  while (!job->progress().ready && job->progress().outcome) {
  }
  ASSERT_TRUE(job->Complete());
  job.reset();
  node_.reset();
  EXPECT_LT(std::filesystem::file_size(scratch_ / "target"), uint64_t{1} << 20);
}

TEST_F(ImageJobTest, AJobThatIsNotReadyIsNotCompleted) {
  MakeDisk();
  auto job = *ImageJob::Start(node_.get(), JobKind::kStream, 1);
  EXPECT_EQ(job->Complete().error().reason(), "JOB_NOT_READY");
  job.reset();
  EXPECT_EQ(Read(node_.get()), disk_);
}

// Only what is copied counts by the rate: this would take some hours.
TEST_F(ImageJobTest, ALargeDiskThatHasLittleIsSoonDone) {
  constexpr uint64_t kLarge = uint64_t{4} << 40;
  Create("base", "", kLarge);
  Create("top", "backing_file=base,backing_fmt=qcow2", kLarge);
  ASSERT_EQ(Write(Opened("base", {.writable = true}).get(), kLarge / 2, std::vector<uint8_t>(4096, 1)), 0);
  std::vector<LayerFiles> layers(2);
  layers[0] = {.format = "qcow2", .image = *Open(scratch_ / "top", O_RDWR), .data = {}};
  layers[1] = {.format = "qcow2", .image = *Open(scratch_ / "base", O_RDONLY), .data = {}};
  node_ = *CreateImageNode(loop_.get(), engine_.get(), *OpenLayers(std::move(layers), {.writable = true}));
  auto job = *ImageJob::Start(node_.get(), JobKind::kStream, uint64_t{256} << 20);
  while (!job->progress().ready && job->progress().outcome) {
  }
  ASSERT_TRUE(job->Complete());
  std::vector<uint8_t> read(4096);
  EXPECT_EQ(ReadAt(node_.get(), kLarge / 2, read), 0);
  EXPECT_EQ(read, std::vector<uint8_t>(4096, 1));
}

TEST_F(ImageJobTest, ADiskThatStandsAloneHasNothingToBringTogether) {
  Create("alone");
  node_ = *CreateImageNode(loop_.get(), engine_.get(), Opened("alone", {.writable = true}));
  EXPECT_EQ(ImageJob::Start(node_.get(), JobKind::kStream, 0).error().reason(), "NO_BASE");
}

// Requests that go past the images are waited for by a flush of the job's: ending it must let them end.
TEST_F(ImageJobTest, AnImageLargerThanTheDiskIsNotCommittedTo) {
  Create("base", "", 2 * kDisk);
  Create("top", "backing_file=base,backing_fmt=qcow2");
  Fill(Opened("top", {.writable = true}).get(), kDisk, 2);
  OpenDisk();

  EXPECT_EQ(ImageJob::Start(node_.get(), JobKind::kCommit, 0).error().reason(), "BASE_LARGER");
  EXPECT_EQ(Read(node_.get()), disk_);
}

TEST_F(ImageJobTest, AJobIsEndedWhileRequestsAreUnderWay) {
  MakeDisk();
  constexpr uint64_t kEach = 64 << 10;
  std::vector<uint8_t> bytes(64 * kEach);
  std::vector<iovec> pieces;
  for (size_t i = 0; i < 64; ++i) pieces.push_back({&bytes[i * kEach], kEach});
  for (int round = 0; round < 20; ++round) {
    auto job = *ImageJob::Start(node_.get(), JobKind::kStream, 0);
    std::vector<Request> requests(pieces.size());
    List<Request> batch;
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].op = i % 2 == 0 ? Op::kRead : Op::kDiscard;
      requests[i].offset = i * kEach;
      requests[i].length = kEach;
      if (i % 2 == 0) requests[i].pieces = {&pieces[i], 1};
      requests[i].error = -1;
      requests[i].done = [](Request*) {};
      batch.PushBack(&requests[i]);
    }
    node_->Submit(std::move(batch));
    job.reset();
    node_->Drain();
    for (const Request& request : requests) EXPECT_EQ(request.error, 0);
  }
}

}  // namespace
}  // namespace berth::block
