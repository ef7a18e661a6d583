// The host crashes at any point of a job: the disk shows what it did.
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "block/driver.h"
#include "block/image_job.h"
#include "block/open.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/scratch_dir.h"
#include "tests/fakes/write_log_image.h"

namespace berth::block {
namespace {

using Content = std::vector<uint8_t>;

constexpr uint64_t kDiskBytes = 256 << 10;
constexpr int kTop = 0, kBase = 1, kTarget = 2;
constexpr const char* kNames[] = {"top", "base", "target"};
constexpr int kMark = 3;  // No image: what says durably that a mirror's disk goes on with the target.

std::unique_ptr<FormatImage> OpenOn(std::unique_ptr<Image> file, bool writable) {
  OpenContext context{.file = std::move(file), .options = {}, .flags = {.writable = writable}};
  auto opened = kQcow2Format.open(&context);
  EXPECT_TRUE(opened) << opened.error().message();
  return opened ? *std::move(opened) : nullptr;
}

class ImageJobCrash : public testing::TestWithParam<JobKind> {
 protected:
  // Files of the two images and of a new one, and what the disk has.
  void SetUp() override {
    const ScratchDir scratch;
    std::mt19937 random(5);
    for (const int file : {kBase, kTop}) {
      const std::string path = scratch / (file == kTop ? "top" : "base");
      CreateOptions options(kQcow2Format.create_options);
      EXPECT_TRUE(options.SetAll("cluster_size=4k"));
      EXPECT_TRUE(options.SetAll(file == kTop ? "backing_file=base,backing_fmt=qcow2" : ""));
      EXPECT_TRUE(options.Set("size", std::to_string(kDiskBytes)));
      ASSERT_TRUE(kQcow2Format.create(path, options));
      const auto image = *OpenImage(path, "qcow2", {.writable = true});
      for (int i = 0; i < 8; ++i) {
        const uint64_t at = random() % (kDiskBytes / 512 - 40) * 512;
        const Content bytes(512 * (1 + random() % 40), static_cast<uint8_t>(1 + random() % 255));
        ASSERT_EQ(Write(image.get(), at, bytes), 0);
        std::copy(bytes.begin(), bytes.end(), disk_.begin() + static_cast<ptrdiff_t>(at));
      }
    }
    CreateOptions target(kQcow2Format.create_options);
    EXPECT_TRUE(target.Set("size", std::to_string(kDiskBytes)));
    ASSERT_TRUE(kQcow2Format.create(scratch / "target", target));
    for (const int file : {kTop, kBase, kTarget}) {
      const auto bytes = *OpenProtocol(scratch / kNames[file], {});
      start_[file].resize(bytes->size_bytes());
      ASSERT_EQ(Read(bytes.get(), 0, start_[file]), 0);
    }
  }

  // The whole job, with nobody else at the disk.
  std::vector<LoggedWrite> LogOfJob() {
    std::vector<LoggedWrite> log;
    const auto loop = *EventLoop::Create();
    const auto engine = *CreateIoEngine(loop.get());
    auto top = OpenOn(std::make_unique<WriteLogImage>(start_[kTop], &log, kTop), true);
    top->SetBacking(OpenOn(std::make_unique<WriteLogImage>(start_[kBase], &log, kBase), true));
    const auto node = *CreateImageNode(loop.get(), engine.get(), std::move(top));
    auto job = *ImageJob::Start(node.get(), GetParam(), 0, [&] {
      return OpenOn(std::make_unique<WriteLogImage>(start_[kTarget], &log, kTarget), true);
    });
    while (!job->progress().ready && job->progress().outcome) {
    }
    const Status completed = job->Complete([&]() -> Status {
      log.push_back({.flush = true, .file = kMark});
      return Ok();
    });
    EXPECT_TRUE(completed) << completed.error().message();
    return log;
  }

  Content disk_ = Content(kDiskBytes);
  std::map<int, Content> start_;
};

TEST_P(ImageJobCrash, TheDiskIsWhatItWas) {
  const std::vector<LoggedWrite> log = LogOfJob();
  std::mt19937_64 random(6);
  std::map<int, Content> durable = start_;
  std::map<int, std::vector<LoggedWrite>> since;
  bool marked = false;
  for (size_t point = 0; point <= log.size(); ++point) {
    auto top = OpenOn(std::make_unique<MemoryImage>(CrashedFile(durable[kTop], since[kTop], &random)), false);
    auto base =
        OpenOn(std::make_unique<MemoryImage>(CrashedFile(durable[kBase], since[kBase], &random)), false);
    auto target =
        OpenOn(std::make_unique<MemoryImage>(CrashedFile(durable[kTarget], since[kTarget], &random)), false);
    ASSERT_TRUE(top && base && target) << "after write " << point;
    for (FormatImage* image : {top.get(), base.get(), target.get()}) {
      const auto report = image->Check({});
      ASSERT_TRUE(report);
      ASSERT_EQ(report->corruptions + report->errors, 0u) << "after write " << point;
    }
    if (top->backing_reference()) top->SetBacking(std::move(base));
    Content read(kDiskBytes);
    ASSERT_EQ(Read(top.get(), 0, read), 0);
    ASSERT_EQ(read, disk_) << "after write " << point << " of " << log.size();
    if (marked) {
      ASSERT_EQ(Read(target.get(), 0, read), 0);
      ASSERT_EQ(read, disk_) << "of the target, after write " << point << " of " << log.size();
    }

    if (point == log.size()) break;
    const LoggedWrite& next = log[point];
    marked |= next.file == kMark;
    if (!next.flush) {
      since[next.file].push_back(next);
      continue;
    }
    for (const LoggedWrite& write : since[next.file])
      WriteLogImage::Apply(write, ~uint64_t{0}, &durable[next.file]);
    since[next.file].clear();
  }
}

std::string NameOf(const testing::TestParamInfo<JobKind>& tested) {
  const char* const names[] = {"stream", "commit", "mirror"};
  return names[static_cast<size_t>(tested.param)];
}
INSTANTIATE_TEST_SUITE_P(Kinds, ImageJobCrash,
                         testing::Values(JobKind::kStream, JobKind::kCommit, JobKind::kMirror), NameOf);

}  // namespace
}  // namespace berth::block
