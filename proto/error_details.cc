#include "proto/error_details.h"

#include <algorithm>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/error_info.pb.h"

namespace berth {
namespace {

// gRPC's clients refuse headers over 8 KiB; message and details travel there, the details in base64.
constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxDescriptionBytes = 512;
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxMetadataBytes = 2048;  // Altogether.

const std::string* FindMetadata(const Error& error, std::string_view key) {
  for (const auto& [name, value] : error.metadata()) {
    if (name == key) return &value;
  }
  return nullptr;
}

// The type of a resource of ours by its name's collection; what has another form is a file of the host.
std::string ResourceType(std::string_view name) {
  if (name.starts_with("guests/")) return "berth.dev/Guest";
  if (name.starts_with("host/devices/")) return "berth.dev/HostDevice";
  if (name.starts_with("operations/")) return "longrunning.googleapis.com/Operation";
  return "file";
}

// Length of the UTF-8 character that `text` begins with; 0 if it begins with none.
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xc2 && first < 0xe0 ? 2
                        : (first & 0xf0) == 0xe0        ? 3
                        : first >= 0xf0 && first < 0xf5 ? 4
                                                        : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, beyond U+10FFFF; and the C1 controls, which terminals obey.
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) >= 0xa0) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) >= 0x90) return 0;
  if (first == 0xc2 && byte(1) < 0xa0) return 0;
  return length;
}

}  // namespace

std::string Printable(std::string_view text, size_t max_bytes) {
  std::string result;
  while (!text.empty() && result.size() < max_bytes) {
    const size_t length = Utf8Length(text);
    const bool control = length == 1 && (text[0] < 0x20 || text[0] == 0x7f);
    if (length == 0 || control) {
      result += '?';
      text.remove_prefix(1);
    } else {
      if (result.size() + length > max_bytes) break;
      result += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return result;
}

google::rpc::Status ToRpcStatus(const Error& error) {
  google::rpc::Status status;
  const std::string message = Printable(error.message(), kMaxMessageBytes);
  status.set_code(static_cast<int>(error.code()));
  status.set_message(message);

  google::rpc::ErrorInfo info;
  info.set_reason(error.reason().empty() ? std::string(CodeName(error.code())) : error.reason());
  info.set_domain(kErrorDomain);
  size_t metadata_bytes = 0;
  for (const auto& [key, value] : error.metadata()) {
    metadata_bytes += 8 + key.size() + std::min(value.size(), kMaxNameBytes);
    if (metadata_bytes > kMaxMetadataBytes) break;
    (*info.mutable_metadata())[key] = Printable(value, kMaxNameBytes);
  }
  status.add_details()->PackFrom(info);

  if (!error.field().empty()) {
    google::rpc::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field(Printable(error.field(), kMaxNameBytes));
    violation->set_description(Printable(message, kMaxDescriptionBytes));
    status.add_details()->PackFrom(bad_request);
  }
  const std::string* resource = FindMetadata(error, "resource");
  const std::string* owner = FindMetadata(error, "owner");
  if (error.code() == Code::kFailedPrecondition) {
    google::rpc::PreconditionFailure failure;
    auto* violation = failure.add_violations();
    violation->set_type(info.reason());
    if (resource != nullptr) violation->set_subject(Printable(*resource, kMaxNameBytes));
    violation->set_description(Printable(message, kMaxDescriptionBytes));
    status.add_details()->PackFrom(failure);
  }
  if (resource != nullptr) {
    google::rpc::ResourceInfo resource_info;
    resource_info.set_resource_type(ResourceType(*resource));
    resource_info.set_resource_name(Printable(*resource, kMaxNameBytes));
    if (owner != nullptr) resource_info.set_owner(Printable(*owner, kMaxNameBytes));
    status.add_details()->PackFrom(resource_info);
  }
  return status;
}

Error FromRpcStatus(const google::rpc::Status& status) {
  const bool known = status.code() >= 1 && status.code() <= static_cast<int>(Code::kDataLoss);
  Error error(known ? static_cast<Code>(status.code()) : Code::kUnknown, status.message());
  for (const auto& detail : status.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad_request;
    if (detail.UnpackTo(&info)) {
      error = std::move(error).Reason(info.reason());
      std::vector<std::pair<std::string, std::string>> sorted(info.metadata().begin(), info.metadata().end());
      std::sort(sorted.begin(), sorted.end());
      for (auto& [key, value] : sorted) error = std::move(error).With(key, value);
    } else if (detail.UnpackTo(&bad_request) && bad_request.field_violations_size() > 0) {
      error = std::move(error).Field(bad_request.field_violations(0).field());
    }
  }
  return error;
}

}  // namespace berth
