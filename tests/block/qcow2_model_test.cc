// Random operations on qcow2 images beside an array of what must come of them, with closing and opening in
// between; qemu-img, which shares no code with us, says whether what is on the disk is sound and reads the
// same.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "block/driver.h"
#include "block/format_image.h"
#include "block/open.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

struct Case {
  const char* name;
  const char* options;
  bool backed = false;
  uint64_t size = 3 << 20;
};

class Qcow2Model : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(Images, Qcow2Model,
                         testing::Values(Case{"plain", ""}, Case{"version2", "compat=0.10"},
                                         Case{"small_clusters", "cluster_size=512", false, 1 << 20},
                                         Case{"large_clusters", "cluster_size=2M", false, 20 << 20},
                                         Case{"one_bit_refcounts", "refcount_bits=1,cluster_size=4k"},
                                         Case{"wide_refcounts", "refcount_bits=64,cluster_size=1k"},
                                         Case{"subclusters", "extended_l2=on,cluster_size=16k"},
                                         Case{"zstd", "compression_type=zstd"},
                                         Case{"backed", "cluster_size=16k", true},
                                         Case{"backed_version2", "compat=0.10,cluster_size=8k", true},
                                         Case{"backed_subclusters", "extended_l2=on", true},
                                         Case{"preallocated", "preallocation=metadata,cluster_size=8k"},
                                         Case{"data_file", "data_file_raw=on"},
                                         Case{"odd_size", "cluster_size=64k", true, (3 << 20) + 512 * 3}),
                         [](const auto& tested) { return std::string(tested.param.name); });

int RunQemuImg(const std::string& arguments) {
  return std::system(("qemu-img " + arguments + " >/dev/null").c_str());
}

std::string CreateImage(const ScratchDir& scratch, const Case& tested, std::vector<uint8_t>* model,
                        std::mt19937* random) {
  const std::string path = scratch / "image.qcow2";
  model->assign(tested.size, 0);
  CreateOptions options(kQcow2Format.create_options);
  EXPECT_TRUE(options.SetAll(tested.options));
  EXPECT_TRUE(options.Set("size", std::to_string(tested.size)));
  if (options.Bool("data_file_raw")) {
    EXPECT_TRUE(options.Set("data_file", scratch / "data.raw"));
  }
  if (tested.backed) {
    // Shorter than the image on it.
    std::string content(2 << 20, 0);
    for (char& byte : content) byte = static_cast<char>((*random)());
    scratch.Write("base.raw", content);
    std::copy(content.begin(), content.end(), model->begin());
    EXPECT_TRUE(options.Set("backing_file", "base.raw"));
    EXPECT_TRUE(options.Set("backing_fmt", "raw"));
  }
  const Status created = kQcow2Format.create(path, options);
  EXPECT_TRUE(created) << created.error().message();
  return path;
}

struct Operation {
  Op op = Op::kRead;
  bool packed = false;
  uint64_t offset = 0, length = 0;
  bool fua = false, may_unmap = false;
  std::vector<uint8_t> bytes{};
};

// Bytes that do not compress, quickly: pieces of the same 64 KiB, in random order.
void FillWithNoise(std::mt19937* random, std::vector<uint8_t>* bytes) {
  static const std::vector<uint8_t> noise = [] {
    std::mt19937 source(1);
    std::vector<uint8_t> made(128 << 10);
    for (uint8_t& byte : made) byte = static_cast<uint8_t>(source());
    return made;
  }();
  constexpr size_t kPiece = 64 << 10;
  for (size_t at = 0; at < bytes->size(); at += kPiece) {
    const size_t count = std::min(kPiece, bytes->size() - at);
    std::copy_n(noise.begin() + static_cast<ptrdiff_t>((*random)() % kPiece), count,
                bytes->begin() + static_cast<ptrdiff_t>(at));
  }
}

Operation Draw(std::mt19937* random, uint64_t from, uint64_t end, uint64_t cluster) {
  const auto below = [&](uint64_t limit) {
    return std::uniform_int_distribution<uint64_t>(0, limit - 1)(*random);
  };
  Operation drawn;
  const uint64_t unit = below(3) == 0 ? cluster : below(2) ? 512 : 1;
  drawn.offset = from + below((end - from) / unit) * unit;
  drawn.length = std::min(end - drawn.offset, (1 + below(below(4) == 0 ? 300'000 : 40'000) / unit) * unit);
  drawn.fua = below(8) == 0;
  drawn.may_unmap = below(2) == 0;
  static constexpr Op kOps[] = {Op::kRead,  Op::kRead,    Op::kWrite,      Op::kWrite,
                                Op::kWrite, Op::kDiscard, Op::kWriteZeroes};
  drawn.op = kOps[below(std::size(kOps))];
  if (drawn.op == Op::kWrite || drawn.op == Op::kRead) {
    drawn.bytes.assign(drawn.length, 0x5a);
    if (below(2) == 0) FillWithNoise(random, &drawn.bytes);
  }
  if (drawn.op == Op::kWrite && below(6) == 0) {
    drawn.packed = true;
    drawn.offset -= drawn.offset % cluster;
    if (drawn.offset < from) drawn.packed = false;
  }
  return drawn;
}

class Qcow2ModelRun {
 public:
  Qcow2ModelRun(std::string path, bool version2_backed)
      : path_(std::move(path)), discards_keep_(version2_backed) {
    Reopen();
  }

  void Reopen() {
    image_.reset();
    auto opened = OpenImage(path_, "qcow2", {.writable = true, .no_flush = true, .discard_unmap = true});
    ASSERT_TRUE(opened) << opened.error().message();
    image_ = *std::move(opened);
  }
  void Close() { image_.reset(); }
  Image* image() { return image_.get(); }
  uint64_t cluster() { return *dynamic_cast<FormatImage*>(image())->Info().cluster_size_bytes; }

