#include "server/guest/running_vmm.h"

#include "server/guest/state.h"

namespace berth::server {

Result<std::shared_ptr<Vmm>> RunningVmm(Engine& engine, const std::string& name) {
  const GuestPtr guest = TRY(engine.book.Find(name));
  TRY(CheckTransition(guest->Get(), Verb::kConsole));
  std::shared_ptr<Vmm> vmm = guest->GetVmm();
  if (!vmm) return GuestEnding(name);
  return vmm;
}

tl::unexpected<Error> GuestEnding(const std::string& name) {
  return Fail(
      Error(Code::kFailedPrecondition, fmt::format("{} is ending", name)).Reason("GUEST_NOT_RUNNING"));
}

}  // namespace berth::server
