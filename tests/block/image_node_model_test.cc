// Random batches on disks in qcow2 beside an array that shows what must come of them; qemu-img says whether
// what is on the disk afterwards is sound and reads the same. And the same on images that lie.
#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "block/driver.h"
#include "block/image_node.h"
#include "block/open.h"
#include "block/sync.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

struct Case {
  const char* name;
  const char* options;
  bool backed = false;
  bool direct = false;  // O_DIRECT
  uint64_t unit = 512;  // Requests are multiples of it.
};

class ImageNodeModel : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(Images, ImageNodeModel,
                         testing::Values(Case{"plain", "cluster_size=16k"},
                                         Case{"bytes", "cluster_size=4k", true, true, 1},
                                         Case{"small_clusters", "cluster_size=512"}, Case{"backed", "", true},
                                         Case{"subclusters", "extended_l2=on,cluster_size=16k", true},
                                         Case{"past_the_cache", "cluster_size=64k", true, true},
                                         Case{"small_past_the_cache", "cluster_size=512", false, true},
                                         Case{"data_file", "data_file_raw=on"}),
                         [](const auto& tested) { return std::string(tested.param.name); });

constexpr uint64_t kSize = 4 << 20;
constexpr int kLanes = 16, kRounds = 60;

struct Disk {
  Disk(const std::string& path, const OpenFlags& flags) {
    auto image = OpenImage(path, "qcow2", flags);
    if (!image) return;
    auto* format = dynamic_cast<FormatImage*>(image->release());
    auto made = CreateImageNode(loop.get(), engine.get(), std::unique_ptr<FormatImage>(format));
    if (made) node = *std::move(made);
  }
  std::unique_ptr<EventLoop> loop = *EventLoop::Create();
  std::unique_ptr<IoEngine> engine = *CreateIoEngine(loop.get());
  std::unique_ptr<ImageNode> node;
};

std::string CreateImage(const ScratchDir& scratch, const Case& tested, std::vector<uint8_t>* model) {
  const std::string path = scratch / "image.qcow2";
  model->assign(kSize, 0);
  CreateOptions options(kQcow2Format.create_options);
  EXPECT_TRUE(options.SetAll(tested.options));
  EXPECT_TRUE(options.Set("size", std::to_string(kSize)));
  if (options.Bool("data_file_raw")) {
    EXPECT_TRUE(options.Set("data_file", scratch / "data.raw"));
  }
  if (tested.backed) {
    std::string content(kSize / 2, 0);
    for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i / 512 * 7);
    scratch.Write("base.raw", content);
    std::copy(content.begin(), content.end(), model->begin());
    EXPECT_TRUE(options.Set("backing_file", "base.raw"));
    EXPECT_TRUE(options.Set("backing_fmt", "raw"));
  }
  EXPECT_TRUE(kQcow2Format.create(path, options));
  return path;
}

// One request of a batch: lanes are disjoint, so that the order within the batch cannot matter.
struct Drawn : Request {
  std::vector<uint8_t> bytes;
  iovec parts[2];
  uint64_t at = 0;
};

void Draw(std::mt19937* random, int lane, uint64_t unit, Drawn* drawn) {
  const auto below = [&](uint64_t limit) {
    return std::uniform_int_distribution<uint64_t>(0, limit - 1)(*random);
  };
  constexpr uint64_t kLane = kSize / kLanes;
  const uint64_t step = below(3) == 0 ? 4096 : unit;
  const uint64_t start = below(kLane / step) * step;
  const uint64_t most = below(6) == 0 ? 200'000 : 20'000;
  static constexpr Op kOps[] = {Op::kRead,  Op::kRead,  Op::kRead,    Op::kWrite,       Op::kWrite,
                                Op::kWrite, Op::kWrite, Op::kDiscard, Op::kWriteZeroes, Op::kFlush};
  *drawn = {};
  drawn->op = kOps[below(std::size(kOps))];
  drawn->fua = below(12) == 0;
  drawn->may_unmap = below(2) == 0;
  drawn->at = static_cast<uint64_t>(lane) * kLane + start;
  drawn->offset = drawn->at;
  drawn->length = drawn->op == Op::kFlush ? 0 : std::min(kLane - start, (1 + below(most / step)) * step);
  drawn->done = [](Request*) {};
  if (drawn->op != Op::kRead && drawn->op != Op::kWrite) return;
  drawn->bytes.assign(drawn->length, static_cast<uint8_t>((*random)()));
  const uint64_t cut = below(drawn->length / unit + 1) * unit;
  drawn->parts[0] = {drawn->bytes.data(), cut};
  drawn->parts[1] = {drawn->bytes.data() + cut, drawn->length - cut};
  drawn->pieces = drawn->parts;
}

