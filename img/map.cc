#include <algorithm>

#include "block/chain.h"
#include "block/open.h"
#include "img/tool.h"

namespace berth::img {
namespace {

struct Entry {
  uint64_t start = 0, length = 0;
  int depth = 0;
  bool present = false, zero = false, data = false;
  std::optional<uint64_t> offset{};
  std::string filename{};
};

bool Continues(const Entry& entry, const Entry& next) {
  if (entry.length == 0 || entry.zero != next.zero || entry.data != next.data ||
      entry.present != next.present || entry.depth != next.depth ||
      entry.offset.has_value() != next.offset.has_value() || entry.filename != next.filename) {
    return false;
  }
  return !entry.offset || *entry.offset + entry.length == *next.offset;
}

// From the topmost image down to the one that knows, which for what is behind the end of its backing image is
// the image above that.
Result<Entry> EntryAt(block::Image* image, uint64_t offset, uint64_t length) {
  for (int depth = 0;; ++depth) {
    const block::ChainExtent status = TRY(block::StatusOf(image, offset, length));
    length = status.length;
    if (!status.zero && !status.data) {
      image = block::BackingOf(image);
      if (image != nullptr) continue;
      return Entry{.start = offset, .length = length, .depth = depth};
    }
    Entry entry{.start = offset,
                .length = length,
                .depth = depth,
                .present = status.allocated,
                .zero = status.zero,
                .data = status.data,
                .offset = status.stored_at};
    if (entry.offset && status.stored_in != nullptr) entry.filename = status.stored_in->filename();
    return entry;
  }
}

// False: what there is cannot be shown in a table of places.
bool Print(const Entry& entry, Entry* next, Output output) {
  if (output == Output::kJson) {
    fmt::print("{{ \"start\": {}, \"length\": {}, \"depth\": {}, \"present\": {}, \"zero\": {}, \"data\": {}",
               entry.start, entry.length, entry.depth, entry.present, entry.zero, entry.data);
    if (entry.offset) fmt::print(", \"offset\": {}", *entry.offset);
    fmt::print("}}{}", next != nullptr ? ",\n" : "");
    return true;
  }
  if (entry.data && !entry.offset) {
    Complain("File contains external, encrypted or compressed clusters.");
    return false;
  }
  if (entry.data && !entry.zero) {
    const auto hex = [](uint64_t value) {
      return value == 0 ? std::string("0") : fmt::format("0x{:x}", value);
    };
    fmt::print("{:<16}{:<16}{:<16}{}\n", hex(entry.start), hex(entry.length), hex(*entry.offset),
               entry.filename);
  }
  // A table of data does not tell apart what else there is.
  if (next != nullptr && (!next->data || next->zero)) {
    next->data = false;
    next->zero = true;
  }
  return true;
}

}  // namespace

int Map(int argc, char** argv) {
  Source source;
  Output output = Output::kHuman;
  uint64_t start = 0;
  std::optional<uint64_t> max_length;
  block::OpenFlags flags;
  const char* output_text = nullptr;
  Arguments arguments(argc, argv, "f:s:l:U",
                      {{"format", required_argument, nullptr, 'f'},
                       {"output", required_argument, nullptr, kOptionOutput},
                       {"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force-share", no_argument, nullptr, 'U'},
                       {"start-offset", required_argument, nullptr, 's'},
                       {"max-length", required_argument, nullptr, 'l'}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') source.format = ::optarg;
    if (option == 'U') flags.force_share = true;
    if (option == kOptionOutput) output_text = ::optarg;
    if (option == kOptionImageOpts) source.is_options = true;
    if (option == 's') {
      const auto size = ParseSizeArgument(::optarg, "start offset");
      if (!size) return 1;
      start = *size;
    }
    if (option == 'l') {
      max_length = ParseSizeArgument(::optarg, "max length");
      if (!max_length) return 1;
    }
  }
  if (arguments.Rest().size() != 1) RefuseArguments("Expecting one image file name");
  if (output_text != nullptr) {
    const auto parsed = ParseOutput(output_text);
    if (!parsed) return 1;
    output = *parsed;
  }
  source.name = arguments.Rest()[0];
  const auto image = OpenSource(source, flags);
  if (image == nullptr) return 1;

  if (output == Output::kHuman) {
    fmt::print("{:<16}{:<16}{:<16}{}\n", "Offset", "Length", "Mapped to", "File");
  } else {
    fmt::print("[");
  }
  uint64_t end = image->size_bytes();
  if (max_length && *max_length < end && start < end - *max_length) end = start + *max_length;
  Entry entry{.start = start};
  while (entry.start + entry.length < end) {
    const uint64_t at = entry.start + entry.length;
    auto next = EntryAt(image.get(), at, end - at);
    if (!next) {
      Complain("Failed to read image metadata: {}", next.error().message());
      return 1;
    }
    if (Continues(entry, *next)) {
      entry.length += next->length;
      continue;
    }
    if (entry.length != 0 && !Print(entry, &*next, output)) return 1;
    entry = *std::move(next);
  }
  if (!Print(entry, nullptr, output)) return 1;
  if (output == Output::kJson) fmt::print("]\n");
  return 0;
}

}  // namespace berth::img
