#include "block/open.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <vector>

#include "block/file_image.h"

namespace berth::block {
namespace {

constexpr size_t kProbeBytes = 2048;
constexpr std::string_view kJson = "json:";

// The files that are being opened, from the top of the chain down to here.
struct Ancestors {
  int depth = 0;
  std::vector<std::pair<dev_t, ino_t>> files{};
};

// `beneath`: it is to hold another image.
Result<std::unique_ptr<Image>> OpenTree(Options options, const OpenFlags& flags, const Ancestors& above,
                                        bool beneath = false);
Result<std::unique_ptr<Image>> OpenName(const std::string& filename, const std::string& format,
                                        const OpenFlags& flags, const Ancestors& above);

class Gate final : public OpenGate {
 public:
  Gate(std::string base, Ancestors ancestors) : base_(std::move(base)), ancestors_(std::move(ancestors)) {}
  Result<std::unique_ptr<Image>> Open(std::string_view filename, std::string_view format,
                                      const OpenFlags& flags) override {
    const std::string name = ResolveName(base_, filename);
    return format == kBytes ? OpenProtocol(name, flags)
                            : OpenName(name, std::string(format), flags, ancestors_);
  }

 private:
  const std::string base_;
  const Ancestors ancestors_;
};

Result<Ancestors> Below(const Ancestors& above, const std::string& filename) {
  Ancestors below = above;
  if (++below.depth > kMaxChainDepth) {
    return Fail(Code::kInvalidArgument, "the chain of images is longer than {}", kMaxChainDepth);
  }
  struct stat status {};
  if (::stat(filename.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
    const std::pair file(status.st_dev, status.st_ino);
    if (std::find(below.files.begin(), below.files.end(), file) != below.files.end()) {
      return Fail(Code::kInvalidArgument, "Backing file '{}' creates an infinite loop.", filename);
    }
    below.files.push_back(file);
  }
  return below;
}

Status RefuseLeftovers(const Options& options, std::string_view kind, std::string_view name) {
  if (options.empty()) return Ok();
  if (kind == "protocol") {
    return Fail(Code::kInvalidArgument, "Block protocol '{}' doesn't support the option '{}'", name,
                options.begin()->first);
  }
  return Fail(Code::kInvalidArgument, "Block format '{}' does not support the option '{}'", name,
              options.begin()->first);
}

Result<std::unique_ptr<Image>> OpenProtocolOptions(Options options, const OpenFlags& flags) {
  const auto driver = Take(&options, "driver");
  const Protocol* protocol = nullptr;
  if (driver) {
    protocol = FindProtocol(*driver);
    if (protocol == nullptr) return Fail(Code::kNotFound, "Unknown driver '{}'", *driver);
  } else {
    const auto filename = options.find("filename");
    if (filename == options.end()) return Fail(Code::kInvalidArgument, "Must specify either driver or file");
    protocol = ProtocolOf(filename->second);
    if (protocol == nullptr) {
      return Fail(Code::kNotFound, "Unknown protocol '{}'",
                  filename->second.substr(0, filename->second.find(':')));
    }
  }
  auto image = TRY(protocol->open(&options, flags));
  TRY(RefuseLeftovers(options, "protocol", protocol->name));
  return image;
}

Status AttachBacking(FormatImage* image, Options options, const OpenFlags& flags, Gate* gate,
                     const Ancestors& ancestors) {
  if (flags.no_backing) return Ok();
  OpenFlags beneath = flags;
  beneath.writable = false;
  beneath.check = false;
  if (!options.empty()) {
    image->SetBacking(
        TRY(Context(OpenTree(std::move(options), beneath, ancestors), "Could not open backing file")));
    return Ok();
  }
  const auto reference = image->backing_reference();
  if (!reference || reference->filename.empty()) return Ok();
  image->SetBacking(TRY(
      Context(gate->Open(reference->filename, reference->format, beneath), "Could not open backing file")));
  return Ok();
}

// `options` are the format's, without driver and file.
Result<std::unique_ptr<Image>> OpenFormat(std::unique_ptr<Image> file, const Format* format, Options options,
                                          const OpenFlags& flags, const Ancestors& above, bool beneath) {
  const std::string filename = file->filename();
  const Ancestors ancestors = TRY(Below(above, filename));
  Gate gate(filename, ancestors);
  OpenContext context{.file = std::move(file),
                      .options = std::move(options),
                      .flags = flags,
                      .gate = &gate,
                      .beneath = beneath};
  if (format == nullptr) {
    std::array<uint8_t, kProbeBytes> head{};
    const uint64_t size = std::min<uint64_t>(head.size(), context.file->size_bytes());
    if (const int error = Read(context.file.get(), 0, {head.data(), size}); error != 0) {
      return FailErrno(error, "Could not read image for determining its format");
    }
    format = Probe({head.data(), size}, filename);
    context.probed = true;
  }
  TRY(LockFileImage(context.file.get(), format == &kRawFormat));
  Options backing = TakePrefix(&context.options, "backing.");
  auto image = TRY(format->open(&context));
  TRY(RefuseLeftovers(context.options, "format", format->name));
  image->SetIdentity(std::string(format->name), filename);
  TRY(AttachBacking(image.get(), std::move(backing), flags, &gate, ancestors));
  return image;
}

// What holds an image: a protocol, or another format whose content is the image.
Result<std::unique_ptr<Image>> OpenHolder(Options options, const OpenFlags& flags, const Ancestors& above) {
  const auto driver = options.find("driver");
  if (driver == options.end() || FindFormat(driver->second) == nullptr) {
    return OpenProtocolOptions(std::move(options), flags);
  }
  Ancestors below = above;
  if (++below.depth > kMaxChainDepth)
    return Fail(Code::kInvalidArgument, "more than {} images hold one another", kMaxChainDepth);
  return OpenTree(std::move(options), flags, below, /*beneath=*/true);
}

Result<std::unique_ptr<Image>> OpenTree(Options options, const OpenFlags& flags, const Ancestors& above,
                                        bool beneath) {
  OpenFlags own = flags;
  if (const auto read_only = Take(&options, "read-only");
      read_only && TRY(ParseBool("read-only", *read_only))) {
    own.writable = false;
  }
  const auto name = Take(&options, "driver");
  const Format* format = nullptr;
  if (name) {
    if (FindProtocol(*name) != nullptr) {
      options["driver"] = *name;
      return OpenProtocolOptions(std::move(options), own);
    }
    format = FindFormat(*name);
    if (format == nullptr) return Fail(Code::kNotFound, "Unknown driver '{}'", *name);
  }
  Options file = TakePrefix(&options, "file.");
  if (const auto filename = Take(&options, "filename")) file["filename"] = *filename;
  if (file.empty()) {
    return Fail(Code::kInvalidArgument, "A block device must be specified for \"file\"");
  }
  auto opened = TRY(OpenHolder(std::move(file), own, above));
  return OpenFormat(std::move(opened), format, std::move(options), own, above, beneath);
}

Result<std::unique_ptr<Image>> OpenName(const std::string& filename, const std::string& format,
                                        const OpenFlags& flags, const Ancestors& above) {
  Options options;
  if (filename.starts_with(kJson)) {
    options = TRY(ParseJsonOptions(std::string_view(filename).substr(kJson.size())));
  } else {
    options["file.filename"] = filename;
  }
  if (!format.empty()) options["driver"] = format;
  return OpenTree(std::move(options), flags, above);
}

}  // namespace

Result<std::unique_ptr<Image>> OpenImage(const std::string& filename, const std::string& format,
                                         const OpenFlags& flags) {
  return OpenName(filename, format, flags, {});
}

Result<std::unique_ptr<Image>> OpenImage(Options options, const OpenFlags& flags) {
  return OpenTree(std::move(options), flags, {});
}

Result<std::unique_ptr<Image>> OpenProtocol(const std::string& filename, const OpenFlags& flags) {
  return OpenProtocol(Options{{"filename", filename}}, flags);
}

Result<std::unique_ptr<Image>> OpenProtocol(Options options, const OpenFlags& flags) {
  auto image = TRY(OpenProtocolOptions(std::move(options), flags));
  TRY(LockFileImage(image.get(), false));
  return image;
}

const Format* Probe(std::span<const uint8_t> head, std::string_view filename) {
  const Format* best = &kRawFormat;
  int sure = 0;
  for (const Format* format : Formats()) {
    const int score = format->probe == nullptr ? 0 : format->probe(head, filename);
    if (score > sure) {
      best = format;
      sure = score;
    }
  }
  return best;
}

std::string ResolveName(std::string_view base, std::string_view filename) {
  const size_t colon = filename.find(':');
  const bool has_prefix = colon != filename.npos && filename.find('/') > colon;
  if (filename.starts_with('/') || has_prefix) return std::string(filename);
  const size_t slash = base.rfind('/');
  if (slash == base.npos) return std::string(filename);
  return std::string(base.substr(0, slash + 1)) + std::string(filename);
}

Image* BackingOf(Image* image) {
  const auto* format = dynamic_cast<const FormatImage*>(image);
  return format == nullptr ? nullptr : format->backing();
}

}  // namespace berth::block
