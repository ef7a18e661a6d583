#include "cli/spec_file.h"

#include <fstream>
#include <iostream>

#include <google/protobuf/util/json_util.h>

#include "cli/yaml.h"

namespace berth::cli {
namespace {

Error Invalid(std::string message) {
  return Error(Code::kInvalidArgument, std::move(message)).Reason("INVALID_SPEC");
}

Status Parse(const std::string& json, google::protobuf::Message& message) {
  const auto status = google::protobuf::util::JsonStringToMessage(json, &message);
  if (!status.ok()) return Fail(Invalid(std::string(status.message())));
  return Ok();
}

}  // namespace

Result<berth::v1::Guest> ParseSpec(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  std::string json = text;
  if (first == std::string::npos) return Fail(Invalid("it is empty"));
  if (text[first] != '{') {
    Result<std::string> converted = JsonFromYaml(text);
    if (!converted) return Fail(Invalid("no YAML of a guest: " + converted.error().message()));
    json = *std::move(converted);
  }
  // A Guest has its spec in a field; a GuestSpec has no field of that name.
  berth::v1::Guest guest;
  google::protobuf::util::JsonParseOptions lenient;
  lenient.ignore_unknown_fields = true;
  (void)google::protobuf::util::JsonStringToMessage(json, &guest, lenient);
  const bool whole = guest.has_spec();
  guest.Clear();
  TRY(whole ? Parse(json, guest) : Parse(json, *guest.mutable_spec()));
  return guest;
}

Result<berth::v1::Guest> ReadSpecFile(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path);
    if (!file) return FailErrno(errno, "open {}", path);
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text(kMaxSpecBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (in.bad()) return Fail(Code::kUnknown, "{} cannot be read", path);
  if (text.size() > kMaxSpecBytes)
    return Fail(Invalid(fmt::format("{} is larger than {} bytes", path, kMaxSpecBytes)));
  return Context(ParseSpec(text), path);
}

}  // namespace berth::cli
