// Where an image has what, and what it is.
#include <cerrno>
#include <cstring>

#include <nlohmann/json.hpp>

#include "block/chain.h"
#include "img/io.h"
#include "img/json.h"

namespace berth::img {
namespace {

constexpr uint64_t kSectorBytes = 512;

// A run of bytes that the image has itself, or of those that it does not have.
Result<block::Extent> RunAt(block::Image* image, uint64_t offset, uint64_t length) {
  block::Extent run = TRY(image->Map(offset, length));
  run.length = std::min(run.length, length);
  while (run.length < length) {
    const block::Extent next = TRY(image->Map(offset + run.length, length - run.length));
    if (next.allocated != run.allocated) break;
    run.length = std::min(length, run.length + next.length);
  }
  return run;
}

int Failed(std::string_view what, const Error& error) {
  fmt::print("{}: {}\n", what, error.message());
  return EIO;
}

}  // namespace

int IoAlloc(IoSession* session, const Words& words) {
  const auto offset = ParseIoNumber(words[1]);
  if (!offset) return EINVAL;
  const uint64_t size = session->image->size_bytes(), start = static_cast<uint64_t>(*offset);
  uint64_t count = kSectorBytes;
  if (words.size() == 3) {
    const auto given = ParseIoNumber(words[2]);
    if (!given) return EINVAL;
    count = static_cast<uint64_t>(*given);
  }
  count = std::min(count, size - std::min(size, start));
  uint64_t allocated = 0;
  for (uint64_t done = 0; done < count;) {
    const auto run = RunAt(session->image.get(), start + done, count - done);
    if (!run) return Failed("is_allocated failed", run.error());
    if (run->allocated) allocated += run->length;
    done += run->length;
  }
  fmt::print("{}/{} bytes allocated at offset {}\n", allocated, count,
             IoSizeText(static_cast<double>(*offset)));
  return 0;
}

int IoMap(IoSession* session, const Words&) {
  const uint64_t size = session->image->size_bytes();
  for (uint64_t at = 0; at < size;) {
    const auto run = RunAt(session->image.get(), at, size - at);
    if (!run) return Failed("Failed to get allocation status", run.error());
    fmt::print("{} ({:#x}) bytes {} allocated at offset {} ({:#x})\n",
               IoSizeText(static_cast<double>(run->length)), run->length, run->allocated ? "   " : "not",
               IoSizeText(static_cast<double>(at)), at);
    at += run->length;
  }
  return 0;
}

int IoInfo(IoSession* session, const Words&) {
  const auto* format = dynamic_cast<const block::FormatImage*>(session->image.get());
  const block::ImageInfo info = format == nullptr ? block::ImageInfo() : format->Info();
  fmt::print("format name: {}\ncluster size: {}\nvm state offset: {}\n", session->image->driver(),
             IoSizeText(static_cast<double>(info.cluster_size_bytes.value_or(0))),
             IoSizeText(static_cast<double>(info.vm_state_offset)));
  const nlohmann::ordered_json specific =
      format == nullptr ? nlohmann::ordered_json() : format->SpecificInfo();
  if (specific.is_null()) return 0;
  fmt::print("Format specific information:\n");
  PrintIndented(InQemuOrder(specific.contains("data") ? specific["data"] : specific), 1);
  return 0;
}

int IoTruncate(IoSession* session, const Words& words) {
  const auto options = ParseIoOptions(words, "m:");
  if (!options) return EINVAL;
  auto preallocation = block::Preallocation::kOff;
  if (const auto name = options->Value('m')) {
    const auto parsed = block::ParsePreallocation(*name);
    if (!parsed) return Complain("Invalid preallocation mode '{}'", *name), EINVAL;
    preallocation = *parsed;
  }
  if (options->rest.size() != 1) return PrintIoUsage(words[0]), EINVAL;
  const auto size = ParseIoNumber(options->rest[0]);
  if (!size) return EINVAL;
  const Status resized = session->image->Resize(static_cast<uint64_t>(*size), preallocation);
  if (resized) return 0;
  Complain(resized.error().message());
  return EIO;
}

}  // namespace berth::img
