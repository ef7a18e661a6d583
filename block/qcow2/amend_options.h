// What `amend` can change of an image.
#pragma once

#include "block/create_options.h"

namespace berth::block::qcow2 {

inline constexpr CreateOption kAmendTable[] = {
    {"size", CreateOption::Type::kSize, "Virtual disk size"},
    {"compat", CreateOption::Type::kString, "Compatibility level (v2 [0.10] or v3 [1.1])"},
    {"backing_file", CreateOption::Type::kString, "File name of a base image"},
    {"backing_fmt", CreateOption::Type::kString, "Image format of the base image"},
    {"data_file", CreateOption::Type::kString, "File name of an external data file"},
    {"data_file_raw", CreateOption::Type::kBool, "The external data file must stay valid as a raw image"},
    {"encrypt.state", CreateOption::Type::kString, "Select new state of affected keyslots (active/inactive)"},
    {"encrypt.new-secret", CreateOption::Type::kString,
     "New secret to set in the matching keyslots. Empty string to erase"},
    {"encrypt.old-secret", CreateOption::Type::kString, "Select all keyslots that match this password"},
    {"encrypt.keyslot", CreateOption::Type::kNumber, "Select a single keyslot to modify explicitly"},
    {"encrypt.iter-time", CreateOption::Type::kNumber, "Time to spend in PBKDF in milliseconds"},
    {"lazy_refcounts", CreateOption::Type::kBool, "Postpone refcount updates"},
    {"refcount_bits", CreateOption::Type::kNumber, "Width of a reference count entry in bits"},
};

}  // namespace berth::block::qcow2
