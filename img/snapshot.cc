#include "block/snapshot.h"

#include <time.h>

#include <cerrno>
#include <cstring>

#include "block/format_image.h"
#include "img/snapshot_list.h"
#include "img/tool.h"

namespace berth::img {
namespace {

enum class Action : uint8_t { kNone, kList, kCreate, kApply, kDelete };

// As the number that others' tools print.
int ErrnoOf(const Error& error) {
  switch (error.code()) {
    case Code::kUnimplemented:
      return ENOTSUP;
    case Code::kInvalidArgument:
      return EINVAL;
    case Code::kNotFound:
      return ENOENT;
    case Code::kOutOfRange:
      return EFBIG;
    case Code::kResourceExhausted:
      return ENOSPC;
    default:
      return EIO;
  }
}

int CreateOne(block::SnapshotStore* store, const std::string& name) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  Status created = Fail(Code::kUnimplemented, "no snapshots");
  if (store != nullptr) {
    created = store->CreateSnapshot({.name = name,
                                     .date_seconds = now.tv_sec,
                                     .date_nanoseconds = static_cast<uint32_t>(now.tv_nsec),
                                     .icount = 0});
  }
  if (created) return 0;
  const int error = ErrnoOf(created.error());
  Complain("Could not create snapshot '{}': -{} ({})", name, error, std::strerror(error));
  return 1;
}

int ApplyOne(block::SnapshotStore* store, std::span<const block::Snapshot> all, const std::string& name) {
  std::string why = "Block driver does not support snapshots";
  if (store != nullptr) {
    // An id or a name, whichever comes first in the table.
    const auto key = block::FindSnapshotByText(all, name);
    const Status applied = store->ApplySnapshot(key ? *key : block::SnapshotKey{.id = name, .name = name});
    if (applied) return 0;
    why = std::string("Failed to load snapshot: ") + std::strerror(ErrnoOf(applied.error()));
  }
  Complain("Could not apply snapshot '{}': {}", name, why);
  return 1;
}

int DeleteOne(block::SnapshotStore* store, std::span<const block::Snapshot> all, const std::string& name) {
  // By its name only, as others' tools do.
  const auto index = block::FindSnapshot(all, {.name = name});
  if (store == nullptr || !index) {
    Complain("Could not delete snapshot '{}': snapshot not found", name);
    return 1;
  }
  const Status deleted = store->DeleteSnapshot({.id = all[*index].id, .name = name});
  if (deleted) return 0;
  Complain("Could not delete snapshot '{}': {}", name, deleted.error().message());
  return 1;
}

}  // namespace

int Snapshot(int argc, char** argv) {
  Source source;
  Action action = Action::kNone;
  std::string name;
  block::OpenFlags flags{.writable = true};
  Arguments arguments(argc, argv, "la:c:d:qU",
                      {{"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force-share", no_argument, nullptr, 'U'}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'U') flags.force_share = true;
    if (option == kOptionImageOpts) source.is_options = true;
    const Action asked = option == 'l'   ? Action::kList
                         : option == 'a' ? Action::kApply
                         : option == 'c' ? Action::kCreate
                         : option == 'd' ? Action::kDelete
                                         : Action::kNone;
    if (asked == Action::kNone) continue;
    if (action != Action::kNone) RefuseArguments("Cannot mix '-l', '-a', '-c', '-d'");
    action = asked;
    if (asked == Action::kList) flags.writable = false;
    if (asked != Action::kList) name = ::optarg;
  }
  if (arguments.Rest().size() != 1) RefuseArguments("Expecting one image file name");
  source.name = arguments.Rest()[0];
  const auto image = OpenSource(source, flags);
  if (image == nullptr) return 1;
  auto* store = dynamic_cast<block::SnapshotStore*>(image.get());
  const auto* format = dynamic_cast<const block::FormatImage*>(image.get());
  const auto all = format == nullptr ? std::vector<block::Snapshot>() : format->Snapshots();
  switch (action) {
    case Action::kCreate:
      return CreateOne(store, name);
    case Action::kApply:
      return ApplyOne(store, all, name);
    case Action::kDelete:
      return DeleteOne(store, all, name);
    case Action::kList:
      PrintSnapshots(all);
      return 0;
    case Action::kNone:
      return 0;
  }
  return 0;
}

}  // namespace berth::img
