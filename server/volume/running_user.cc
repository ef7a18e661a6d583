#include "server/volume/running_user.h"

#include "server/guest/running_vmm.h"
#include "server/guest/verbs_internal.h"

namespace berth::server {

std::optional<VolumeUser> FindRunningUser(GuestBook& book, const std::string& volume) {
  const VolumeUsers users = UsersOfVolumes(book);
  for (auto [user, end] = users.equal_range(volume); user != end; ++user) {
    if (user->second.running && user->second.writes) return user->second;
  }
  return std::nullopt;
}

Status WorkOnGuest(Engine& engine, const VolumeUser& user, const std::string& verb,
                   const std::function<Status(GuestEntry& guest, Vmm& vmm)>& work) {
  const GuestPtr guest = TRY(engine.book.Find(user.guest));
  TRY(BeginOperation(guest, verb));
  OperationScope scope(engine, guest);
  TRY(CheckTransition(guest->Get(), Verb::kChangeDisk));
  const std::shared_ptr<Vmm> vmm = TRY(RunningVmm(engine, user.guest));
  return work(*guest, *vmm);
}

Result<control::Reply> AskMonitor(Engine& engine, const VolumeUser& user, const std::string& verb,
                                  control::Request request) {
  control::Reply reply;
  TRY(WorkOnGuest(engine, user, verb, [&](GuestEntry&, Vmm& vmm) -> Status {
    reply = TRY(vmm.Call(std::move(request), {}, kImageTimeout));
    return Ok();
  }));
  return reply;
}

}  // namespace berth::server
