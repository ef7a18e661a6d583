// The NBD protocol as an Image: an export of a server.
#pragma once

#include <memory>

#include "base/error.h"
#include "block/driver.h"
#include "block/image.h"
#include "block/nbd/client_handshake.h"

namespace berth::block::nbd {

// PERMISSION_DENIED if it is to be written to and is read-only; UNAVAILABLE if the server's block sizes are
// no sense.
Result<std::unique_ptr<Image>> CreateNbdImage(Session session, const OpenFlags& flags);

}  // namespace berth::block::nbd
