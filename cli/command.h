// A command of the program: `berth WORDS [OPTION...] [ARGUMENT...]`.
#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/program_options.hpp>

#include "base/error.h"
#include "cli/connection.h"
#include "cli/output.h"

namespace berth::cli {

// What a command is called with.
struct Invocation {
  const Connection& connection;
  OutputFormat format;
  const boost::program_options::variables_map& options;
  const std::vector<std::string>& arguments;
  std::ostream& out;
  std::ostream& err;  // For progress.

  bool Has(const char* option) const { return options.count(option) != 0; }
  std::string Text(const char* option) const { return Has(option) ? options[option].as<std::string>() : ""; }
};

struct Command {
  std::string_view words;  // "guest create"
  // Names of the arguments; those from `required` on may be left out. "GUEST..." takes any number.
  std::vector<std::string_view> arguments;
  size_t required = 0;
  std::string_view summary;  // One line.
  void (*describe)(boost::program_options::options_description& options) = nullptr;
  Status (*run)(const Invocation& call) = nullptr;
};

extern const Command kCompletion, kGuestAttach, kGuestCommit, kGuestConsole, kGuestCounters, kGuestCreate,
    kGuestDelete, kGuestDetach, kGuestEvents, kGuestList, kGuestMirror, kGuestPowerButton, kGuestReset,
    kGuestScreenshot, kGuestShow, kGuestSnapshot, kGuestStart, kGuestStop, kGuestStream, kGuestTrace,
    kGuestUpdate, kHostDevice, kHostDevices, kHostRecover, kHostShow, kHostWatch, kOperationCancel,
    kOperationList, kOperationShow, kOperationWait, kPlacementAdvise, kPlacementExplain, kPoolList, kPoolShow,
    kVolumeApply, kVolumeBitmap, kVolumeBitmaps, kVolumeClone, kVolumeCreate, kVolumeDelete, kVolumeForget,
    kVolumeForgetBitmap, kVolumeImport, kVolumeList, kVolumeResize, kVolumeShow, kVolumeSnapshot,
    kVolumeSnapshots;

// All of them, in the order of the help.
std::span<const Command* const> Commands();

// "web" or "guests/web" as "guests/web".
std::string GuestName(const std::string& argument);
// Either as "web".
std::string GuestId(const std::string& argument);
// "fast" or "pools/fast" as "pools/fast".
std::string PoolName(const std::string& argument);
// "fast/web" or "pools/fast/volumes/web" as the latter. INVALID_ARGUMENT for neither.
Result<std::string> VolumeName(const std::string& argument);
// The same as its pool's name and its id.
Result<std::pair<std::string, std::string>> SplitVolumeName(const std::string& argument);

// For request_id: a connection that breaks does not make a second of what is made.
std::string RandomUuid();

}  // namespace berth::cli
