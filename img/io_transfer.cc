// Reading and writing.
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "img/io.h"

namespace berth::img {
namespace {

using block::Op;
using block::Request;

constexpr uint8_t kFill = 0xcd;    // Of writes without a pattern.
constexpr uint8_t kUnread = 0xab;  // Of memory before it is read into.
constexpr int64_t kSectorBytes = 512;

int Usage(const Words& words) {
  PrintIoUsage(words[0]);
  return EINVAL;
}

int Say(std::string_view text, int error = EINVAL) {
  fmt::print("{}\n", text);
  return error;
}

int Failed(std::string_view what, int error) {
  fmt::print("{} failed: {}\n", what, std::strerror(error));
  return error;
}

struct Transfer {
  int64_t offset = 0;
  std::vector<uint8_t> bytes{};
  std::vector<iovec> pieces{};
  int64_t length = 0;
};

// `length` in one piece, or pieces of the lengths that are named.
bool MakePieces(std::span<const std::string> lengths, uint8_t fill, Transfer* transfer) {
  std::vector<int64_t> sizes;
  for (const std::string& text : lengths) {
    const auto size = ParseIoNumber(text);
    if (!size) return false;
    if (*size > kMaxIoBytes) {
      fmt::print("Argument '{}' exceeds maximum size {}\n", text, kMaxIoBytes);
      return false;
    }
    transfer->length += *size;
    if (transfer->length > kMaxIoBytes) {
      fmt::print("The total number of bytes exceed the maximum size {}\n", kMaxIoBytes);
      return false;
    }
    sizes.push_back(*size);
  }
  transfer->bytes.assign(static_cast<size_t>(transfer->length), fill);
  uint8_t* next = transfer->bytes.data();
  for (const int64_t size : sizes) {
    transfer->pieces.push_back({next, static_cast<size_t>(size)});
    next += size;
  }
  return true;
}

Request RequestOf(Op op, const Transfer& transfer) {
  return {.op = op,
          .offset = static_cast<uint64_t>(transfer.offset),
          .length = static_cast<uint64_t>(transfer.length),
          .pieces = transfer.pieces};
}

bool Verify(std::span<const uint8_t> bytes, uint8_t pattern, int64_t offset) {
  for (const uint8_t byte : bytes) {
    if (byte == pattern) continue;
    fmt::print("Pattern verification failed at offset {}, {} bytes\n", offset, bytes.size());
    return false;
  }
  return true;
}

std::optional<int64_t> LengthOf(const std::string& text, bool no_limit, std::string_view hint = "") {
  const auto length = ParseIoNumber(text);
  if (length && (no_limit || *length <= kMaxIoBytes)) return length;
  if (length) fmt::print("length cannot exceed {}{}, given {}\n", kMaxIoBytes, hint, text);
  return std::nullopt;
}

// A cluster at a time; only the last may be shorter.
int WriteCompressed(block::Image* image, const Transfer& transfer) {
  auto* const format = dynamic_cast<block::FormatImage*>(image);
  if (format == nullptr) return ENOTSUP;
  const uint64_t cluster = format->Info().cluster_size_bytes.value_or(0);
  const uint64_t size = image->size_bytes();
  const auto offset = static_cast<uint64_t>(transfer.offset), length = static_cast<uint64_t>(transfer.length);
  if (cluster == 0) return ENOTSUP;
  if (offset % cluster != 0 || (length % cluster != 0 && offset + length != size)) return EINVAL;
  std::vector<uint8_t> whole(cluster), packed(cluster);
  for (uint64_t done = 0; done < length; done += cluster) {
    const uint64_t part = std::min(cluster, length - done);
    std::copy_n(transfer.bytes.begin() + static_cast<ptrdiff_t>(done), part, whole.begin());
    std::fill(whole.begin() + static_cast<ptrdiff_t>(part), whole.end(), 0);
    const size_t used = format->Pack(whole, packed);
    const int error = used == 0 ? block::Write(image, offset + done, {whole.data(), part})
                                : format->WritePacked(offset + done, {packed.data(), used});
    if (error != 0) return error;
  }
  return 0;
}

// What is named by -s fills the memory, again and again.
bool FillFrom(const std::string& name, std::vector<uint8_t>* bytes) {
  std::ifstream file(name, std::ios::binary);
  if (!file) {
    fmt::print(stderr, "{}: {}\n", name, std::strerror(errno));
    return false;
  }
  std::vector<char> pattern(bytes->size());
  file.read(pattern.data(), static_cast<std::streamsize>(pattern.size()));
  const auto count = static_cast<size_t>(file.gcount());
  if (count == 0) {
    fmt::print(stderr, "{}: file is empty\n", name);
    return false;
  }
  for (size_t i = 0; i < bytes->size(); ++i) (*bytes)[i] = static_cast<uint8_t>(pattern[i % count]);
  return true;
}

// What the vector and aio commands do, at once or on a thread.
struct VectorJob {
  Transfer transfer{};
  std::optional<uint8_t> pattern{};
  IoOptions options{};
};

// Options, pattern and offset; null with the command's `status` if there is nothing to do.
std::shared_ptr<VectorJob> ParseVector(const Words& words, const char* letters, int* status) {
  const auto options = ParseIoOptions(words, letters);
  if (!options) return nullptr;
  auto job = std::make_shared<VectorJob>();
  if (const auto text = options->Value('P'); text && !(job->pattern = ParseIoPattern(*text))) return nullptr;
  job->options = *options;
  if (options->Has('i')) {
    *status = 0;
    return nullptr;
  }
  if (options->rest.size() < 2) {
    *status = Usage(words);
    return nullptr;
  }
  return job;
}

std::shared_ptr<VectorJob> ParseVectorRead(const Words& words, const char* letters, int* status) {
  auto job = ParseVector(words, letters, status);
  if (!job) return nullptr;
  const auto offset = ParseIoNumber(job->options.rest[0]);
  if (!offset) return nullptr;
  job->transfer.offset = *offset;
  return MakePieces(std::span(job->options.rest).subspan(1), kUnread, &job->transfer) ? job : nullptr;
}

int ReadVector(block::Image* image, const VectorJob& job) {
  const Transfer& transfer = job.transfer;
  const IoReport report;
  if (const int error = PerformIo(image, RequestOf(Op::kRead, transfer)); error != 0)
    return Failed("readv", error);
  const int result = job.pattern && !Verify(transfer.bytes, *job.pattern, transfer.offset) ? EINVAL : 0;
  if (job.options.Has('q')) return result;
  if (job.options.Has('v')) PrintIoDump(transfer.bytes, transfer.offset);
  report.Print("read", transfer.offset, transfer.length, job.options.Has('C'));
  return result;
}

std::shared_ptr<VectorJob> ParseVectorWrite(const Words& words, const char* letters, int* status) {
  auto job = ParseVector(words, letters, status);
  if (!job) return nullptr;
  const IoOptions& options = job->options;
  const bool zero = options.Has('z');
  if (zero && options.rest.size() != 2) return Say("-z supports only a single length parameter"), nullptr;
  if (options.Has('u') && !zero) return Say("-u requires -z to be specified"), nullptr;
  if (zero && job->pattern) return Say("-z and -P cannot be specified at the same time"), nullptr;
  const auto offset = ParseIoNumber(options.rest[0]);
  if (!offset) return nullptr;
  job->transfer.offset = *offset;
  if (!zero) {
    const bool made =
        MakePieces(std::span(options.rest).subspan(1), job->pattern.value_or(kFill), &job->transfer);
    return made ? job : nullptr;
  }
  const auto count = ParseIoNumber(options.rest[1]);
  if (!count) return nullptr;
  job->transfer.length = *count;
  return job;
}

int WriteVector(block::Image* image, const VectorJob& job, std::string_view name) {
  Request request = RequestOf(job.options.Has('z') ? Op::kWriteZeroes : Op::kWrite, job.transfer);
  request.fua = job.options.Has('f');
  request.may_unmap = job.options.Has('u');
  const IoReport report;
  if (const int error = PerformIo(image, request); error != 0) return Failed(name, error);
  if (!job.options.Has('q'))
    report.Print("wrote", job.transfer.offset, job.transfer.length, job.options.Has('C'));
  return 0;
}

}  // namespace

int PerformIo(block::Image* image, const Request& request) {
  if (request.op != Op::kFlush) {
    const uint64_t size = image->size_bytes();
    if (request.offset > size || request.length > size - request.offset) return EIO;
    if (request.length == 0) return 0;
  }
  return image->Perform(request);
}

int IoRead(IoSession* session, const Words& words) {
  const auto options = ParseIoOptions(words, "abCl:pP:qs:v");
  if (!options || options->Has('a')) return EINVAL;
  std::optional<uint8_t> pattern;
  std::optional<int64_t> verify_from, verify_length;
  for (const auto& [letter, value] : options->values) {
    if (letter == 'P') {
      if (!(pattern = ParseIoPattern(value))) return EINVAL;
    } else {
      const auto number = ParseIoNumber(value);
      if (!number) return EINVAL;
      (letter == 's' ? verify_from : verify_length) = number;
    }
  }
  if (options->rest.size() != 2) return Usage(words);
  const auto offset = ParseIoNumber(options->rest[0]);
  if (!offset) return EINVAL;
  const auto count = LengthOf(options->rest[1], false);
  if (!count) return EINVAL;
  if (!pattern && (verify_from || verify_length)) return Usage(words);
  const int64_t from = verify_from.value_or(0), length = verify_length.value_or(*count - from);
  if (length < 0 || from > *count - length) return Say("pattern verification range exceeds end of read data");
  if (options->Has('b')) return Failed("read", ENOTSUP);
  Transfer transfer{.offset = *offset};
  if (!MakePieces({&options->rest[1], 1}, kUnread, &transfer)) return EINVAL;
  const IoReport report;
  if (const int error = PerformIo(session->image.get(), RequestOf(Op::kRead, transfer)); error != 0) {
    return Failed("read", error);
  }
  int result = 0;
  if (pattern) {
    const std::span<const uint8_t> bytes(transfer.bytes);
    if (!Verify(bytes.subspan(static_cast<size_t>(from), static_cast<size_t>(length)), *pattern,
                *offset + from)) {
      result = EINVAL;
    }
  }
  if (options->Has('q')) return result;
  if (options->Has('v')) PrintIoDump(transfer.bytes, *offset);
  report.Print("read", *offset, *count, options->Has('C'));
  return result;
}

int IoReadv(IoSession* session, const Words& words) {
  int status = EINVAL;
  const auto job = ParseVectorRead(words, "CP:qv", &status);
  return job ? ReadVector(session->image.get(), *job) : status;
}

int IoAioRead(IoSession* session, const Words& words) {
  int status = EINVAL;
  const auto job = ParseVectorRead(words, "CP:iqv", &status);
  if (!job) return status;
  session->running.emplace_back([job, image = session->image.get()] { (void)ReadVector(image, *job); });
  return 0;
}

int IoWrite(IoSession* session, const Words& words) {
  const auto options = ParseIoOptions(words, "bcCfnpP:qs:uz");
  if (!options) return EINVAL;
  std::optional<uint8_t> pattern;
  if (const auto text = options->Value('P'); text && !(pattern = ParseIoPattern(*text))) return EINVAL;
  const bool zero = options->Has('z'), compressed = options->Has('c'), fua = options->Has('f');
  if (options->rest.size() != 2) return Usage(words);
  if (options->Has('b') && zero) return Say("-b and -z cannot be specified at the same time");
  if (fua && (options->Has('b') || compressed))
    return Say("-f and -b or -c cannot be specified at the same time");
  if (options->Has('n') && !zero) return Say("-n requires -z to be specified");
  if (options->Has('u') && !zero) return Say("-u requires -z to be specified");
  if (zero + options->Has('P') + options->Has('s') > 1) {
    return Say("Only one of -z, -P, and -s can be specified at the same time");
  }
  const auto offset = ParseIoNumber(options->rest[0]);
  if (!offset) return EINVAL;
  const auto count = LengthOf(options->rest[1], options->Has('n'), " without -n");
  if (!count) return EINVAL;
  if (options->Has('b') || compressed) {
    for (const auto& [value, name] : {std::pair(*offset, "offset"), std::pair(*count, "count")}) {
      if (value % kSectorBytes != 0)
        return Say(fmt::format("{} is not a sector-aligned value for '{}'", value, name));
    }
  }
  if (options->Has('b')) return Failed("write", ENOTSUP);
  Transfer transfer{.offset = *offset, .length = zero ? *count : 0};
  if (!zero && !MakePieces({&options->rest[1], 1}, pattern.value_or(kFill), &transfer)) return EINVAL;
  if (const auto name = options->Value('s'); name && !FillFrom(*name, &transfer.bytes)) return EINVAL;
  Request request = RequestOf(zero ? Op::kWriteZeroes : Op::kWrite, transfer);
  request.fua = fua;
  request.may_unmap = options->Has('u');
  const IoReport report;
  const int error =
      compressed ? WriteCompressed(session->image.get(), transfer) : PerformIo(session->image.get(), request);
  if (error != 0) return Failed("write", error);
  if (!options->Has('q')) report.Print("wrote", *offset, *count, options->Has('C'));
  return 0;
}

int IoWritev(IoSession* session, const Words& words) {
  int status = EINVAL;
  const auto job = ParseVectorWrite(words, "CfqP:", &status);
  return job ? WriteVector(session->image.get(), *job, "writev") : status;
}

int IoAioWrite(IoSession* session, const Words& words) {
  int status = EINVAL;
  const auto job = ParseVectorWrite(words, "CfiP:quz", &status);
  if (!job) return status;
  session->running.emplace_back(
      [job, image = session->image.get()] { (void)WriteVector(image, *job, "aio_write"); });
  return 0;
}

int IoDiscard(IoSession* session, const Words& words) {
  const auto options = ParseIoOptions(words, "Cq");
  if (!options) return EINVAL;
  if (options->rest.size() != 2) return Usage(words);
  const auto offset = ParseIoNumber(options->rest[0]);
  if (!offset) return EINVAL;
  const auto count = LengthOf(options->rest[1], false);
  if (!count) return EINVAL;
  const IoReport report;
  const int error = PerformIo(session->image.get(), {.op = Op::kDiscard,
                                                     .offset = static_cast<uint64_t>(*offset),
                                                     .length = static_cast<uint64_t>(*count)});
  if (error != 0) return Failed("discard", error);
  if (!options->Has('q')) report.Print("discard", *offset, *count, options->Has('C'));
  return 0;
}

}  // namespace berth::img
