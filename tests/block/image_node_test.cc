// What goes past an image, what does not, and what comes of failures.
#include "block/image_node.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "block/bitmap.h"
#include "block/driver.h"
#include "block/open.h"
#include "block/sync.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

constexpr uint64_t kCluster = 64 << 10;

std::string Create(const ScratchDir& scratch, const std::string& name, const char* more = "") {
  CreateOptions options(kQcow2Format.create_options);
  EXPECT_TRUE(options.SetAll(more));
  EXPECT_TRUE(options.Set("size", "8M"));
  EXPECT_TRUE(kQcow2Format.create(scratch / name, options));
  return scratch / name;
}

std::unique_ptr<FormatImage> Opened(const std::string& path, const OpenFlags& flags = {.writable = true}) {
  auto image = OpenImage(path, "qcow2", flags);
  EXPECT_TRUE(image) << image.error().message();
  return std::unique_ptr<FormatImage>(dynamic_cast<FormatImage*>(image->release()));
}

class ImageNodeTest : public testing::Test {
 protected:
  std::unique_ptr<ImageNode> NodeOf(std::unique_ptr<FormatImage> image) {
    auto node = CreateImageNode(loop_.get(), engine_.get(), std::move(image));
    EXPECT_TRUE(node) << node.error().message();
    return *std::move(node);
  }
  // How many requests went past the image while `use` ran.
  template <typename Use>
  static uint64_t Direct(ImageNode* node, Use use) {
    const uint64_t before = node->counters().direct;
    use();
    return node->counters().direct - before;
  }

  const ScratchDir scratch_;
  const std::unique_ptr<EventLoop> loop_ = *EventLoop::Create();
  const std::unique_ptr<IoEngine> engine_ = *CreateIoEngine(loop_.get());
};

TEST_F(ImageNodeTest, MappedBlocksGoPastTheImage) {
  auto node = NodeOf(Opened(Create(scratch_, "a")));
  const std::vector<uint8_t> first(4096, 1), second(4096, 2);
  std::vector<uint8_t> read(4096);

  EXPECT_EQ(Direct(node.get(), [&] { EXPECT_EQ(WriteAt(node.get(), 0, first), 0); }), 0u) << "allocates";
  EXPECT_EQ(Direct(node.get(), [&] { EXPECT_EQ(WriteAt(node.get(), 4096, second), 0); }), 1u);
  EXPECT_EQ(Direct(node.get(), [&] { EXPECT_EQ(ReadAt(node.get(), 4096, read), 0); }), 1u);
  EXPECT_EQ(read, second);
  EXPECT_EQ(Direct(node.get(), [&] { EXPECT_EQ(ReadAt(node.get(), kCluster, read), 0); }), 1u) << "zeroes";
  EXPECT_EQ(read, std::vector<uint8_t>(4096));
}

TEST_F(ImageNodeTest, BackingImagesAreReadDirectly) {
  scratch_.Write("base.raw", std::string(2 << 20, 'b'));
  auto node = NodeOf(Opened(Create(scratch_, "a", "backing_file=base.raw,backing_fmt=raw")));
  std::vector<uint8_t> read(4096);
  // The table is loaded by who may wait.
  EXPECT_EQ(ReadAt(node.get(), 0, read), 0);

  EXPECT_EQ(Direct(node.get(), [&] { EXPECT_EQ(ReadAt(node.get(), 8192, read), 0); }), 1u);
  EXPECT_EQ(read, std::vector<uint8_t>(4096, 'b'));
  EXPECT_EQ(Direct(node.get(), [&] { EXPECT_EQ(ReadAt(node.get(), 4 << 20, read), 0); }), 1u);
  EXPECT_EQ(read, std::vector<uint8_t>(4096)) << "behind the end of the backing image";
}

