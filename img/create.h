// Making an image from what a command line says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "block/driver.h"

namespace berth::img {

struct CreateRequest {
  std::string format;
  std::string filename;
  std::optional<uint64_t> size{};
  std::string backing_file{};
  std::string backing_format{};
  std::vector<std::string> options{};  // -o
  bool unchecked_backing = false;      // The backing image need not be there.
};

// The format, and its options (with its protocol's) as they were given.
Result<block::CreateOptions> ParseCreateOptions(const CreateRequest& request, const block::Format** format);

// The exit status; complains itself.
int CreateImage(const CreateRequest& request, bool quiet);

}  // namespace berth::img
