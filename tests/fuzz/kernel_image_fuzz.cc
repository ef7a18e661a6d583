// Kernel images, bzImage and ELF, straight into guest memory: as bytes, and as a good image that was spoilt.
#include "hw/boot/loader.h"
#include "tests/fakes/fake_ram.h"
#include "tests/fakes/kernel_images.h"
#include "tests/fuzz/fuzz_input.h"

namespace berth::hw {
namespace {

constexpr uint64_t kRamSize = 20 * kMiB;
constexpr size_t kMaxPatches = 32;

enum Shape : uint8_t { kBytes, kBzImage, kElf, kShapes };

void Patch(KernelFile* file, FuzzInput* input) {
  for (size_t i = 0; i < kMaxPatches && !input->empty(); ++i) {
    // Headers are what is interesting.
    const size_t at = input->Take<uint16_t>() % std::min<size_t>(file->size(), 0x400);
    const auto bytes = input->TakeBytes(1 + input->Take<uint8_t>() % 8);
    std::copy(bytes.begin(),
              bytes.begin() + static_cast<ptrdiff_t>(std::min(bytes.size(), file->size() - at)),
              file->begin() + static_cast<ptrdiff_t>(at));
  }
}

KernelFile Kernel(FuzzInput* input) {
  const auto shape = input->Take<uint8_t>() % kShapes;
  if (shape == kBytes) {
    const auto bytes = input->TakeBytes(SIZE_MAX);
    return {bytes.begin(), bytes.end()};
  }
  KernelFile file = shape == kBzImage ? MakeBzImage(input->Take<uint16_t>()) : ElfKernel().File();
  file.resize(file.size() - input->Take<uint16_t>() % 64);
  Patch(&file, input);
  return file;
}

}  // namespace
}  // namespace berth::hw

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::hw;
  static FakeRam ram({{0, kRamSize}});
  berth::FuzzInput input(data, size);
  const KernelFile initrd(input.Take<uint16_t>());
  const std::string command_line(input.Take<uint16_t>(), 'x');
  const KernelFile kernel = Kernel(&input);
  SpanSource kernel_source(kernel), initrd_source(initrd);
  const auto entry =
      LoadBoot({.kernel = &kernel_source, .initrd = &initrd_source, .command_line = command_line},
               {.memory = &ram.memory(),
                .addresses = {.low_ram = {0, kRamSize}, .high_ram = {map::k4GiB, 0}, .mmio64 = {}},
                .rsdp_address = 0xe0000});
  // A refusal has a reason that reaches whoever asked for this kernel.
  if (!entry) CHECK(!entry.error().message().empty() && !entry.error().reason().empty());
  return 0;
}
