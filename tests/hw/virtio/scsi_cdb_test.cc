#include "hw/virtio/scsi_cdb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::hw {
namespace {

using testing::ElementsAre;

ScsiResult<ScsiCommand> Parse(const ScsiCdb& cdb, uint8_t sets = kDiskCommands | kThinDiskCommands) {
  return ParseCdb(sets, cdb);
}

TEST(ScsiCdb, FindsTheFieldsOfEachLength) {
  const auto six = Parse({0x08, 0x1f, 0x02, 0x03, 0x04});
  EXPECT_EQ(six->operation, ScsiOperation::kRead);
  EXPECT_EQ(six->block, 0x1f0203u);
  EXPECT_EQ(six->count, 4u);
  const auto ten = Parse({0x2a, 0x08, 1, 2, 3, 4, 0, 5, 6});
  EXPECT_EQ(ten->operation, ScsiOperation::kWrite);
  EXPECT_EQ(ten->block, 0x01020304u);
  EXPECT_EQ(ten->count, 0x0506u);
  EXPECT_TRUE(ten->fua);
  const auto twelve = Parse({0xa8, 0, 1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(twelve->count, 0x05060708u);
  EXPECT_FALSE(twelve->fua);
  const auto sixteen = Parse({0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  EXPECT_EQ(sixteen->block, 0x0102030405060708u);
  EXPECT_EQ(sixteen->count, 0x090a0b0cu);
}

// SBC-3, 5.8: "A TRANSFER LENGTH field set to zero specifies that 256 logical blocks shall be read."
TEST(ScsiCdb, NoBlocksOfASixByteCommandAre256) {
  EXPECT_EQ(Parse({0x08})->count, 256u);
  EXPECT_EQ(Parse({0x28})->count, 0u);
}

TEST(ScsiCdb, WhatIsNotThereIsRefusedAsUnknown) {
  // RESERVE and RELEASE (6) and (10), PERSISTENT RESERVE IN and OUT, MODE SELECT (6) and (10), FORMAT UNIT.
  for (uint8_t code : {0x16, 0x17, 0x56, 0x57, 0x5e, 0x5f, 0x15, 0x55, 0x04, 0xff})
    EXPECT_EQ(Parse({code}).error(), sense::kInvalidOperationCode) << int{code};
  EXPECT_EQ(Parse({0x43}).error(), sense::kInvalidOperationCode) << "READ TOC of a disk";
  EXPECT_EQ(Parse({0x2a}, kCdRomCommands).error(), sense::kInvalidOperationCode) << "WRITE to a CD-ROM";
  EXPECT_EQ(Parse({0x42}, kDiskCommands).error(), sense::kInvalidOperationCode) << "UNMAP without discard";
  EXPECT_EQ(Parse({0x9e, 0x12}).error(), sense::kInvalidFieldInCdb) << "GET LBA STATUS";
}

TEST(ScsiCdb, WhatIsAskedForAndNotDoneIsRefused) {
  EXPECT_EQ(Parse({0x28, 0x20}).error(), sense::kInvalidFieldInCdb) << "RDPROTECT";
  EXPECT_EQ(Parse({0x2f, 0x02}).error(), sense::kInvalidFieldInCdb) << "BYTCHK";
  EXPECT_EQ(Parse({0x93, 0x10}).error(), sense::kInvalidFieldInCdb) << "ANCHOR";
  EXPECT_EQ(Parse({0x03, 0x01}).error(), sense::kInvalidFieldInCdb) << "sense data in descriptors";
  EXPECT_EQ(Parse({0x00, 0, 0, 0, 0, 0x04}).error(), sense::kInvalidFieldInCdb) << "NACA";
}

// What REPORT SUPPORTED OPERATION CODES says of one command.
std::vector<uint8_t> Report(uint8_t option, uint8_t code, uint8_t action = 0) {
  const auto command = Parse({0xa3, 0x0c, option, code, 0, action, 0, 0, 1, 0});
  EXPECT_TRUE(command);
  const auto data = ReportOperationCodes(kDiskCommands, *command);
  return data ? *data : std::vector<uint8_t>{data.error().key, data.error().code};
}

TEST(ScsiCdb, CommandsAreReported) {
  EXPECT_THAT(Report(1, 0x28),
              ElementsAre(0, 3, 0, 10, 0x28, 0x1e, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0));
  EXPECT_THAT(Report(1, 0x5e), ElementsAre(0, 1, 0, 0)) << "PERSISTENT RESERVE IN is not supported";
  EXPECT_THAT(Report(1, 0x42), ElementsAre(0, 1, 0, 0)) << "of a disk that does not discard";
  EXPECT_EQ(Report(2, 0x9e, 0x10)[1], 3);
  EXPECT_EQ(Report(3, 0x9e, 0x11)[1], 1);
  EXPECT_THAT(Report(1, 0x9e), ElementsAre(5, 0x24)) << "it has service actions";
  EXPECT_THAT(Report(4, 0x28), ElementsAre(5, 0x24));
  const std::vector<uint8_t> all = Report(0, 0);
  EXPECT_EQ(all.size() % 8, 4u);
  EXPECT_EQ(all[2] << 8 | all[3], static_cast<int>(all.size()) - 4);
}

}  // namespace
}  // namespace berth::hw
