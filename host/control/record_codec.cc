#include "host/control/record_codec.h"

#include <algorithm>

#include "host/sysfs.h"

namespace berth::host {
namespace {

// A record's line ends at '\n'; '%' introduces two hexadecimal digits.
std::string Escape(std::string_view value) {
  std::string text;
  for (const char c : value) {
    const bool plain = static_cast<unsigned char>(c) >= 0x20 && c != '%' && c != 0x7f;
    if (plain) {
      text += c;
    } else {
      text += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

std::optional<std::string> Unescape(std::string_view text) {
  std::string value;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      value += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const auto byte = ParseHexNumber(text.substr(i + 1, 2));
    if (!byte || *byte > 0xff) return std::nullopt;
    value += static_cast<char>(*byte);
    i += 2;
  }
  return value;
}

}  // namespace

std::string RecordWriter::Name(std::string_view key, std::string_view field) {
  return key.empty() ? std::string(field) : fmt::format("{}.{}", key, field);
}

void RecordWriter::Put(std::string_view key, std::string_view value) {
  text_ += fmt::format("{}={}\n", key, Escape(value));
}

RecordReader::RecordReader(std::string_view text) {
  if (text.size() > kMaxRecordBytes) {
    Spoil("the record", "is too long");
    return;
  }
  for (const std::string_view line : SplitLines(text)) {
    const size_t equals = std::min(line.find('='), line.size());
    const std::string_view key = line.substr(0, equals);
    auto value = Unescape(line.substr(std::min(equals + 1, line.size())));
    if (!value || equals == line.size()) {
      Spoil(key.substr(0, 40), "has no readable value");
    } else if (!fields_.emplace(key, *std::move(value)).second) {
      Spoil(key.substr(0, 40), "is there twice");
    }
  }
}

void RecordReader::operator()(std::string_view key, PciAddress& value) {
  const auto address = PciAddress::Parse(Take(key));
  if (!address) return Spoil(key, "is no PCI address");
  value = *address;
}

void RecordReader::operator()(std::string_view key, CpuSet& value) {
  auto set = CpuSet::Parse(Take(key));
  if (!set) return Spoil(key, "is no list of numbers");
  value = *std::move(set);
}

std::string RecordReader::Take(std::string_view key) {
  const auto found = fields_.find(key);
  if (found == fields_.end()) {
    Spoil(key, "is missing");
    return {};
  }
  std::string value = std::move(found->second);
  fields_.erase(found);
  return value;
}

void RecordReader::Spoil(std::string_view key, std::string_view problem) {
  if (problem_.empty()) problem_ = fmt::format("{} {}", key, problem);
}

Status RecordReader::Finish() {
  if (problem_.empty() && !fields_.empty()) problem_ = fields_.begin()->first + " is unknown";
  if (problem_.empty()) return Ok();
  return Fail(Error(Code::kDataLoss, fmt::format("unreadable record: {}", problem_)).Reason("BAD_RECORD"));
}

}  // namespace berth::host
