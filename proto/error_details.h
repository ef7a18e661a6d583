// berth::Error as AIP-193 has it, and back.
#pragma once

#include "base/error.h"
#include "google/rpc/status.pb.h"

namespace berth {

inline constexpr char kErrorDomain[] = "berth.dev";

// Code, message and details: ErrorInfo always; BadRequest where a field is at fault; PreconditionFailure for
// FAILED_PRECONDITION; ResourceInfo where the error's metadata name a "resource" (and its "owner"). At most
// one of each. The text is made valid UTF-8.
google::rpc::Status ToRpcStatus(const Error& error);

// What ToRpcStatus was made of; reason, metadata and field come from the details.
Error FromRpcStatus(const google::rpc::Status& status);

// `text` with everything replaced that is not printable UTF-8, and cut to `max_bytes`: for what peers say.
std::string Printable(std::string_view text, size_t max_bytes);

}  // namespace berth
