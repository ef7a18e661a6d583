#include "tests/fakes/umockdev.h"

#include <zlib.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "host/sysfs.h"

namespace berth::host {
namespace {

namespace fs = std::filesystem;

struct Record {
  fs::path path;  // Below sys.
  std::string uevent, subsystem;
};

std::string Unescape(std::string_view text) {
  std::string value;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size();
    if (escape) ++i;
    value += escape && text[i] == 'n' ? '\n' : text[i];
  }
  return value;
}

std::string FromHex(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes += static_cast<char>(ParseHexNumber(text.substr(i, 2)).value_or(0));
  }
  return bytes;
}

void WriteFile(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  if (!file) {
    fs::create_directories(path.parent_path());
    file.open(path, std::ios::binary);
  }
  file << text;
}

// Replaces nothing: records repeat what the bus says.
void WriteLink(const fs::path& path, const fs::path& target) {
  std::error_code ignored;
  fs::create_directories(path.parent_path());
  fs::create_symlink(target, path, ignored);
}

// What nothing here reads, and is half of all the files.
bool IsIrrelevant(const std::string& attribute) {
  return attribute.starts_with("power/") || attribute.starts_with("msi_irqs/") ||
         attribute.starts_with("statistics/") || attribute.starts_with("aer_") ||
         attribute.starts_with("queues/");
}

void Finish(const fs::path& sys, const Record& record) {
  if (record.path.empty()) return;
  static const std::set<std::string> kBuses = {"pci", "cpu", "node", "mdev", "usb", "memory"};
  const fs::path device = sys / record.path;
  WriteFile(device / "uevent", record.uevent);
  if (record.subsystem.empty()) return;
  const fs::path list = kBuses.contains(record.subsystem) ? sys / "bus" / record.subsystem / "devices"
                                                          : sys / "class" / record.subsystem;
  WriteLink(list / record.path.filename(), fs::relative(device, list));
}

}  // namespace

Status ExpandUmockdev(std::string_view text, const std::string& root) {
  const fs::path sys = fs::path(root) / "sys";
  Record record;
  for (const std::string_view line : SplitLines(text)) {
    if (line.size() < 3 || line.substr(1, 2) != ": ") continue;
    const std::string_view rest = line.substr(3);
    const size_t equals = std::min(rest.find('='), rest.size());
    const std::string name(rest.substr(0, equals)), value(rest.substr(std::min(equals + 1, rest.size())));
    if (rest.find("..") != std::string_view::npos && line[0] != 'L' && line[0] != 'A') {
      return Fail(Code::kInvalidArgument, "\"{}\" leads out of the tree", rest);
    }
    switch (line[0]) {
      case 'P':
        Finish(sys, record);
        record = {.path = std::string(rest.substr(1))};
        fs::create_directories(sys / record.path);
        break;
      case 'E':
        record.uevent += name + "=" + value + "\n";
        if (name == "SUBSYSTEM") record.subsystem = value;
        break;
      case 'A':
        if (!IsIrrelevant(name)) WriteFile(sys / record.path / name, Unescape(value));
        break;
      case 'H':
        WriteFile(sys / record.path / name, FromHex(value));
        break;
      case 'L': {
        WriteLink(sys / record.path / name, value);
        if (name != "iommu_group") break;
        const fs::path members = sys / "kernel/iommu_groups" / fs::path(value).filename() / "devices";
        WriteLink(members / record.path.filename(), fs::relative(sys / record.path, members));
        break;
      }
      default:
        break;
    }
  }
  Finish(sys, record);
  return Ok();
}

Result<std::string> ReadGzip(const std::string& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(::gzopen(path.c_str(), "rb"), ::gzclose);
  if (!file) return Fail(Code::kNotFound, "cannot open {}", path);
  std::string text;
  std::array<char, 65536> buffer;
  int count;
  while ((count = ::gzread(file.get(), buffer.data(), buffer.size())) > 0) text.append(buffer.data(), count);
  if (count < 0) return Fail(Code::kDataLoss, "{} is no gzip file", path);
  return text;
}

}  // namespace berth::host
