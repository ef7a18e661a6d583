#include <algorithm>

#include "block/format_image.h"
#include "block/options.h"
#include "img/tool.h"

namespace berth::img {
namespace {

int PrintAmendOptions(const std::string& name) {
  const block::Format* format = block::FindFormat(name);
  if (format == nullptr) {
    Complain("Unknown file format '{}'", name);
    return 1;
  }
  if (format->amend == nullptr) {
    Complain("Format driver '{}' does not support option amendment", name);
    return 1;
  }
  fmt::print("Amend options for '{}':\n", name);
  PrintOptionTable({format->amend_options.begin(), format->amend_options.end()});
  return 0;
}

bool IsKnown(std::span<const block::CreateOption> table, std::string_view name) {
  return std::any_of(table.begin(), table.end(),
                     [name](const block::CreateOption& option) { return option.name == name; });
}

// Complains and returns false if one of them cannot be changed.
bool SetOptions(const block::Format& format, const std::vector<std::string>& texts,
                block::CreateOptions* options) {
  for (const std::string& text : texts) {
    const auto all = block::SplitKeyValues(text);
    if (!all) {
      Complain(all.error().message());
      return false;
    }
    for (const auto& [name, value] : *all) {
      const Status set = options->Set(name, value);
      if (set) continue;
      const bool creation_only = !IsKnown(format.amend_options, name) && IsKnown(format.create_options, name);
      Complain("{}{}", set.error().message(),
               creation_only ? "\nThis option is only supported for image creation" : "");
      return false;
    }
  }
  return true;
}

}  // namespace

int Amend(int argc, char** argv) {
  Source source;
  std::vector<std::string> texts;
  std::string cache = "writeback";
  block::OpenFlags flags{.writable = true};
  bool shows_progress = false, quiet = false;
  Arguments arguments(argc, argv, "o:pqt:f:",
                      {{"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"force", no_argument, nullptr, kOptionForce}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') source.format = ::optarg;
    if (option == 't') cache = ::optarg;
    if (option == 'p') shows_progress = true;
    if (option == 'q') quiet = true;
    if (option == 'o') texts.emplace_back(::optarg);
    if (option == kOptionImageOpts) source.is_options = true;
  }
  if (texts.empty()) RefuseArguments("Must specify options (-o)");
  Progress progress(shows_progress && !quiet);
  const bool help =
      std::any_of(texts.begin(), texts.end(), [](const std::string& text) { return AsksForHelp(text); });
  if (help && !source.format.empty()) return PrintAmendOptions(source.format);
  if (arguments.Rest().size() != 1) {
    Complain("Expecting one image file name");
    return 1;
  }
  source.name = arguments.Rest()[0];
  if (!ParseCache(cache, &flags)) {
    Complain("Invalid cache option: {}", cache);
    return 1;
  }
  const auto image = OpenSource(source, flags);
  if (image == nullptr) return 1;
  if (help) return PrintAmendOptions(image->driver());
  const block::Format* format = block::FindFormat(image->driver());
  auto* format_image = dynamic_cast<block::FormatImage*>(image.get());
  if (format == nullptr || format->amend == nullptr || format_image == nullptr) {
    Complain("Format driver '{}' does not support option amendment", image->driver());
    return 1;
  }
  block::CreateOptions options(format->amend_options);
  if (!SetOptions(*format, texts, &options)) return 1;
  progress.Show(0, 1);
  if (const Status amended = format->amend(format_image, options); !amended) {
    progress.End();
    Complain(amended.error().message());
    return 1;
  }
  progress.Show(1, 1);
  progress.End();
  return 0;
}

}  // namespace berth::img
