// The entropy device: VIRTIO 1.2 section 5.4. Its bytes are the host kernel's.
#pragma once

#include <memory>

#include "hw/virtio/device.h"

namespace berth::hw {

std::unique_ptr<VirtioDevice> CreateVirtioRng();

}  // namespace berth::hw
