// An image and those beneath it, made of files that somebody else has opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "block/driver.h"

namespace berth::block {

// The files of one image.
struct LayerFiles {
  std::string format;  // Empty: raw.
  UniqueFd image;
  UniqueFd data;          // Of an external data file, if it has one.
  bool writable = false;  // Of one beneath, which what is above is to be committed to.
};

// From the top down, one at least; `flags` are the topmost's, those beneath it are for reading unless they
// say otherwise. No name in
// any of them is followed, and no locks are taken. INVALID_ARGUMENT if they are not what they say that they
// stand on, or are no images of their formats.
Result<std::unique_ptr<FormatImage>> OpenLayers(std::vector<LayerFiles> layers, const OpenFlags& flags);

}  // namespace berth::block