  void Do(Operation operation, std::vector<uint8_t>* model) {
    const auto at = model->begin() + static_cast<ptrdiff_t>(operation.offset);
    auto* format = dynamic_cast<FormatImage*>(image());
    if (operation.packed) {
      if (operation.offset + cluster() > model->size()) return;
      operation.bytes.resize(cluster(), 0x11);
      std::vector<uint8_t> packed(cluster());
      const size_t size = format->Pack(operation.bytes, packed);
      if (size == 0) return;
      const int error = format->WritePacked(operation.offset, {packed.data(), size});
      if (error == EIO || error == ENOTSUP) return;  // It has content already.
      ASSERT_EQ(error, 0);
      std::copy(operation.bytes.begin(), operation.bytes.end(), at);
      return;
    }
    const size_t cut = operation.bytes.size() / 3;
    const iovec pieces[] = {{operation.bytes.data(), cut},
                            {operation.bytes.data() + cut, operation.bytes.size() - cut}};
    Request request{.op = operation.op,
                    .fua = operation.fua,
                    .may_unmap = operation.may_unmap,
                    .offset = operation.offset,
                    .length = operation.length};
    if (!operation.bytes.empty()) request.pieces = pieces;
    ASSERT_EQ(image()->Perform(request), 0) << static_cast<int>(operation.op);
    switch (operation.op) {
      case Op::kRead:
        ASSERT_TRUE(std::equal(operation.bytes.begin(), operation.bytes.end(), at));
        break;
      case Op::kWrite:
        std::copy(operation.bytes.begin(), operation.bytes.end(), at);
        break;
      case Op::kWriteZeroes:
        std::fill_n(at, operation.length, 0);
        break;
      case Op::kDiscard: {
        // Whole clusters read as zeroes, what is left of others stays.
        if (discards_keep_) break;
        const uint64_t end = operation.offset + operation.length;
        const uint64_t first = (operation.offset + cluster() - 1) / cluster() * cluster();
        const uint64_t last = end == model->size() ? end : end / cluster() * cluster();
        if (first < last) std::fill_n(model->begin() + static_cast<ptrdiff_t>(first), last - first, 0);
        break;
      }
      default:
        break;
    }
  }

  void ExpectSame(const std::vector<uint8_t>& model) {
    std::vector<uint8_t> all(model.size());
    ASSERT_EQ(Read(image(), 0, all), 0);
    const auto different = std::mismatch(all.begin(), all.end(), model.begin()).first;
    ASSERT_EQ(different, all.end()) << "at " << different - all.begin();
  }

 private:
  const std::string path_;
  const bool discards_keep_;
  std::unique_ptr<Image> image_;
};

void ExpectSoundForOthers(const ScratchDir& scratch, const std::string& path,
                          const std::vector<uint8_t>& model) {
  EXPECT_EQ(RunQemuImg("check -f qcow2 " + path), 0);
  const std::string raw =
      scratch.Write("model.raw", {reinterpret_cast<const char*>(model.data()), model.size()});
  EXPECT_EQ(RunQemuImg("compare -f qcow2 -F raw " + path + " " + raw), 0);
}

TEST_P(Qcow2Model, BehavesLikeAnArray) {
  const Case& tested = GetParam();
  const ScratchDir scratch;
  std::mt19937 random(7);
  std::vector<uint8_t> model;
  const std::string path = CreateImage(scratch, tested, &model, &random);
  Qcow2ModelRun run(path, tested.backed && std::string_view(tested.options).starts_with("compat=0.10"));
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 90; ++i) {
      run.Do(Draw(&random, 0, model.size(), run.cluster()), &model);
      if (i % 40 == 0) {
        ASSERT_EQ(Flush(run.image()), 0);
      }
      if (HasFatalFailure()) return;
    }
    run.ExpectSame(model);
    if (HasFatalFailure()) return;
    run.Close();
    ExpectSoundForOthers(scratch, path, model);
    run.Reopen();
    if (HasFatalFailure()) return;
    run.ExpectSame(model);
    const auto report = dynamic_cast<FormatImage*>(run.image())->Check({});
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_EQ(report->corruptions + report->leaks + report->errors, 0u)
        << (report->messages.empty() ? "" : report->messages[0]);
  }
}

// Each thread has a part of the disk of its own, whose borders are inside clusters.
TEST_P(Qcow2Model, BehavesLikeAnArrayForManyThreads) {
  const Case& tested = GetParam();
  const ScratchDir scratch;
  std::mt19937 random(8);
  std::vector<uint8_t> model;
  const std::string path = CreateImage(scratch, tested, &model, &random);
  Qcow2ModelRun run(path, tested.backed && std::string_view(tested.options).starts_with("compat=0.10"));
  constexpr uint64_t kThreads = 4;
  const uint64_t lane = model.size() / kThreads / 512 * 512 + 512;
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 own(static_cast<unsigned>(i));
      const uint64_t end = std::min<uint64_t>((i + 1) * lane, model.size());
      for (int k = 0; k < 120 && !HasFatalFailure(); ++k) {
        Operation operation = Draw(&own, i * lane, end, 512);
        if (operation.op == Op::kDiscard || operation.packed) operation = {.op = Op::kFlush};
        run.Do(std::move(operation), &model);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  run.ExpectSame(model);
  run.Close();
  ExpectSoundForOthers(scratch, path, model);
}

}  // namespace
}  // namespace berth::block
