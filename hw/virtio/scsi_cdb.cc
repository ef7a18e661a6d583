#include "hw/virtio/scsi_cdb.h"

#include <algorithm>

#include "base/bytes.h"

namespace berth::hw {
namespace {

// A big-endian field of a CDB.
struct Field {
  uint8_t at = 0;
  uint8_t bytes = 0;
};

constexpr int8_t kNoAction = -1;

struct Entry {
  uint8_t code;
  int8_t action;  // SERVICE ACTION, in byte 1.
  uint8_t bytes;  // Of the CDB.
  ScsiOperation operation;
  uint8_t sets;
  uint8_t byte1;  // The bits of it that have a meaning here.
  uint8_t byte2;  // The same, for what REPORT SUPPORTED OPERATION CODES says.
  Field block, count;
};

using enum ScsiOperation;

constexpr uint8_t kUnits = kDiskCommands | kCdRomCommands, kAll = kUnits | kTargetCommands;
// DPO and FUA; RARC and FUA_NV, which say what may be ignored.
constexpr uint8_t kFua = 0x08, kTransfer = 0x10 | kFua | 0x04 | 0x02;
constexpr uint8_t kDpo = 0x10, kImmediate = 0x02, kImmediate6 = 0x01, kActionMask = 0x1f;

constexpr Entry kEntries[] = {
    {0x00, kNoAction, 6, kTestUnitReady, kUnits, 0, 0, {}, {}},
    {0x03, kNoAction, 6, kRequestSense, kAll, 0, 0, {}, {4, 1}},
    {0x08, kNoAction, 6, kRead, kDiskCommands, 0x1f, 0, {1, 3}, {4, 1}},
    {0x0a, kNoAction, 6, kWrite, kDiskCommands, 0x1f, 0, {1, 3}, {4, 1}},
    {0x12, kNoAction, 6, kInquiry, kAll, 0x01, 0xff, {}, {3, 2}},
    {0x1a, kNoAction, 6, kModeSense6, kUnits, 0x08, 0xff, {}, {4, 1}},
    {0x1b, kNoAction, 6, kStartStopUnit, kUnits, kImmediate6, 0, {}, {}},
    {0x1e, kNoAction, 6, kPreventAllowMediumRemoval, kCdRomCommands, 0, 0, {}, {}},
    {0x25, kNoAction, 10, kReadCapacity10, kUnits, 0, 0, {}, {}},
    {0x28, kNoAction, 10, kRead, kUnits, kTransfer, 0, {2, 4}, {7, 2}},
    {0x2a, kNoAction, 10, kWrite, kDiskCommands, kTransfer, 0, {2, 4}, {7, 2}},
    {0x2f, kNoAction, 10, kVerify, kUnits, kDpo, 0, {2, 4}, {7, 2}},
    {0x35, kNoAction, 10, kSynchronizeCache, kUnits, kImmediate | 0x04, 0, {2, 4}, {7, 2}},
    {0x41, kNoAction, 10, kWriteSame, kDiskCommands, 0x08, 0, {2, 4}, {7, 2}},
    {0x42, kNoAction, 10, kUnmap, kThinDiskCommands, 0, 0, {}, {7, 2}},
    {0x43, kNoAction, 10, kReadToc, kCdRomCommands, 0x02, 0x0f, {}, {7, 2}},
    {0x46, kNoAction, 10, kGetConfiguration, kCdRomCommands, 0x03, 0xff, {}, {7, 2}},
    {0x4a, kNoAction, 10, kGetEventStatusNotification, kCdRomCommands, 0x01, 0, {}, {7, 2}},
    {0x51, kNoAction, 10, kReadDiscInformation, kCdRomCommands, 0x07, 0, {}, {7, 2}},
    {0x5a, kNoAction, 10, kModeSense10, kUnits, 0x18, 0xff, {}, {7, 2}},
    {0x88, kNoAction, 16, kRead, kDiskCommands, kTransfer, 0, {2, 8}, {10, 4}},
    {0x8a, kNoAction, 16, kWrite, kDiskCommands, kTransfer, 0, {2, 8}, {10, 4}},
    {0x8f, kNoAction, 16, kVerify, kDiskCommands, kDpo, 0, {2, 8}, {10, 4}},
    {0x91, kNoAction, 16, kSynchronizeCache, kDiskCommands, kImmediate | 0x04, 0, {2, 8}, {10, 4}},
    {0x93, kNoAction, 16, kWriteSame, kDiskCommands, 0x09, 0, {2, 8}, {10, 4}},
    {0x9e, 0x10, 16, kReadCapacity16, kDiskCommands, kActionMask, 0, {}, {10, 4}},
    {0xa0, kNoAction, 12, kReportLuns, kAll, 0, 0xff, {}, {6, 4}},
    {0xa3, 0x0c, 12, kReportSupportedOperationCodes, kUnits, kActionMask, 0x87, {}, {6, 4}},
    {0xa8, kNoAction, 12, kRead, kUnits, kTransfer, 0, {2, 4}, {6, 4}},
    {0xaa, kNoAction, 12, kWrite, kDiskCommands, kTransfer, 0, {2, 4}, {6, 4}},
    {0xbd, kNoAction, 12, kMechanismStatus, kCdRomCommands, 0, 0, {}, {8, 2}},
};

uint64_t Load(const ScsiCdb& cdb, Field field) {
  uint64_t value = 0;
  for (uint8_t i = 0; i < field.bytes; ++i) value = value << 8 | cdb[field.at + i];
  return value;
}

const Entry* Find(uint8_t sets, uint8_t code, int action) {
  const auto* const found = std::find_if(std::begin(kEntries), std::end(kEntries), [&](const Entry& entry) {
    return entry.code == code && (entry.sets & sets) != 0 &&
           (entry.action == kNoAction || entry.action == action);
  });
  return found == std::end(kEntries) ? nullptr : found;
}

bool HasActions(uint8_t sets, uint8_t code) {
  return std::any_of(std::begin(kEntries), std::end(kEntries), [&](const Entry& entry) {
    return entry.code == code && (entry.sets & sets) != 0 && entry.action != kNoAction;
  });
}

// Which bits of the CDB mean something (6.33.3, CDB USAGE DATA).
ScsiCdb UsageOf(const Entry& entry) {
  ScsiCdb usage{};
  for (const Field& field : {entry.block, entry.count}) {
    std::fill_n(usage.begin() + field.at, field.bytes, static_cast<uint8_t>(0xff));
  }
  usage[0] = entry.code;
  usage[1] = entry.action == kNoAction ? entry.byte1 : static_cast<uint8_t>(entry.action);
  usage[2] |= entry.byte2;
  return usage;
}

std::vector<uint8_t> AllCommands(uint8_t sets) {
  constexpr uint8_t kServiceActionValid = 1;
  std::vector<uint8_t> data(4);
  for (const Entry& entry : kEntries) {
    if ((entry.sets & sets) == 0) continue;
    const bool has_action = entry.action != kNoAction;
    const auto action = static_cast<uint8_t>(has_action ? entry.action : 0);
    const uint8_t valid = has_action ? kServiceActionValid : 0;
    data.insert(data.end(), {entry.code, 0, 0, action, 0, valid, 0, entry.bytes});
  }
  StoreBe(data.data(), static_cast<uint32_t>(data.size() - 4));
  return data;
}

}  // namespace

ScsiResult<ScsiCommand> ParseCdb(uint8_t command_sets, const ScsiCdb& cdb) {
  constexpr uint8_t kNormalAca = 0x04;  // Of CONTROL, the last byte.
  const Entry* const entry = Find(command_sets, cdb[0], cdb[1] & kActionMask);
  if (entry == nullptr) {
    return tl::make_unexpected(HasActions(command_sets, cdb[0]) ? sense::kInvalidFieldInCdb
                                                                : sense::kInvalidOperationCode);
  }
  if ((cdb[1] & ~entry->byte1) != 0 || (cdb[entry->bytes - 1] & kNormalAca) != 0) {
    return tl::make_unexpected(sense::kInvalidFieldInCdb);
  }
  ScsiCommand command{.operation = entry->operation,
                      .block = Load(cdb, entry->block),
                      .count = static_cast<uint32_t>(Load(cdb, entry->count)),
                      .fua = entry->byte1 == kTransfer && (cdb[1] & kFua) != 0,
                      .cdb = cdb};
  // SBC-3, 5.8 and 5.31: none is 256 here.
  const bool transfers = command.operation == kRead || command.operation == kWrite;
  if (transfers && entry->bytes == 6 && command.count == 0) command.count = 256;
  return command;
}

ScsiResult<std::vector<uint8_t>> ReportOperationCodes(uint8_t command_sets, const ScsiCommand& command) {
  constexpr uint8_t kOptionAll = 0, kOptionCode = 1, kOptionCodeAndAction = 2, kOptionEither = 3;
  constexpr uint8_t kNotSupported = 1, kSupported = 3;
  const uint8_t option = command.cdb[2] & 7, code = command.cdb[3];
  const auto action = LoadBe<uint16_t>(&command.cdb[4]);
  if (option == kOptionAll) return AllCommands(command_sets);
  const bool has_actions = HasActions(command_sets, code);
  if (option > kOptionEither || (option == kOptionCode && has_actions) ||
      (option == kOptionCodeAndAction && !has_actions)) {
    return tl::make_unexpected(sense::kInvalidFieldInCdb);
  }
  const Entry* const entry = Find(command_sets, code, action);
  std::vector<uint8_t> data(4);
  data[1] = entry == nullptr ? kNotSupported : kSupported;
  if (entry == nullptr) return data;
  data[3] = entry->bytes;
  const ScsiCdb usage = UsageOf(*entry);
  data.insert(data.end(), usage.begin(), usage.begin() + entry->bytes);
  return data;
}

}  // namespace berth::hw
