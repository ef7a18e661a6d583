#include <nlohmann/json.hpp>

#include "block/format_image.h"
#include "img/create.h"
#include "img/json.h"
#include "img/snapshot_list.h"
#include "img/tool.h"

namespace berth::img {

int Measure(int argc, char** argv) {
  Source source;
  CreateRequest target{.format = "raw"};
  Output output = Output::kHuman;
  block::OpenFlags flags;
  const char* output_text = nullptr;
  std::string snapshot;
  Arguments arguments(argc, argv, "f:l:o:O:U",
                      {{"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"object", required_argument, nullptr, kOptionObject},
                       {"output", required_argument, nullptr, kOptionOutput},
                       {"size", required_argument, nullptr, kOptionSize},
                       {"force-share", no_argument, nullptr, 'U'}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') source.format = ::optarg;
    if (option == 'o') target.options.emplace_back(::optarg);
    if (option == 'O') target.format = ::optarg;
    if (option == 'U') flags.force_share = true;
    if (option == 'l') snapshot = ::optarg;
    if (option == kOptionImageOpts) source.is_options = true;
    if (option == kOptionOutput) output_text = ::optarg;
    if (option == kOptionSize) {
      target.size = ParseSizeArgument(::optarg, "image size");
      if (!target.size) return 1;
    }
  }
  if (output_text != nullptr) {
    const auto parsed = ParseOutput(output_text);
    if (!parsed) return 1;
    output = *parsed;
  }
  const auto rest = arguments.Rest();
  if (rest.size() > 1) {
    Complain("At most one filename argument is allowed.");
    return 1;
  }
  if (rest.size() == 1 && target.size) {
    Complain("--size N cannot be used together with a filename.");
    return 1;
  }
  if (rest.empty() && !target.size) {
    Complain("Either --size N or one filename must be specified.");
    return 1;
  }
  std::unique_ptr<block::Image> image;
  if (!rest.empty()) {
    source.name = rest[0];
    image = OpenSource(source, flags);
    if (image == nullptr) return 1;
    if (!snapshot.empty() && !ViewSnapshot(image.get(), snapshot)) return 1;
  }
  const block::Format* format = nullptr;
  auto options = ParseCreateOptions(target, &format);
  if (!options) {
    Complain(options.error().message());
    return 1;
  }
  if (format->measure == nullptr) {
    Complain("Block driver '{}' does not support size measurement", target.format);
    return 1;
  }
  if (target.size) (void)options->Set("size", std::to_string(*target.size));
  const auto measured = format->measure(*options, image.get());
  if (!measured) {
    Complain(measured.error().message());
    return 1;
  }
  if (output == Output::kJson) {
    nlohmann::ordered_json json{{"required", measured->required_bytes},
                                {"fully-allocated", measured->fully_allocated_bytes}};
    if (measured->bitmap_bytes) json["bitmaps"] = *measured->bitmap_bytes;
    fmt::print("{}\n", JsonText(json));
    return 0;
  }
  fmt::print("required size: {}\nfully allocated size: {}\n", measured->required_bytes,
             measured->fully_allocated_bytes);
  if (measured->bitmap_bytes) fmt::print("bitmaps size: {}\n", *measured->bitmap_bytes);
  return 0;
}

}  // namespace berth::img