TEST_F(ImageNodeTest, ADurableWriteIsDurableWithItsMapping) {
  const std::string path = Create(scratch_, "a");
  auto node = NodeOf(Opened(path));
  const std::vector<uint8_t> bytes(4096, 7);
  ASSERT_EQ(WriteAt(node.get(), 0, bytes), 0);
  const iovec piece{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  Request durable{.op = Op::kWrite, .fua = true, .offset = 4096, .length = 4096, .pieces = {&piece, 1}};

  ASSERT_EQ(Perform(node.get(), &durable), 0);

  // As after a crash: what is in memory only is not there.
  auto other = Opened(path, {.force_share = true});
  std::vector<uint8_t> read(4096);
  ASSERT_EQ(Read(other.get(), 4096, read), 0);
  EXPECT_EQ(read, bytes);
}

// "If this bit is set, the refcount is exactly one": only then is a cluster written in place.
TEST_F(ImageNodeTest, WhatASnapshotSharesIsCopiedAndOnlyThenWrittenInPlace) {
  const std::string path = Create(scratch_, "a");
  const std::vector<uint8_t> old(kCluster, 1), first(4096, 2), second(4096, 3);
  ASSERT_EQ(Write(Opened(path).get(), 0, old), 0);
  ASSERT_EQ(std::system(("qemu-img snapshot -c s " + path).c_str()), 0);
  auto node = NodeOf(Opened(path));
  std::vector<uint8_t> read(4096);
  ASSERT_EQ(ReadAt(node.get(), 0, read), 0);  // The table is in memory.

  EXPECT_EQ(Direct(node.get(), [&] { EXPECT_EQ(WriteAt(node.get(), 0, first), 0); }), 0u);
  EXPECT_EQ(Direct(node.get(), [&] { EXPECT_EQ(WriteAt(node.get(), 0, second), 0); }), 1u);

  node.reset();
  ASSERT_EQ(Read(Opened(path).get(), 0, read), 0);
  EXPECT_EQ(read, second);
  ASSERT_EQ(std::system(("qemu-img snapshot -a s " + path).c_str()), 0);
  std::vector<uint8_t> snapshot(kCluster);
  ASSERT_EQ(Read(Opened(path).get(), 0, snapshot), 0);
  EXPECT_EQ(snapshot, old);
}

TEST_F(ImageNodeTest, WritesAreMarkedInBitmaps) {
  const std::string path = Create(scratch_, "a");
  ASSERT_EQ(Write(Opened(path).get(), 0, std::vector<uint8_t>(8 * kCluster, 1)), 0);
  ASSERT_EQ(std::system(("qemu-img bitmap --add " + path + " b").c_str()), 0);
  auto image = Opened(path);
  auto* const bitmaps = dynamic_cast<BitmapStore*>(image.get());
  auto node = NodeOf(std::move(image));

  ASSERT_EQ(WriteAt(node.get(), 0, std::vector<uint8_t>(4096, 2)), 0);
  ASSERT_EQ(WriteAt(node.get(), 5 * kCluster, std::vector<uint8_t>(4096, 2)), 0);

  const std::vector<Range> written{{0, kCluster}, {5 * kCluster, kCluster}};
  EXPECT_EQ(*bitmaps->DirtyRanges("b"), written);
  EXPECT_EQ(node->counters().direct, 1u) << "all but the first, before which the image says that it records";
}

// "Autoclear feature bits … software must clear a bit that it does not recognize before the image is
// modified".
TEST_F(ImageNodeTest, FeaturesOfOthersEndBeforeTheFirstWriteInPlace) {
  const std::string path = Create(scratch_, "a");
  ASSERT_EQ(Write(Opened(path).get(), 0, std::vector<uint8_t>(kCluster, 1)), 0);
  UniqueFd file = *Open(path, O_RDWR);
  constexpr off_t kLowestByteOfAutoclear = 95;
  const uint8_t unknown = 0x80;
  ASSERT_EQ(::pwrite(file.get(), &unknown, 1, kLowestByteOfAutoclear), 1);
  auto node = NodeOf(Opened(path));
  std::vector<uint8_t> read(4096, 2);
  ASSERT_EQ(ReadAt(node.get(), 0, read), 0);  // The table is in memory.

  ASSERT_EQ(WriteAt(node.get(), 0, read), 0);

  uint8_t now = 0xff;
  ASSERT_EQ(::pread(file.get(), &now, 1, kLowestByteOfAutoclear), 1);
  EXPECT_EQ(now, 0);
}

TEST_F(ImageNodeTest, AnImageThatWasWrittenBackIsAsIfClosed) {
  const std::string path = Create(scratch_, "a");
  ASSERT_EQ(std::system(("qemu-img bitmap --add " + path + " b").c_str()), 0);
  auto node = NodeOf(Opened(path));
  const auto seen_by_others = [&] {
    auto other = Opened(path, {.force_share = true});
    return dynamic_cast<BitmapStore&>(*other).DirtyRanges("b");
  };
  ASSERT_EQ(WriteAt(node.get(), 0, std::vector<uint8_t>(4096, 1)), 0);
  EXPECT_FALSE(seen_by_others()) << "in use";

  ASSERT_TRUE(node->WriteBack());

  EXPECT_EQ(*seen_by_others(), (std::vector<Range>{{0, kCluster}}));
  ASSERT_EQ(WriteAt(node.get(), kCluster, std::vector<uint8_t>(4096, 1)), 0);
  EXPECT_FALSE(seen_by_others()) << "in use again";
  node.reset();
  EXPECT_EQ(*seen_by_others(), (std::vector<Range>{{0, 2 * kCluster}}));
}

TEST_F(ImageNodeTest, GrowsWhileItIsUsed) {
  const std::string path = Create(scratch_, "a");
  auto node = NodeOf(Opened(path));
  const std::vector<uint8_t> bytes(4096, 1);
  std::vector<uint8_t> read(4096, 9);
  ASSERT_EQ(WriteAt(node.get(), (8 << 20) - 4096, bytes), 0);

  ASSERT_TRUE(node->Grow(uint64_t{4} << 30));

  EXPECT_EQ(node->size_bytes(), uint64_t{4} << 30);
  EXPECT_EQ(ReadAt(node.get(), 8 << 20, read), 0);
  EXPECT_EQ(read, std::vector<uint8_t>(4096));
  EXPECT_EQ(WriteAt(node.get(), (uint64_t{4} << 30) - 4096, bytes), 0);
  node.reset();
  EXPECT_EQ(std::system(("qemu-img check -q " + path).c_str()), 0);
  const auto image = Opened(path);
  for (const uint64_t at : {uint64_t{8} << 20, uint64_t{4} << 30}) {
    EXPECT_EQ(Read(image.get(), at - 4096, read), 0);
    EXPECT_EQ(read, bytes);
  }
}

TEST_F(ImageNodeTest, FlushesThatWaitShareOne) {
  auto node = NodeOf(Opened(Create(scratch_, "a")));
  std::vector<Request> flushes(20);
  List<Request> batch;
  for (Request& flush : flushes) {
    flush.op = Op::kFlush;
    flush.error = -1;
    flush.done = [](Request*) {};
    batch.PushBack(&flush);
  }
  node->Submit(std::move(batch));
  node->Drain();
  for (const Request& flush : flushes) EXPECT_EQ(flush.error, 0);
  EXPECT_EQ(node->counters().flushes, 1u);
}

TEST_F(ImageNodeTest, RequestsOutsideAndChangesOfReadOnlyImagesFail) {
  auto node = NodeOf(Opened(Create(scratch_, "a"), {}));
  std::vector<uint8_t> bytes(4096);
  EXPECT_EQ(ReadAt(node.get(), 8 << 20, bytes), EINVAL);
  EXPECT_EQ(WriteAt(node.get(), 0, bytes), EROFS);
  EXPECT_EQ(ReadAt(node.get(), 0, bytes), 0);
}

TEST_F(ImageNodeTest, FailuresOfTheFileReachTheRequest) {
  class NoGate final : public OpenGate {
    Result<std::unique_ptr<Image>> Open(std::string_view, std::string_view, const OpenFlags&) override {
      return Fail(Code::kPermissionDenied, "closed");
    }
  } gate;
  std::string bytes(1 << 20, 0);
  const std::string path = Create(scratch_, "a");
  UniqueFd file = *Open(path, O_RDONLY);
  ASSERT_GT(::pread(file.get(), bytes.data(), bytes.size(), 0), 0);
  auto memory = std::make_unique<MemoryImage>(std::vector<uint8_t>(bytes.begin(), bytes.end()));
  MemoryImage* const below = memory.get();
  OpenContext context{.file = std::move(memory), .options = {}, .flags = {.writable = true}, .gate = &gate};
  auto node = NodeOf(*kQcow2Format.open(&context));
  std::vector<uint8_t> data(4096, 3);
  ASSERT_EQ(WriteAt(node.get(), 0, data), 0);

  below->fail_after = 0;

  EXPECT_EQ(WriteAt(node.get(), 4096, data), EIO);
  EXPECT_EQ(ReadAt(node.get(), 0, data), EIO);
  Request flush{.op = Op::kFlush};
  EXPECT_EQ(Perform(node.get(), &flush), EIO);
  below->fail_after = -1;
}

TEST_F(ImageNodeTest, RefusesThreadsThatCannotBeConfined) {
  const auto node = CreateImageNode(loop_.get(), engine_.get(), Opened(Create(scratch_, "a")),
                                    [] { return Status(Fail(Code::kInternal, "no filter")); });
  ASSERT_FALSE(node);
  EXPECT_EQ(node.error().message(), "no filter");
}

// A cluster that is discarded while somebody reads past the image stays uncounted for until that is over.
TEST(LocateTest, WhatIsBeingUsedIsNotGivenAway) {
  const ScratchDir scratch;
  auto image = Opened(Create(scratch, "a"), {.writable = true, .no_flush = true});
  ASSERT_EQ(Write(image.get(), 0, std::vector<uint8_t>(kCluster, 1)), 0);
  const Location held = image->Locate(Op::kRead, 0, 4096);
  ASSERT_EQ(held.kind, Location::Kind::kStored);

  ASSERT_EQ(Discard(image.get(), 0, kCluster), 0);
  std::thread flush([&] { EXPECT_EQ(Flush(image.get()), 0); });  // Ends once the reader has left.
  for (uint64_t at = 1; at < 20; ++at) {
    ASSERT_EQ(Write(image.get(), at * kCluster, std::vector<uint8_t>(kCluster, 2)), 0);
    EXPECT_NE(image->Map(at * kCluster, kCluster)->stored_at, held.offset);
  }
  image->Leave(held.ticket);
  flush.join();

  ASSERT_EQ(Write(image.get(), 40 * kCluster, std::vector<uint8_t>(kCluster, 2)), 0);
  EXPECT_EQ(image->Map(40 * kCluster, kCluster)->stored_at, held.offset);
}

TEST(LocateTest, SharedClustersAreNotWrittenTo) {
  const ScratchDir scratch;
  const std::string path = Create(scratch, "a");
  {
    auto image = Opened(path);
    ASSERT_EQ(Write(image.get(), 0, std::vector<uint8_t>(kCluster, 1)), 0);
  }
  ASSERT_EQ(std::system(("qemu-img snapshot -c s " + path).c_str()), 0);
  auto image = Opened(path);
  ASSERT_EQ(Write(image.get(), kCluster, std::vector<uint8_t>(kCluster, 2)), 0);
  EXPECT_EQ(image->Locate(Op::kWrite, 0, 4096).kind, Location::Kind::kUnknown);
  const Location read = image->Locate(Op::kRead, 0, 4096);
  EXPECT_EQ(read.kind, Location::Kind::kStored);
  image->Leave(read.ticket);
}

}  // namespace
}  // namespace berth::block
