#include <algorithm>
#include <charconv>
#include <cstring>
#include <thread>

#include "block/bitmap.h"
#include "block/copier.h"
#include "block/open.h"
#include "block/options.h"
#include "img/bitmap_copy.h"
#include "img/create.h"
#include "img/snapshot_list.h"
#include "img/tool.h"

namespace berth::img {
namespace {

constexpr uint64_t kMaxSparseBytes = 16 << 20;

struct Request {
  Source source;  // Of which the name is each input's in turn.
  std::vector<std::string> inputs;
  std::string output;
  CreateRequest create{.format = "raw"};
  std::string source_cache = "writeback", target_cache = "unsafe";
  std::string snapshot;  // -l; empty: the disk as it is.
  block::CopyOptions copy;
  block::OpenFlags source_flags, target_flags{.writable = true};
  bool quiet = false, progress = false, skip_create = false, target_options = false;
  bool bitmaps = false, skip_broken_bitmaps = false, explicit_sparse = false;
};

bool ParseSparse(const char* text, Request* request) {
  const auto size = ParseSizeArgument(text, "buffer size for sparse output");
  if (!size) return false;
  if (*size % 512 != 0 || *size > kMaxSparseBytes) {
    Complain(
        "Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to {}. Select "
        "0 to "
        "disable sparse detection (fully allocates output).",
        kMaxSparseBytes);
    return false;
  }
  request->copy.sparse_bytes = *size;
  request->explicit_sparse = true;
  return true;
}

bool ParseThreads(std::string_view text, Request* request) {
  int threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error != std::errc() || end != text.data() + text.size() || threads < 1 ||
      threads > block::kMaxCopyThreads) {
    Complain("Invalid number of coroutines. Allowed number of coroutines is between 1 and {}",
             block::kMaxCopyThreads);
    return false;
  }
  request->copy.threads = threads;
  return true;
}

// False: complained, the status is 1.
bool ParseArguments(int argc, char** argv, Request* request) {
  bool threads_given = false;
  Arguments arguments(argc, argv, "f:O:B:CcF:o:l:S:pt:T:qnm:WUr:",
                      {{"object", required_argument, nullptr, kOptionObject},
                       {"source-image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force-share", no_argument, nullptr, 'U'},
                       {"target-image-opts", no_argument, nullptr, kOptionTargetImageOpts},
                       {"salvage", no_argument, nullptr, kOptionSalvage},
                       {"target-is-zero", no_argument, nullptr, kOptionTargetIsZero},
                       {"bitmaps", no_argument, nullptr, kOptionBitmaps},
                       {"skip-broken-bitmaps", no_argument, nullptr, kOptionSkipBroken}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    switch (option) {
      case 'f':
        request->source.format = ::optarg;
        break;
      case 'O':
        request->create.format = ::optarg;
        break;
      case 'B':
        request->create.backing_file = ::optarg;
        break;
      case 'F':
        request->create.backing_format = ::optarg;
        break;
      case 'C':
        request->copy.offload = true;
        break;
      case 'c':
        request->copy.compress = true;
        break;
      case 'o':
        request->create.options.emplace_back(::optarg);
        break;
      case 'l':
        request->snapshot = ::optarg;
        break;
      case 'S':
        if (!ParseSparse(::optarg, request)) return false;
        break;
      case 'p':
        request->progress = true;
        break;
      case 't':
        request->target_cache = ::optarg;
        break;
      case 'T':
        request->source_cache = ::optarg;
        break;
      case 'q':
        request->quiet = true;
        break;
      case 'n':
        request->skip_create = true;
        break;
      case 'm':
        if (!ParseThreads(::optarg, request)) return false;
        threads_given = true;
        break;
      case 'W':
        request->copy.in_order = false;
        break;
      case 'U':
        request->source_flags.force_share = true;
        break;
      case 'r': {
        const auto rate = ParseSizeArgument(::optarg, "rate limit");
        if (!rate) return false;
        request->copy.bytes_per_second = *rate;
        break;
      }
      case kOptionImageOpts:
        request->source.is_options = true;
        break;
      case kOptionTargetImageOpts:
        request->target_options = true;
        break;
      case kOptionSalvage:
        request->copy.salvage = true;
        break;
      case kOptionTargetIsZero:
        request->copy.target_is_zero = true;
        break;
      case kOptionBitmaps:
        request->bitmaps = true;
        break;
      case kOptionSkipBroken:
        request->skip_broken_bitmaps = true;
        break;
      default:
        break;
    }
  }
  const auto rest = arguments.Rest();
  if (!rest.empty()) {
    request->inputs.assign(rest.begin(), rest.end() - 1);
    request->output = rest.back();
  }
  if (!threads_given && request->copy.compress) {
    request->copy.threads =
        std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, block::kMaxCopyThreads);
  }
  return true;
}

const char* Contradiction(const Request& request) {
  if (request.skip_broken_bitmaps && !request.bitmaps) {
    return "Use of --skip-broken-bitmaps requires --bitmaps";
  }
  if (request.copy.target_is_zero && !request.skip_create) return "--target-is-zero requires use of -n flag";
  if (request.target_options && !request.skip_create) return "--target-image-opts requires use of -n flag";
  if (request.skip_create && !request.create.options.empty())
    return "-o has no effect when skipping image creation";
  if (request.copy.offload && request.explicit_sparse) return "Cannot enable copy offloading when -S is used";
  if (request.copy.offload && request.copy.compress) return "Cannot enable copy offloading when -c is used";
  if (request.copy.offload && request.copy.salvage) return "Cannot use copy offloading in salvaging mode";
  if (request.inputs.empty()) return "Must specify image file name";
  return nullptr;
}

// Whether all of it reads as zeroes already.
bool IsZero(block::Image* image) {
  for (uint64_t at = 0; at < image->size_bytes();) {
    const auto status = block::StatusAbove(image, nullptr, at, image->size_bytes() - at);
    if (!status || !status->zero) return false;
    at += status->length;
  }
  return true;
}

bool ParseTargetCache(Request* request) {
  if (ParseCache(request->target_cache, &request->target_flags)) return true;
  Complain("Invalid cache option: {}", request->target_cache);
  return false;
}

// What was just created, with the secret that it was created with.
std::unique_ptr<block::Image> OpenMade(const Request& request, const block::CreateOptions& created) {
  for (const char* name : {"key-secret", "encrypt.key-secret"}) {
    if (!created.Has(name)) continue;
    auto image = block::OpenImage(block::Options{{"driver", request.create.format},
                                                 {"file.filename", request.output},
                                                 {name, created.String(name)}},
                                  request.target_flags);
    if (image) return *std::move(image);
    Complain("Could not open '{}': {}", request.output, image.error().message());
    return nullptr;
  }
  return OpenSource({.name = request.output, .format = request.create.format}, request.target_flags);
}

std::unique_ptr<block::Image> MakeTarget(Request* request, uint64_t size) {
  CreateRequest& create = request->create;
  create.filename = request->output;
  const block::Format* format = nullptr;
  auto options = ParseCreateOptions(create, &format);
  if (!options) {
    Complain(options.error().message());
    return nullptr;
  }
  const std::string backing = options->String("backing_file");
  if (!backing.empty() && !options->Has("backing_fmt")) {
    Complain("Use of backing file requires explicit backing format");
    return nullptr;
  }
  if (request->copy.compress && !format->compresses) {
    Complain("Compression not supported for this file format");
    return nullptr;
  }
  if (request->copy.compress && (options->Bool("encryption") || options->Has("encrypt.format"))) {
    Complain("Compression and encryption not supported at the same time");
    return nullptr;
  }
  if (request->copy.compress && !options->String("preallocation").empty() &&
      options->String("preallocation") != "off") {
    Complain("Compression and preallocation not supported at the same time");
    return nullptr;
  }
  if (!options->Has("size")) (void)options->Set("size", std::to_string(size));
  if (const Status created = format->create(request->output, *options); !created) {
    Complain("{}: error while converting {}: {}", request->output, create.format, created.error().message());
    return nullptr;
  }
  const std::string preallocation = options->String("preallocation");
  request->copy.target_has_backing = !backing.empty();
  if (!ParseTargetCache(request)) return nullptr;
  auto image = OpenMade(*request, *options);
  // What is encrypted as a whole is noise where nothing was written.
  request->copy.target_is_zero = backing.empty() && (preallocation.empty() || preallocation == "off") &&
                                 image != nullptr && IsZero(image.get());
  return image;
}

std::unique_ptr<block::Image> OpenTarget(Request* request, uint64_t size) {
  const Source target{.name = request->output,
                      .format = request->target_options ? "" : request->create.format,
                      .is_options = request->target_options};
  if (!ParseTargetCache(request)) return nullptr;
  auto image = OpenSource(target, request->target_flags);
  if (image == nullptr) return nullptr;
  if (image->size_bytes() < size) {
    Complain("output file is smaller than input file");
    return nullptr;
  }
  request->copy.target_has_backing = !request->create.backing_file.empty();
  if (!request->copy.target_has_backing && !request->copy.target_is_zero) {
    request->copy.target_is_zero = IsZero(image.get());
  }
  return image;
}

// Whether the source's bitmaps can be copied; complains if not.
bool CheckBitmaps(const Request& request, const std::vector<block::Image*>& sources) {
  if (sources.size() > 1) {
    Complain("Copying bitmaps only possible with single source");
    return false;
  }
  auto* store = dynamic_cast<block::BitmapStore*>(sources[0]);
  if (store == nullptr || !store->CanHaveBitmaps()) {
    Complain("Source lacks bitmap support");
    return false;
  }
  for (const block::BitmapInfo& info : store->Bitmaps()) {
    if (!info.inconsistent || request.skip_broken_bitmaps) continue;
    Complain("Cannot copy inconsistent bitmap '{}'", info.name);
    fmt::print(stderr, "Try --skip-broken-bitmaps, or use 'qemu-img bitmap --remove'\n");
    return false;
  }
  return true;
}

}  // namespace

