// A disk's image with all that it stands on, opened for a VMM, which itself opens nothing.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "block/layers.h"
#include "server/guest/descriptor.h"

namespace berth::server {

// The descriptors of one image of a chain.
using ImageFiles = block::LayerFiles;

// `image` as OpenFile opens it, and what it and the images beneath it name: backing images for reading, data
// files as the image that has them; all locked. What an image names is the word of whoever made it, who
// may be the guest's user and mean another's image beside it: a name counts only if it is among
// `image.beneath`. A volume is opened as OpenVolumeChain does it.
//
// The errors of OpenFile, for the file they are about; and INVALID_ARGUMENT: IMAGE_MALFORMED,
// IMAGE_FORMAT_NOT_NAMED (of a backing image), IMAGE_CHAIN_TOO_LONG, IMAGE_CHAIN_LOOP; PERMISSION_DENIED:
// IMAGE_NAMES_OTHER_FILE; UNIMPLEMENTED: IMAGE_FORMAT_NOT_SUPPORTED.
Result<std::vector<ImageFiles>> OpenImageChain(const FileDescriptor& image);

}  // namespace berth::server