void Apply(const Drawn& drawn, uint64_t cluster, std::vector<uint8_t>* model) {
  const auto at = [&](uint64_t offset) { return model->begin() + static_cast<ptrdiff_t>(offset); };
  const uint64_t end = drawn.at + drawn.length;
  if (drawn.op == Op::kWrite) std::copy(drawn.bytes.begin(), drawn.bytes.end(), at(drawn.at));
  if (drawn.op == Op::kWriteZeroes) std::fill(at(drawn.at), at(end), 0);
  // Whole clusters read as zeroes afterwards.
  const uint64_t first = (drawn.at + cluster - 1) / cluster * cluster;
  const uint64_t last = end == kSize ? end : end / cluster * cluster;
  if (drawn.op == Op::kDiscard && first < last) std::fill(at(first), at(last), 0);
}

TEST_P(ImageNodeModel, BehavesLikeAnArray) {
  const Case& tested = GetParam();
  const ScratchDir scratch;
  std::vector<uint8_t> model;
  const std::string path = CreateImage(scratch, tested, &model);
  const OpenFlags flags{.writable = true, .direct = tested.direct, .discard_unmap = true};
  if (tested.direct && !OpenImage(path, "qcow2", flags)) GTEST_SKIP() << "no O_DIRECT in " << path;
  std::mt19937 random(11);  // The same numbers in every run.
  for (int session = 0; session < 2; ++session) {
    Disk disk(path, flags);
    ASSERT_TRUE(disk.node);
    const bool subclusters = std::string_view(tested.options).starts_with("extended_l2");
    const uint64_t cluster = disk.node->limits().discard_granularity_bytes * (subclusters ? 32 : 1);
    for (int round = 0; round < kRounds; ++round) {
      std::vector<Drawn> requests(kLanes);
      List<Request> batch;
      for (int lane = 0; lane < kLanes; ++lane) {
        Draw(&random, lane, tested.unit, &requests[lane]);
        if (requests[lane].op != Op::kRead) Apply(requests[lane], cluster, &model);
        batch.PushBack(&requests[lane]);
      }
      disk.node->Submit(std::move(batch));
      disk.node->Drain();
      for (const Drawn& drawn : requests) {
        ASSERT_EQ(drawn.error, 0) << static_cast<int>(drawn.op) << " at " << drawn.at;
        if (drawn.op != Op::kRead) continue;
        ASSERT_TRUE(std::equal(drawn.bytes.begin(), drawn.bytes.end(),
                               model.begin() + static_cast<ptrdiff_t>(drawn.at)))
            << "round " << round << " at " << drawn.at;
      }
    }
    if (std::string_view(tested.name) == "plain") {
      EXPECT_GT(disk.node->counters().direct, 100u);
    }
  }
  EXPECT_EQ(std::system(("qemu-img check -f qcow2 " + path + " >/dev/null").c_str()), 0);
  const std::string raw =
      scratch.Write("model.raw", {reinterpret_cast<const char*>(model.data()), model.size()});
  EXPECT_EQ(std::system(("qemu-img compare -f qcow2 -F raw " + path + " " + raw + " >/dev/null").c_str()), 0);
}

// Many writers in every cluster at once, each with sectors of its own, the next as soon as the last is done.
struct Writer : Request {
  BlockNode* node = nullptr;
  std::mt19937 random;
  std::vector<uint8_t> sectors;  // What its sectors hold, a byte each.
  std::vector<uint8_t> bytes = std::vector<uint8_t>(512);
  iovec piece{};
  uint64_t index = 0, writers = 0;
  int left = 0;
  bool wrong = false;
};

