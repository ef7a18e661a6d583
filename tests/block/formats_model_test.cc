// Random operations on images of foreign formats beside an array of what must come of them, with closing and
// opening in between; qemu-img, which shares no code with us, says whether what is on the disk is sound and
// reads the same. Then the other way round: what qemu-img writes, we read.
#include <algorithm>
#include <cstdlib>
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
  const char* format;
  const char* options = "";
  bool backed = false;
  uint64_t size = (5 << 20) + 512 * 3;
};

class FormatsModel : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(
    Images, FormatsModel,
    testing::Values(Case{"vmdk", "vmdk"}, Case{"vmdk_flat", "vmdk", "subformat=monolithicFlat"},
                    Case{"vmdk_split", "vmdk", "subformat=twoGbMaxExtentSparse"},
                    Case{"vmdk_split_flat", "vmdk", "subformat=twoGbMaxExtentFlat"},
                    Case{"vmdk_zeroed_grains", "vmdk", "zeroed_grain=on"},
                    Case{"vmdk_backed", "vmdk", "", true},
                    Case{"vmdk_backed_zeroed_grains", "vmdk", "zeroed_grain=on", true}, Case{"vdi", "vdi"},
                    Case{"vdi_static", "vdi", "static=on"}, Case{"vpc", "vpc"},
                    Case{"vpc_exact", "vpc", "force_size=on"}, Case{"vpc_fixed", "vpc", "subformat=fixed"},
                    Case{"vhdx", "vhdx", "block_size=1M"}, Case{"vhdx_fixed", "vhdx", "subformat=fixed"},
                    Case{"vhdx_unmarked", "vhdx", "block_state_zero=off,block_size=2M"}),
    [](const auto& tested) { return std::string(tested.param.name); });

int RunQemuImg(const std::string& arguments) {
  return std::system(("qemu-img " + arguments + " >/dev/null 2>&1").c_str());
}

void Fill(std::mt19937* random, std::vector<uint8_t>* bytes) {
  const auto first = (*random)();
  for (size_t i = 0; i < bytes->size(); ++i) (*bytes)[i] = static_cast<uint8_t>(first + i * i / 7);
}

Status CreateImage(const std::string& path, const Case& tested, const std::string& backing) {
  const Format* format = FindFormat(tested.format);
  CreateOptions options(format->create_options);
  TRY(options.SetAll(tested.options));
  TRY(options.Set("size", std::to_string(tested.size)));
  if (!backing.empty()) {
    TRY(options.Set("backing_file", backing));
    TRY(options.Set("backing_fmt", tested.format));
  }
  return format->create(path, options);
}

std::unique_ptr<Image> OpenForWriting(const std::string& path, const Case& tested) {
  auto opened = OpenImage(path, tested.format, {.writable = true, .no_flush = true});
  EXPECT_TRUE(opened) << opened.error().message();
  return opened ? *std::move(opened) : nullptr;
}

// The image under test, made with all it stands on, and its content.
std::string Make(const ScratchDir& scratch, const Case& tested, std::mt19937* random,
                 std::vector<uint8_t>* model) {
  model->assign(tested.size, 0);
  std::string backing;
  if (tested.backed) {
    backing = "base.img";
    EXPECT_TRUE(CreateImage(scratch / backing, tested, ""));
    const auto base = OpenForWriting(scratch / backing, tested);
    model->resize(base->size_bytes());
    std::vector<uint8_t> bytes(model->size() / 2);
    Fill(random, &bytes);
    EXPECT_EQ(Write(base.get(), 70'000, bytes), 0);
    std::copy(bytes.begin(), bytes.end(), model->begin() + 70'000);
  }
  const Status created = CreateImage(scratch / "image", tested, backing);
  EXPECT_TRUE(created) << created.error().message();
  const auto image = OpenForWriting(scratch / "image", tested);
  model->resize(image->size_bytes());
  return scratch / "image";
}

void Operate(Image* image, std::mt19937* random, uint64_t from, uint64_t end, std::vector<uint8_t>* model) {
  const auto below = [&](uint64_t limit) { return (*random)() % limit; };
  const uint64_t unit = below(3) == 0 ? 65536 : below(2) ? 512 : 1;
  const uint64_t offset = from + below((end - from + unit - 1) / unit) * unit;
  const uint64_t length = std::min(end - offset, (1 + below(below(4) == 0 ? 300'000 : 40'000) / unit) * unit);
  const auto at = model->begin() + static_cast<ptrdiff_t>(offset);
  std::vector<uint8_t> bytes(length);
  const auto what = below(8);
  if (what < 3) {
    const iovec pieces[] = {{bytes.data(), length / 3}, {bytes.data() + length / 3, length - length / 3}};
    ASSERT_EQ(image->Perform({.op = Op::kRead, .offset = offset, .length = length, .pieces = pieces}), 0);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), at)) << "at " << offset << " of " << length;
  } else if (what < 6) {
    Fill(random, &bytes);
    const iovec pieces[] = {{bytes.data(), length / 2}, {bytes.data() + length / 2, length - length / 2}};
    ASSERT_EQ(image->Perform(
                  {.op = Op::kWrite, .fua = what == 5, .offset = offset, .length = length, .pieces = pieces}),
              0);
    std::copy(bytes.begin(), bytes.end(), at);
  } else if (what == 6) {
    ASSERT_EQ(WriteZeroes(image, offset, length, below(2) == 0), 0);
    std::fill_n(at, length, 0);
  } else {
    ASSERT_EQ(Flush(image), 0);
  }
}

