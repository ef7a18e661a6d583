// One request at a time, waited for: for tools and tests, never for a device.
#pragma once

#include <cstdint>
#include <span>

#include "block/node.h"

namespace berth::block {

// Submits `request`, drains the node, and returns the request's error (0, or an errno value). `done` is set
// here.
int Perform(BlockNode* node, Request* request);

int ReadAt(BlockNode* node, uint64_t offset, std::span<uint8_t> out);
int WriteAt(BlockNode* node, uint64_t offset, std::span<const uint8_t> bytes);

}  // namespace berth::block
