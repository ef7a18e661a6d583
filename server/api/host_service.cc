#include <google/protobuf/util/time_util.h>
#include <grpcpp/server_context.h>

#include "base/log.h"
#include "berth/v1/host_service.grpc.pb.h"
#include "server/api/call_limit.h"
#include "server/api/device_watch.h"
#include "server/api/filter.h"
#include "server/api/grpc_status.h"
#include "server/api/host_changes.h"
#include "server/api/host_view.h"
#include "server/api/paging.h"
#include "server/api/services.h"
#include "server/guest/state.h"

namespace berth::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int kDefaultPageSize = 100;
constexpr int kMaxWatchers = 64;
// How often a watcher looks for changes, and whether its caller has gone.
constexpr std::chrono::milliseconds kLookTime{250};

tl::unexpected<Error> NotFound(const std::string& name) {
  return Fail(Error(Code::kNotFound, fmt::format("there is no {}", name))
                  .Reason(name.starts_with("host/devices/") ? "DEVICE_NOT_FOUND" : "HOST_NOT_FOUND")
                  .With("resource", name));
}

Result<DeviceLedger> DeviceLedgerOf(Engine& engine) {
  DeviceLedger ledger{.owners = {}, .quarantined = TRY(engine.quarantine.List())};
  for (const Claim& claim : TRY(engine.table.Claims())) {
    const auto found = engine.book.Find(claim.guest);
    if (!found) continue;
    const v1::Guest guest = (*found)->Get();
    const bool running = guest.state() == v1::Guest::RUNNING;
    const bool clean = running || TRY(engine.executor.IsClean(claim.guest_uid));
    const auto claimed = TimeUtil::MicrosecondsToTimestamp(claim.since_us);
    // One that was attached later has been assigned since then.
    const bool later = TimeUtil::TimestampToMicroseconds(guest.start_time()) < claim.since_us;
    ledger.owners[claim.device] = {.guest = claim.guest,
                                   .state = guest.state(),
                                   .restored = clean,
                                   .since = running && !later ? guest.start_time() : claimed};
  }
  return ledger;
}

class HostService final : public v1::HostService::Service {
 public:
  HostService(Engine& engine, std::string version)
      : engine_(engine), version_(std::move(version)), changes_(&engine.loop, engine.host) {}

  grpc::Status GetHost(grpc::ServerContext*, const v1::GetHostRequest* request, v1::Host* response) override {
    return Respond(Get(*request), response);
  }
  grpc::Status ListHostDevices(grpc::ServerContext*, const v1::ListHostDevicesRequest* request,
                               v1::ListHostDevicesResponse* response) override {
    return Respond(List(*request), response);
  }
  grpc::Status GetHostDevice(grpc::ServerContext*, const v1::GetHostDeviceRequest* request,
                             v1::HostDevice* response) override {
    return Respond(GetDevice(*request), response);
  }

  grpc::Status RecoverHostDevice(grpc::ServerContext*, const v1::RecoverHostDeviceRequest* request,
                                 v1::HostDevice* response) override {
    return Respond(Recover(*request), response);
  }
  grpc::Status WatchHostDevices(grpc::ServerContext* context, const v1::WatchHostDevicesRequest* request,
                                grpc::ServerWriter<v1::WatchHostDevicesResponse>* writer) override {
    const Status watched = Watch(*request, context, *writer);
    return watched ? grpc::Status::CANCELLED : ToGrpcStatus(watched.error());
  }

 private:
  Result<std::vector<v1::HostDevice>> Devices() {
    return ToHostDevices(TRY(engine_.host.Snapshot()), TRY(DeviceLedgerOf(engine_)));
  }
  Result<std::vector<v1::HostDevice>> DevicesThatMatch(const Filter& filter) {
    std::vector<v1::HostDevice> devices = TRY(Devices());
    std::erase_if(devices, [&](const v1::HostDevice& device) {
      return !filter.Matches([&](std::string_view field) { return DeviceField(device, field); });
    });
    return devices;
  }

  // What changes comes from the kernel, and from guests, whose changes of state are events.
  Status Watch(const v1::WatchHostDevicesRequest& request, grpc::ServerContext* context,
               grpc::ServerWriter<v1::WatchHostDevicesResponse>& writer) {
    const auto place = TRY(watchers_.Take());
    if (request.parent() != "host") return NotFound(request.parent());
    const Filter filter = TRY(Filter::Parse(request.filter(), IsDeviceField));
    DeviceWatch watch;
    uint64_t seen = 0;
    uint64_t next_event = TRY(engine_.events.Resume(""));
    for (bool changed = true; !context->IsCancelled();) {
      if (changed) {
        seen = changes_.count();
        for (const auto& told : watch.Update(TRY(DevicesThatMatch(filter)))) {
          if (!writer.Write(told)) return Ok();
        }
      }
      const auto events = engine_.events.Read(&next_event, kLookTime);
      if (!events) next_event = TRY(engine_.events.Resume(""));
      changed = !events || !events->empty() || changes_.count() != seen;
    }
    return Ok();
  }

