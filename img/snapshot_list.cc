#include "img/snapshot_list.h"

#include <time.h>

#include <string>

#include "block/format_image.h"
#include "block/options.h"
#include "img/text.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr uint64_t kClockHertz = 1'000'000'000;  // The machine's clock counts nanoseconds.

std::string DateText(int64_t seconds) {
  const auto when = static_cast<time_t>(seconds);
  tm local{};
  char date[32] = "";
  if (::localtime_r(&when, &local) != nullptr) std::strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &local);
  return date;
}

Result<block::SnapshotKey> ParseKey(std::string_view parameter) {
  block::SnapshotKey key;
  for (auto& [name, value] : TRY(block::SplitKeyValues(parameter))) {
    if (name == "snapshot.id") {
      key.id = std::move(value);
    } else if (name == "snapshot.name") {
      key.name = std::move(value);
    } else {
      return Fail(Code::kInvalidArgument, "Invalid parameter '{}'", name);
    }
  }
  return key;
}

}  // namespace

void PrintSnapshots(std::span<const block::Snapshot> snapshots) {
  if (snapshots.empty()) return;
  fmt::print("Snapshot list:\n{:<10}{:<17}{:>8}{:>20}{:>13}{:>11}\n", "ID", "TAG", "VM SIZE", "DATE",
             "VM CLOCK", "ICOUNT");
  for (const block::Snapshot& snapshot : snapshots) {
    const uint64_t seconds = snapshot.vm_clock_ns / kClockHertz;
    const std::string clock = fmt::format("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60,
                                          seconds % 60, snapshot.vm_clock_ns % kClockHertz / 1'000'000);
    fmt::print("{:<9} {:<16} {:>8}{:>20}{:>13}{:>11}\n", snapshot.id, snapshot.name,
               SizeText(snapshot.vm_state_bytes), DateText(snapshot.date_seconds), clock,
               snapshot.icount == -1 ? "" : std::to_string(snapshot.icount));
  }
}

bool ViewSnapshot(block::Image* image, std::string_view parameter) {
  const auto* format = dynamic_cast<const block::FormatImage*>(image);
  auto* store = dynamic_cast<block::SnapshotStore*>(image);
  std::optional<block::SnapshotKey> key;
  if (parameter.starts_with("snapshot.")) {
    auto parsed = ParseKey(parameter);
    if (!parsed) {
      Complain(parsed.error().message());
      Complain("Failed in parsing snapshot param '{}'", parameter);
      return false;
    }
    key = *std::move(parsed);
  } else if (store != nullptr) {
    key = block::FindSnapshotByText(format->Snapshots(), parameter);
  }
  if (store == nullptr) {
    Complain(
        "Failed to load snapshot: Block format '{}' used by device '' does not support temporarily loading "
        "internal snapshots",
        image->driver());
    return false;
  }
  if (!key || !store->ViewSnapshot(*key)) {
    Complain("Failed to load snapshot: Can't find snapshot");
    return false;
  }
  return true;
}

}  // namespace berth::img
