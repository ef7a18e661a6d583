#include "server/api/unknown_fields.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>

namespace berth::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Protobuf's parser limits the depth of what gets here.
Status Check(const Message& message, const std::string& path) {
  const auto& reflection = *message.GetReflection();
  const auto& unknown = reflection.GetUnknownFields(message);
  if (!unknown.empty()) {
    const std::string place = path.empty() ? "the request" : path;
    return Fail(Error(Code::kInvalidArgument,
                      fmt::format("{} has a field with number {}, which this server does not know", place,
                                  unknown.field(0).number()))
                    .Reason("UNKNOWN_FIELD")
                    .With("number", std::to_string(unknown.field(0).number()))
                    .Field(path));
  }
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const std::string name = path.empty() ? field->name() : path + "." + field->name();
    if (!field->is_repeated()) {
      TRY(Check(reflection.GetMessage(message, field), name));
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      TRY(Check(reflection.GetRepeatedMessage(message, field, i), fmt::format("{}[{}]", name, i)));
    }
  }
  return Ok();
}

}  // namespace

Status RefuseUnknownFields(const Message& message) { return Check(message, ""); }

}  // namespace berth::server
