#include "server/autopilot/act.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/bytes.h"
#include "base/log.h"
#include "host/control/record.h"
#include "host/sysfs.h"
#include "server/autopilot/look.h"

namespace berth::server {
namespace {

constexpr std::chrono::milliseconds kAnswerTime{1000}, kWriteTime{2000}, kReclaimTime{5000};

v1::Event::Kind KindOf(MemoryAction::Kind kind) {
  switch (kind) {
    case MemoryAction::Kind::kTell:
      return v1::Event::MEMORY_SHORT;
    case MemoryAction::Kind::kShrink:
      return v1::Event::MEMORY_TAKEN;
    case MemoryAction::Kind::kReclaim:
      return v1::Event::MEMORY_RECLAIMED;
    case MemoryAction::Kind::kMerge:
      return v1::Event::MEMORY_MERGING_CHANGED;
    case MemoryAction::Kind::kFreeze:
      return v1::Event::GUEST_FROZEN;
    case MemoryAction::Kind::kEvict:
      return v1::Event::GUEST_EVICTED;
    case MemoryAction::Kind::kGrow:
      return v1::Event::MEMORY_GIVEN;
    case MemoryAction::Kind::kRelax:
      return v1::Event::MEMORY_RELAXED;
    case MemoryAction::Kind::kThaw:
      return v1::Event::GUEST_THAWED;
  }
  return v1::Event::WARNING;
}

Status Write(const host::HostControl& control, const std::string& path, const std::string& value,
             std::chrono::milliseconds time) {
  const int error = control.writer->Write(path, value, time);
  if (error != 0) return FailErrno(error, "write \"{}\" to {}", value, path);
  return Ok();
}

Status WriteFile(const std::string& path, const std::string& text) {
  const UniqueFd file = TRY(Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return FailErrno(errno, "write {}", path);
  return Ok();
}

std::string Describe(const MemoryAction& action) {
  switch (action.kind) {
    case MemoryAction::Kind::kShrink:
    case MemoryAction::Kind::kGrow:
      return fmt::format("balloon of {}: it has {}", HumanSize(action.bytes), action.reason);
    case MemoryAction::Kind::kReclaim:
      return fmt::format("{} to swap: {}", HumanSize(action.bytes), action.reason);
    case MemoryAction::Kind::kMerge:
      return fmt::format("{}, {} pages every {} ms: {}", action.ksm.run == 1 ? "merging" : "no merging",
                         action.ksm.pages_to_scan, action.ksm.sleep_ms, action.reason);
    default:
      return action.reason;
  }
}

}  // namespace

void Actor::Do(const MemoryAction& action) {
  v1::Event event;
  event.set_kind(KindOf(action.kind));
  if (!action.guest.empty()) {
    const auto guest = engine_.book.Find(action.guest);
    if (!guest) return;  // Gone meanwhile.
    event = EventOf((*guest)->Get(), event.kind());
  }
  const Status done = Carry(action);
  std::string text = Describe(action);
  if (!done) text += fmt::format(" (failed: {})", done.error().message());
  LOG_INFO("memory: {}{}{}: {}", v1::Event::Kind_Name(event.kind()), action.guest.empty() ? "" : " ",
           action.guest, text);
  event.set_text(text);
  engine_.events.Publish(std::move(event));
}

Status Actor::Carry(const MemoryAction& action) {
  switch (action.kind) {
    case MemoryAction::Kind::kShrink:
    case MemoryAction::Kind::kGrow:
      return SetBalloon(action.guest, action.bytes);
    case MemoryAction::Kind::kReclaim:
      return Reclaim(action.guest, action.bytes);
    case MemoryAction::Kind::kMerge:
      return Merge(action.ksm);
    case MemoryAction::Kind::kFreeze:
    case MemoryAction::Kind::kThaw:
      return SetFrozen(action.guest, action.kind == MemoryAction::Kind::kFreeze);
    case MemoryAction::Kind::kEvict:
      return Evict(action.guest);
    case MemoryAction::Kind::kTell:
    case MemoryAction::Kind::kRelax:
      break;
  }
  return Ok();
}

Status Actor::SetBalloon(const std::string& guest, uint64_t bytes) {
  const std::shared_ptr<Vmm> vmm = TRY(engine_.book.Find(guest))->GetVmm();
  if (!vmm) return Ok();
  control::Request request;
  request.mutable_set_balloon()->set_size_bytes(bytes);
  TRY(vmm->Call(std::move(request), {}, kAnswerTime));
  return Ok();
}

Status Actor::Reclaim(const std::string& guest, uint64_t bytes) {
  const std::string path =
      fmt::format("{}/{}/memory.reclaim", control_.roots.cgroup, CgroupOf(control_.roots, guest));
  const int error = control_.writer->Write(path, std::to_string(bytes), kReclaimTime);
  // The kernel found less than that (EAGAIN), or is still at it: what came of it is seen at the next look.
  if (error == 0 || error == EAGAIN || error == ETIMEDOUT) return Ok();
  return FailErrno(error, "write {} to {}", bytes, path);
}

bool Actor::merging_is_ours() const { return ::access(KsmRecord().c_str(), F_OK) == 0; }

// How it was is on record before it is changed, and put back when merging ends.
Status Actor::Merge(const host::KsmSettings& settings) {
  const auto now = host::ReadKsm(control_.roots);
  if (!now) return Fail(Code::kFailedPrecondition, "the kernel cannot merge pages");
  if (settings.run == 1) {
    if (!merging_is_ours()) TRY(WriteFile(KsmRecord(), host::Encode(now->settings)));
    return WriteKsm(settings);
  }
  host::KsmSettings before = settings;
  if (const auto text = host::SysfsDirectory(engine_.settings.runtime_dir).Text("ksm"))
    before = host::Decode<host::KsmSettings>(*text + "\n").value_or(settings);
  TRY(WriteKsm(before));
  std::error_code error;
  std::filesystem::remove(KsmRecord(), error);
  return Ok();
}

Status Actor::WriteKsm(const host::KsmSettings& settings) {
  const std::string ksm = control_.roots.sys + "/kernel/mm/ksm/";
  // Refused while pages are merged; then it stays as it is.
  (void)control_.writer->Write(ksm + "merge_across_nodes", settings.merge_across_nodes ? "1" : "0",
                               kWriteTime);
  TRY(Write(control_, ksm + "sleep_millisecs", std::to_string(settings.sleep_ms), kWriteTime));
  TRY(Write(control_, ksm + "pages_to_scan", std::to_string(settings.pages_to_scan), kWriteTime));
  return Write(control_, ksm + "run", std::to_string(settings.run), kWriteTime);
}

// Its vCPUs stand still and its monitor answers. The mark comes first and goes last: whoever finds it lets
// the guest run on, which harms none that runs.
Status Actor::SetFrozen(const std::string& name, bool frozen) {
  const GuestPtr guest = TRY(engine_.book.Find(name));
  const std::shared_ptr<Vmm> vmm = guest->GetVmm();
  if (!vmm) return Ok();
  const std::string mark = FrozenMark(engine_, guest->Get());
  if (frozen) TRY(WriteFile(mark, ""));
  control::Request request;
  if (frozen) {
    request.mutable_pause();
  } else {
    request.mutable_run();
  }
  const Result<control::Reply> reply = vmm->Call(std::move(request), {}, kAnswerTime);
  std::error_code error;
  const bool runs = !reply && reply.error().code() == Code::kFailedPrecondition;
  if (frozen ? !reply : reply || runs) std::filesystem::remove(mark, error);
  if (!reply && !runs) return Fail(reply.error());
  return Ok();
}

Status Actor::Evict(const std::string& guest) {
  v1::StopGuestRequest request;
  request.set_name(guest);
  request.set_force(true);
  TRY(verbs_.Stop(request));
  return Ok();
}

void Actor::LimitGuests(uint64_t bytes) {
  const std::string parent = control_.roots.cgroup + "/" + control_.roots.guests_cgroup;
  const host::SysfsDirectory directory(parent);
  const std::string wanted = bytes == 0 ? "max" : std::to_string(AlignDown(bytes, 4096));
  const auto now = directory.Text("memory.max");
  if (bytes == 0 || !now || *now == wanted) return;
  const Status written = Write(control_, parent + "/memory.max", wanted, kWriteTime);
  if (!written)
    LOG_WARNING_LIMITED("guests are not held to {}: {}", HumanSize(bytes), written.error().message());
}

}  // namespace berth::server
