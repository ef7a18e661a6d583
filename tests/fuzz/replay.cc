// Runs a fuzzer's code without libFuzzer: over the files named, or over a fixed sequence of pseudo-random
// inputs.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kInputs = 2000;
constexpr size_t kMaxSize = 1024;

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) return std::fprintf(stderr, "cannot read %s\n", argv[i]), 1;
    const std::vector<char> input{std::istreambuf_iterator<char>(file), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }
  if (argc > 1) return 0;
  std::mt19937 random(1);  // The same numbers everywhere.
  std::vector<uint8_t> input;
  for (int i = 0; i < kInputs; ++i) {
    input.resize(random() % kMaxSize);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%d inputs\n", kInputs);
}
