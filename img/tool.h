// What every command of the tool does alike: messages, arguments, opening images.
#pragma once

#include <getopt.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "block/copier.h"
#include "block/driver.h"
#include "block/image.h"

namespace berth::img {

// The name the tool was called by ("berth-img", "qemu-img"): messages begin with it.
const std::string& ProgramName();
void SetProgramName(std::string_view argv0);
std::string_view Version();

// To standard error: "PROGRAM: text".
void Complain(std::string_view text);
template <typename... Args>
void Complain(fmt::format_string<Args...> format, Args&&... args) {
  Complain(std::string_view(fmt::format(format, std::forward<Args>(args)...)));
}
// The same, with where to find help; ends the process with status 1.
[[noreturn]] void RefuseArguments(std::string_view text);

enum class Output : uint8_t { kHuman, kJson };
// "human" or "json"; complains and returns nothing otherwise.
std::optional<Output> ParseOutput(const char* text);

// A size on the command line; complains about `what` ("image size") and returns nothing if it is none.
std::optional<uint64_t> ParseSizeArgument(std::string_view text, std::string_view what);

// getopt_long(3) with this tool's answers to what it does not know. -1 at the end.
class Arguments {
 public:
  // `options` without the leading colon; h, and --help, show the help and end the process.
  Arguments(int argc, char** argv, std::string options, std::vector<option> long_options);
  int Next();
  std::span<char* const> Rest() const;

 private:
  const int argc_;
  char** const argv_;
  const std::string short_options_;
  std::vector<option> long_options_;
};
// Values of long options without a letter.
enum LongOption : int {
  kOptionOutput = 256,
  kOptionBackingChain,
  kOptionObject,
  kOptionImageOpts,
  kOptionTargetImageOpts,
  kOptionPreallocation,
  kOptionShrink,
  kOptionSalvage,
  kOptionTargetIsZero,
  kOptionBitmaps,
  kOptionStartOffset,
  kOptionMaxLength,
  kOptionSize,
  kOptionPattern,
  kOptionFlushInterval,
  kOptionNoDrain,
  kOptionForce,
  kOptionSkipBroken,
  kOptionAdd,
  kOptionRemove,
  kOptionClear,
  kOptionEnable,
  kOptionDisable,
  kOptionMerge,
};

// none, writeback, writethrough, directsync, unsafe; false for anything else.
bool ParseCache(std::string_view mode, block::OpenFlags* flags);

struct Source {
  std::string name;    // A file name, or options.
  std::string format;  // Empty: probed.
  bool is_options = false;
};
// Warns where it was probing that made it a raw disk to write to.
Result<std::unique_ptr<block::Image>> OpenQuietly(const Source& source, const block::OpenFlags& flags);
// The same. Complains ("Could not open …") and returns null on failure.
std::unique_ptr<block::Image> OpenSource(const Source& source, const block::OpenFlags& flags);

// "    (12.34/100%)\r" on standard output; if not enabled, a line on standard error for each SIGUSR1.
class Progress {
 public:
  explicit Progress(bool enabled);
  // What is done of all.
  void Show(uint64_t done, uint64_t all);
  void End();
  bool enabled() const { return enabled_; }

 private:
  const bool enabled_;
  double shown_ = 0;
};

// Copies with the tool's progress and messages; false after an error, which has been complained of.
bool RunCopier(std::vector<block::Image*> sources, block::Image* target, block::CopyOptions options,
               Progress* progress);

// A line each, by name.
void PrintOptionTable(std::vector<block::CreateOption> options);
// Prints the options that `create` of the format takes (-o help).
int PrintCreateOptions(const std::string& format, const std::string& filename);
// Those of a format and of the protocol that holds it.
std::vector<block::CreateOption> MergedOptions(const block::Format& format, const block::Protocol* protocol);
bool AsksForHelp(std::string_view options);

int Create(int argc, char** argv);
int Info(int argc, char** argv);
int Check(int argc, char** argv);
int Map(int argc, char** argv);
int Convert(int argc, char** argv);
int Compare(int argc, char** argv);
int Measure(int argc, char** argv);
int Resize(int argc, char** argv);
int Serve(int argc, char** argv);
int Io(int argc, char** argv);
int Rebase(int argc, char** argv);
int Commit(int argc, char** argv);
int Dd(int argc, char** argv);
int RunBench(int argc, char** argv);
int Amend(int argc, char** argv);
int Bitmap(int argc, char** argv);
int Snapshot(int argc, char** argv);
[[noreturn]] void Help();

}  // namespace berth::img
