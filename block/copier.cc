#include "block/copier.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/bytes.h"
#include "block/content.h"
#include "block/file_image.h"

namespace berth::block {
namespace {

constexpr uint64_t kSegmentBytes = 2 << 20;
// Read and written at once where nobody waits for a turn: small enough to be in the CPU's cache still.
constexpr uint64_t kPieceBytes = 256 << 10;
constexpr uint64_t kSectorBytes = 512;
// Compressed at once by one thread: small enough that all threads have something to do.
constexpr uint64_t kPackBytes = 512 << 10;

bool CopyRange(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t length) {
  auto in = static_cast<off64_t>(from_offset), out = static_cast<off64_t>(to_offset);
  while (length != 0) {
    const ssize_t copied = ::copy_file_range(from, &in, to, &out, length, 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied <= 0) return false;
    length -= static_cast<uint64_t>(copied);
  }
  return true;
}

}  // namespace

Copier::Copier(std::vector<Image*> sources, Image* target, CopyOptions options)
    : sources_(std::move(sources)),
      target_(target),
      target_format_(dynamic_cast<FormatImage*>(target)),
      options_(std::move(options)),
      // A raw image has its bytes where they are, whoever comes first.
      in_order_(options_.in_order && (target_format_ == nullptr || target_->driver() != "raw")) {
  for (const Image* source : sources_) size_ += source->size_bytes();
  if (options_.compress) cluster_bytes_ = target_format_->Info().cluster_size_bytes.value_or(64 << 10);
  if (target_format_ != nullptr && target_format_->backing() != nullptr) {
    backing_end_ = target_format_->backing()->size_bytes();
  }
}

Status Copier::Run() {
  const bool known = !options_.measure || MeasureWork();
  if (known) RunThreads();
  MutexLock lock(mutex_);
  return outcome_;
}

void Copier::RunThreads() {
  std::vector<std::thread> threads;
  for (int i = 1; i < options_.threads; ++i) threads.emplace_back([this] { Work(); });
  Work();
  for (std::thread& thread : threads) thread.join();
}

void Copier::Work() {
  Buffers buffers;
  Segment segment;
  while (Next(&segment)) {
    const bool good = Carry(segment, &buffers);
    EndTurn(segment.ticket);
    if (!good) return;
  }
}

// What is at `offset`: `skip` if nothing has to be done about it.
bool Copier::Classify(uint64_t offset, Segment* segment, bool* skip) {
  uint64_t start = 0;
  Image* source = nullptr;
  for (Image* candidate : sources_) {
    source = candidate;
    if (offset - start < candidate->size_bytes()) break;
    start += candidate->size_bytes();
  }
  const uint64_t left = source->size_bytes() - (offset - start);
  const auto status = options_.target_has_backing ? StatusOf(source, offset - start, left)
                                                  : StatusAbove(source, options_.base, offset - start, left);
  *segment = {.offset = offset};
  *skip = false;
  if (!status) {
    if (!options_.salvage) {
      GiveUp(Error(status.error().code(), fmt::format("error while reading block status at offset {}: {}",
                                                      offset, status.error().message())));
      return false;
    }
    segment->length = std::min(left, kSegmentBytes);
    return true;
  }
  segment->length = status->length;
  const bool from_backing = options_.target_has_backing && !status->allocated && !status->zero;
  if (from_backing || (options_.base != nullptr && !status->allocated)) {
    *skip = true;
    return true;
  }
  if (status->zero && options_.sparse_bytes != 0) {
    const bool zero_already =
        options_.target_is_zero || (options_.target_has_backing && offset >= backing_end_);
    if (options_.target_has_backing && offset < backing_end_) {
      segment->length = std::min(segment->length, backing_end_ - offset);
    }
    segment->kind = Segment::Kind::kZero;
    *skip = zero_already;
  }
  if (options_.compress) {
    // Clusters are written whole: only whole ones are skipped.
    const uint64_t whole = AlignDown(segment->length, cluster_bytes_);
    if (segment->kind == Segment::Kind::kZero && (whole != 0 || offset + segment->length == size_)) {
      if (whole != 0) segment->length = whole;
      return true;
    }
    *segment = {.offset = offset,
                .length = std::min(AlignUp(segment->length, cluster_bytes_), size_ - offset)};
    *skip = false;
    segment->length = std::min(segment->length, std::max(kPackBytes, cluster_bytes_));
  } else if (segment->kind == Segment::Kind::kData) {
    segment->length = std::min(segment->length, kSegmentBytes);
  }
  return true;
}

// How much there is to copy, looked up before.
bool Copier::MeasureWork() {
  MutexLock lock(mutex_);
  Segment segment;
  for (uint64_t offset = 0; offset < size_; offset += segment.length) {
    bool skip = false;
    if (!Classify(offset, &segment, &skip)) return false;
    if (!skip && segment.kind == Segment::Kind::kData) data_bytes_ += segment.length;
  }
  return true;
}

bool Copier::Next(Segment* segment) {
  MutexLock lock(mutex_);
  while (!failed_ && next_offset_ < size_) {
    if (options_.cancelled && options_.cancelled()) {
      GiveUp(Error(Code::kCancelled, "cancelled").Reason("CANCELLED"));
      return false;
    }
    bool skip = false;
    if (!Classify(next_offset_, segment, &skip)) return false;
    next_offset_ += segment->length;
    if (skip) continue;
    const bool data = segment->kind == Segment::Kind::kData;
    if (options_.progress && !options_.measure) options_.progress(next_offset_, size_);
    if (options_.progress && options_.measure && data)
      options_.progress(data_done_ += segment->length, data_bytes_);
    segment->ticket = next_ticket_++;
    return true;
  }
  return false;
}

bool Copier::WaitForTurn(uint64_t ticket) {
  MutexLock lock(mutex_);
  while (in_order_ && turn_ != ticket && !failed_) lock.Wait(turns_[ticket % turns_.size()]);
  return !failed_;
}

void Copier::EndTurn(uint64_t ticket) {
  if (!in_order_ || !WaitForTurn(ticket)) return;
  MutexLock lock(mutex_);
  ++turn_;
  turns_[turn_ % turns_.size()].notify_one();
}

void Copier::GiveUp(Error error) {
  if (!failed_) outcome_ = Fail(std::move(error));
  failed_ = true;
  for (std::condition_variable& turn : turns_) turn.notify_one();
}

bool Copier::FailAt(std::string_view what, uint64_t offset, int error) {
  MutexLock lock(mutex_);
  GiveUp(Error(SystemError(error, "").code(),
               fmt::format("error while {} at byte {}: {}", what, offset, std::strerror(error))));
  return false;
}

int Copier::Salvage(Image* source, uint64_t offset, std::span<uint8_t> out) {
  for (uint64_t at = 0; at < out.size(); at += kSectorBytes) {
    const auto sector = out.subspan(at, std::min<uint64_t>(kSectorBytes, out.size() - at));
    const int error = Read(source, offset + at, sector);
    if (error == 0) continue;
    std::fill(sector.begin(), sector.end(), 0);
    if (options_.warn)
      options_.warn(
          fmt::format("warning: error while reading offset {}: {}", offset + at, std::strerror(error)));
  }
  return 0;
}

int Copier::ReadSources(uint64_t offset, std::span<uint8_t> out) {
  uint64_t start = 0;
  for (Image* source : sources_) {
    const uint64_t end = start + source->size_bytes();
    if (offset < end && !out.empty()) {
      const auto part = out.first(std::min<uint64_t>(out.size(), end - offset));
      int error = Read(source, offset - start, part);
      if (error != 0 && options_.salvage) error = Salvage(source, offset - start, part);
      if (error != 0) return error;
      out = out.subspan(part.size());
      offset += part.size();
    }
    start = end;
  }
  return 0;
}

// False, with nothing that matters done, where that is not possible: then it is read and written.
bool Copier::CopyInKernel(const Segment& segment) {
  if (target_format_ == nullptr || target_->driver() != "raw") return false;
  // Where a raw image has its bytes is no matter of what they are.
  const Location to = target_format_->Locate(Op::kWrite, segment.offset, segment.length);
  if (to.kind != Location::Kind::kStored) return false;
  const int target = FileDescriptorOf(to.file);
  uint64_t start = 0;
  for (Image* source : sources_) {
    const uint64_t end = start + source->size_bytes();
    if (segment.offset < end) {
      const auto status = StatusAbove(source, options_.base, segment.offset - start, segment.length);
      if (!status || status->length < segment.length || !status->data || status->compressed ||
          !status->stored_at)
        return false;
      const int from = FileDescriptorOf(status->stored_in);
      return from >= 0 && target >= 0 &&
             CopyRange(from, *status->stored_at, target, to.offset, segment.length);
    }
    start = end;
  }
  return false;
}

// Waits until what was copied before is no more than the limit allows.
void Copier::Throttle(uint64_t bytes) {
  if (options_.bytes_per_second == 0) return;
  const std::chrono::duration<double> takes(static_cast<double>(bytes) /
                                            static_cast<double>(options_.bytes_per_second));
  std::chrono::steady_clock::time_point turn;
  {
    MutexLock lock(mutex_);
    turn = std::max(not_before_, std::chrono::steady_clock::now());
    not_before_ = turn + std::chrono::duration_cast<std::chrono::steady_clock::duration>(takes);
  }
  std::this_thread::sleep_until(turn);
}

bool Copier::Carry(const Segment& segment, Buffers* buffers) {
  if (segment.kind == Segment::Kind::kZero) {
    return WaitForTurn(segment.ticket) && WriteZeroes(segment.offset, segment.length);
  }
  Throttle(segment.length);
  if (options_.offload && CopyInKernel(segment)) return true;
  const bool whole = in_order_ || options_.compress ||
                     (options_.sparse_bytes != 0 && kPieceBytes % options_.sparse_bytes != 0);
  buffers->data.resize(std::max(buffers->data.size(), whole ? segment.length : kPieceBytes));
  const uint64_t end = segment.offset + segment.length;
  for (uint64_t at = segment.offset, next = end; at < end; at = next) {
    if (!whole) next = std::min(end, AlignDown(at, kPieceBytes) + kPieceBytes);
    const std::span<uint8_t> data(buffers->data.data(), next - at);
    if (const int error = ReadSources(at, data); error != 0) {
      return FailAt("reading", segment.offset, error);
    }
    if (options_.compress) return WriteCompressed(segment, buffers);
    if (!WaitForTurn(segment.ticket) || !WriteData(at, data)) return false;
  }
  return true;
}

bool Copier::WriteZeroes(uint64_t offset, uint64_t length) {
  const int error = block::WriteZeroes(target_, offset, length, true);
  return error == 0 || FailAt("writing", offset, error);
}

bool Copier::WriteData(uint64_t start, std::span<const uint8_t> data) {
  for (uint64_t at = 0; at < data.size();) {
    bool zero = false;
    uint64_t length = data.size();
    if (options_.sparse_bytes != 0 && !options_.overwrite) {
      // Units of the disk, not of the segment, so that where segments are cut does not show.
      const uint64_t unit = options_.sparse_bytes, into = (start + at) % unit;
      length = RunLength(
          data.subspan(at, std::min<uint64_t>(into == 0 ? data.size() : unit - into, data.size() - at)), unit,
          &zero);
    }
    const uint64_t offset = start + at;
    if (!zero) {
      if (const int error = Write(target_, offset, data.subspan(at, length)); error != 0) {
        return FailAt("writing", offset, error);
      }
    } else if (!options_.target_is_zero && !(options_.target_has_backing && offset >= backing_end_)) {
      if (!WriteZeroes(offset, length)) return false;
    }
    at += length;
  }
  return true;
}

bool Copier::WriteCompressed(const Segment& segment, Buffers* buffers) {
  struct Piece {
    uint64_t at = 0, length = 0;
    size_t packed = 0;
    bool zero = false;
  };
  std::vector<Piece> pieces;
  const uint64_t clusters = (segment.length + cluster_bytes_ - 1) / cluster_bytes_;
  buffers->packed.resize(clusters * cluster_bytes_);
  buffers->data.resize(std::max<uint64_t>(buffers->data.size(), clusters * cluster_bytes_));
  std::fill(buffers->data.begin() + static_cast<ptrdiff_t>(segment.length),
            buffers->data.begin() + static_cast<ptrdiff_t>(clusters * cluster_bytes_), 0);
  for (uint64_t at = 0; at < segment.length; at += cluster_bytes_) {
    Piece& piece = pieces.emplace_back();
    piece.at = at;
    piece.length = std::min(cluster_bytes_, segment.length - at);
    const std::span<const uint8_t> cluster(&buffers->data[at], cluster_bytes_);
    piece.zero = options_.sparse_bytes != 0 && AllZero(cluster);
    if (!piece.zero) piece.packed = target_format_->Pack(cluster, {&buffers->packed[at], cluster_bytes_});
  }
  if (!WaitForTurn(segment.ticket)) return false;
  for (const Piece& piece : pieces) {
    const uint64_t offset = segment.offset + piece.at;
    int error = 0;
    if (piece.zero) {
      if (!options_.target_is_zero) error = block::WriteZeroes(target_, offset, piece.length, true);
    } else if (piece.packed != 0) {
      error = target_format_->WritePacked(offset, {&buffers->packed[piece.at], piece.packed});
    } else {
      error = Write(target_, offset, {&buffers->data[piece.at], piece.length});
    }
    if (error != 0) return FailAt("writing", offset, error);
  }
  return true;
}

}  // namespace berth::block
