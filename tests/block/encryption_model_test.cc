// Random operations on encrypted images beside an array of what must come of them; qemu-img, which shares no
// code with us, says whether it reads the same. Then the other way round.
#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "block/crypto/openssl.h"
#include "block/crypto/secret.h"
#include "block/driver.h"
#include "block/format_image.h"
#include "block/open.h"
#include "tests/fakes/scratch_dir.h"

namespace berth::block {
namespace {

constexpr uint64_t kDiskBytes = (3 << 20) + 512 * 3;

struct Case {
  const char* name;
  const char* format;
  const char* options;
};

class EncryptionModel : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() {
    UseOpenSsl();
    (void)DefineSecret("s", {'p', 'w'});
  }
};

INSTANTIATE_TEST_SUITE_P(
    Images, EncryptionModel,
    testing::Values(Case{"luks", "luks", ""}, Case{"luks_essiv", "luks", "cipher-mode=cbc,ivgen-alg=essiv"},
                    Case{"luks_short_key", "luks", "cipher-alg=aes-128,ivgen-alg=plain,hash-alg=sha512"},
                    Case{"qcow2_luks", "qcow2", "encrypt.format=luks"},
                    Case{"qcow2_luks_small", "qcow2",
                         "encrypt.format=luks,cluster_size=512,refcount_bits=64"},
                    Case{"qcow2_luks_subclusters", "qcow2", "encrypt.format=luks,extended_l2=on"},
                    Case{"qcow2_luks_preallocated", "qcow2", "encrypt.format=luks,preallocation=falloc"},
                    Case{"qcow2_aes", "qcow2", "encrypt.format=aes"},
                    Case{"qcow2_aes_version2", "qcow2", "encrypt.format=aes,compat=0.10,cluster_size=4k"}),
    [](const auto& tested) { return std::string(tested.param.name); });

std::string_view Prefix(const Case& tested) {
  return std::string_view(tested.format) == "luks" ? "" : "encrypt.";
}

std::unique_ptr<Image> OpenForWriting(const std::string& path, const Case& tested) {
  auto opened = OpenImage(Options{{"driver", tested.format},
                                  {"file.filename", path},
                                  {fmt::format("{}key-secret", Prefix(tested)), "s"}},
                          {.writable = true, .no_flush = true});
  EXPECT_TRUE(opened) << opened.error().message();
  return opened ? *std::move(opened) : nullptr;
}

std::string OptionsText(const Case& tested) {
  std::string text = fmt::format("{}key-secret=s", Prefix(tested));
  if (std::string_view(tested.options).find("aes,") == std::string_view::npos &&
      std::string_view(tested.options) != "encrypt.format=aes") {
    text += fmt::format(",{}iter-time=1", Prefix(tested));
  }
  if (*tested.options) text += std::string(",") + tested.options;
  return text;
}

// What qemu-img is told to find the image.
std::string Description(const std::string& path, const Case& tested) {
  return fmt::format("driver={},{}key-secret=s,file.filename={}", tested.format, Prefix(tested), path);
}

int RunQemuImg(const std::string& arguments) {
  return std::system(("qemu-img " + arguments + " >/dev/null 2>&1").c_str());
}

void Operate(Image* image, std::mt19937* random, uint64_t from, uint64_t end, std::vector<uint8_t>* model) {
  const auto below = [&](uint64_t limit) { return (*random)() % limit; };
  const uint64_t unit = below(2) ? 512 : 1;
  const uint64_t offset = from + below((end - from + unit - 1) / unit) * unit;
  const uint64_t length = std::min(end - offset, (1 + below(below(4) == 0 ? 300'000 : 5'000) / unit) * unit);
  const auto at = model->begin() + static_cast<ptrdiff_t>(offset);
  std::vector<uint8_t> bytes(length);
  const auto what = below(7);
  if (what < 2) {
    const iovec pieces[] = {{bytes.data(), length / 3}, {bytes.data() + length / 3, length - length / 3}};
    ASSERT_EQ(image->Perform({.op = Op::kRead, .offset = offset, .length = length, .pieces = pieces}), 0);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), at)) << "at " << offset << " of " << length;
  } else if (what < 5) {
    const auto first = (*random)();
    for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<uint8_t>(first + i * i / 7);
    ASSERT_EQ(Write(image, offset, bytes), 0);
    std::copy(bytes.begin(), bytes.end(), at);
  } else if (what == 5) {
    ASSERT_EQ(WriteZeroes(image, offset, length, below(2) == 0), 0);
    std::fill_n(at, length, 0);
  } else {
    ASSERT_EQ(Flush(image), 0);
  }
}

