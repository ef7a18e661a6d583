// Rules of blkdebug made of anything, and requests under those that are sound.
#include "block/blkdebug.h"
#include "tests/fakes/memory_image.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth::block;
  auto rules = ParseDebugRules({reinterpret_cast<const char*>(data), size});
  if (!rules) return 0;
  DebugImage image(std::make_unique<MemoryImage>(std::vector<uint8_t>(8192)), *std::move(rules));
  std::vector<uint8_t> bytes(600);
  for (int i = 0; i < 3; ++i) {
    (void)Read(&image, 500, bytes);
    (void)Write(&image, 500, bytes);
    (void)WriteZeroes(&image, 0, 512, true);
    (void)Flush(&image);
  }
  return 0;
}
