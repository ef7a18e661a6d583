// What commands print: tables for people, JSON, YAML and names for programs.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/message.h>

#include "base/error.h"

namespace berth::cli {

enum class OutputFormat { kTable, kJson, kYaml, kName };

// INVALID_ARGUMENT for anything but "table", "json", "yaml" and "name".
Result<OutputFormat> ParseOutputFormat(std::string_view text);

// Columns as wide as their widest cell. Cells are made printable; an empty one is shown as "-".
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void Print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// The API's JSON mapping, indented, with fields of no value left out.
std::string ToJson(const google::protobuf::Message& message);
// The same as YAML, in block style; reading it back gives the same JSON.
std::string ToYaml(const google::protobuf::Message& message);

// kJson and kYaml; nothing for the others.
void PrintMessage(std::ostream& out, OutputFormat format, const google::protobuf::Message& message);

std::string FormatBytes(int64_t bytes);  // "512 MiB", "1.5 GiB"
// "4096", "512M", "20G": suffixes K, M, G, T and P, of 1024. INVALID_ARGUMENT.
Result<int64_t> ParseBytes(std::string_view text);

}  // namespace berth::cli
