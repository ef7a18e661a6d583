#include "hw/pci/bars.h"

#include "base/log.h"
#include "hw/pci/pci_registers.h"
#include "hw/pci/trace.h"

namespace berth::hw {
namespace {

constexpr uint64_t kRomEnable = 1, kRomAddressMask = ~uint64_t{0x7ff};
constexpr uint64_t kMinMemorySize = 16, kMinIoSize = 4, kMinRomSize = 2048;

// The bits of the register that hold the address; the lower ones say what kind it is.
uint64_t AddressMask(const BarRequest& request) {
  const uint64_t mask = ~(request.size - 1);
  return request.is_64bit ? mask : mask & AllOnes(4);
}

uint32_t KindBits(const BarRequest& request) {
  if (request.index == Bars::kRomIndex) return 0;
  if (request.io) return pci::kBarIo;
  return (request.is_64bit ? pci::kBar64 : 0) | (request.prefetchable ? pci::kBarPrefetchable : 0);
}

}  // namespace

void Bars::Define(const BarRequest& request, Region* region) {
  const bool rom = request.index == kRomIndex;
  CHECK(request.index < kCount && IsPowerOfTwo(request.size) && region->size() >= request.size);
  CHECK(request.size >= (rom ? kMinRomSize : request.io ? kMinIoSize : kMinMemorySize));
  CHECK(!request.is_64bit || (!rom && !request.io && request.index < 5));
  CHECK(request.is_64bit || request.size <= 2 * kGiB);
  CHECK(bars_[request.index].region == nullptr && !PlaceOf(0x10 + 4 * request.index).high);
  bars_[request.index].request = request;
  bars_[request.index].region = region;
  requests_.push_back(request);
}

Bars::Place Bars::PlaceOf(uint16_t offset) const {
  if (offset >= pci::kRomBar) return {kRomIndex, false};
  const unsigned index = (offset - pci::kBar0) / 4u;
  if (index > 0 && index < kRomIndex && bars_[index - 1].request.is_64bit) return {index - 1, true};
  return {index, false};
}

uint32_t Bars::ReadDword(uint16_t offset) const {
  const Place place = PlaceOf(offset);
  const Bar& bar = bars_[place.index];
  if (bar.region == nullptr) return 0;
  if (place.high) return static_cast<uint32_t>(bar.value >> 32);
  return static_cast<uint32_t>(bar.value) | KindBits(bar.request);
}

uint32_t Bars::ReadConfig(uint16_t offset, unsigned size) const {
  return static_cast<uint32_t>((ReadDword(offset) >> (8 * (offset % 4))) & AllOnes(size));
}

void Bars::WriteConfig(uint16_t offset, unsigned size, uint32_t value) {
  const Place place = PlaceOf(offset);
  Bar& bar = bars_[place.index];
  if (bar.region == nullptr) return;
  uint8_t bytes[4];
  StoreLe<uint32_t>(bytes, ReadDword(offset));
  for (unsigned i = 0; i < size && offset % 4 + i < 4; ++i) {
    bytes[offset % 4 + i] = static_cast<uint8_t>(value >> (8 * i));
  }
  const uint32_t dword = LoadLe<uint32_t>(bytes);
  bar.sizing[place.high] = dword == AllOnes(4);
  uint64_t mask = AddressMask(bar.request);
  if (place.index == kRomIndex) mask |= kRomEnable;
  const uint64_t whole =
      place.high ? (bar.value & AllOnes(4)) | uint64_t{dword} << 32 : (bar.value & ~AllOnes(4)) | dword;
  bar.value = whole & mask;
}

Region& Bars::Container(const Bar& bar) const { return bar.request.io ? slot_->io() : slot_->memory(); }

std::optional<uint64_t> Bars::WantedAddress(const Bar& bar, unsigned index, bool decode_memory,
                                            bool decode_io) const {
  if (bar.region == nullptr || !(bar.request.io ? decode_io : decode_memory)) return std::nullopt;
  if (index == kRomIndex && (bar.value & kRomEnable) == 0) return std::nullopt;
  if (bar.sizing[0] || (bar.request.is_64bit && bar.sizing[1])) return std::nullopt;
  const uint64_t at = address(index);
  if (at == 0 || !Range{0, Container(bar).size()}.Contains(at, bar.request.size)) return std::nullopt;
  return at;
}

void Bars::Update(bool decode_memory, bool decode_io) {
  std::array<std::optional<uint64_t>, kCount> wanted;
  bool memory_changes = false, io_changes = false;
  for (unsigned i = 0; i < kCount; ++i) {
    const Bar& bar = bars_[i];
    wanted[i] = WantedAddress(bar, i, decode_memory, decode_io);
    const std::optional<uint64_t> now = bar.mapped ? std::optional(bar.mapped_at) : std::nullopt;
    if (wanted[i] != now) (bar.request.io ? io_changes : memory_changes) = true;
  }
  auto apply = [&](AddressSpace& space, bool io) {
    AddressSpace::Transaction transaction(space);
    for (unsigned i = 0; i < kCount; ++i) {
      Bar& bar = bars_[i];
      if (bar.request.io != io || !bar.mapped || wanted[i] == bar.mapped_at) continue;
      trace::pci_bar_unmapped(this, i, bar.mapped_at);
      Container(bar).Remove(bar.region);
      bar.mapped = false;
    }
    for (unsigned i = 0; i < kCount; ++i) {
      Bar& bar = bars_[i];
      if (bar.request.io != io || bar.mapped || !wanted[i]) continue;
      trace::pci_bar_mapped(this, i, *wanted[i], bar.request.size);
      Container(bar).Add(bar.region, *wanted[i]);
      bar.mapped = true;
      bar.mapped_at = *wanted[i];
    }
    // Only RAM can fail, and a BAR shows RAM only as a ROM: the guest then traps on its accesses instead.
    if (const Status mapped = transaction.Commit(); !mapped) {
      LOG_WARNING_LIMITED("cannot map a BAR: {}", mapped.error().message());
    }
  };
  if (memory_changes) apply(slot_->memory_space(), false);
  if (io_changes) apply(slot_->io_space(), true);
}

void Bars::Reset() {
  for (Bar& bar : bars_) {
    bar.value = 0;
    bar.sizing[0] = bar.sizing[1] = false;
  }
  Update(false, false);
}

uint64_t Bars::address(unsigned index) const {
  return index == kRomIndex ? bars_[index].value & kRomAddressMask : bars_[index].value;
}

}  // namespace berth::hw