int Convert(int argc, char** argv) {
  Request request;
  if (!ParseArguments(argc, argv, &request)) return 1;
  for (const std::string& text : request.create.options) {
    if (AsksForHelp(text)) return PrintCreateOptions(request.create.format, request.output);
  }
  if (const char* why = Contradiction(request); why != nullptr) {
    Complain(why);
    return 1;
  }
  if (!ParseCache(request.source_cache, &request.source_flags)) {
    Complain("Invalid source cache option: {}", request.source_cache);
    return 1;
  }
  std::vector<std::unique_ptr<block::Image>> images;
  std::vector<block::Image*> sources;
  uint64_t size = 0;
  for (const std::string& input : request.inputs) {
    request.source.name = input;
    images.push_back(OpenSource(request.source, request.source_flags));
    if (images.back() == nullptr) return 1;
    sources.push_back(images.back().get());
    size += sources.back()->size_bytes();
  }
  if (!request.snapshot.empty()) {
    if (sources.size() > 1) {
      Complain("No support for concatenating multiple snapshot");
      return 1;
    }
    if (!ViewSnapshot(sources[0], request.snapshot)) return 1;
  }
  const block::Format* format = block::FindFormat(request.create.format);
  if (format == nullptr) {
    Complain("Unknown file format '{}'", request.create.format);
    return 1;
  }
  if (!request.skip_create && format->create == nullptr) {
    Complain("Format driver '{}' does not support image creation", request.create.format);
    return 1;
  }
  if (request.bitmaps && !CheckBitmaps(request, sources)) return 1;
  const auto target = request.skip_create ? OpenTarget(&request, size) : MakeTarget(&request, size);
  if (target == nullptr) return 1;
  if (request.copy.compress && !format->compresses) {
    Complain("Compression not supported for this file format");
    return 1;
  }
  const auto* made = dynamic_cast<block::FormatImage*>(target.get());
  request.copy.compress |= made != nullptr && made->Info().needs_packed_writes;
  auto* bitmaps = dynamic_cast<block::BitmapStore*>(target.get());
  if (request.bitmaps && (bitmaps == nullptr || !bitmaps->CanHaveBitmaps())) {
    Complain("Format driver '{}' does not support bitmaps", target->driver());
    return 1;
  }
  Progress progress(request.progress && !request.quiet);
  if (!RunCopier(std::move(sources), target.get(), std::move(request.copy), &progress)) return 1;
  if (const int error = block::Flush(target.get()); error != 0) {
    Complain("error while writing the end of '{}': {}", request.output, std::strerror(error));
    return 1;
  }
  progress.Show(size, size);
  progress.End();
  if (!request.bitmaps) return 0;
  return CopyBitmaps(images[0].get(), target.get(), request.skip_broken_bitmaps) ? 0 : 1;
}

}  // namespace berth::img
