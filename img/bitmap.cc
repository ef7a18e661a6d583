#include "block/bitmap.h"

#include <vector>

#include "img/bitmap_copy.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr uint64_t kDefaultGranularity = 64 << 10, kMinDefaultGranularity = 4 << 10;

struct BitmapAction {
  enum class Kind : uint8_t { kAdd, kRemove, kClear, kEnable, kDisable, kMerge } kind = Kind::kAdd;
  std::string source{};  // Of merge.
};

struct BitmapRequest {
  Source image, merge_from;
  std::string bitmap;
  std::vector<BitmapAction> actions;
  uint64_t granularity = 0;  // 0: by the image.
};

constexpr std::string_view kActionNames[] = {"add", "remove", "clear", "enable", "disable", "merge"};

bool TakeBitmapOption(int option, BitmapRequest* request) {
  using Kind = BitmapAction::Kind;
  switch (option) {
    case 'b':
      request->merge_from.name = ::optarg;
      return true;
    case 'f':
      request->image.format = ::optarg;
      return true;
    case 'F':
      request->merge_from.format = ::optarg;
      return true;
    case 'g': {
      const auto size = ParseSizeArgument(::optarg, "granularity");
      if (size) request->granularity = *size;
      return size.has_value();
    }
    case kOptionImageOpts:
      request->image.is_options = true;
      return true;
    case kOptionMerge:
      request->actions.push_back({Kind::kMerge, ::optarg});
      return true;
    case kOptionAdd:
    case kOptionRemove:
    case kOptionClear:
    case kOptionEnable:
    case kOptionDisable:
      request->actions.push_back({static_cast<Kind>(option - kOptionAdd)});
      return true;
    default:
      return true;
  }
}

const char* BitmapContradiction(const BitmapRequest& request) {
  bool adds = false, merges = false;
  for (const BitmapAction& action : request.actions) {
    adds |= action.kind == BitmapAction::Kind::kAdd;
    merges |= action.kind == BitmapAction::Kind::kMerge;
  }
  if (request.actions.empty()) {
    return "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge";
  }
  if (request.granularity != 0 && !adds) return "granularity only supported with --add";
  if (!request.merge_from.format.empty() && request.merge_from.name.empty())
    return "-F only supported with -b";
  if (!request.merge_from.name.empty() && !merges) {
    return "Merge bitmap source file only supported with --merge";
  }
  return nullptr;
}

// As large as a cluster, between 4 and 64 KiB.
uint64_t DefaultGranularity(block::Image* image) {
  const auto* format = dynamic_cast<const block::FormatImage*>(image);
  const auto cluster = format == nullptr ? std::nullopt : format->Info().cluster_size_bytes;
  return cluster ? std::clamp(*cluster, kMinDefaultGranularity, kDefaultGranularity) : kDefaultGranularity;
}

Status Carry(const BitmapRequest& request, const BitmapAction& action, block::Image* image,
             block::Image* source) {
  auto* store = dynamic_cast<block::BitmapStore*>(image);
  auto* from = dynamic_cast<block::BitmapStore*>(source);
  const auto missing = [](std::string_view name) {
    return Fail(Code::kNotFound, "Dirty bitmap '{}' not found", name);
  };
  if (store == nullptr) {
    if (action.kind != BitmapAction::Kind::kAdd) return missing(request.bitmap);
    return Fail(Code::kUnimplemented, "Can't store persistent bitmaps to {}: Operation not supported",
                image->filename());
  }
  switch (action.kind) {
    case BitmapAction::Kind::kAdd:
      return store->AddBitmap(
          {.name = request.bitmap,
           .granularity_bytes = request.granularity != 0 ? request.granularity : DefaultGranularity(image)});
    case BitmapAction::Kind::kRemove:
      return store->RemoveBitmap(request.bitmap);
    case BitmapAction::Kind::kClear:
      return store->ClearBitmap(request.bitmap);
    case BitmapAction::Kind::kEnable:
      return store->EnableBitmap(request.bitmap, true);
    case BitmapAction::Kind::kDisable:
      return store->EnableBitmap(request.bitmap, false);
    case BitmapAction::Kind::kMerge:
      break;
  }
  TRY(store->MarkDirty(request.bitmap, {}));  // Is it there?
  if (from == nullptr) return missing(action.source);
  if (image->size_bytes() != source->size_bytes()) {
    return Fail(
        Code::kInvalidArgument,
        "Bitmaps are of different sizes (destination size is {} and source size is {}) and can't be merged",
        image->size_bytes(), source->size_bytes());
  }
  return store->MarkDirty(request.bitmap, TRY(from->DirtyRanges(action.source)));
}

}  // namespace

bool CopyBitmaps(block::Image* source, block::Image* target, bool skip_broken) {
  auto* from = dynamic_cast<block::BitmapStore*>(source);
  auto* to = dynamic_cast<block::BitmapStore*>(target);
  for (const block::BitmapInfo& info : from->Bitmaps()) {
    if (info.inconsistent) {
      if (!skip_broken) continue;  // Complained of before.
      Complain("warning: Skipping inconsistent bitmap '{}'", info.name);
      continue;
    }
    const auto copied = [&]() -> Status {
      TRY(to->AddBitmap(
          {.name = info.name, .granularity_bytes = info.granularity_bytes, .enabled = info.enabled}));
      return to->MarkDirty(info.name, TRY(from->DirtyRanges(info.name)));
    };
    if (const Status status = copied(); !status) {
      Complain("Failed to populate bitmap {}: {}", info.name, status.error().message());
      return false;
    }
  }
  const Status stored = to->StoreBitmaps();
  if (!stored) Complain("Failed to store the bitmaps: {}", stored.error().message());
  return stored.has_value();
}

int Bitmap(int argc, char** argv) {
  BitmapRequest request;
  Arguments arguments(argc, argv, "b:f:F:g:",
                      {{"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"add", no_argument, nullptr, kOptionAdd},
                       {"remove", no_argument, nullptr, kOptionRemove},
                       {"clear", no_argument, nullptr, kOptionClear},
                       {"enable", no_argument, nullptr, kOptionEnable},
                       {"disable", no_argument, nullptr, kOptionDisable},
                       {"merge", required_argument, nullptr, kOptionMerge}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (!TakeBitmapOption(option, &request)) return 1;
  }
  if (const char* why = BitmapContradiction(request); why != nullptr) {
    Complain(why);
    return 1;
  }
  if (arguments.Rest().size() != 2) {
    Complain("Expecting filename and bitmap name");
    return 1;
  }
  request.image.name = arguments.Rest()[0];
  request.bitmap = arguments.Rest()[1];
  const auto image = OpenSource(request.image, {.writable = true});
  if (image == nullptr) return 1;
  std::unique_ptr<block::Image> source;
  if (!request.merge_from.name.empty()) {
    source = OpenSource(request.merge_from, {});
    if (source == nullptr) return 1;
  }
  int status = 0;
  for (const BitmapAction& action : request.actions) {
    const Status done = Carry(request, action, image.get(), source ? source.get() : image.get());
    if (done) continue;
    Complain("Operation {} on bitmap {} failed: {}", kActionNames[static_cast<size_t>(action.kind)],
             request.bitmap, done.error().message());
    status = 1;
    break;
  }
  auto* store = dynamic_cast<block::BitmapStore*>(image.get());
  const Status stored = store == nullptr ? Ok() : store->StoreBitmaps();
  if (stored) return status;
  Complain("Failed to store the bitmaps: {}", stored.error().message());
  return 1;
}

}  // namespace berth::img