  Result<v1::Host> Get(const v1::GetHostRequest& request) {
    if (request.name() != "host") return NotFound(request.name());
    const bool kvm = engine_.host.Open(KvmDescriptor{}).has_value();
    return ToHost(TRY(engine_.host.Snapshot()), LedgerOf(engine_.book.All()), kvm, version_);
  }

  Result<v1::ListHostDevicesResponse> List(const v1::ListHostDevicesRequest& request) {
    if (request.parent() != "host") return NotFound(request.parent());
    const int size = TRY(PageSize(request.page_size(), kDefaultPageSize));
    const Filter filter = TRY(Filter::Parse(request.filter(), IsDeviceField));
    std::vector<v1::HostDevice> devices = TRY(DevicesThatMatch(filter));
    std::sort(devices.begin(), devices.end(), [](const auto& a, const auto& b) { return Key(a) < Key(b); });
    v1::ListHostDevicesResponse response;
    for (v1::HostDevice& device : TRY(PageOf(std::move(devices), Key, "devices " + request.filter(), size,
                                             request.page_token(), response.mutable_next_page_token()))) {
      *response.add_devices() = std::move(device);
    }
    return response;
  }

  // In the order of the list: PCI functions, parents, mediated devices.
  static std::string Key(const v1::HostDevice& device) {
    return (device.has_pci() ? "0" : device.has_mdev_parent() ? "1" : "2") + device.name();
  }

  Result<v1::HostDevice> Find(const std::string& name) {
    for (v1::HostDevice& device : TRY(Devices())) {
      if (device.name() == name) return std::move(device);
    }
    return NotFound(name);
  }

  Result<v1::HostDevice> GetDevice(const v1::GetHostDeviceRequest& request) {
    v1::HostDevice device = TRY(Find(request.name()));
    if (device.has_pci()) ShowVpd(device.mutable_pci());
    return device;
  }

  Result<v1::HostDevice> Recover(const v1::RecoverHostDeviceRequest& request) {
    const v1::HostDevice device = TRY(Find(request.name()));
    if (device.state() != v1::HostDevice::QUARANTINED) {
      return Fail(Error(Code::kFailedPrecondition, fmt::format("{} is not quarantined", device.name()))
                      .Reason("NOT_QUARANTINED")
                      .With("resource", device.name()));
    }
    TRY(CheckIdle(device));
    const auto address = host::PciAddress::Parse(device.pci().address());
    if (address && !request.skip_reset()) TRY(engine_.host.ResetFunction(*address));
    TRY(engine_.quarantine.Remove(KeyOf(device)));
    changes_.Note();
    LOG_INFO("{} is recovered", device.name());
    return Find(request.name());
  }

  // A reset would pull the device from under its guest, or from what is still to be put back.
  Status CheckIdle(const v1::HostDevice& device) {
    if (device.guest().empty()) return Ok();
    const GuestPtr guest = TRY(engine_.book.Find(device.guest()));
    const bool idle = !IsActive(guest->Get().state()) && TRY(engine_.executor.IsClean(guest->uid));
    if (idle) return Ok();
    return Fail(Error(Code::kFailedPrecondition, fmt::format("{} is still {}'s: detach it, or stop the guest",
                                                             device.name(), guest->name))
                    .Reason("DEVICE_IN_USE")
                    .With("resource", device.name())
                    .With("owner", guest->name));
  }

  void ShowVpd(v1::HostPciFunction* pci) {
    const auto address = host::PciAddress::Parse(pci->address());
    if (!address) return;
    host::VitalProductData data = engine_.host.Vpd(*address);
    pci->set_serial_number(data.fields["SN"]);
    pci->set_part_number(data.fields["PN"]);
  }

  Engine& engine_;
  const std::string version_;
  HostChanges changes_;
  CallLimit watchers_{kMaxWatchers};
};

}  // namespace

std::unique_ptr<grpc::Service> CreateHostService(Engine& engine, std::string version) {
  return std::make_unique<HostService>(engine, std::move(version));
}

}  // namespace berth::server