TEST_P(EncryptionModel, BehavesLikeAnArrayForManyThreadsAndForOthers) {
  const Case& tested = GetParam();
  const ScratchDir scratch;
  const std::string path = scratch / "image";
  const Format* format = FindFormat(tested.format);
  CreateOptions options(format->create_options);
  ASSERT_TRUE(options.SetAll(OptionsText(tested)) && options.Set("size", std::to_string(kDiskBytes)));
  const Status created = format->create(path, options);
  ASSERT_TRUE(created) << created.error().message();
  std::vector<uint8_t> model(kDiskBytes);
  {
    const auto image = OpenForWriting(path, tested);
    ASSERT_NE(image, nullptr);
    // A new luks is noise; what qcow2 has not allocated is zeroes.
    if (std::string_view(tested.format) == "luks") {
      ASSERT_EQ(WriteZeroes(image.get(), 0, kDiskBytes, true), 0);
    }
    constexpr uint64_t kThreads = 3, kLane = kDiskBytes / kThreads + 100;
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        std::mt19937 random(static_cast<unsigned>(i));
        const uint64_t end = std::min((i + 1) * kLane, kDiskBytes);
        for (int k = 0; k < 100 && !HasFatalFailure(); ++k)
          Operate(image.get(), &random, i * kLane, end, &model);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const auto image = OpenForWriting(path, tested);
  std::vector<uint8_t> all(kDiskBytes);
  ASSERT_EQ(Read(image.get(), 0, all), 0);
  ASSERT_TRUE(all == model);
  const std::string raw = scratch.Write("raw", {reinterpret_cast<const char*>(model.data()), model.size()});
  const std::string secret = "--object secret,id=s,data=pw --image-opts ";
  EXPECT_EQ(
      RunQemuImg("compare -U " + secret + Description(path, tested) + " driver=raw,file.filename=" + raw), 0);
  const int checked = RunQemuImg("check -U " + secret + Description(path, tested));
  EXPECT_TRUE(checked == 0 || checked == 63 << 8) << checked;  // 63: there is no check for it.
}

// Fewer, for qemu-img measures how fast it is each time.
class EncryptedByOthers : public EncryptionModel {};

INSTANTIATE_TEST_SUITE_P(Images, EncryptedByOthers,
                         testing::Values(Case{"luks_essiv", "luks", "cipher-mode=cbc,ivgen-alg=essiv"},
                                         Case{"qcow2_luks", "qcow2", "encrypt.format=luks"},
                                         Case{"qcow2_aes", "qcow2", "encrypt.format=aes"}),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST_P(EncryptedByOthers, AreRead) {
  const Case& tested = GetParam();
  const ScratchDir scratch;
  std::mt19937 random(9);
  std::vector<uint8_t> content(kDiskBytes);
  for (size_t i = 0; i < 100'000; ++i) content[kDiskBytes - 150'000 + i] = static_cast<uint8_t>(random());
  const std::string raw =
      scratch.Write("raw", {reinterpret_cast<const char*>(content.data()), content.size()});
  // It measures its own speed, and gives up where the time it took cannot be told.
  const auto convert = [&] {
    return RunQemuImg("convert --object secret,id=s,data=pw -f raw -O " + std::string(tested.format) +
                      " -o " + OptionsText(tested) + " " + raw + " " + scratch / "image");
  };
  int status = convert();
  for (int attempt = 1; status != 0 && attempt < 20; ++attempt) status = convert();
  ASSERT_EQ(status, 0);
  const auto image = OpenForWriting(scratch / "image", tested);
  ASSERT_NE(image, nullptr);
  std::vector<uint8_t> all(kDiskBytes);
  ASSERT_EQ(Read(image.get(), 0, all), 0);
  EXPECT_TRUE(all == content);
}

}  // namespace
}  // namespace berth::block
