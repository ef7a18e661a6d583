// What a node stands on, exchanged while it is used.
#include <fcntl.h>

#include <cerrno>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "block/driver.h"
#include "block/image_node.h"
#include "block/layers.h"
#include "block/open.h"
#include "block/snapshot.h"
#include "block/sync.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

constexpr uint64_t kCluster = 64 << 10;
constexpr uint64_t kDisk = 8 << 20;

std::vector<uint8_t> Filled(size_t size, int with) {
  return std::vector<uint8_t>(size, static_cast<uint8_t>(with));
}

// Writes that are all under way at once: of one cluster each, the i-th at the i-th.
class Writes {
 public:
  explicit Writes(int with) : bytes_(Filled(kCluster, with)), piece_{bytes_.data(), bytes_.size()} {
    for (size_t i = 0; i < requests_.size(); ++i) {
      requests_[i].op = Op::kWrite;
      requests_[i].offset = i * kCluster;
      requests_[i].length = kCluster;
      requests_[i].pieces = {&piece_, 1};
      requests_[i].error = -1;
      requests_[i].done = [](Request*) {};
    }
  }
  void SubmitTo(BlockNode* node) {
    List<Request> batch;
    for (Request& request : requests_) batch.PushBack(&request);
    node->Submit(std::move(batch));
  }
  int done() const {
    return static_cast<int>(std::count_if(requests_.begin(), requests_.end(),
                                          [](const Request& request) { return request.error == 0; }));
  }
  int count() const { return static_cast<int>(requests_.size()); }

 private:
  std::vector<uint8_t> bytes_;
  iovec piece_;
  std::vector<Request> requests_{32};
};

class ImageExchangeTest : public testing::Test {
 protected:
  std::string Create(const std::string& name, const std::string& more = "", uint64_t size = kDisk) {
    CreateOptions options(kQcow2Format.create_options);
    EXPECT_TRUE(options.SetAll(more));
    EXPECT_TRUE(options.Set("size", std::to_string(size)));
    EXPECT_TRUE(kQcow2Format.create(scratch_ / name, options));
    return scratch_ / name;
  }
  // The topmost is opened for writing.
  Result<std::unique_ptr<FormatImage>> Chain(const std::vector<std::string>& names) {
    std::vector<LayerFiles> layers;
    for (const std::string& name : names) {
      layers.push_back({.format = "qcow2",
                        .image = *Open(scratch_ / name, layers.empty() ? O_RDWR : O_RDONLY),
                        .data = {}});
    }
    return OpenLayers(std::move(layers), {.writable = true});
  }
  std::unique_ptr<ImageNode> NodeOf(std::unique_ptr<FormatImage> image) {
    return *CreateImageNode(loop_.get(), engine_.get(), std::move(image));
  }
  // The first byte of each cluster, as somebody else finds them in the file.
  std::vector<uint8_t> FirstBytes(const std::string& name) {
    auto image = OpenImage(scratch_ / name, "qcow2", {.force_share = true});
    std::vector<uint8_t> first(kDisk / kCluster);
    for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(Read(image->get(), i * kCluster, {&first[i], 1}), 0);
    return first;
  }

  const ScratchDir scratch_;
  const std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  const std::unique_ptr<IoEngine> engine_ = *CreateIoEngine(loop_.get());
};

TEST_F(ImageExchangeTest, WhatIsUnderWayIsInTheOldImageAndWhatFollowsInTheNewOne) {
  Create("a");
  auto node = NodeOf(*Chain({"a"}));
  Writes before(1), after(2);
  before.SubmitTo(node.get());

  Create("b", "backing_file=a,backing_fmt=qcow2");
  ASSERT_TRUE(node->Exchange([&](FormatImage&) { return Chain({"b", "a"}); }));
  EXPECT_EQ(before.done(), before.count());
  std::vector<uint8_t> read(kCluster);
  EXPECT_EQ(ReadAt(node.get(), 0, read), 0);
  EXPECT_EQ(read, Filled(kCluster, 1)) << "through the new image";
  after.SubmitTo(node.get());
  node->Drain();
  EXPECT_EQ(after.done(), after.count());
  node.reset();

  std::vector<uint8_t> ones(kDisk / kCluster), twos(kDisk / kCluster);
  std::fill_n(ones.begin(), before.count(), 1);
  std::fill_n(twos.begin(), before.count(), 2);
  EXPECT_EQ(FirstBytes("a"), ones);
  EXPECT_EQ(FirstBytes("b"), twos);
  EXPECT_EQ(std::system(("qemu-img check -q " + scratch_ / "a").c_str()), 0);
  EXPECT_EQ(std::system(("qemu-img check -q " + scratch_ / "b").c_str()), 0);
}

