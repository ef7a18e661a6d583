#include "hw/virtio/scsi_target.h"

#include <algorithm>

#include "base/bytes.h"

namespace berth::hw {
namespace {

using Data = std::vector<uint8_t>;

ScsiResult<Data> ReportLuns(const ScsiCommand& command, uint32_t units) {
  constexpr uint8_t kWellKnown = 1, kEvery = 2;  // 0 is those that are addressed as units.
  constexpr size_t kHeaderBytes = 8, kLunBytes = 8, kLeastAllocation = 16;
  const uint8_t select = command.cdb[2];
  if (select > kEvery || command.count < kLeastAllocation)
    return tl::make_unexpected(sense::kInvalidFieldInCdb);
  const uint32_t listed = select == kWellKnown ? 0 : units;
  Data data(kHeaderBytes + listed * kLunBytes);
  StoreBe(data.data(), static_cast<uint32_t>(listed * kLunBytes));
  // Peripheral device addressing: what is below 256 is the second byte.
  for (uint32_t lun = 0; lun < listed; ++lun)
    data[kHeaderBytes + lun * kLunBytes + 1] = static_cast<uint8_t>(lun);
  return data;
}

// Only the standard data: a peripheral device that there is not, or the well known unit.
ScsiResult<Data> Inquiry(const ScsiAddress& address, const ScsiCommand& command) {
  constexpr uint8_t kNotSupported = 0x7f, kWellKnownUnit = 0x1e, kSpc4 = 6, kResponseFormat = 2;
  if (command.cdb[1] != 0 || command.cdb[2] != 0) return tl::make_unexpected(sense::kInvalidFieldInCdb);
  Data data(36);
  data[0] = address.kind == ScsiAddress::Kind::kReportLuns ? kWellKnownUnit : kNotSupported;
  data[2] = kSpc4;
  data[3] = kResponseFormat;
  data[4] = static_cast<uint8_t>(data.size() - 5);
  return data;
}

}  // namespace

ScsiAddress ParseLun(const ScsiLun& lun) {
  constexpr ScsiLun kReportLuns = {0xc1, 0x01};
  constexpr uint16_t kAddressMask = 0x3fff;  // The upper bits are the addressing method: peripheral or flat.
  if (lun == kReportLuns) return {ScsiAddress::Kind::kReportLuns, 0};
  if (lun[0] != 1 || lun[1] != 0) return {};
  return {ScsiAddress::Kind::kUnit, static_cast<uint32_t>(LoadBe<uint16_t>(&lun[2]) & kAddressMask)};
}

ScsiResult<Data> AnswerAsTarget(const ScsiAddress& address, const ScsiCdb& cdb, uint32_t units) {
  const bool is_unit = address.kind == ScsiAddress::Kind::kUnit;
  const ScsiResult<ScsiCommand> command = ParseCdb(kTargetCommands, cdb);
  if (!command) {
    const bool unknown = command.error() == sense::kInvalidOperationCode;
    return tl::make_unexpected(unknown && is_unit ? sense::kNoSuchUnit : command.error());
  }
  ScsiResult<Data> data;
  if (command->operation == ScsiOperation::kReportLuns) {
    data = ReportLuns(*command, units);
  } else if (command->operation == ScsiOperation::kInquiry) {
    data = Inquiry(address, *command);
  } else {  // REQUEST SENSE
    const auto fixed = FixedSense(is_unit ? sense::kNoSuchUnit : sense::kNone);
    data = Data(fixed.begin(), fixed.end());
  }
  if (data) data->resize(std::min<size_t>(data->size(), command->count));
  return data;
}

}  // namespace berth::hw
