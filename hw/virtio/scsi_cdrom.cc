#include "hw/virtio/scsi_cdrom.h"

#include <algorithm>

#include "base/bytes.h"

namespace berth::hw {
namespace {

using Data = std::vector<uint8_t>;

// A disc has one session of one data track.
constexpr uint8_t kTrack = 1, kLeadOut = 0xaa, kDataTrack = 0x14;

// 80 minutes of 75 blocks a second; what is larger is a DVD.
constexpr uint64_t kMaxCdBlocks = 80 * 60 * 75;
constexpr uint16_t kCdRomProfile = 0x0008, kDvdRomProfile = 0x0010;

uint16_t ProfileOf(const ScsiFacts& facts) {
  return facts.blocks <= kMaxCdBlocks ? kCdRomProfile : kDvdRomProfile;
}

// Of a block: its number, or minute, second and frame.
void AddAddress(uint64_t block, bool msf, Data* data) {
  constexpr uint64_t kFramesASecond = 75, kLeadIn = 2 * kFramesASecond, kMaxMinute = 255;
  uint8_t bytes[4] = {};
  if (msf) {
    const uint64_t frame = block + kLeadIn, second = frame / kFramesASecond;
    bytes[1] = static_cast<uint8_t>(std::min(second / 60, kMaxMinute));
    bytes[2] = static_cast<uint8_t>(second % 60);
    bytes[3] = static_cast<uint8_t>(frame % kFramesASecond);
  } else {
    StoreBe(bytes, static_cast<uint32_t>(std::min<uint64_t>(block, UINT32_MAX)));
  }
  data->insert(data->end(), bytes, bytes + 4);
}

void AddTrack(uint8_t track, uint64_t block, bool msf, Data* data) {
  data->insert(data->end(), {0, kDataTrack, track, 0});
  AddAddress(block, msf, data);
}

// A feature descriptor (5.2.2), of features that are always there.
struct Feature {
  uint16_t code;
  uint8_t flags;  // Version, persistent, current.
  Data parameters;
};

std::vector<Feature> Features(uint16_t current_profile) {
  constexpr uint8_t kPersistent = 0x02, kCurrent = 0x01, kScsiFamily = 1;
  constexpr uint8_t kTray = 0x20, kEjects = 0x08, kLocks = 0x01;
  constexpr uint8_t kAlways = kPersistent | kCurrent;
  const auto current = [&](uint16_t profile) { return uint8_t{profile == current_profile}; };
  const uint8_t readable = current_profile != 0 ? kCurrent : 0;
  return {
      {0x0000, kAlways, {0, 0x10, current(kDvdRomProfile), 0, 0, 0x08, current(kCdRomProfile), 0}},
      {0x0001, kAlways, {0, 0, 0, kScsiFamily}},               // Core
      {0x0003, kAlways, {kTray | kEjects | kLocks, 0, 0, 0}},  // Removable medium
      {0x0010, readable, {0, 0, 0x08, 0, 0, 1, 0, 0}},         // Random readable: 2048 bytes, one by one
  };
}

}  // namespace

ScsiResult<bool> CdRomDrive::StartStop(const ScsiCommand& command) {
  constexpr uint8_t kLoadEject = 2, kStart = 1;
  if (!(command.cdb[4] & kLoadEject)) return false;
  const bool opens = !(command.cdb[4] & kStart);
  if (opens && locked) return tl::make_unexpected(sense::kRemovalPrevented);
  if (opens == open) return false;
  open = opens;
  event = opens ? Event::kMediumRemoved : Event::kNewMedium;
  return !opens;
}

// 6.25.
ScsiResult<Data> ReadToc(const ScsiFacts& facts, const ScsiCommand& command) {
  constexpr uint8_t kMsf = 2, kFormatToc = 0, kFormatSessions = 1;
  const bool msf = (command.cdb[1] & kMsf) != 0;
  const uint8_t format = command.cdb[2] & 0x0f, from = command.cdb[6];
  Data data = {0, 0, kTrack, kTrack};
  if (format == kFormatToc && (from <= kTrack || from == kLeadOut)) {
    if (from <= kTrack) AddTrack(kTrack, 0, msf, &data);
    AddTrack(kLeadOut, facts.blocks, msf, &data);
  } else if (format == kFormatSessions) {
    AddTrack(kTrack, 0, msf, &data);
  } else {
    return tl::make_unexpected(sense::kInvalidFieldInCdb);
  }
  StoreBe(data.data(), static_cast<uint16_t>(data.size() - 2));
  return data;
}

// 6.5.
Data GetConfiguration(const ScsiFacts& facts, const CdRomDrive& drive, const ScsiCommand& command) {
  constexpr uint8_t kAll = 0, kOnlyCurrent = 1;
  const uint8_t wanted = command.cdb[1] & 3;
  const auto from = LoadBe<uint16_t>(&command.cdb[2]);
  const uint16_t profile = drive.open ? 0 : ProfileOf(facts);
  Data data(8);
  for (const Feature& feature : Features(profile)) {
    const bool fits = wanted == kAll           ? feature.code >= from
                      : wanted == kOnlyCurrent ? feature.code >= from && (feature.flags & 1)
                                               : feature.code == from;
    if (!fits) continue;
    const auto code = static_cast<uint8_t>(feature.code);
    data.insert(data.end(), {0, code, feature.flags, static_cast<uint8_t>(feature.parameters.size())});
    data.insert(data.end(), feature.parameters.begin(), feature.parameters.end());
  }
  StoreBe(data.data(), static_cast<uint32_t>(data.size() - 4));
  StoreBe(&data[6], profile);
  return data;
}

// 6.6. Only whoever polls is told, and of media.
ScsiResult<Data> GetEventStatusNotification(CdRomDrive* drive, const ScsiCommand& command) {
  constexpr uint8_t kPolled = 1, kMedia = 4, kMediaBit = 1 << kMedia, kNoEventAvailable = 0x80;
  constexpr uint8_t kOpen = 1, kPresent = 2;
  if (!(command.cdb[1] & kPolled)) return tl::make_unexpected(sense::kInvalidFieldInCdb);
  if (!(command.cdb[4] & kMediaBit)) return Data{0, 2, kNoEventAvailable, kMediaBit};
  const auto event = static_cast<uint8_t>(drive->event);
  drive->event = CdRomDrive::Event::kNone;
  return Data{0, 6, kMedia, kMediaBit, event, drive->open ? kOpen : kPresent, 0, 0};
}

// 6.21: a disc that is complete.
ScsiResult<Data> ReadDiscInformation(const ScsiCommand& command) {
  constexpr uint8_t kComplete = 0x0e, kUnrestricted = 0x20;
  constexpr uint8_t kDataType = 0x07;
  if (command.cdb[1] & kDataType) return tl::make_unexpected(sense::kInvalidFieldInCdb);
  Data data(34);
  StoreBe(data.data(), static_cast<uint16_t>(data.size() - 2));
  data[2] = kComplete;
  data[3] = kTrack;  // The first on the disc,
  data[4] = 1;       // of so many sessions,
  data[5] = kTrack;  // and the first and last of the last session.
  data[6] = kTrack;
  data[7] = kUnrestricted;
  return data;
}

// 6.9.
Data MechanismStatus(const CdRomDrive& drive) {
  constexpr uint8_t kDoorOpen = 0x10;
  Data data(8);
  data[1] = drive.open ? kDoorOpen : 0;
  data[5] = 1;  // Slots.
  return data;
}

}  // namespace berth::hw
