#include "block/options.h"
#include "img/tool.h"

namespace berth::img {

int Resize(int argc, char** argv) {
  if (argc < 3) RefuseArguments("Not enough arguments");
  // Taken before options are looked for: "-64M" is none.
  std::string size_text = argv[--argc];
  Source source;
  block::OpenFlags flags{.writable = true};
  bool quiet = false, shrink = false;
  auto preallocation = block::Preallocation::kOff;
  Arguments arguments(argc, argv, "f:q",
                      {{"object", required_argument, nullptr, kOptionObject},
                       {"image-opts", no_argument, nullptr, kOptionImageOpts},
                       {"preallocation", required_argument, nullptr, kOptionPreallocation},
                       {"shrink", no_argument, nullptr, kOptionShrink}});
  for (int option = arguments.Next(); option != -1; option = arguments.Next()) {
    if (option == 'f') source.format = ::optarg;
    if (option == 'q') quiet = true;
    if (option == kOptionImageOpts) source.is_options = true;
    if (option == kOptionShrink) shrink = true;
    if (option == kOptionPreallocation) {
      const auto parsed = block::ParsePreallocation(::optarg);
      if (!parsed) {
        Complain("Invalid preallocation mode '{}'", ::optarg);
        return 1;
      }
      preallocation = *parsed;
    }
  }
  if (arguments.Rest().size() != 1) RefuseArguments("Expecting image file name and size");
  source.name = arguments.Rest()[0];

  const bool grows = size_text.starts_with('+'), shrinks = size_text.starts_with('-');
  if (grows || shrinks) size_text.erase(0, 1);
  const auto size = block::ParseSize(size_text);
  if (!size) {
    if (size.error().code() == Code::kOutOfRange) {
      Complain("Value '{}' is out of range for parameter 'size'", size_text);
      return 1;
    }
    Complain(
        "Parameter 'size' expects a non-negative number below 2^64\n"
        "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, "
        "respectively.");
    return 1;
  }
  const auto image = OpenSource(source, flags);
  if (image == nullptr) return 1;
  const uint64_t before = image->size_bytes();
  const bool positive = shrinks ? *size < before : grows ? *size <= INT64_MAX - before : *size != 0;
  if (!positive || *size > INT64_MAX) {
    Complain("New image size must be positive");
    return 1;
  }
  const uint64_t after = shrinks ? before - *size : grows ? before + *size : *size;
  if (after <= before && preallocation != block::Preallocation::kOff) {
    Complain("Preallocation can only be used for growing images");
    return 1;
  }
  if (after < before && !shrink) {
    Complain("Use the --shrink option to perform a shrink operation.");
    Complain(
        "warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing "
        "such "
        "an operation, make sure there is no important data there.");
    return 1;
  }
  Status resized = image->Resize(after, preallocation);
  if (resized) {
    if (const int error = block::Flush(image.get()); error != 0)
      resized = FailErrno(error, "write the image");
  }
  if (!resized) {
    Complain(resized.error().message());
    return 1;
  }
  if (!quiet) fmt::print("Image resized.\n");
  return 0;
}

}  // namespace berth::img
