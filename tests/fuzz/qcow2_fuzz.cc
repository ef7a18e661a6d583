// qcow2 images made of anything: opened, checked, repaired, read and written. Sparse, so that a few bytes of
// input can say where in a large file they are.
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "block/bitmap.h"
#include "block/driver.h"
#include "block/format_image.h"
#include "block/qcow2/format.h"
#include "tests/fakes/memory_image.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/use_image.h"

namespace berth::block {
namespace {

constexpr uint64_t kMaxFileBytes = 4 << 20;

class NoGate final : public OpenGate {
  Result<std::unique_ptr<Image>> Open(std::string_view, std::string_view, const OpenFlags&) override {
    return Fail(Code::kPermissionDenied, "closed");
  }
};

// A small image with a header that is mostly right, and whatever else the input says, where it says.
std::vector<uint8_t> MakeImage(FuzzInput* input) {
  const auto shape = input->Take<uint8_t>();
  const uint32_t bits = 9 + shape % 6;
  const uint64_t cluster = uint64_t{1} << bits;
  std::vector<uint8_t> bytes(6 * cluster);
  StoreBe<uint32_t>(&bytes[0], qcow2::kMagic);
  StoreBe<uint32_t>(&bytes[4], shape & 0x40 ? 2 : 3);
  StoreBe<uint32_t>(&bytes[20], bits);
  StoreBe<uint64_t>(&bytes[24], 40 * cluster);
  StoreBe<uint32_t>(&bytes[36], 4);
  StoreBe<uint64_t>(&bytes[40], 3 * cluster);
  StoreBe<uint64_t>(&bytes[48], cluster);
  StoreBe<uint32_t>(&bytes[56], 1);
  if (!(shape & 0x40)) {
    StoreBe<uint32_t>(&bytes[96], 4);
    StoreBe<uint32_t>(&bytes[100], 104);
    if (shape & 0x80) StoreBe<uint64_t>(&bytes[72], qcow2::kExtendedL2);
  }
  StoreBe<uint64_t>(&bytes[cluster], 2 * cluster);
  for (int i = 0; i < 5; ++i) StoreBe<uint16_t>(&bytes[2 * cluster + i * 2], 1);
  StoreBe<uint64_t>(&bytes[3 * cluster], 4 * cluster | qcow2::kCopied);
  for (int patches = input->Take<uint8_t>() % 32; patches > 0; --patches) {
    const uint64_t where =
        input->Take<uint8_t>() % 7 * cluster + input->Take<uint8_t>() * (input->Take<uint8_t>() & 1 ? 8 : 1);
    const auto patch = input->TakeBytes(1 + input->Take<uint8_t>() % 16);
    if (where + patch.size() > kMaxFileBytes) continue;
    if (where + patch.size() > bytes.size()) bytes.resize(where + patch.size());
    std::copy(patch.begin(), patch.end(), bytes.begin() + static_cast<ptrdiff_t>(where));
  }
  return bytes;
}

void Run(FuzzInput input) {
  NoGate gate;
  const auto mode = input.Take<uint8_t>();
  OpenContext context{.file = std::make_unique<MemoryImage>(MakeImage(&input), kMaxFileBytes),
                      .flags = {.writable = (mode & 1) != 0, .check = (mode & 2) != 0},
                      .gate = &gate};
  auto image = kQcow2Format.open(&context);
  if (!image) return;
  (void)(*image)->SpecificInfo();
  if (mode & 4) (void)(*image)->Check({.leaks = (mode & 8) != 0, .corruptions = (mode & 16) != 0});
  UseImage(image->get(), &input);
  if ((mode & 32) && (mode & 1)) (void)(*image)->Resize(input.Take<uint16_t>() * 512, Preallocation::kOff);
  auto* bitmaps = dynamic_cast<BitmapStore*>(image->get());
  for (const BitmapInfo& info : bitmaps->Bitmaps()) (void)bitmaps->DirtyRanges(info.name);
  if (mode & 64) (void)bitmaps->AddBitmap({.name = "b", .granularity_bytes = 512});
  if (mode & 128) (void)bitmaps->RemoveBitmap("a");
  auto* store = dynamic_cast<SnapshotStore*>(image->get());
  for (int i = 0; i < 4 && !input.empty(); ++i) {
    const auto what = input.Take<uint8_t>();
    const SnapshotKey key{.id = std::to_string(1 + what / 4 % 4)};
    if (what % 4 == 0) (void)store->CreateSnapshot({.name = "s", .vm_state_bytes = what});
    if (what % 4 == 1) (void)store->ApplySnapshot(key);
    if (what % 4 == 2) (void)store->DeleteSnapshot(key);
    if (what % 4 == 3) (void)store->ViewSnapshot(key);
    UseImage(image->get(), &input);
  }
}

}  // namespace
}  // namespace berth::block

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  berth::block::Run({data, size});
  return 0;
}