TEST_F(ImageExchangeTest, MappedBlocksGoPastTheNewImagesToo) {
  Create("a");
  auto node = NodeOf(*Chain({"a"}));
  ASSERT_EQ(WriteAt(node.get(), 0, Filled(kCluster, 1)), 0);
  Create("b", "backing_file=a,backing_fmt=qcow2");
  ASSERT_TRUE(node->Exchange([&](FormatImage&) { return Chain({"b", "a"}); }));
  std::vector<uint8_t> read(4096);
  ASSERT_EQ(ReadAt(node.get(), 0, read), 0);  // Tables are loaded by who may wait.

  const uint64_t before = node->counters().direct;
  EXPECT_EQ(ReadAt(node.get(), 4096, read), 0);
  EXPECT_EQ(node->counters().direct, before + 1) << "in the image beneath";
  EXPECT_EQ(read, Filled(4096, 1));
  ASSERT_EQ(WriteAt(node.get(), 0, Filled(4096, 2)), 0);  // Allocates.
  EXPECT_EQ(WriteAt(node.get(), 4096, Filled(4096, 2)), 0);
  EXPECT_EQ(node->counters().direct, before + 2) << "in the new one";
}

TEST_F(ImageExchangeTest, AChangeThatFailsLeavesTheImage) {
  Create("a");
  Create("small", "", kDisk / 2);
  auto node = NodeOf(*Chain({"a"}));
  ASSERT_EQ(WriteAt(node.get(), 0, Filled(4096, 1)), 0);

  const auto refused = node->Exchange(
      [](FormatImage&) -> Result<std::unique_ptr<FormatImage>> { return Fail(Code::kInternal, "no"); });
  EXPECT_EQ(refused.error().message(), "no");
  const auto other_size = node->Exchange([&](FormatImage&) { return Chain({"small"}); });
  EXPECT_EQ(other_size.error().code(), Code::kInvalidArgument);

  EXPECT_EQ(WriteAt(node.get(), 4096, Filled(4096, 2)), 0);
  std::vector<uint8_t> read(4096);
  EXPECT_EQ(ReadAt(node.get(), 0, read), 0);
  EXPECT_EQ(read, Filled(4096, 1));
  EXPECT_EQ(node->size_bytes(), kDisk);
}

// Nothing that was written may be missing in what is to be a base.
TEST_F(ImageExchangeTest, AnImageThatCannotBeWrittenBackStays) {
  const std::string path = Create("a");
  std::string bytes(1 << 20, 0);
  const UniqueFd file = *Open(path, O_RDONLY);
  ASSERT_GT(::pread(file.get(), bytes.data(), bytes.size(), 0), 0);
  auto memory = std::make_unique<MemoryImage>(std::vector<uint8_t>(bytes.begin(), bytes.end()));
  MemoryImage* const below = memory.get();
  OpenContext context{.file = std::move(memory), .options = {}, .flags = {.writable = true}};
  auto node = NodeOf(*kQcow2Format.open(&context));
  ASSERT_EQ(WriteAt(node.get(), 0, Filled(4096, 1)), 0);

  below->fail_after = 0;
  bool asked = false;
  EXPECT_FALSE(node->Exchange([&](FormatImage&) { return asked = true, Chain({"a"}); }));
  EXPECT_FALSE(asked);
  below->fail_after = -1;

  EXPECT_EQ(WriteAt(node.get(), 4096, Filled(4096, 2)), 0);
  EXPECT_TRUE(node->Exchange([&](FormatImage&) { return asked = true, Chain({"a"}); })) << "now it can";
  EXPECT_TRUE(asked);
}

TEST_F(ImageExchangeTest, AnImageMayBeChangedAndStay) {
  const std::string path = Create("a");
  auto node = NodeOf(*Chain({"a"}));
  Writes before(1), after(2);
  before.SubmitTo(node.get());
  ASSERT_TRUE(node->Exchange([](FormatImage& image) -> Result<std::unique_ptr<FormatImage>> {
    TRY(dynamic_cast<SnapshotStore&>(image).CreateSnapshot(NewSnapshot("then")));
    return nullptr;
  }));
  after.SubmitTo(node.get());
  node->Drain();
  EXPECT_EQ(before.done() + after.done(), before.count() + after.count());
  node.reset();

  EXPECT_EQ(FirstBytes("a")[0], 2);
  EXPECT_EQ(std::system(("qemu-img check -q " + path).c_str()), 0);
  ASSERT_EQ(std::system(("qemu-img snapshot -a then " + path).c_str()), 0);
  EXPECT_EQ(FirstBytes("a")[0], 1);
}

}  // namespace
}  // namespace berth::block
