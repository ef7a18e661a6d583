#include "cli/yaml.h"

#include <regex>

#include <yaml-cpp/yaml.h>

namespace berth::cli {
namespace {

constexpr int kMaxDepth = 64;

// JSON's grammar of numbers (RFC 8259, section 6); YAML's octal, hexadecimal and infinite ones stay text.
bool IsNumber(const std::string& text) {
  static const std::regex number(R"(-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)");
  return text.size() < 64 && std::regex_match(text, number);
}
bool IsTruth(const std::string& text) { return text == "true" || text == "false"; }
bool IsNull(const std::string& text) { return text.empty() || text == "null" || text == "~"; }

std::string Quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<uint8_t>(c) < 0x20) {
      result += fmt::format("\\u{:04x}", c);
    } else {
      result += c;
    }
  }
  return result + '"';
}

Status Append(const YAML::Node& node, int depth, std::string& json) {
  if (depth > kMaxDepth) return Fail(Code::kInvalidArgument, "nested more than {} levels deep", kMaxDepth);
  if (json.size() > kMaxYamlBytes) {
    return Fail(Code::kInvalidArgument, "more than {} bytes when written out", kMaxYamlBytes);
  }
  switch (node.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null:
      json += "null";
      return Ok();
    case YAML::NodeType::Scalar: {
      const std::string& text = node.Scalar();
      const bool plain = node.Tag() == "?";
      json += plain && IsNull(text)                        ? "null"
              : plain && (IsTruth(text) || IsNumber(text)) ? text
                                                           : Quoted(text);
      return Ok();
    }
    case YAML::NodeType::Sequence: {
      const char* separator = "[";
      for (const YAML::Node& element : node) {
        json += std::exchange(separator, ",");
        TRY(Append(element, depth + 1, json));
      }
      json += node.size() == 0 ? "[]" : "]";
      return Ok();
    }
    case YAML::NodeType::Map: {
      const char* separator = "{";
      for (const auto& entry : node) {
        if (!entry.first.IsScalar()) {
          return Fail(Code::kInvalidArgument, "line {}: a key must be text", entry.first.Mark().line + 1);
        }
        json += std::exchange(separator, ",") + Quoted(entry.first.Scalar()) + ":";
        TRY(Append(entry.second, depth + 1, json));
      }
      json += node.size() == 0 ? "{}" : "}";
      return Ok();
    }
  }
  return Ok();
}

void Emit(const YAML::Node& node, YAML::Emitter& out) {
  if (node.IsMap()) {
    out << YAML::BeginMap;
    for (const auto& entry : node) {
      out << YAML::Key << entry.first.Scalar() << YAML::Value;
      Emit(entry.second, out);
    }
    out << YAML::EndMap;
  } else if (node.IsSequence()) {
    out << YAML::BeginSeq;
    for (const YAML::Node& element : node) Emit(element, out);
    out << YAML::EndSeq;
  } else {
    const std::string& text = node.Scalar();
    const bool was_quoted = node.Tag() == "!";
    if (was_quoted && (IsNumber(text) || IsTruth(text) || IsNull(text))) out << YAML::DoubleQuoted;
    out << text;
  }
}

}  // namespace

Result<std::string> JsonFromYaml(const std::string& yaml) {
  // The library reports by exceptions; they end here.
  try {
    std::string json;
    TRY(Append(YAML::Load(yaml), 0, json));
    return json;
  } catch (const YAML::Exception& error) {
    return Fail(Code::kInvalidArgument, "{}", error.what());
  }
}

std::string YamlFromJson(const std::string& json) {
  YAML::Emitter out;
  Emit(YAML::Load(json), out);
  return std::string(out.c_str()) + "\n";
}

}  // namespace berth::cli
