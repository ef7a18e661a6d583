#include "img/tool.h"

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "block/open.h"
#include "block/options.h"
#include "img/object.h"

namespace berth::img {
namespace {

volatile sig_atomic_t asked_for_progress = 0;

std::string& Name() {
  static std::string name = "berth-img";
  return name;
}

}  // namespace

const std::string& ProgramName() { return Name(); }

void SetProgramName(std::string_view argv0) { Name() = argv0.substr(argv0.rfind('/') + 1); }

std::string_view Version() { return BERTH_VERSION; }

void Complain(std::string_view text) {
  std::fflush(stdout);
  fmt::print(stderr, "{}: {}\n", ProgramName(), text);
}

void RefuseArguments(std::string_view text) {
  Complain(text);
  fmt::print(stderr, "Try '{} --help' for more information\n", ProgramName());
  std::exit(1);
}

std::optional<Output> ParseOutput(const char* text) {
  const std::string_view name(text);
  if (name == "json") return Output::kJson;
  if (name == "human") return Output::kHuman;
  Complain("--output must be used with human or json as argument.");
  return std::nullopt;
}

std::optional<uint64_t> ParseSizeArgument(std::string_view text, std::string_view what) {
  const auto size = block::ParseSize(text);
  if (size && *size <= INT64_MAX) return *size;
  if (size || size.error().code() == Code::kOutOfRange) {
    Complain("Invalid {} specified. Must be between 0 and {}.", what, INT64_MAX);
  } else {
    Complain("Invalid {} specified. You may use k, M, G, T, P or E suffixes for", what);
    Complain("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
  }
  return std::nullopt;
}

Arguments::Arguments(int argc, char** argv, std::string options, std::vector<option> long_options)
    : argc_(argc),
      argv_(argv),
      short_options_(":h" + std::move(options)),
      long_options_(std::move(long_options)) {
  long_options_.insert(long_options_.begin(), {"help", no_argument, nullptr, 'h'});
  long_options_.push_back({});
  ::optind = 1;
}

int Arguments::Next() {
  const int found = ::getopt_long(argc_, argv_, short_options_.c_str(), long_options_.data(), nullptr);
  switch (found) {
    case ':':
      RefuseArguments(fmt::format("missing argument for option '{}'", argv_[::optind - 1]));
    case '?':
      RefuseArguments(fmt::format("unrecognized option '{}'", argv_[::optind - 1]));
    case 'h':
      Help();
    case kOptionObject:
      if (!DefineObject(::optarg)) std::exit(1);
      return Next();
    default:
      return found;
  }
}

std::span<char* const> Arguments::Rest() const {
  return {argv_ + ::optind, static_cast<size_t>(argc_ - ::optind)};
}

bool ParseCache(std::string_view mode, block::OpenFlags* flags) {
  flags->direct = mode == "none" || mode == "off" || mode == "directsync";
  flags->write_through = mode == "writethrough" || mode == "directsync";
  flags->no_flush = mode == "unsafe";
  return flags->direct || flags->write_through || flags->no_flush || mode == "writeback";
}

Result<std::unique_ptr<block::Image>> OpenQuietly(const Source& source, const block::OpenFlags& flags) {
  std::unique_ptr<block::Image> image;
  if (source.is_options) {
    block::Options options = TRY(block::ParseKeyValueOptions(source.name));
    if (source.name.find('=') == source.name.npos) {
      return Fail(Code::kInvalidArgument, "Cannot find device='{}' nor node-name='{}'", source.name,
                  source.name);
    }
    return block::OpenImage(std::move(options), flags);
  }
  image = TRY(block::OpenImage(source.name, source.format, flags));
  if (flags.writable && source.format.empty() && image->driver() == "raw") {
    std::fflush(stdout);
    fmt::print(stderr,
               "WARNING: Image format was not specified for '{}' and probing guessed raw.\n"
               "         Automatically detecting the format is dangerous for raw images, write operations on "
               "block 0 "
               "will be restricted.\n"
               "         Specify the 'raw' format explicitly to remove the restrictions.\n",
               source.name);
  }
  return image;
}

std::unique_ptr<block::Image> OpenSource(const Source& source, const block::OpenFlags& flags) {
  auto image = OpenQuietly(source, flags);
  if (image) return *std::move(image);
  Complain("Could not open '{}': {}", source.name, image.error().message());
  return nullptr;
}

Progress::Progress(bool enabled) : enabled_(enabled) {
  if (enabled_) {
    fmt::print("    (0.00/100%)\r");
    std::fflush(stdout);
  } else {
    struct sigaction action {};
    action.sa_handler = [](int) { asked_for_progress = 1; };
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGUSR1, &action, nullptr);
  }
}

void Progress::Show(uint64_t done, uint64_t all) {
  if (!enabled_ && asked_for_progress == 0) return;
  constexpr double kStep = 2;  // Percent.
  const double now = all == 0 ? 100 : 100.0 * static_cast<double>(done) / static_cast<double>(all);
  if (!enabled_) {
    asked_for_progress = 0;
    fmt::print(stderr, "    ({:3.2f}/100%)\n", now);
    return;
  }
  if (now <= shown_ + kStep && now < 100) return;
  shown_ = now;
  fmt::print("    ({:3.2f}/100%)\r", now);
  std::fflush(stdout);
}

void Progress::End() {
  if (enabled_) fmt::print("\n");
}

bool RunCopier(std::vector<block::Image*> sources, block::Image* target, block::CopyOptions options,
               Progress* progress) {
  options.progress = [progress](uint64_t done, uint64_t all) { progress->Show(done, all); };
  options.measure = progress->enabled();
  options.warn = [](const std::string& text) { Complain(std::string_view(text)); };
  const Status copied = block::Copier(std::move(sources), target, std::move(options)).Run();
  if (copied) return true;
  progress->End();
  Complain(std::string_view(copied.error().message()));
  return false;
}

std::vector<block::CreateOption> MergedOptions(const block::Format& format, const block::Protocol* protocol) {
  std::vector<block::CreateOption> merged(format.create_options.begin(), format.create_options.end());
  if (protocol == nullptr) return merged;
  for (const block::CreateOption& option : protocol->create_options) {
    const bool known = std::any_of(merged.begin(), merged.end(), [&](const block::CreateOption& other) {
      return other.name == option.name;
    });
    if (!known) merged.push_back(option);
  }
  return merged;
}

bool AsksForHelp(std::string_view options) {
  const auto all = block::SplitKeyValues(options);
  if (!all) return false;
  return std::any_of(all->begin(), all->end(),
                     [](const auto& one) { return one.first == "help" || one.first == "?"; });
}

void PrintOptionTable(std::vector<block::CreateOption> options) {
  std::sort(options.begin(), options.end(),
            [](const block::CreateOption& a, const block::CreateOption& b) { return a.name < b.name; });
  static constexpr std::string_view kTypes[] = {"<str>", "<bool (on/off)>", "<size>", "<num>"};
  for (const block::CreateOption& option : options) {
    const std::string head = fmt::format("{}={}", option.name, kTypes[static_cast<size_t>(option.type)]);
    fmt::print("  {:<22} - {}\n", head, option.help);
  }
}

int PrintCreateOptions(const std::string& name, const std::string& filename) {
  const block::Format* format = block::FindFormat(name);
  if (format == nullptr || format->create == nullptr) {
    Complain("Unknown file format '{}'", name);
    return 1;
  }
  const block::Protocol* protocol = filename.empty() ? nullptr : block::ProtocolOf(filename);
  const std::vector<block::CreateOption> options = MergedOptions(*format, protocol);
  if (protocol == nullptr) {
    fmt::print("Supported {} options:\n", format->name);
  } else {
    fmt::print("Supported options:\n");
  }
  PrintOptionTable(options);
  if (protocol == nullptr) {
    fmt::print(
        "\nThe protocol level may support further options.\n"
        "Specify the target filename to include those options.\n");
  }
  return 0;
}

}  // namespace berth::img
