#include "cli/volume_view.h"

#include <ostream>

#include <fmt/ranges.h>

namespace berth::cli {

using berth::v1::Pool;
using berth::v1::Volume;

namespace {

std::string PlaceOf(const Pool& pool) {
  if (!pool.has_lvm_thin()) return pool.directory();
  return fmt::format("lvm-thin:{}/{}", pool.lvm_thin().volume_group(), pool.lvm_thin().thin_pool());
}

}  // namespace

void PrintVolumes(std::ostream& out, OutputFormat format, const std::vector<Volume>& volumes) {
  if (format == OutputFormat::kName) {
    for (const Volume& volume : volumes) out << volume.name() << '\n';
  }
  if (format != OutputFormat::kTable) return;
  Table table({"NAME", "FORMAT", "SIZE", "ALLOCATED", "BASE", "DEPENDENTS", "GUESTS", "ERROR"});
  for (const Volume& volume : volumes) {
    table.Add({volume.name(), Volume::Format_Name(volume.format()), FormatBytes(volume.size_bytes()),
               FormatBytes(volume.allocated_bytes()), volume.base(),
               volume.dependents().empty() ? "" : std::to_string(volume.dependents_size()),
               fmt::format("{}", fmt::join(volume.guests(), ",")), volume.error().message()});
  }
  table.Print(out);
}

void PrintPools(std::ostream& out, OutputFormat format, const std::vector<Pool>& pools) {
  if (format == OutputFormat::kName) {
    for (const Pool& pool : pools) out << pool.name() << '\n';
  }
  if (format != OutputFormat::kTable) return;
  Table table(
      {"NAME", "PLACE", "CAPACITY", "AVAILABLE", "ALLOCATED", "PROMISED", "LIMIT", "VOLUMES", "ERROR"});
  for (const Pool& pool : pools) {
    const double limit = pool.overcommit_ratio() * static_cast<double>(pool.capacity_bytes());
    table.Add({pool.name(), PlaceOf(pool), FormatBytes(pool.capacity_bytes()),
               FormatBytes(pool.available_bytes()), FormatBytes(pool.allocated_bytes()),
               FormatBytes(pool.promised_bytes()), limit == 0 ? "" : FormatBytes(static_cast<int64_t>(limit)),
               std::to_string(pool.volume_count()), pool.error().message()});
  }
  table.Print(out);
}

}  // namespace berth::cli
