#include "block/vmdk/descriptor.h"

#include <charconv>

#include "block/options.h"

namespace berth::block::vmdk {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  return text;
}

std::string_view Unquote(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') return text.substr(1, text.size() - 2);
  return text;
}

std::string_view TakeWord(std::string_view* text) {
  *text = Trim(*text);
  const size_t end = std::min(text->find_first_of(" \t"), text->size());
  const std::string_view word = text->substr(0, end);
  text->remove_prefix(end);
  return word;
}

template <typename T>
bool Number(std::string_view text, T* value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value, base);
  return error == std::errc() && end == text.data() + text.size();
}

// RW 4192256 SPARSE "name-s001.vmdk" or RW 4192256 FLAT "name-f001.vmdk" 0
Result<ExtentLine> ParseExtent(std::string_view line) {
  ExtentLine extent;
  std::string_view rest = line;
  TakeWord(&rest);
  const std::string_view sectors = TakeWord(&rest);
  extent.type = TakeWord(&rest);
  rest = Trim(rest);
  const size_t close = rest.starts_with('"') ? rest.find('"', 1) : rest.npos;
  const auto bad = [&] { return Fail(Code::kInvalidArgument, "Invalid extent line: {}", line); };
  if (!Number(sectors, &extent.sectors) || extent.sectors == 0 || extent.sectors > INT64_MAX / 512)
    return bad();
  if (close == rest.npos) return bad();
  extent.filename = rest.substr(1, close - 1);
  rest = Trim(rest.substr(close + 1));
  const bool flat = extent.type == "FLAT";
  if (flat && (!Number(rest, &extent.offset_sectors) || extent.offset_sectors > INT64_MAX / 512))
    return bad();
  return extent;
}

}  // namespace

Result<Descriptor> ParseDescriptor(std::string_view text, bool with_extents) {
  const std::string_view whole = text.substr(0, std::min(text.find('\0'), text.size()));
  Descriptor descriptor;
  for (size_t at = 0; at < whole.size();) {
    const size_t end = std::min(whole.find('\n', at), whole.size());
    const std::string_view line = Trim(whole.substr(at, end - at));
    at = end + 1;
    if (line.starts_with("RW ") && with_extents) {
      if (descriptor.extents.size() == kMaxExtents) {
        return Fail(Code::kInvalidArgument, "the disk has more than {} extents", kMaxExtents);
      }
      descriptor.extents.push_back(TRY(ParseExtent(line)));
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == line.npos) continue;
    const std::string_view name = Trim(line.substr(0, equals)), value = Trim(line.substr(equals + 1));
    if (name == "CID") {
      if (!Number(value, &descriptor.cid, 16)) return Fail(Code::kInvalidArgument, "invalid CID '{}'", value);
      if (value.size() == 8) descriptor.cid_at = static_cast<uint64_t>(value.data() - whole.data());
    } else if (name == "parentCID") {
      if (!Number(value, &descriptor.parent_cid, 16)) {
        return Fail(Code::kInvalidArgument, "invalid parentCID '{}'", value);
      }
    } else if (name == "createType") {
      descriptor.create_type = Unquote(value);
    } else if (name == "parentFileNameHint") {
      descriptor.parent_name = Unquote(value);
    }
  }
  return descriptor;
}

std::string CidText(uint32_t cid) { return fmt::format("{:08x}", cid); }

std::string WriteDescriptor(const Descriptor& descriptor, const DiskDatabase& database, uint64_t sectors) {
  std::string text =
      fmt::format("# Disk DescriptorFile\nversion=1\nCID={}\nparentCID={}\ncreateType=\"{}\"\n",
                  CidText(descriptor.cid), CidText(descriptor.parent_cid), descriptor.create_type);
  if (!descriptor.parent_name.empty())
    text += fmt::format("parentFileNameHint=\"{}\"\n", descriptor.parent_name);
  text += "\n# Extent description\n";
  for (const ExtentLine& extent : descriptor.extents) {
    text += fmt::format("RW {} {} \"{}\"{}\n", extent.sectors, extent.type, extent.filename,
                        extent.type == "FLAT" ? " 0" : "");
  }
  text += fmt::format(
      "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"{}\"\nddb.geometry.cylinders = \"{}\"\n"
      "ddb.geometry.heads = \"{}\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"{}\"\n"
      "ddb.toolsVersion = \"{}\"\n",
      database.hardware_version, sectors / (63 * database.heads), database.heads, database.adapter_type,
      database.tools_version);
  return text;
}

bool LooksLikeDescriptor(std::string_view head) {
  while (!head.empty()) {
    const size_t end = head.find('\n');
    if (end == head.npos) return false;
    const std::string_view line = Trim(head.substr(0, end));
    if (line == "version=1" || line == "version=2" || line == "version=3") return true;
    if (!line.empty() && !line.starts_with('#')) return false;
    head.remove_prefix(end + 1);
  }
  return false;
}

}  // namespace berth::block::vmdk
