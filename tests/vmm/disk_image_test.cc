// A disk's image and what it stands on, from descriptors that others have opened.
#include "vmm/disk_image.h"

#include <fcntl.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "block/driver.h"
#include "block/sync.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::vmm {
namespace {

class DiskImageTest : public testing::Test {
 protected:
  void Create(const std::string& name, const std::string& more = "") {
    block::CreateOptions options(block::kQcow2Format.create_options);
    EXPECT_TRUE(options.SetAll(more));
    EXPECT_TRUE(options.Set("size", "1M"));
    EXPECT_TRUE(block::kQcow2Format.create(scratch_ / name, options));
  }
  // The descriptors in the order of their names.
  Result<std::unique_ptr<block::BlockNode>> Disk(const v1::BlockDevice& config,
                                                 const std::vector<std::string>& names) {
    std::vector<UniqueFd> files;
    for (const std::string& name : names) files.push_back(*Open(scratch_ / name, O_RDWR));
    Descriptors fds(std::move(files));
    return OpenDisk(config, &fds, {loop_.get(), engine_.get(), nullptr});
  }
  static v1::BlockDevice Qcow2() {
    v1::BlockDevice config;
    config.set_format("qcow2");
    return config;
  }

  const ScratchDir scratch_;
  const std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  const std::unique_ptr<block::IoEngine> engine_ = *block::CreateIoEngine(loop_.get());
};

TEST_F(DiskImageTest, ReadsThroughToWhatItStandsOn) {
  scratch_.Write("base", std::string(4096, 'b'));
  Create("top", "backing_file=base,backing_fmt=raw");
  v1::BlockDevice config = Qcow2();
  config.add_beneath()->set_image_fd(1);
  const auto disk = Disk(config, {"top", "base"});
  ASSERT_TRUE(disk) << disk.error().message();
  std::vector<uint8_t> read(4096);
  EXPECT_EQ(block::ReadAt(disk->get(), 0, read), 0);
  EXPECT_EQ(read, std::vector<uint8_t>(4096, 'b'));
  EXPECT_EQ((*disk)->size_bytes(), 1u << 20);
}

TEST_F(DiskImageTest, HasItsDataFile) {
  Create("top", "data_file=" + scratch_ / "data");
  v1::BlockDevice config = Qcow2();
  config.set_data_fd_plus_one(2);
  const auto disk = Disk(config, {"top", "data"});
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_EQ(block::WriteAt(disk->get(), 0, std::vector<uint8_t>(512, 1)), 0);
}

TEST_F(DiskImageTest, RefusesAnImageThatIsNotAsDescribed) {
  scratch_.Write("base", std::string(4096, 'b'));
  Create("top", "backing_file=base,backing_fmt=raw");
  Create("alone");
  v1::BlockDevice beneath = Qcow2(), data = Qcow2(), unknown = Qcow2();
  beneath.add_beneath()->set_image_fd(1);
  data.set_data_fd_plus_one(2);
  unknown.set_format("dmg");
  EXPECT_EQ(Disk(Qcow2(), {"top"}).error().message(), "its backing image was not handed over");
  EXPECT_FALSE(Disk(beneath, {"alone", "base"}));
  EXPECT_FALSE(Disk(data, {"alone", "base"}));
  EXPECT_FALSE(Disk(unknown, {"alone"}));
  EXPECT_FALSE(Disk(Qcow2(), {"base"}));
}

TEST_F(DiskImageTest, AReadOnlyDiskIsNotWrittenTo) {
  Create("alone");
  v1::BlockDevice config = Qcow2();
  config.set_read_only(true);
  const auto disk = Disk(config, {"alone"});
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_EQ(block::WriteAt(disk->get(), 0, std::vector<uint8_t>(512)), EROFS);
}

}  // namespace
}  // namespace berth::vmm
