// Requests with fields this server does not know.
#pragma once

#include <google/protobuf/message.h>

#include "base/error.h"

namespace berth::server {

// A field we do not know may be one whose neglect matters: INVALID_ARGUMENT, UNKNOWN_FIELD, with the path of
// the message it is in and its number.
Status RefuseUnknownFields(const google::protobuf::Message& message);

}  // namespace berth::server
