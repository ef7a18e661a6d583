#include "img/create.h"

#include <cstdio>

#include "block/format_image.h"
#include "block/open.h"
#include "img/tool.h"

namespace berth::img {
namespace {

using block::CreateOptions;

// A size of the backing image, for an image that was given none.
Result<uint64_t> BackingSize(const std::string& filename, const CreateOptions& options) {
  const std::string name = block::ResolveName(filename, options.String("backing_file"));
  auto backing = TRY(block::OpenImage(name, options.String("backing_fmt"), {}));
  return backing->size_bytes();
}

// "key=value key=value", as the image is about to be made with them.
std::string Text(const CreateOptions& options) {
  std::string text;
  for (const block::CreateOption& option : options.table()) {
    if (!options.Has(option.name)) continue;
    const std::string value = options.String(option.name);
    const bool plain = value.find_first_of(" ,\"'") == value.npos;
    text += fmt::format(" {}={}", option.name, plain ? value : "'" + value + "'");
  }
  return text;
}

}  // namespace

Result<CreateOptions> ParseCreateOptions(const CreateRequest& request, const block::Format** format) {
  *format = block::FindFormat(request.format);
  if (*format == nullptr) return Fail(Code::kNotFound, "Unknown file format '{}'", request.format);
  if ((*format)->create == nullptr) {
    return Fail(Code::kUnimplemented, "Format driver '{}' does not support image creation", request.format);
  }
  const block::Protocol* protocol = block::ProtocolOf(request.filename);
  if (protocol == nullptr) {
    return Fail(Code::kNotFound, "Unknown protocol '{}'",
                request.filename.substr(0, request.filename.find(':')));
  }
  CreateOptions options(MergedOptions(**format, protocol));
  for (const std::string& text : request.options) TRY(options.SetAll(text));
  if (!request.backing_file.empty() && !options.Set("backing_file", request.backing_file)) {
    return Fail(Code::kInvalidArgument, "Backing file not supported for file format '{}'", request.format);
  }
  if (!request.backing_format.empty() && !options.Set("backing_fmt", request.backing_format)) {
    return Fail(Code::kInvalidArgument, "Backing format not supported for file format '{}'", request.format);
  }
  return options;
}

namespace {

// 0, or the exit status.
int CompleteOptions(const CreateRequest& request, CreateOptions* options) {
  const auto refuse = [&](std::string_view why) {
    Complain("{}: {}", request.filename, why);
    return 1;
  };
  const std::string backing = options->String("backing_file");
  if (request.size && options->Has("size")) return refuse("The image size must be specified only once");
  if (request.size) (void)options->Set("size", std::to_string(*request.size));
  if (backing == request.filename && !backing.empty()) {
    return refuse("Error: Trying to create an image with the same filename as the backing file");
  }
  if (!backing.empty() && !request.unchecked_backing) {
    if (!options->Has("backing_fmt")) {
      const auto found =
          block::OpenImage(block::ResolveName(request.filename, backing), "", {.no_backing = true});
      if (found) {
        Complain("{}: Backing file specified without backing format", request.filename);
        fmt::print(stderr, "Detected format of {}.", (*found)->driver());
        return 1;
      }
    }
    const auto size = BackingSize(request.filename, *options);
    if (!size) return refuse(size.error().message() + "\nCould not open backing image.");
    if (!options->Has("size")) (void)options->Set("size", std::to_string(*size));
  }
  if (!options->Has("size")) return refuse("Image creation needs a size parameter");
  return 0;
}

}  // namespace

int CreateImage(const CreateRequest& request, bool quiet) {
  const block::Format* format = nullptr;
  auto options = ParseCreateOptions(request, &format);
  if (!options) {
    Complain("{}: {}", request.filename, options.error().message());
    return 1;
  }
  if (const int status = CompleteOptions(request, &*options); status != 0) return status;
  if (!quiet) {
    fmt::print("Formatting '{}', fmt={}{}\n", request.filename, request.format, Text(*options));
    std::fflush(stdout);
  }
  const Status created = format->create(request.filename, *options);
  if (created) return 0;
  Complain("{}: {}", request.filename, created.error().message());
  return 1;
}

int Create(int argc, char** argv) {
  CreateRequest request{.format = "raw"};
  bool quiet = false;
  Arguments arguments(argc, argv, "F:b:f:o:qu", {{"object", required_argument, nullptr, kOptionObject}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'F') request.backing_format = ::optarg;
    if (option == 'b') request.backing_file = ::optarg;
    if (option == 'f') request.format = ::optarg;
    if (option == 'o') request.options.emplace_back(::optarg);
    if (option == 'q') quiet = true;
    if (option == 'u') request.unchecked_backing = true;
  }
  const auto rest = arguments.Rest();
  for (const std::string& text : request.options) {
    if (AsksForHelp(text)) return PrintCreateOptions(request.format, rest.empty() ? "" : rest[0]);
  }
  if (rest.empty()) RefuseArguments("Expecting image file name");
  request.filename = rest[0];
  if (rest.size() > 1) {
    request.size = ParseSizeArgument(rest[1], "image size");
    if (!request.size) return 1;
  }
  if (rest.size() > 2) RefuseArguments(fmt::format("Unexpected argument: {}", rest[2]));
  return CreateImage(request, quiet);
}

}  // namespace berth::img