void ExpectSame(Image* image, const std::vector<uint8_t>& model) {
  std::vector<uint8_t> all(model.size());
  ASSERT_EQ(Read(image, 0, all), 0);
  const auto different = std::mismatch(all.begin(), all.end(), model.begin()).first;
  ASSERT_EQ(different, all.end()) << "at " << different - all.begin();
}

void ExpectSoundForOthers(const ScratchDir& scratch, const std::string& path, const Case& tested,
                          const std::vector<uint8_t>& model) {
  const std::string raw =
      scratch.Write("model.raw", {reinterpret_cast<const char*>(model.data()), model.size()});
  const int checked = RunQemuImg("check -f " + std::string(tested.format) + " " + path);
  EXPECT_TRUE(checked == 0 || checked == 63 << 8) << checked;  // 63: qemu-img has no check for it.
  EXPECT_EQ(RunQemuImg("compare -f " + std::string(tested.format) + " -F raw " + path + " " + raw), 0);
}

TEST_P(FormatsModel, BehavesLikeAnArray) {
  const Case& tested = GetParam();
  const ScratchDir scratch;
  std::mt19937 random(7);
  std::vector<uint8_t> model;
  const std::string path = Make(scratch, tested, &random, &model);
  for (int round = 0; round < 4; ++round) {
    {
      const auto image = OpenForWriting(path, tested);
      ASSERT_NE(image, nullptr);
      for (int i = 0; i < 60; ++i) {
        Operate(image.get(), &random, 0, model.size(), &model);
        if (HasFatalFailure()) return;
      }
      ExpectSame(image.get(), model);
      if (HasFatalFailure()) return;
    }
    ExpectSoundForOthers(scratch, path, tested, model);
    const auto image = OpenForWriting(path, tested);
    ExpectSame(image.get(), model);
    const auto report = dynamic_cast<FormatImage*>(image.get())->Check({});
    if (report) {
      EXPECT_EQ(report->corruptions + report->leaks + report->errors, 0u);
    } else {
      EXPECT_EQ(report.error().code(), Code::kUnimplemented);
    }
  }
}

// Each thread has a part of the disk of its own, whose borders are inside blocks.
TEST_P(FormatsModel, BehavesLikeAnArrayForManyThreads) {
  const Case& tested = GetParam();
  const ScratchDir scratch;
  std::mt19937 random(8);
  std::vector<uint8_t> model;
  const std::string path = Make(scratch, tested, &random, &model);
  {
    const auto image = OpenForWriting(path, tested);
    ASSERT_NE(image, nullptr);
    constexpr uint64_t kThreads = 4;
    const uint64_t lane = model.size() / kThreads / 512 * 512 + 512;
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        std::mt19937 own(static_cast<unsigned>(i));
        const uint64_t end = std::min<uint64_t>((i + 1) * lane, model.size());
        for (int k = 0; k < 80 && !HasFatalFailure(); ++k) Operate(image.get(), &own, i * lane, end, &model);
      });
    }
    for (std::thread& thread : threads) thread.join();
    ExpectSame(image.get(), model);
  }
  ExpectSoundForOthers(scratch, path, tested, model);
}

TEST_P(FormatsModel, ReadsWhatOthersWrite) {
  const Case& tested = GetParam();
  if (tested.backed) return;
  const ScratchDir scratch;
  std::mt19937 random(9);
  std::vector<uint8_t> content(tested.size), piece(100'000);
  for (int i = 0; i < 8; ++i) {
    Fill(&random, &piece);
    const uint64_t at = random() % (content.size() - piece.size());
    std::copy(piece.begin(), piece.end(), content.begin() + static_cast<ptrdiff_t>(at));
  }
  const std::string raw =
      scratch.Write("raw", {reinterpret_cast<const char*>(content.data()), content.size()});
  const std::string options = *tested.options ? std::string(" -o ") + tested.options : "";
  ASSERT_EQ(RunQemuImg("convert -f raw -O " + std::string(tested.format) + options + " " + raw + " " +
                       scratch / "image"),
            0);
  const auto image = OpenForWriting(scratch / "image", tested);
  ASSERT_NE(image, nullptr);
  content.resize(image->size_bytes());
  ExpectSame(image.get(), content);
}

}  // namespace
}  // namespace berth::block
