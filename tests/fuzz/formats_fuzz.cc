// Images of foreign formats made of anything: opened, checked, repaired, read and written. Each begins as a
// good one, of which the input changes some bytes.
#include <array>
#include <map>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "block/driver.h"
#include "block/format_image.h"
#include "block/open.h"
#include "tests/fakes/fake_crypto.h"
#include "tests/fakes/made_images.h"
#include "tests/fakes/memory_image.h"
#include "tests/fakes/scratch_dir.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/use_image.h"

namespace berth::block {
namespace {

constexpr uint64_t kMaxFileBytes = 24 << 20;

struct Seed {
  const char* format;
  const char* options;
  bool filled = true;
  const char* open_options = "";
};
constexpr Seed kSeeds[] = {
    {"vmdk", ""},
    {"vmdk", "zeroed_grain=on"},
    {"vmdk", "subformat=streamOptimized"},
    {"vmdk", "subformat=streamOptimized", false},
    {"vmdk", "subformat=twoGbMaxExtentSparse"},
    {"vdi", ""},
    {"vpc", ""},
    {"vpc", "subformat=fixed"},
    {"vhdx", "block_size=1M"},
    {"qed", ""},
    {"parallels", ""},
    {"luks", "key-secret=s,iter-time=1,cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv", true,
     "key-secret=s"},
    {"qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1,encrypt.cipher-mode=cbc", true,
     "encrypt.key-secret=s"},
    {"qcow2", "encrypt.format=aes,encrypt.key-secret=s", true, "encrypt.key-secret=s"},
};

// Extents are whatever the input says as well: the same bytes as the image.
class SameGate final : public OpenGate {
 public:
  explicit SameGate(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}
  Result<std::unique_ptr<Image>> Open(std::string_view, std::string_view format, const OpenFlags&) override {
    if (format != kBytes) return Fail(Code::kPermissionDenied, "closed");
    return std::make_unique<MemoryImage>(bytes_, kMaxFileBytes);
  }

 private:
  const std::vector<uint8_t> bytes_;
};

std::vector<uint8_t> MakeGood(const Seed& seed) {
  if (std::string_view(seed.format) == "qed") return MakeQed();
  if (std::string_view(seed.format) == "parallels") return MakeParallels();
  const ScratchDir scratch;
  const Format* format = FindFormat(seed.format);
  CreateOptions options(format->create_options);
  CHECK(options.SetAll(seed.options) && options.Set("size", "3M"));
  CHECK(format->create(scratch / "a", options));
  if (seed.filled) {
    Options description = *ParseKeyValueOptions(seed.open_options);
    description["driver"] = seed.format;
    description["file.filename"] = scratch / "a";
    auto image = *OpenImage(std::move(description), {.writable = true});
    const std::vector<uint8_t> some(65536, 7);
    (void)Write(image.get(), 0, some);
    (void)Write(image.get(), 1 << 20, some);
    (void)Flush(image.get());
  }
  auto file = *OpenProtocol(scratch / "a", {});
  std::vector<uint8_t> bytes(file->size_bytes());
  CHECK(Read(file.get(), 0, bytes) == 0);
  return bytes;
}

std::vector<uint8_t> MakeImage(FuzzInput* input, const Seed** seed) {
  static std::map<size_t, std::vector<uint8_t>> made;
  const size_t index = input->Take<uint8_t>() % std::size(kSeeds);
  *seed = &kSeeds[index];
  if (!made.contains(index)) made[index] = MakeGood(kSeeds[index]);
  std::vector<uint8_t> bytes = made[index];
  if (input->Take<uint8_t>() % 8 == 0) bytes.resize(input->Take<uint32_t>() % (bytes.size() + 1));
  for (int patches = input->Take<uint8_t>() % 32; patches > 0; --patches) {
    // Near the front most of the time, at the end sometimes.
    const auto how = input->Take<uint8_t>();
    uint64_t where = input->Take<uint16_t>() % (how & 1 ? 1024 : 65536);
    if ((how & 6) == 6) where = bytes.size() > where ? bytes.size() - where : 0;
    if ((how & 14) == 8) where = where * 64;
    const auto patch = input->TakeBytes(1 + input->Take<uint8_t>() % 16);
    if (where + patch.size() > kMaxFileBytes) continue;
    if (where + patch.size() > bytes.size()) bytes.resize(where + patch.size());
    std::copy(patch.begin(), patch.end(), bytes.begin() + static_cast<ptrdiff_t>(where));
  }
  return bytes;
}

void Run(FuzzInput input) {
  static const FakeCrypto crypto;
  static const bool once = (SetCryptoLibrary(&crypto), DefineSecret("s", SecretBytes{'p', 'w'}).has_value());
  CHECK(once);
  const auto mode = input.Take<uint8_t>();
  const Seed* seed = nullptr;
  std::vector<uint8_t> bytes = MakeImage(&input, &seed);
  SameGate gate(bytes);
  OpenContext context{.file = std::make_unique<MemoryImage>(std::move(bytes), kMaxFileBytes),
                      .options = *ParseKeyValueOptions(seed->open_options),
                      .flags = {.writable = (mode & 1) != 0, .check = (mode & 2) != 0},
                      .gate = &gate};
  auto image = FindFormat(seed->format)->open(&context);
  if (!image) return;
  (void)(*image)->SpecificInfo();
  (void)(*image)->Info();
  if (mode & 4) (void)(*image)->Check({.leaks = (mode & 8) != 0, .corruptions = (mode & 16) != 0});
  UseImage(image->get(), &input);
  if ((mode & 32) && (mode & 1)) (void)(*image)->Resize(input.Take<uint16_t>() * 512, Preallocation::kOff);
  UseImage(image->get(), &input);
}

}  // namespace
}  // namespace berth::block

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::block::Run({data, size});
  return 0;
}
