// Where guests are on the host, where one could be, and which to move to make room.
#include <fstream>
#include <ostream>

#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/host_picture.h"
#include "cli/spec_file.h"
#include "proto/error_details.h"

namespace berth::cli {
namespace {

namespace po = boost::program_options;
using berth::v1::EffectivePlacement;
using berth::v1::Guest;
using berth::v1::HostDevice;

void DescribeExplain(po::options_description& options) {
  options.add_options()  //
      ("file,f", po::value<std::string>(),
       "a guest's spec, JSON or YAML: where it would be, or why nowhere")  //
      ("svg", po::value<std::string>(), "write the picture to this file, as SVG");
}

void DescribeAdvise(po::options_description& options) {
  options.add_options()("file,f", po::value<std::string>(), "the guest's spec, JSON or YAML");
}

Result<HostPicture> Look(const Invocation& call, const std::vector<Guest>& more) {
  berth::v1::GetHostRequest get;
  get.set_name("host");
  const berth::v1::Host host = TRY(call.connection.Call(&HostService::Stub::GetHost, get));
  std::vector<HostDevice> devices;
  berth::v1::ListHostDevicesRequest list_devices;
  list_devices.set_parent("host");
  TRY(call.connection.EachPage(&HostService::Stub::ListHostDevices, list_devices, [&](const auto& page) {
    for (const HostDevice& device : page.devices()) {
      if (device.state() != HostDevice::UNASSIGNABLE || !device.guest().empty()) devices.push_back(device);
    }
  }));
  std::vector<Guest> guests = more;
  const berth::v1::ListGuestsRequest list_guests;
  TRY(call.connection.EachPage(&GuestService::Stub::ListGuests, list_guests, [&](const auto& page) {
    guests.insert(guests.end(), page.guests().begin(), page.guests().end());
  }));
  return PictureOf(host, devices, guests);
}

Result<Guest> Wanted(const Invocation& call) {
  Guest guest;
  if (call.Has("file")) guest = TRY(ReadSpecFile(call.Text("file")));
  if (!call.arguments.empty()) guest.set_name(call.arguments[0]);
  if (guest.name().empty() && !call.Has("file"))
    return Fail(Code::kInvalidArgument, "name a guest, or give a spec with -f");
  guest.set_name(GuestName(guest.name().empty() ? "new" : guest.name()));
  return guest;
}

std::string Where(const EffectivePlacement& placement) {
  std::vector<std::string> nodes, cpus;
  for (const auto& memory : placement.memory())
    nodes.push_back(fmt::format("{}", fmt::join(memory.host_nodes(), "+")));
  for (const auto& vcpu : placement.vcpus())
    cpus.push_back(fmt::format("{}", fmt::join(vcpu.host_cpus(), "+")));
  return fmt::format("node {}, CPUs {}", fmt::join(nodes, ","), fmt::join(cpus, ","));
}

// The lines of a refusal: what each host node lacks.
void PrintRefusal(const Invocation& call, const Error& refusal) {
  call.out << fmt::format("no room: {} ({})\n", Printable(refusal.message(), 4096), refusal.reason());
  for (const auto& [key, value] : refusal.metadata()) {
    if (key.starts_with("node")) call.out << fmt::format("  {}: {}\n", key, Printable(value, 4096));
  }
}

Result<berth::v1::AdvisePlacementResponse> Ask(const Invocation& call, const Guest& wanted) {
  berth::v1::AdvisePlacementRequest request;
  *request.mutable_guest() = wanted;
  return call.connection.Call(&GuestService::Stub::AdvisePlacement, request);
}

Status RunExplain(const Invocation& call) {
  std::vector<Guest> more;
  if (call.Has("file")) {
    Guest wanted = TRY(Wanted(call));
    const auto answer = TRY(Ask(call, wanted));
    if (answer.has_placement()) {
      *wanted.mutable_placement() = answer.placement();
      call.out << fmt::format("{} would be on {}\n", GuestId(wanted.name()), Where(answer.placement()));
      more.push_back(std::move(wanted));
    } else {
      PrintRefusal(call, FromRpcStatus(answer.refusal()));
    }
    call.out << '\n';
  }
  const HostPicture picture = TRY(Look(call, more));
  if (!call.Has("svg")) {
    call.out << ToText(picture);
    return Ok();
  }
  std::ofstream file(call.Text("svg"));
  file << ToSvg(picture);
  if (!file.flush()) return FailErrno(errno, "write {}", call.Text("svg"));
  return Ok();
}

Status RunAdvise(const Invocation& call) {
  const Guest wanted = TRY(Wanted(call));
  const auto answer = TRY(Ask(call, wanted));
  PrintMessage(call.out, call.format, answer);
  if (call.format != OutputFormat::kTable) return Ok();
  if (answer.has_placement()) {
    call.out << fmt::format("there is room: {}\n", Where(answer.placement()));
    return Ok();
  }
  PrintRefusal(call, FromRpcStatus(answer.refusal()));
  if (answer.moves().empty()) {
    call.out << "moving one guest would not make room\n";
    return Ok();
  }
  call.out << '\n';
  Table table({"MOVE", "MEMORY", "TO", "THEN IT FITS ON"});
  for (const auto& move : answer.moves()) {
    table.Add({GuestId(move.guest()), FormatBytes(move.memory_bytes()),
               move.has_placement() ? Where(move.placement()) : "another host", Where(move.room())});
  }
  table.Print(call.out);
  return Ok();
}

}  // namespace

const Command kPlacementExplain = {.words = "placement explain",
                                   .arguments = {"NAME"},
                                   .required = 0,
                                   .summary = "Show who sits where on the host, and where a guest would",
                                   .describe = DescribeExplain,
                                   .run = RunExplain};
const Command kPlacementAdvise = {.words = "placement advise",
                                  .arguments = {"NAME"},
                                  .required = 0,
                                  .summary = "Say which guest to move to make room for another",
                                  .describe = DescribeAdvise,
                                  .run = RunAdvise};

}  // namespace berth::cli
