#include "vfio/edid.h"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"

namespace berth::vfio {
namespace {

using Edid = std::array<uint8_t, kEdidBytes>;

// 3.10.2, 3.10.3: where the four descriptors are.
constexpr size_t kFirstDescriptor = 54, kDescriptorBytes = 18;
// VESA CVT 1.2, 3.4: reduced blanking. Pixels, lines, microseconds.
constexpr uint32_t kBlankPixels = 160, kFrontPixels = 48, kSyncPixels = 32;
constexpr uint32_t kFrontLines = 3, kSyncLines = 6, kRefresh = 60;
constexpr double kLeastBlankUs = 460;

uint32_t BlankLines(uint32_t height) {
  const double line_us = (1e6 / kRefresh - kLeastBlankUs) / height;
  return std::max(static_cast<uint32_t>(kLeastBlankUs / line_us) + 1, kFrontLines + kSyncLines + 6);
}

// Millimetres at 96 pixels an inch.
uint32_t Millimetres(uint32_t pixels) { return pixels * 254 / 960; }

// 3.10.2. Of the 12 bits of two numbers, the upper four share a byte.
void PutTiming(uint8_t* at, const MonitorSize& size) {
  const uint32_t blank = BlankLines(size.height);
  const uint32_t clock = (size.width + kBlankPixels) * (size.height + blank) / 1000 * kRefresh / 10;
  const auto upper = [](uint32_t high, uint32_t low) {
    return static_cast<uint8_t>((high >> 8) << 4 | low >> 8);
  };
  StoreLe<uint16_t>(at, static_cast<uint16_t>(clock));  // In 10 kHz.
  at[2] = static_cast<uint8_t>(size.width);
  at[3] = kBlankPixels;
  at[4] = upper(size.width, kBlankPixels);
  at[5] = static_cast<uint8_t>(size.height);
  at[6] = static_cast<uint8_t>(blank);
  at[7] = upper(size.height, blank);
  at[8] = kFrontPixels;
  at[9] = kSyncPixels;
  at[10] = kFrontLines << 4 | kSyncLines;
  const uint32_t wide = Millimetres(size.width), high = Millimetres(size.height);
  at[12] = static_cast<uint8_t>(wide);
  at[13] = static_cast<uint8_t>(high);
  at[14] = upper(wide, high);
  at[17] = 0x1a;  // Digital, separate syncs, the horizontal one positive.
}

// 3.10.3: a text of at most 13 bytes, ended by a line feed.
void PutText(uint8_t* at, uint8_t tag, std::string_view text) {
  at[3] = tag;
  std::fill_n(at + 5, 13, ' ');
  std::copy(text.begin(), text.end(), at + 5);
  at[5 + text.size()] = '\n';
}

}  // namespace

Edid MakeEdid(const MonitorSize& preferred) {
  CHECK(preferred.width >= kMinMonitor.width && preferred.width <= kMaxMonitor.width);
  CHECK(preferred.height >= kMinMonitor.height && preferred.height <= kMaxMonitor.height);
  constexpr uint8_t kNameTag = 0xfc, kDummyTag = 0x10;
  // sRGB's red, green, blue and white.
  constexpr uint8_t kColours[] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
  Edid edid{};
  std::fill_n(&edid[1], 6, uint8_t{0xff});
  // Three letters of five bits, A is 1: "BRT".
  edid[8] = 2 << 2 | 18 >> 3;
  edid[9] = (18 & 7) << 5 | 20;
  edid[10] = 1;     // The product.
  edid[17] = 34;    // Of the year 1990 and these.
  edid[18] = 1;     // Version 1,
  edid[19] = 4;     // revision 4.
  edid[20] = 0xa5;  // Digital, 8 bits a colour, DisplayPort.
  edid[21] = static_cast<uint8_t>(Millimetres(preferred.width) / 10);
  edid[22] = static_cast<uint8_t>(Millimetres(preferred.height) / 10);
  edid[23] = 120;   // Gamma 2.2.
  edid[24] = 0x06;  // sRGB; the first timing is the monitor's own.
  std::copy(std::begin(kColours), std::end(kColours), &edid[25]);
  edid[35] = 0x21;                            // 640x480 and 800x600 at 60 Hz,
  edid[36] = 0x08;                            // 1024x768 at 60 Hz.
  std::fill_n(&edid[38], 16, uint8_t{0x01});  // No other.
  PutTiming(&edid[kFirstDescriptor], preferred);
  PutText(&edid[kFirstDescriptor + kDescriptorBytes], kNameTag, "Berth");
  for (size_t i : {2, 3}) edid[kFirstDescriptor + i * kDescriptorBytes + 3] = kDummyTag;
  edid[127] = static_cast<uint8_t>(-std::accumulate(edid.begin(), edid.end() - 1, 0));
  return edid;
}

}  // namespace berth::vfio
