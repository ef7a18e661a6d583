#include "block/blkdebug.h"

#include <cerrno>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "block/open.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

const std::vector<uint8_t> kBytes(512, 1);

TEST(Blkdebug, AnErrorComesWithItsEventAndOnlyOnceIfSo) {
  DebugImage image(std::make_unique<MemoryImage>(std::vector<uint8_t>(4096)),
                   {{.event = "write_aio", .error = ENOSPC, .once = true, .kinds = {Op::kWrite}}});
  EXPECT_EQ(Flush(&image), 0);
  EXPECT_EQ(Write(&image, 0, kBytes), ENOSPC);
  EXPECT_EQ(Write(&image, 0, kBytes), 0);
}

TEST(Blkdebug, ASectorIsHitByWhatTouchesIt) {
  DebugImage image(std::make_unique<MemoryImage>(std::vector<uint8_t>(4096)),
                   {{.event = "none", .sector = 2}});
  EXPECT_EQ(Write(&image, 0, kBytes), 0);
  EXPECT_EQ(Write(&image, 1000, kBytes), EIO);
  EXPECT_EQ(Write(&image, 1536, kBytes), 0);
}

TEST(Blkdebug, StatesDelayErrors) {
  const auto rules = ParseDebugRules(
      "[set-state]\nevent = \"write_aio\"\nstate = \"1\"\nnew_state = \"2\"\n"
      "# and then\n[inject-error]\nevent = \"write_aio\"\nstate = \"2\"\nerrno = \"28\"\n");
  ASSERT_TRUE(rules);
  DebugImage image(std::make_unique<MemoryImage>(std::vector<uint8_t>(4096)), *rules);
  EXPECT_EQ(Write(&image, 0, kBytes), 0);
  EXPECT_EQ(Write(&image, 0, kBytes), ENOSPC);
}

TEST(Blkdebug, ABreakpointHoldsOneRequest) {
  DebugImage image(std::make_unique<MemoryImage>(std::vector<uint8_t>(4096)), {});
  EXPECT_EQ(image.Break("write_aio", "A"), 0);
  EXPECT_EQ(image.Resume("A"), ENOENT);
  std::thread held([&] { EXPECT_EQ(Write(&image, 0, kBytes), 0); });
  image.WaitBreak("A");
  EXPECT_EQ(Write(&image, 512, kBytes), 0);
  std::vector<uint8_t> first(512);
  EXPECT_EQ(Read(&image, 0, first), 0);
  EXPECT_EQ(first[0], 0);
  EXPECT_EQ(image.Resume("A"), 0);
  held.join();
  EXPECT_EQ(image.Break("nonsense", "A"), ENOENT);
  EXPECT_EQ(image.RemoveBreak("A"), ENOENT);
}

TEST(Blkdebug, RulesOfNoSenseAreRefused) {
  for (const char* text :
       {"event = \"none\"", "[inject-error]\nerrno = \"5\"", "[inject-error]\nevent = \"what\"",
        "[inject-error]\nevent \"none\"", "[other]\n", "[set-state]\nevent = \"none\"",
        "[inject-error]\nevent = \"none\"\nerrno = \"x\""}) {
    EXPECT_FALSE(ParseDebugRules(text)) << text;
  }
}

TEST(Blkdebug, OpensByNameAndByOptions) {
  const ScratchDir scratch;
  const std::string disk = scratch.Write("disk", std::string(4096, 'x'));
  const std::string config =
      scratch.Write("config", "[inject-error]\nevent = \"read_aio\"\nerrno = \"1\"\nonce = \"on\"\n");
  auto by_name = *OpenImage("blkdebug:" + config + ":" + disk, "raw", {});
  std::vector<uint8_t> byte(1);
  EXPECT_EQ(Read(by_name.get(), 0, byte), EPERM);
  EXPECT_EQ(Read(by_name.get(), 0, byte), 0);
  auto by_options = *OpenImage(Options{{"driver", "raw"},
                                       {"file.driver", "blkdebug"},
                                       {"file.image.filename", disk},
                                       {"file.inject-error.0.event", "read_aio"}},
                               {});
  EXPECT_EQ(Read(by_options.get(), 0, byte), EIO);
}

TEST(Null, IsAsLargeAsItIsSaidAndKeepsNothing) {
  auto image =
      *OpenImage(Options{{"driver", "null-co"}, {"size", "1M"}, {"read-zeroes", "on"}}, {.writable = true});
  EXPECT_EQ(image->size_bytes(), 1u << 20);
  EXPECT_EQ(Write(image.get(), 0, kBytes), 0);
  std::vector<uint8_t> back(512, 9);
  EXPECT_EQ(Read(image.get(), 0, back), 0);
  EXPECT_EQ(back[0], 0);
  EXPECT_EQ(Read(image.get(), 1 << 20, back), EINVAL);
  EXPECT_TRUE(OpenImage("null-aio://", "raw", {}));
  EXPECT_FALSE(OpenImage("null-co://x", "raw", {}));
}

}  // namespace
}  // namespace berth::block
