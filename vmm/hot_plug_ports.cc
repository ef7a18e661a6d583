#include "vmm/hot_plug_ports.h"

#include <algorithm>
#include <tuple>

namespace berth::vmm {

using namespace hw;

namespace {

uint64_t SizeOf(const FunctionPlan& windows) {
  return windows.memory.size + windows.prefetchable.size + windows.io.size;
}

}  // namespace

Result<std::string> HotPlugPorts::Add(const NewPort& port, std::unique_ptr<PciFunction> function) {
  const Devfn devfn = MakeDevfn(port.device, 0);
  const auto follow = [this, index = ports_.size()] {
    place_.control->Post([this, index] { FollowRemoval(index); });
  };
  auto made = CreateRootPort({.name = fmt::format("port {}", port.device),
                              .port_number = static_cast<uint8_t>(port.device),
                              .devfn = devfn,
                              .reserved = port.reserved,
                              .on_removal = follow},
                             place_.pci->root());
  RootPort* const raw = made.get();
  TRY(place_.pci->root().Add(devfn, std::move(made)));
  if (function) {
    raw->Insert(TRY(raw->secondary().Prepare(0, std::move(function))));
    raw->Reset();  // The guest finds it there.
  }
  // Buses are numbered in the order of the ports, and Linux keeps the numbers.
  std::string address = fmt::format("0000:{:02x}:00.0", ports_.size() + 1);
  ports_.push_back({raw, devfn, port.node, address, {}, port.id});
  return address;
}

void HotPlugPorts::SetWindows(const std::vector<FunctionPlan>& layout) {
  for (Port& port : ports_) {
    for (const FunctionPlan& plan : layout) {
      if (plan.devfn == port.devfn) port.windows = plan;
    }
  }
}

Status HotPlugPorts::PlanCards(std::vector<FunctionPlan>* layout) const {
  for (FunctionPlan& plan : *layout) {
    for (const Port& port : ports_) {
      if (plan.devfn == port.devfn) plan.behind = TRY(PlanBehind(NeedsOf(port.port->secondary()), plan));
    }
  }
  return Ok();
}

HotPlugPorts::Port* HotPlugPorts::Find(const std::string& id) {
  const auto found =
      std::find_if(ports_.begin(), ports_.end(), [&](const Port& port) { return port.id == id; });
  return found == ports_.end() || id.empty() ? nullptr : &*found;
}

Removal HotPlugPorts::RemovalOf(const Port& port) const {
  return place_.pci->Locked([&port] { return port.port->removal(); });
}

bool HotPlugPorts::Pending(const std::string& id) {
  const Port* const port = Find(id);
  return port != nullptr && RemovalOf(*port) != Removal::kNone;
}

Status HotPlugPorts::CheckFree() const {
  if (std::any_of(ports_.begin(), ports_.end(), [](const Port& port) { return port.id.empty(); }))
    return Ok();
  return Fail(Error(Code::kResourceExhausted,
                    ports_.empty()
                        ? "the machine has no hot-plug port"
                        : fmt::format("each of the machine's {} hot-plug ports holds a device; a port "
                                      "is free again when its device is unplugged",
                                      ports_.size()))
                  .Reason("NO_FREE_PORT"));
}

Result<std::string> HotPlugPorts::Plug(const std::string& id, std::optional<uint32_t> node,
                                       std::unique_ptr<PciFunction> function) {
  TRY(CheckFree());
  std::vector<Port*> free;
  for (Port& port : ports_) {
    if (port.id.empty()) free.push_back(&port);
  }
  std::stable_sort(free.begin(), free.end(), [&node](const Port* a, const Port* b) {
    const auto rank = [&node](const Port* port) {
      return std::tuple(node.has_value() && port->node != node, SizeOf(port->windows));
    };
    return rank(a) < rank(b);
  });
  const FunctionNeeds needs{.bars = {function->bars().begin(), function->bars().end()}};
  Result<std::vector<FunctionPlan>> plan;
  const auto fits = std::find_if(free.begin(), free.end(), [&needs, &plan](const Port* port) {
    plan = PlanBehind({needs}, port->windows);
    return plan.has_value();
  });
  if (fits == free.end()) {
    return Fail(Error(plan.error())
                    .Context(fmt::format("no free port ({} of {}) has room for it; the last tried",
                                         free.size(), ports_.size())));
  }
  Port& port = **fits;
  PciBus::Card card = TRY(port.port->secondary().Prepare(0, std::move(function)));
  place_.pci->Locked([&port, &card] { port.port->Insert(std::move(card)); });
  port.id = id;
  return port.address;
}

Status HotPlugPorts::Unplug(const std::string& id, bool force) {
  Port* const port = Find(id);
  if (port == nullptr) {
    return Fail(Error(Code::kFailedPrecondition,
                      fmt::format("device {} is in no hot-plug port: only assigned devices are", id))
                    .Reason("NOT_HOTPLUGGABLE"));
  }
  if (force) {
    Take(*port, "it was taken from the guest");
    return Ok();
  }
  if (RemovalOf(*port) != Removal::kNone) {
    return Fail(
        Error(Code::kFailedPrecondition,
              fmt::format("the guest has been asked for device {} already and has not given it up; it "
                          "can be pulled out with force",
                          id))
            .Reason("UNPLUG_PENDING"));
  }
  port->asked = true;
  const Removal removal = place_.pci->Locked([port] {
    port->port->RequestRemoval();
    return port->port->removal();
  });
  if (removal == Removal::kReleased) Take(*port, "the guest gave it up");
  return Ok();
}

// What the guest did may be over by now: only how things are counts.
void HotPlugPorts::FollowRemoval(size_t index) {
  Port& port = ports_[index];
  if (!port.asked) return;
  const Removal removal = RemovalOf(port);
  if (removal == Removal::kReleased) Take(port, "the guest gave it up");
  if (removal != Removal::kNone) return;
  port.asked = false;
  callbacks_.declined(port.id);
}

void HotPlugPorts::CompleteRemovals(const std::string& why) {
  for (Port& port : ports_) {
    if (!port.id.empty() && RemovalOf(port) != Removal::kNone) Take(port, why);
  }
}

// Under the bridge's lock its interrupts stop and its BARs leave the address spaces, which takes them from
// KVM's slots and from other devices' DMA. A vCPU may still be in a handler of the device that it found
// before; after the wait none is, and with the card go the mappings, the device, and what KVM knows of its
// group.
void HotPlugPorts::Take(Port& port, const std::string& why) {
  const std::string id = std::exchange(port.id, {});
  port.asked = false;
  {
    const PciBus::Card card = place_.pci->Locked([&port] { return port.port->Remove(); });
    place_.memory->WaitForReaders();
    place_.io->WaitForReaders();
  }
  callbacks_.gone(id, why);
}

}  // namespace berth::vmm
