#include <cstring>
#include <filesystem>

#include "block/copier.h"
#include "block/format_image.h"
#include "block/open.h"
#include "img/tool.h"

namespace berth::img {
namespace {

struct CommitRequest {
  Source source;
  std::string base;  // -b; empty: the image beneath.
  std::string cache = "writeback";
  block::OpenFlags flags{.writable = true};
  uint64_t bytes_per_second = 0;
  bool drop = false, progress = false, quiet = false;
};

std::optional<CommitRequest> ParseCommit(int argc, char** argv) {
  CommitRequest request;
  Arguments arguments(argc, argv, "f:t:b:dpqr:",
                      {{"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') request.source.format = ::optarg;
    if (option == 't') request.cache = ::optarg;
    if (option == 'b') {
      request.base = ::optarg;
      request.drop = true;  // What lies between still needs what is above it.
    }
    if (option == 'd') request.drop = true;
    if (option == 'p') request.progress = true;
    if (option == 'q') request.quiet = true;
    if (option == kOptionImageOpts) request.source.is_options = true;
    if (option == 'r') {
      const auto rate = ParseSizeArgument(::optarg, "rate limit");
      if (!rate) return std::nullopt;
      request.bytes_per_second = *rate;
    }
  }
  if (arguments.Rest().size() != 1) RefuseArguments("Expecting one image file name");
  request.source.name = arguments.Rest()[0];
  if (!ParseCache(request.cache, &request.flags)) {
    Complain("Invalid cache option: {}", request.cache);
    return std::nullopt;
  }
  return request;
}

std::string Canonical(const std::string& name) {
  std::error_code error;
  const auto path = std::filesystem::weakly_canonical(name, error);
  return error ? name : path.string();
}

// The image of the chain that stands on the base; null if there is no such.
block::FormatImage* AboveBase(block::Image* image, const std::string& base) {
  for (auto* format = dynamic_cast<block::FormatImage*>(image); format != nullptr && format->backing();
       format = dynamic_cast<block::FormatImage*>(format->backing())) {
    const auto reference = format->backing_reference();
    if (base.empty() || (reference && reference->filename == base) ||
        Canonical(block::ResolveName(format->filename(), base)) == Canonical(format->backing()->filename())) {
      return format;
    }
  }
  return nullptr;
}

// The image beneath `above`, open for writing from now on.
block::Image* ReopenBase(block::FormatImage* above, const block::OpenFlags& flags) {
  const Source base{.name = above->backing()->filename(), .format = above->backing()->driver()};
  above->SetBacking(nullptr);  // Its locks are in the way.
  above->SetBacking(OpenSource(base, flags));
  return above->backing();
}

}  // namespace

int Commit(int argc, char** argv) {
  const auto request = ParseCommit(argc, argv);
  if (!request) return 1;
  const auto image = OpenSource(request->source, request->flags);
  if (image == nullptr) return 1;
  block::FormatImage* above = AboveBase(image.get(), request->base);
  if (above == nullptr) {
    if (request->base.empty()) {
      Complain("Image does not have a backing file");
    } else {
      Complain("Did not find '{}' in the backing chain of '{}'", request->base, request->source.name);
    }
    return 1;
  }
  block::Image* base = ReopenBase(above, request->flags);
  if (base == nullptr) return 1;
  if (base->size_bytes() < image->size_bytes()) {
    if (const Status grown = base->Resize(image->size_bytes(), block::Preallocation::kOff); !grown) {
      Complain(grown.error().message());
      return 1;
    }
  }
  Progress progress(request->progress && !request->quiet);
  block::CopyOptions options{.base = base, .overwrite = true, .bytes_per_second = request->bytes_per_second};
  if (!RunCopier({image.get()}, base, std::move(options), &progress)) return 1;
  if (const int error = block::Flush(base); error != 0) {
    Complain("Could not commit: {}", std::strerror(error));
    return 1;
  }
  if (!request->drop) {
    if (const Status emptied = dynamic_cast<block::FormatImage*>(image.get())->MakeEmpty(); !emptied) {
      Complain("Could not empty {}: {}", request->source.name, emptied.error().message());
      return 1;
    }
  }
  progress.Show(1, 1);
  progress.End();
  if (!request->quiet) fmt::print("Image committed.\n");
  return 0;
}

}  // namespace berth::img
