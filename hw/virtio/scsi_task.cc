#include "hw/virtio/scsi_task.h"

#include <algorithm>

#include "hw/virtio/chain.h"

namespace berth::hw {
namespace {

struct [[gnu::packed]] RequestHeader {
  ScsiLun lun;
  uint64_t id;
  uint8_t task_attribute;
  uint8_t priority;
  uint8_t crn;
};
static_assert(sizeof(RequestHeader) == 19);

struct [[gnu::packed]] ResponseHeader {
  uint32_t sense_len = 0;
  uint32_t resid = 0;
  uint16_t status_qualifier = 0;
  uint8_t status = 0;
  uint8_t response = 0;
};
static_assert(sizeof(ResponseHeader) == 12);

}  // namespace

ScsiTask::Found ScsiTask::Begin(const GuestMemory* memory, const ScsiSizes& sizes) {
  memory_ = memory;
  sizes_ = sizes;
  response_ = ScsiResponse::kOk;
  status_ = ScsiStatus::kGood;
  sense_ = {};
  received_ = sent_ = data_out_bytes_ = data_in_bytes_ = 0;
  revoked_ = false;
  cdb_ = {};
  command = {};
  offset = length = 0;
  fua = may_unmap = false;
  ranges.clear();
  next_range = 0;

  const uint64_t response_bytes = sizeof(ResponseHeader) + sizes_.sense;
  const uint64_t readable = chain.readable_bytes(), writable = chain.writable_bytes();
  vector.clear();
  if (writable < response_bytes || !AppendPieces(*memory, chain.writable, 0, response_bytes, &vector))
    return Found::kBroken;
  data_in_bytes_ = writable - response_bytes;

  RequestHeader header;
  const uint64_t request_bytes = sizeof(header) + sizes_.cdb;
  const size_t cdb_bytes = std::min<size_t>(sizes_.cdb, cdb_.size());
  if (readable < request_bytes || !LoadChain(*memory, chain.readable, 0, &header) ||
      !ReadChain(*memory, chain.readable, sizeof(header), std::span(cdb_).first(cdb_bytes))) {
    response_ = ScsiResponse::kFailure;
    return Found::kNonsense;
  }
  data_out_bytes_ = readable - request_bytes;
  lun_ = header.lun;
  id_ = header.id;
  return Found::kCommand;
}

bool ScsiTask::ReadData(std::span<uint8_t> bytes) const {
  return ReadChain(*memory_, chain.readable, sizeof(RequestHeader) + sizes_.cdb, bytes);
}

bool ScsiTask::UseData(bool to_device, uint64_t bytes) {
  vector.clear();
  if (!AppendPieces(*memory_, to_device ? chain.readable : chain.writable,
                    to_device ? sizeof(RequestHeader) + sizes_.cdb : sizeof(ResponseHeader) + sizes_.sense,
                    bytes, &vector)) {
    return false;
  }
  pieces = vector;
  length = bytes;
  return true;
}

void ScsiTask::Answer(std::span<const uint8_t> data, uint64_t limit) {
  const size_t bytes = std::min<uint64_t>(data.size(), limit);
  if (bytes > data_in_bytes_) return Respond(ScsiResponse::kOverrun);
  if (!WriteChain(*memory_, chain.writable, sizeof(ResponseHeader) + sizes_.sense, data.first(bytes)))
    return Respond(ScsiResponse::kFailure);
  Sent(bytes);
}

void ScsiTask::Fail(const ScsiSense& why) {
  status_ = ScsiStatus::kCheckCondition;
  sense_ = why;
}

void ScsiTask::Respond(ScsiResponse response) { response_ = response; }

void ScsiTask::Revoke(ScsiResponse response) {
  revoked_ = true;
  response_ = response;
}

uint32_t ScsiTask::Finish() {
  pattern = {};  // A task is used again, and few need any.
  const bool responds = response_ == ScsiResponse::kOk;
  const bool good = responds && status_ == ScsiStatus::kGood;
  const uint64_t sent = good ? sent_ : 0, received = good ? received_ : 0;
  ResponseHeader header;
  header.status = responds ? static_cast<uint8_t>(status_) : 0;
  header.response = static_cast<uint8_t>(response_);
  header.sense_len = responds && !good ? std::min<uint32_t>(kSenseBytes, sizes_.sense) : 0;
  header.resid = static_cast<uint32_t>(
      std::min<uint64_t>(data_out_bytes_ - received + data_in_bytes_ - sent, UINT32_MAX));

  std::array<uint8_t, sizeof(header) + kMaxScsiFieldSize> bytes{};
  std::copy_n(reinterpret_cast<const uint8_t*>(&header), sizeof(header), bytes.begin());
  const auto fixed = FixedSense(sense_);
  std::copy_n(fixed.begin(), header.sense_len, bytes.begin() + sizeof(header));
  const size_t size = sizeof(header) + sizes_.sense;
  // Begin has seen that there is room, in RAM, which stays.
  CHECK(WriteChain(*memory_, chain.writable, 0, std::span(bytes).first(size)));
  return static_cast<uint32_t>(std::min<uint64_t>(size + sent, UINT32_MAX));
}

}  // namespace berth::hw
