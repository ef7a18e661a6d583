// Opening images: by file name, by `json:` description, by options; with all that they stand on.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "block/driver.h"
#include "block/image.h"
#include "block/options.h"

namespace berth::block {

// Images in a chain, or files that one image names, above one another.
inline constexpr int kMaxChainDepth = 250;

// A name that people write: a path, "nbd:…", "json:{…}". `format` empty: found by probing. An image that was
// found to be raw by probing must stay so: writes to its first 512 bytes that would make it look like another
// format are refused with EPERM.
Result<std::unique_ptr<Image>> OpenImage(const std::string& filename, const std::string& format,
                                         const OpenFlags& flags);
// A description: "driver" and its options, "file.…" for what holds it.
Result<std::unique_ptr<Image>> OpenImage(Options options, const OpenFlags& flags);

// The protocol level alone: the bytes themselves.
Result<std::unique_ptr<Image>> OpenProtocol(const std::string& filename, const OpenFlags& flags);
Result<std::unique_ptr<Image>> OpenProtocol(Options options, const OpenFlags& flags);

// The format that is most sure of these bytes.
const Format* Probe(std::span<const uint8_t> head, std::string_view filename);

// What `filename` means inside the image `base`: absolute names and those with a protocol stay.
std::string ResolveName(std::string_view base, std::string_view filename);

// The backing image of `image`, past its format; null if it has none.
Image* BackingOf(Image* image);

}  // namespace berth::block
