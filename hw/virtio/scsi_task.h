// One command of a driver, from the chain it came in to its response. VIRTIO 1.2 section 5.6.6.1.
//
// Everything in the chain is the guest's: the header is copied once and only the copy is looked at.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "block/node.h"
#include "hw/virtio/queue.h"
#include "hw/virtio/scsi_cdb.h"

namespace berth::hw {

using ScsiLun = std::array<uint8_t, 8>;  // As in every request; 5.6.6.1.

enum class ScsiResponse : uint8_t {
  kOk = 0,
  kOverrun = 1,
  kAborted = 2,
  kBadTarget = 3,
  kReset = 4,
  kFailure = 9,
  // Of task management.
  kFunctionSucceeded = 10,
  kFunctionRejected = 11,
  kIncorrectLun = 12,
};

enum class ScsiStatus : uint8_t { kGood = 0, kCheckCondition = 2 };

// Sizes that the driver may choose (5.6.4), of the CDB and of the sense data in each request.
struct ScsiSizes {
  uint32_t cdb = 32;
  uint32_t sense = 96;
};
inline constexpr uint32_t kMaxScsiFieldSize = 256;

class ScsiTask : public block::Request {
 public:
  DescriptorChain chain;
  void* owner = nullptr;  // Of the device, as the next.
  size_t place = 0;

  // Looks at the chain. `memory` outlives the task's work.
  enum class Found {
    kCommand,
    kNonsense,  // To be answered as it is.
    kBroken,    // There is no room for a response: the driver is not to be reasoned with.
  };
  Found Begin(const GuestMemory* memory, const ScsiSizes& sizes);

  const ScsiLun& lun() const { return lun_; }
  uint64_t id() const { return id_; }
  const ScsiCdb& cdb() const { return cdb_; }
  uint64_t data_out_bytes() const { return data_out_bytes_; }
  uint64_t data_in_bytes() const { return data_in_bytes_; }

  // The first bytes of what the driver sends; false if there are fewer, or they are not in RAM.
  [[nodiscard]] bool ReadData(std::span<uint8_t> bytes) const;
  // `pieces` becomes the first bytes of the data, to or from the device; else false.
  [[nodiscard]] bool UseData(bool to_device, uint64_t bytes);

  // How it ends. Unless this is said it is GOOD, and no data was used: so much of what the driver sent, or to
  // be read by it.
  void Received(uint64_t bytes) { received_ = bytes; }
  void Sent(uint64_t bytes) { sent_ = bytes; }
  // Sends `data`, at most `limit` bytes, the ALLOCATION LENGTH. What the driver has no room for is an
  // overrun.
  void Answer(std::span<const uint8_t> data, uint64_t limit);
  void Fail(const ScsiSense& why);
  void Respond(ScsiResponse response);
  // A task management function ends it, whatever becomes of it: from now on this is the response.
  void Revoke(ScsiResponse response);
  bool revoked() const { return revoked_; }

  // Writes the response, and returns what VirtQueue::Push wants to know.
  uint32_t Finish();

  ScsiStatus status() const { return status_; }
  const ScsiSense& sense() const { return sense_; }
  ScsiResponse response() const { return response_; }

  // For who carries it out.
  ScsiCommand command;
  std::vector<Range> ranges;     // In bytes, that are left to do,
  size_t next_range = 0;         // from this one on.
  std::vector<uint8_t> pattern;  // What WRITE SAME writes.
  std::vector<iovec> vector;

 private:
  const GuestMemory* memory_ = nullptr;
  ScsiSizes sizes_;
  ScsiLun lun_{};
  uint64_t id_ = 0;
  ScsiCdb cdb_{};
  uint64_t data_out_bytes_ = 0, data_in_bytes_ = 0;

  ScsiResponse response_ = ScsiResponse::kOk;
  ScsiStatus status_ = ScsiStatus::kGood;
  ScsiSense sense_;
  uint64_t received_ = 0, sent_ = 0;
  bool revoked_ = false;
};

}  // namespace berth::hw