void Step(Writer* writer) {
  if (writer->left-- == 0) return;
  const uint64_t mine = writer->random() % writer->sectors.size();
  const auto value = static_cast<uint8_t>(writer->random());
  const bool write = writer->random() % 3 != 0;
  writer->op = write ? Op::kWrite : Op::kRead;
  if (writer->random() % 40 == 0) writer->op = Op::kFlush;
  writer->offset = (mine * writer->writers + writer->index) * 512;
  writer->length = 512;
  std::fill(writer->bytes.begin(), writer->bytes.end(), value);
  writer->piece = {writer->bytes.data(), 512};
  writer->pieces = {&writer->piece, 1};
  writer->done = [](Request* done) {
    auto* const self = static_cast<Writer*>(done);
    const uint64_t sector = self->offset / 512 / self->writers;
    if (self->op == Op::kWrite) self->sectors[sector] = self->bytes[0];
    if (self->op == Op::kRead) self->wrong |= self->bytes != std::vector<uint8_t>(512, self->sectors[sector]);
    self->wrong |= self->error != 0;
    Step(self);
  };
  List<Request> batch;
  batch.PushBack(writer);
  writer->node->Submit(std::move(batch));
}

TEST(ImageNodeRaces, SectorsOfOneClusterAreEverybodysOwn) {
  constexpr uint64_t kWriters = 32, kBytes = 1 << 20;
  const ScratchDir scratch;
  const std::string path = scratch / "image";
  CreateOptions options(kQcow2Format.create_options);
  ASSERT_TRUE(options.Set("size", std::to_string(kBytes)));
  ASSERT_TRUE(kQcow2Format.create(path, options));
  Disk disk(path, {.writable = true, .no_flush = true});
  std::vector<Writer> writers(kWriters);
  for (uint64_t i = 0; i < kWriters; ++i) {
    writers[i].node = disk.node.get();
    writers[i].random.seed(static_cast<unsigned>(i));
    writers[i].sectors.resize(kBytes / 512 / kWriters);
    writers[i].index = i;
    writers[i].writers = kWriters;
    writers[i].left = 200;
  }
  for (Writer& writer : writers) Step(&writer);
  disk.node->Drain();
  for (const Writer& writer : writers) EXPECT_FALSE(writer.wrong) << writer.index;
  disk.node.reset();
  EXPECT_EQ(std::system(("qemu-img check -f qcow2 " + path + " >/dev/null").c_str()), 0);
}

// Tables with anything in them: requests fail or read something, and all of them end.
TEST(ImageNodeHostile, LyingTablesEndInErrors) {
  const ScratchDir scratch;
  std::vector<uint8_t> model;
  const std::string path = CreateImage(scratch, {"", "cluster_size=4k"}, &model);
  {
    auto image = *OpenImage(path, "qcow2", {.writable = true});
    ASSERT_EQ(Write(image.get(), 0, std::vector<uint8_t>(kSize / 2, 1)), 0);
  }
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    const std::string spoiled = scratch / "spoiled";
    ASSERT_EQ(std::system(("cp " + path + " " + spoiled).c_str()), 0);
    {
      UniqueFd file = *Open(spoiled, O_RDWR);
      for (int i = 0; i < 60; ++i) {
        // Behind the header, where the tables are.
        const uint64_t entry = random() % 3 == 0 ? random() : uint64_t{1} << 63 | (random() % 2048) << 9;
        std::vector<uint8_t> bytes(8);
        for (int k = 0; k < 8; ++k) bytes[k] = static_cast<uint8_t>(entry >> (56 - 8 * k));
        const auto at = static_cast<off_t>(4096 + random() % 6 * 4096 + random() % 64 * 8);
        ASSERT_EQ(::pwrite(file.get(), bytes.data(), 8, at), 8);
      }
    }
    Disk disk(spoiled, {.writable = true, .no_flush = true, .discard_unmap = true});
    if (!disk.node) continue;
    std::vector<Drawn> requests(kLanes);
    for (int i = 0; i < 4; ++i) {
      List<Request> batch;
      for (int lane = 0; lane < kLanes; ++lane) {
        Draw(&random, lane, 512, &requests[lane]);
        batch.PushBack(&requests[lane]);
      }
      disk.node->Submit(std::move(batch));
      disk.node->Drain();
    }
  }
}

}  // namespace
}  // namespace berth::block
