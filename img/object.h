// Objects of the command line (--object TYPE,id=ID,NAME=VALUE,…): what images and servers refer to by id.
#pragma once

#include <string_view>

namespace berth::img {

// Complains and returns false if it cannot be made.
bool DefineObject(std::string_view text);

}  // namespace berth::img
