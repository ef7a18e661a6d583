// The host crashes after any write: the image opens, refers to nothing that is not counted, and has every
// byte that was flushed and not written since.
#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "block/driver.h"
#include "block/format_image.h"
#include "block/open.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/scratch_dir.h"
#include "tests/fakes/write_log_image.h"

namespace berth::block {
namespace {

struct Case {
  const char* name;
  const char* options;
};

class Qcow2Crash : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(Images, Qcow2Crash,
                         testing::Values(Case{"clusters_of_512", "cluster_size=512"},
                                         Case{"clusters_of_4k", "cluster_size=4k"}, Case{"plain", ""},
                                         Case{"version2", "compat=0.10,cluster_size=4k"},
                                         Case{"subclusters", "extended_l2=on,cluster_size=16k"},
                                         Case{"one_bit_refcounts", "refcount_bits=1,cluster_size=4k"}),
                         [](const auto& tested) { return std::string(tested.param.name); });

constexpr uint64_t kDiskBytes = 256 << 10;
constexpr int kOperations = 40;
constexpr int kCrashesAPoint = 1;

struct Done {
  size_t log_begin = 0, log_end = 0;
  bool flush = false;
  uint64_t offset = 0, length = 0;
  std::vector<uint8_t> model{};  // After a flush.
};

class NoGate final : public OpenGate {
  Result<std::unique_ptr<Image>> Open(std::string_view, std::string_view, const OpenFlags&) override {
    return Fail(Code::kPermissionDenied, "closed");
  }
};

std::unique_ptr<FormatImage> OpenOn(std::unique_ptr<Image> file, bool writable) {
  NoGate gate;
  OpenContext context{.file = std::move(file), .options = {}, .flags = {.writable = writable}, .gate = &gate};
  auto opened = kQcow2Format.open(&context);
  EXPECT_TRUE(opened) << opened.error().message();
  return opened ? *std::move(opened) : nullptr;
}

std::vector<uint8_t> NewImage(const char* options_text) {
  const ScratchDir scratch;
  const std::string path = scratch / "image";
  CreateOptions options(kQcow2Format.create_options);
  EXPECT_TRUE(options.SetAll(options_text));
  EXPECT_TRUE(options.Set("size", std::to_string(kDiskBytes)));
  EXPECT_TRUE(kQcow2Format.create(path, options));
  auto file = *OpenProtocol(path, {});
  std::vector<uint8_t> bytes(file->size_bytes());
  EXPECT_EQ(Read(file.get(), 0, bytes), 0);
  return bytes;
}

// Random operations, logged.
std::vector<Done> Operate(FormatImage* image, const std::vector<LoggedWrite>& log) {
  std::mt19937 random(3);
  std::vector<uint8_t> model(kDiskBytes), bytes;
  std::vector<Done> all;
  const uint64_t cluster = *image->Info().cluster_size_bytes;
  for (int i = 0; i < kOperations; ++i) {
    Done done{.log_begin = log.size()};
    done.offset = random() % (kDiskBytes / 512) * 512;
    done.length = std::min<uint64_t>(kDiskBytes - done.offset, (1 + random() % 40) * 512);
    const auto at = model.begin() + static_cast<ptrdiff_t>(done.offset);
    switch (random() % 8) {
      case 0:
      case 1:
        done.flush = true;
        EXPECT_EQ(Flush(image), 0);
        done.model = model;
        break;
      case 2:
        EXPECT_EQ(WriteZeroes(image, done.offset, done.length, true), 0);
        std::fill_n(at, done.length, 0);
        break;
      case 3:
        done.offset = done.offset / cluster * cluster;
        done.length = std::min(AlignUp(done.length, cluster), kDiskBytes - done.offset);
        EXPECT_EQ(Discard(image, done.offset, done.length), 0);
        std::fill_n(model.begin() + static_cast<ptrdiff_t>(done.offset), done.length, 0);
        break;
      default:
        bytes.assign(done.length, static_cast<uint8_t>(1 + i));
        EXPECT_EQ(Write(image, done.offset, bytes), 0);
        std::copy(bytes.begin(), bytes.end(), at);
    }
    done.log_end = log.size();
    all.push_back(std::move(done));
  }
  return all;
}

void ExpectFlushedBytes(FormatImage* image, const std::vector<Done>& done, size_t point) {
  size_t flush = done.size();
  for (size_t i = 0; i < done.size(); ++i) {
    if (done[i].flush && done[i].log_end <= point) flush = i;
  }
  if (flush == done.size()) return;
  std::vector<uint8_t> expected = done[flush].model, read(kDiskBytes);
  ASSERT_EQ(Read(image, 0, read), 0);
  for (size_t i = flush + 1; i < done.size() && done[i].log_begin <= point; ++i) {
    if (done[i].flush) continue;
    const auto from = static_cast<ptrdiff_t>(done[i].offset);
    std::copy_n(read.begin() + from, done[i].length, expected.begin() + from);  // May be old, new or between.
  }
  const auto [a, b] = std::mismatch(read.begin(), read.end(), expected.begin());
  ASSERT_EQ(a, read.end()) << "byte " << a - read.begin() << " is " << int{*a} << ", was flushed as "
                           << int{*b};
}

TEST_P(Qcow2Crash, LosesNothingThatWasFlushed) {
  const std::vector<uint8_t> start = NewImage(GetParam().options);
  std::vector<LoggedWrite> log;
  std::vector<Done> done;
  {
    auto image = OpenOn(std::make_unique<WriteLogImage>(start, &log), true);
    done = Operate(image.get(), log);
  }
  std::mt19937_64 random(4);
  std::vector<uint8_t> durable = start;
  for (size_t point = 0, flushed = 0; point <= log.size(); ++point) {
    if (point != 0 && log[point - 1].flush) {
      for (; flushed < point; ++flushed) WriteLogImage::Apply(log[flushed], ~uint64_t{0}, &durable);
    }
    for (int i = 0; i < kCrashesAPoint; ++i) {
      const std::vector<uint8_t> crashed =
          CrashedFile(durable, std::span(log).subspan(flushed, point - flushed), &random);
      auto image = OpenOn(std::make_unique<MemoryImage>(crashed), false);
      ASSERT_NE(image, nullptr) << "after write " << point;
      const auto report = image->Check({});
      ASSERT_TRUE(report);
      ASSERT_EQ(report->corruptions + report->errors, 0u)
          << "after write " << point << ": " << report->messages[0];
      ExpectFlushedBytes(image.get(), done, point);
      ASSERT_FALSE(HasFatalFailure()) << "after write " << point << " of " << log.size();
    }
  }
}

using Content = std::vector<uint8_t>;

// The disk and the snapshots between two steps of a run.
struct State {
  size_t log_end = 0;
  Content disk;
  std::map<std::string, Content> snapshots;
};

// Snapshots made, applied and deleted, with writes between them, each step flushed.
std::vector<State> WorkWithSnapshots(FormatImage* image, const std::vector<LoggedWrite>& log) {
  auto* store = dynamic_cast<SnapshotStore*>(image);
  std::vector<State> states{{.disk = Content(kDiskBytes)}};
  State now = states[0];
  const auto done = [&](const Status& status) {
    EXPECT_TRUE(status) << status.error().message();
    EXPECT_EQ(Flush(image), 0);
    now.log_end = log.size();
    states.push_back(now);
  };
  const auto write = [&](uint64_t offset, uint64_t length, uint8_t byte) {
    const Content bytes(length, byte);
    EXPECT_EQ(Write(image, offset, bytes), 0);
    std::copy(bytes.begin(), bytes.end(), now.disk.begin() + static_cast<ptrdiff_t>(offset));
    done(Ok());
  };
  const auto create = [&](const std::string& name) {
    now.snapshots[name] = now.disk;
    done(store->CreateSnapshot({.name = name}));
  };
  const auto apply = [&](const std::string& name) {
    now.disk = now.snapshots.at(name);
    done(store->ApplySnapshot({.name = name}));
  };
  const auto remove = [&](const std::string& name) {
    now.snapshots.erase(name);
    done(store->DeleteSnapshot({.name = name}));
  };
  write(0, 100'000, 1);
  create("first");
  write(50'000, 100'000, 2);
  create("second");
  write(20'000, 60'000, 3);
  apply("first");
  write(90'000, 60'000, 4);
  remove("second");
  apply("first");
  remove("first");
  return states;
}

bool HasState(const Content& file, const State& state) {
  auto image = OpenOn(std::make_unique<MemoryImage>(file), false);
  Content read(kDiskBytes);
  const std::vector<Snapshot> snapshots = image->Snapshots();
  if (Read(image.get(), 0, read) != 0 || read != state.disk || snapshots.size() != state.snapshots.size()) {
    return false;
  }
  for (const Snapshot& snapshot : snapshots) {
    const auto expected = state.snapshots.find(snapshot.name);
    if (expected == state.snapshots.end()) return false;
    image = OpenOn(std::make_unique<MemoryImage>(file), false);
    EXPECT_TRUE(dynamic_cast<SnapshotStore*>(image.get())->ViewSnapshot({.id = snapshot.id}));
    if (Read(image.get(), 0, read) != 0 || read != expected->second) return false;
  }
  return true;
}

// Opened for writing, which repairs what is marked dirty; then it is sound, and as before or after the step.
// In the middle of a write the disk may be between the two.
TEST_P(Qcow2Crash, ChangesOfSnapshotsHappenAsAWhole) {
  if (std::string_view(GetParam().options).starts_with("refcount_bits=1")) return;  // Has no snapshots.
  const std::vector<uint8_t> start = NewImage(GetParam().options);
  std::vector<LoggedWrite> log;
  std::vector<State> states;
  {
    auto image = OpenOn(std::make_unique<WriteLogImage>(start, &log), true);
    states = WorkWithSnapshots(image.get(), log);
  }
  const bool version2 = std::string_view(GetParam().options).starts_with("compat=0.10");
  std::mt19937_64 random(5);
  std::vector<uint8_t> durable = start;
  for (size_t point = 0, flushed = 0, step = 0; point <= log.size(); ++point) {
    if (point != 0 && log[point - 1].flush) {
      for (; flushed < point; ++flushed) WriteLogImage::Apply(log[flushed], ~uint64_t{0}, &durable);
    }
    while (step + 1 < states.size() && states[step + 1].log_end <= point) ++step;
    auto file = std::make_unique<MemoryImage>(
        CrashedFile(durable, std::span(log).subspan(flushed, point - flushed), &random));
    const MemoryImage& content = *file;
    auto image = OpenOn(std::move(file), true);
    ASSERT_NE(image, nullptr) << "after write " << point;
    if (version2) {
      ASSERT_TRUE(image->Check({.leaks = true, .corruptions = true}));
    }
    const auto report = image->Check({});
    ASSERT_TRUE(report);
    ASSERT_EQ(report->corruptions + report->errors, 0u)
        << "after write " << point << ": " << report->messages[0];
    ASSERT_EQ(Flush(image.get()), 0);
    const State& before = states[step];
    const State& after = states[std::min(step + 1, states.size() - 1)];
    if (before.snapshots == after.snapshots && step + 1 < states.size() && point != before.log_end) continue;
    ASSERT_TRUE(HasState(content.content, before) || HasState(content.content, after))
        << "after write " << point << " of " << log.size() << ", step " << step;
  }
}

}  // namespace
}  // namespace berth::block
