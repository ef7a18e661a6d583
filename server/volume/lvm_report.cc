#include "server/volume/lvm_report.h"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

namespace berth::server {
namespace {

using Json = nlohmann::json;

tl::unexpected<Error> Malformed(std::string_view text) {
  constexpr size_t kShown = 200;
  return Fail(Error(Code::kInternal, fmt::format("lvs printed what is no report: \"{}{}\"",
                                                 text.substr(0, kShown), text.size() > kShown ? "…" : ""))
                  .Reason("LVM_REPORT_MALFORMED"));
}

// lvm prints all values as strings; what does not apply is empty.
template <typename Number>
bool Read(const Json& volume, const char* key, Number* number) {
  const auto found = volume.find(key);
  if (found == volume.end() || !found->is_string()) return false;
  const auto& text = found->get_ref<const std::string&>();
  if (text.empty()) return true;
  const char* const end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && after == end;
}

bool Read(const Json& volume, const char* key, std::string* text) {
  const auto found = volume.find(key);
  if (found == volume.end() || !found->is_string()) return false;
  *text = found->get<std::string>();
  return true;
}

bool ReadPercent(const Json& volume, const char* key, double* percent) {
  return Read(volume, key, percent) && *percent >= 0 && *percent <= 100;
}

bool Read(const Json& volume, LogicalVolume* read) {
  return volume.is_object() && Read(volume, "lv_name", &read->name) &&
         Read(volume, "lv_attr", &read->attributes) && Read(volume, "pool_lv", &read->pool) &&
         Read(volume, "lv_size", &read->size_bytes) && read->size_bytes <= INT64_MAX &&
         ReadPercent(volume, "data_percent", &read->data_percent) &&
         ReadPercent(volume, "metadata_percent", &read->metadata_percent) &&
         Read(volume, "lv_time", &read->created_seconds);
}

}  // namespace

std::vector<std::string> LvmReportCommand(const std::string& volume_group) {
  return {"lvs",       "--reportformat",
          "json",      "--units",
          "b",         "--nosuffix",
          "--config",  "report/time_format=\"%s\"",
          "--options", "lv_name,lv_attr,pool_lv,lv_size,data_percent,metadata_percent,lv_time",
          volume_group};
}

// {"report": [{"lv": [{"lv_name": "web", "lv_size": "4194304", …}, …]}]}: lvmreport(7), lvs(8).
Result<std::vector<LogicalVolume>> ParseLvmReport(std::string_view text) {
  const Json whole = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!whole.is_object() || !whole.contains("report") || !whole["report"].is_array() ||
      whole["report"].empty())
    return Malformed(text);
  const Json& report = whole["report"][0];
  if (!report.is_object() || !report.contains("lv") || !report["lv"].is_array()) return Malformed(text);
  std::vector<LogicalVolume> volumes;
  for (const Json& volume : report["lv"]) {
    if (!Read(volume, &volumes.emplace_back()))
      return Malformed(volume.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return volumes;
}

}  // namespace berth::server
