// A disk's block node from its descriptors: nothing is opened by name here.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/event_loop.h"
#include "berth/vmm/v1/control.pb.h"
#include "block/engine.h"
#include "block/layers.h"
#include "block/limit_node.h"
#include "block/node.h"
#include "vmm/descriptors.h"

namespace berth::vmm {

struct DiskPlace {
  EventLoop* loop = nullptr;
  block::IoEngine* engine = nullptr;
  // Run on each thread that a disk starts, to confine it.
  std::function<Status()> confine;
};

// INVALID_ARGUMENT for an image that is not what the configuration says, or stands on other images than those
// that came with it.
Result<std::unique_ptr<block::BlockNode>> OpenDisk(const v1::BlockDevice& config, Descriptors* fds,
                                                   const DiskPlace& place);

// What the monitor was handed for the disk, from the top down; and how the topmost is to be opened.
Result<std::vector<block::LayerFiles>> TakeLayers(const v1::BlockDevice& config, Descriptors* fds);
block::OpenFlags FlagsOf(const v1::BlockDevice& config);

block::IoLimits LimitsOf(const v1::DiskIoLimits& limits);

// Whether the node has state in memory that is to be brought to the image when the machine is over.
bool HasMetadata(const v1::BlockDevice& config);

}  // namespace berth::vmm
