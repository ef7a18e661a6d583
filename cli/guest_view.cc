#include "cli/guest_view.h"

#include <ostream>

#include <fmt/ranges.h>
#include <google/protobuf/util/time_util.h>

#include "berth/v1/guest_service.pb.h"

namespace berth::cli {
namespace {

using berth::v1::Guest;

int64_t MemoryBytes(const berth::v1::MemorySpec& memory) {
  int64_t sum = 0;
  for (const auto& node : memory.nodes()) sum += node.size_bytes();
  return memory.nodes().empty() ? memory.size_bytes() : sum;
}

std::string HostCpus(const Guest& guest) {
  std::vector<std::string> vcpus;
  for (const auto& vcpu : guest.placement().vcpus()) {
    std::string cpus = fmt::format("{}", fmt::join(vcpu.host_cpus(), "+"));
    if (vcpus.empty() || vcpu.host_cpus_size() == 1 || vcpus.back() != cpus) vcpus.push_back(std::move(cpus));
  }
  return fmt::format("{}", fmt::join(vcpus, ","));
}

std::string HostNodes(const Guest& guest) {
  std::vector<std::string> nodes;
  for (const auto& memory : guest.placement().memory()) {
    nodes.push_back(fmt::format("{}", fmt::join(memory.host_nodes(), "+")));
  }
  return fmt::format("{}", fmt::join(nodes, ","));
}

// As the spec's defaults are.
std::string DiskName(const berth::v1::GuestSpec& spec, int index) {
  return spec.disks(index).id().empty() ? fmt::format("disk{}", index) : spec.disks(index).id();
}

// LUNs are given in the order of the disks that are on virtio-scsi.
void PrintDisks(std::ostream& out, const berth::v1::GuestSpec& spec) {
  using berth::v1::DiskSpec;
  Table table({"DISK", "IMAGE", "IN THE GUEST"});
  int next_lun = 0;
  for (int i = 0; i < spec.disks_size(); ++i) {
    const DiskSpec& disk = spec.disks(i);
    const bool cd_rom = disk.kind() == DiskSpec::CD_ROM;
    std::string place = "virtio-blk";
    if (cd_rom || disk.bus() == DiskSpec::VIRTIO_SCSI)
      place = fmt::format("virtio-scsi LUN {}{}", next_lun++, cd_rom ? ", CD-ROM" : "");
    if (disk.read_only() && !cd_rom) place += ", read-only";
    table.Add({DiskName(spec, i), disk.volume().empty() ? disk.path() : disk.volume(), place});
  }
  out << '\n';
  table.Print(out);
}

}  // namespace

std::string StateName(Guest::State state) { return Guest::State_Name(state); }

void PrintGuests(std::ostream& out, OutputFormat format, const std::vector<Guest>& guests) {
  if (format == OutputFormat::kName) {
    for (const Guest& guest : guests) out << guest.name() << '\n';
  } else if (format != OutputFormat::kTable) {
    if (guests.size() == 1) return PrintMessage(out, format, guests.front());
    berth::v1::ListGuestsResponse list;
    for (const Guest& guest : guests) *list.add_guests() = guest;
    PrintMessage(out, format, list);
  } else {
    Table table({"NAME", "STATE", "VCPUS", "MEMORY", "HOST CPUS", "NODES", "DEVICES", "ERROR"});
    for (const Guest& guest : guests) {
      table.Add({guest.name(), StateName(guest.state()), std::to_string(guest.spec().cpus().vcpu_count()),
                 FormatBytes(MemoryBytes(guest.spec().memory())), HostCpus(guest), HostNodes(guest),
                 std::to_string(guest.claimed_devices_size()), guest.error().message()});
    }
    table.Print(out);
  }
}

void PrintGuest(std::ostream& out, OutputFormat format, const Guest& guest) {
  PrintGuests(out, format, {guest});
  if (format != OutputFormat::kTable) return;
  if (guest.has_expire_time()) {
    out << "\nExpires unless it is started before "
        << google::protobuf::util::TimeUtil::ToString(guest.expire_time()) << '\n';
  }
  if (guest.spec().guest_agent()) {
    out << "\nHas a port for its agent"
        << (guest.file_systems_frozen() ? ", which was asked to freeze its file systems\n" : "\n");
  }
  if (guest.spec().disks_size() > 0) PrintDisks(out, guest.spec());
  if (!guest.claimed_devices().empty()) {
    out << '\n';
    Table devices({"DEVICE", "HOST DEVICE", "ADDRESS", "NODE", "IN THE GUEST"});
    for (const auto& device : guest.claimed_devices()) {
      devices.Add({device.id(), device.host_device(),
                   device.pci_address().empty() ? device.mdev_uuid() : device.pci_address(),
                   device.has_host_node() ? std::to_string(device.host_node()) : "", device.guest_address()});
    }
    devices.Print(out);
  }
  if (!guest.network_interfaces().empty()) {
    out << '\n';
    Table interfaces({"INTERFACE", "TAP", "MAC ADDRESS"});
    for (const auto& nic : guest.network_interfaces())
      interfaces.Add({nic.id(), nic.tap(), nic.mac_address()});
    interfaces.Print(out);
  }
}

}  // namespace berth::cli
