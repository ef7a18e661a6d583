// What an NBD server offers: an image, and how it is to be shown.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "block/bitmap.h"
#include "block/image.h"
#include "block/nbd/tls.h"

namespace berth::block::nbd {

// A dirty bitmap that clients may ask for as qemu:dirty-bitmap:NAME.
struct ExportedBitmap {
  std::string name{};
  // What it says, where nobody changes it; else who is to be asked.
  std::vector<Range> ranges{};
  BitmapStore* recording = nullptr;  // Borrowed.
};
// Of `image` or an image beneath it; `read_only`: nobody writes to the image. NOT_FOUND, FAILED_PRECONDITION.
Result<ExportedBitmap> FindBitmap(Image* image, const std::string& name, bool read_only);

struct Export {
  std::string name{};
  std::string description{};
  Image* image = nullptr;  // Borrowed.
  bool read_only = false;
  bool multi_conn = false;        // Clients may use several connections as one.
  bool allocation_depth = false;  // qemu:allocation-depth is offered.
  std::vector<ExportedBitmap> bitmaps{};
  std::shared_ptr<const TlsCredentials> tls{};  // Not null: nobody gets in without.

  uint16_t TransmissionFlags() const;
  uint32_t PreferredBlockBytes() const;
};

// Metadata contexts, by the number they have on the wire.
enum ContextId : uint32_t {
  kContextBaseAllocation = 0,
  kContextAllocationDepth = 1,
  kContextFirstBitmap = 2
};

struct NamedContext {
  uint32_t id = 0;
  std::string name{};
};
// Those of the export that a client's query selects; with `listing`, a query may end behind a namespace.
std::vector<NamedContext> SelectContexts(const Export& what, std::string_view query, bool listing);
std::vector<NamedContext> AllContexts(const Export& what);

// Payload of a block status chunk for a context: its number, and pairs of length and flags from `offset` on,
// `length` bytes in all at most, `one` extent or as many as there is room for. Blocks.
Result<std::vector<uint8_t>> BlockStatus(const Export& what, uint32_t context, uint64_t offset,
                                         uint32_t length, bool one);

}  // namespace berth::block::nbd
