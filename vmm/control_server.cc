#include "vmm/control_server.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "base/trace.h"
#include "vmm/trace.h"

namespace berth::vmm {
namespace {

// A machine that has powered off waits this long for whoever wants to ask it something.
constexpr auto kLinger = std::chrono::seconds(60);

}  // namespace

ControlServer::~ControlServer() {
  for (Connection& connection : connections_) loop_->Unwatch(connection.fd.get());
  if (listener_) loop_->Unwatch(listener_.get());
}

Status ControlServer::Serve(UniqueFd fd) {
  if (connections_.size() >= kMaxConnections) {
    return Fail(Code::kResourceExhausted, "{} control connections are open already", kMaxConnections);
  }
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return FailErrno(errno, "prepare a control connection");
  connections_.push_back({.fd = std::move(fd)});
  Connection& connection = connections_.back();
  return loop_->Watch(connection.fd.get(), EPOLLIN, [this, &connection](uint32_t) {
    Receive(connection);
    DropGone();
  });
}

void ControlServer::Receive(Connection& connection) {
  Result<Message> message = ReceiveMessage(connection.fd.get());
  v1::Request request;
  if (!message || !request.ParseFromString(message->bytes)) {
    connection.gone = true;
    return;
  }
  v1::FromVmm answer;
  *answer.mutable_reply() = Handle(request, std::move(message->fds), connection);
  Send(connection, answer);
}

v1::Reply ControlServer::Handle(const v1::Request& request, std::vector<UniqueFd> fds,
                                Connection& connection) {
  trace::control_request(request.id(), request.kind_case());
  v1::Reply reply;
  reply.set_id(request.id());
  if (const Status done = Carry(request, std::move(fds), connection, &reply); !done) {
    reply.set_code(static_cast<int>(done.error().code()));
    reply.set_message(done.error().message());
    reply.set_reason(done.error().reason());
  }
  trace::control_reply(reply.id(), reply.code());
  return reply;
}

Result<Machine*> ControlServer::machine() {
  if (!machine_) return Fail(Code::kFailedPrecondition, "no machine has been built");
  return machine_.get();
}

Status ControlServer::Carry(const v1::Request& request, std::vector<UniqueFd> raw_fds, Connection& connection,
                            v1::Reply* reply) {
  Descriptors fds(std::move(raw_fds));
  switch (request.kind_case()) {
    case v1::Request::kBuild:
      return Build(request.build(), std::move(fds), reply);
    case v1::Request::kRun:
      return TRY(machine())->Run();
    case v1::Request::kPause:
      return TRY(machine())->Pause();
    case v1::Request::kPowerButton:
      TRY(machine())->PressPowerButton();
      return Ok();
    case v1::Request::kResetMachine:
      return TRY(machine())->Reset("asked for");
    case v1::Request::kQuit:
      loop_->Stop();
      return Ok();
    case v1::Request::kFinishDisks:
      TRY(machine())->FinishDisks();
      return Ok();
    case v1::Request::kSetDiskLimits:
      return TRY(machine())->SetDiskLimits(request.set_disk_limits().id(),
                                           request.set_disk_limits().limits());
    case v1::Request::kGrowDisk:
      return TRY(machine())->GrowDisk(request.grow_disk().id(), request.grow_disk().size_bytes());
    case v1::Request::kExchangeDisk:
      return TRY(machine())->ExchangeDisk(request.exchange_disk(), std::move(fds));
    case v1::Request::kChangeSnapshot:
      return TRY(machine())->ChangeSnapshot(request.change_snapshot());
    case v1::Request::kChangeBitmap:
      return TRY(machine())->ChangeBitmap(request.change_bitmap());
    case v1::Request::kReadBitmaps:
      *reply->mutable_bitmaps() = TRY(TRY(machine())->ReadBitmaps(request.read_bitmaps().id()));
      return Ok();
    case v1::Request::kStartDiskJob:
      connection.has_jobs = true;
      return TRY(machine())->StartDiskJob(request.start_disk_job(), std::move(fds));
    case v1::Request::kReadDiskJob:
      *reply->mutable_disk_job() = TRY(TRY(machine())->ReadDiskJob(request.read_disk_job().id()));
      return Ok();
    case v1::Request::kEndDiskJob:
      return TRY(machine())->EndDiskJob(request.end_disk_job(), std::move(fds));
    case v1::Request::kDescribe: {
      v1::Description* description = reply->mutable_description();
      *description->mutable_machine() = machine_ ? machine_->config() : config_;
      description->set_state(machine_ ? machine_->state() : v1::BUILDING);
      if (machine_) *description->mutable_built() = machine_->Built();
      description->set_pid(::getpid());
      for (const v1::Event& event : events_.events()) *description->add_events() = event;
      return Ok();
    }
    case v1::Request::kAttachConsole:
      return TRY(machine())->AttachConsole(TRY(fds.Take(request.attach_console().stream_fd())));
    case v1::Request::kAttachAgent:
      return TRY(machine())->AttachAgent(TRY(fds.Take(request.attach_agent().stream_fd())));
    case v1::Request::kSubscribe:
      connection.subscribed = true;
      return Ok();
    case v1::Request::kReadCounters:
      *reply->mutable_counters() = TRY(machine())->Counters();
      return Ok();
    case v1::Request::kEnableTrace:
      reply->mutable_traced()->set_matched(static_cast<uint32_t>(
          trace::Enable(request.enable_trace().pattern(), request.enable_trace().enabled())));
      return Ok();
    case v1::Request::kSetBalloon:
      return TRY(machine())->SetBalloon(request.set_balloon().size_bytes());
    case v1::Request::kReadBalloon:
      *reply->mutable_balloon() = TRY(TRY(machine())->ReadBalloon());
      return Ok();
    case v1::Request::kPlugDevice:
      *reply->mutable_device() =
          TRY(TRY(machine())->PlugDevice(request.plug_device().device(), std::move(fds)));
      return Ok();
    case v1::Request::kUnplugDevice:
      return TRY(machine())->UnplugDevice(request.unplug_device().id(), request.unplug_device().force());
    case v1::Request::kCaptureDisplay: {
      const v1::CaptureDisplay& capture = request.capture_display();
      const UniqueFd picture = TRY(fds.Take(capture.picture_fd()));
      *reply->mutable_picture() =
          TRY(TRY(machine())->CaptureDisplay(capture.id(), picture.get(), capture.limit_bytes()));
      return Ok();
    }
    case v1::Request::KIND_NOT_SET:
      break;
  }
  return Fail(Code::kUnimplemented, "a request of a kind that this berth-vmm does not know");
}

Status ControlServer::Build(const v1::Build& request, Descriptors fds, v1::Reply* reply) {
  if (machine_) return Fail(Code::kFailedPrecondition, "the machine has been built already");
  config_ = request.machine();
  for (const std::string& pattern : config_.trace_patterns()) trace::Enable(pattern);
  events_.SetListener([this](const v1::Event& event) { Tell(event); });
  if (listener_) loop_->Unwatch(listener_.get());  // Of a build that failed.
  listener_ = TRY(fds.Take(request.listener_fd()));
  TRY(loop_->Watch(listener_.get(), EPOLLIN, [this](uint32_t) {
    Result<UniqueFd> accepted = Accept(listener_.get());
    const Status served = accepted ? Serve(std::move(*accepted)) : Status(Fail(accepted.error()));
    if (!served) LOG_WARNING_LIMITED("a control connection: {}", served.error().message());
  }));
  UniqueFd kvm = TRY(fds.Take(request.kvm_fd()));
  machine_ = TRY(Machine::Build(config_, std::move(kvm), std::move(fds), loop_, &events_));
  *reply->mutable_built() = machine_->Built();
  return Ok();
}

void ControlServer::Send(Connection& connection, const v1::FromVmm& message) {
  if (const Status sent = SendMessage(connection.fd.get(), message.SerializeAsString()); !sent) {
    // A daemon that does not read is as good as gone; it can connect again.
    LOG_WARNING_LIMITED("control connection: {}", sent.error().message());
    connection.gone = true;
  }
}

void ControlServer::Tell(const v1::Event& event) {
  v1::FromVmm message;
  *message.mutable_event() = event;
  for (Connection& connection : connections_) {
    if (connection.subscribed && !connection.gone) Send(connection, message);
  }
  const bool over = event.kind() == v1::Event::STATE_CHANGED &&
                    (event.state() == v1::POWERED_OFF || event.state() == v1::FAILED);
  if (!over) return;
  exit_status_ = event.state() == v1::FAILED ? 1 : 0;
  loop_->At(EventLoop::Clock::now() + kLinger, [this] { loop_->Stop(); });
}

void ControlServer::DropGone() {
  for (const Connection& connection : connections_) {
    if (connection.gone) loop_->Unwatch(connection.fd.get());
    if (connection.gone && connection.has_jobs && machine_) machine_->EndDiskJobs();
  }
  connections_.remove_if([](const Connection& connection) { return connection.gone; });
}

}  // namespace berth::vmm
