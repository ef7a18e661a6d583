#include "block/page_cache_engine.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include <gtest/gtest.h>

#include "block/file.h"
#include "block/sync.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

UniqueFd MemoryFile() {
  UniqueFd fd(::memfd_create("page-cache", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), 1 << 20), 0);
  return fd;
}

TEST(PageCacheEngine, DoesAtOnceWhatIsInMemory) {
  auto beneath = std::make_unique<FakeEngine>();
  FakeEngine* const fake = beneath.get();
  const auto engine = CreatePageCacheEngine(std::move(beneath));
  auto node = *CreateFileNode(engine.get(), MemoryFile());
  const std::vector<uint8_t> bytes(5000, 7);
  EXPECT_EQ(WriteAt(node.get(), 1000, bytes), 0);
  std::vector<uint8_t> back(5000);
  EXPECT_EQ(ReadAt(node.get(), 1000, back), 0);
  EXPECT_EQ(back, bytes);
  EXPECT_TRUE(fake->log.empty());
}

TEST(PageCacheEngine, LeavesFlushesAndDurableWritesToTheEngineBeneath) {
  auto beneath = std::make_unique<FakeEngine>();
  FakeEngine* const fake = beneath.get();
  const auto engine = CreatePageCacheEngine(std::move(beneath));
  auto node = *CreateFileNode(engine.get(), MemoryFile());
  Request flush{.op = Op::kFlush};
  EXPECT_EQ(Perform(node.get(), &flush), 0);
  std::vector<uint8_t> bytes(512);
  const iovec piece{bytes.data(), bytes.size()};
  Request durable{.op = Op::kWrite, .fua = true, .length = 512, .pieces = {&piece, 1}};
  EXPECT_EQ(Perform(node.get(), &durable), 0);
  EXPECT_EQ(fake->log.size(), 2u);
}

}  // namespace
}  // namespace berth::block
