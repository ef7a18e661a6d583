#include "server/guest/placement_advice.h"

#include <algorithm>

#include "proto/error_details.h"
#include "server/guest/admit_and_place.h"
#include "server/guest/placement_view.h"
#include "server/guest/promised.h"
#include "server/guest/spec_check.h"

namespace berth::server {
namespace {

class Adviser {
 public:
  Adviser(Engine& engine, host::HostSnapshot host) : engine_(engine), host_(std::move(host)) {}

  Result<v1::AdvisePlacementResponse> Advise(const v1::Guest& wanted) {
    claims_ = TRY(engine_.table.Claims());
    quarantined_ = TRY(engine_.quarantine.List());
    TRY(ResolveDevices(host_, wanted.spec(), claims_, quarantined_, wanted.uid()));
    const std::vector<GuestPtr> guests = engine_.book.All();
    auto [ledger, overhead] = PromisedBy(engine_);
    overhead_ = std::move(overhead);
    std::erase_if(ledger, [&](const Reservation& one) { return one.guest == wanted.name(); });

    v1::AdvisePlacementResponse response;
    const auto now = Place(ledger, wanted);
    if (now) {
      *response.mutable_placement() = ToEffectivePlacement(now->placement);
      return response;
    }
    *response.mutable_refusal() = ToRpcStatus(now.error());
    std::vector<v1::PlacementMove> moves;
    for (const GuestPtr& guest : guests) {
      if (auto move = MoveOf(guest->Get(), ledger, wanted)) moves.push_back(*std::move(move));
    }
    std::stable_sort(moves.begin(), moves.end(), [](const auto& a, const auto& b) {
      if (a.has_placement() != b.has_placement()) return a.has_placement();
      return a.memory_bytes() < b.memory_bytes();
    });
    for (v1::PlacementMove& move : moves) *response.add_moves() = std::move(move);
    return response;
  }

 private:
  Result<PlacedGuest> Place(const Ledger& ledger, const v1::Guest& guest) {
    return ResolveAndPlace(host_, guest, claims_, quarantined_, ledger, overhead_, engine_.settings.policy);
  }

  // None if the guest is not in the way.
  std::optional<v1::PlacementMove> MoveOf(const v1::Guest& guest, const Ledger& ledger,
                                          const v1::Guest& wanted) {
    Ledger without = ledger;
    std::erase_if(without, [&](const Reservation& one) { return one.guest == guest.name(); });
    if (without.size() == ledger.size()) return std::nullopt;
    const auto room = Place(without, wanted);
    if (!room) return std::nullopt;
    v1::PlacementMove move;
    move.set_guest(guest.name());
    move.set_memory_bytes(MemorySize(guest.spec()));
    *move.mutable_room() = ToEffectivePlacement(room->placement);
    without.push_back(room->placement.reservation);
    if (const auto elsewhere = Place(without, guest))
      *move.mutable_placement() = ToEffectivePlacement(elsewhere->placement);
    return move;
  }

  Engine& engine_;
  const host::HostSnapshot host_;
  std::vector<Claim> claims_;
  std::vector<Quarantined> quarantined_;
  std::vector<OverheadSample> overhead_;
};

}  // namespace

Result<v1::AdvisePlacementResponse> AdvisePlacement(Engine& engine,
                                                    const v1::AdvisePlacementRequest& request) {
  v1::Guest wanted = request.guest();
  wanted.clear_uid();
  if (const auto there = engine.book.Find(wanted.name())) {
    const v1::Guest known = (*there)->Get();
    wanted.set_uid(known.uid());
    if (!wanted.has_spec()) *wanted.mutable_spec() = known.spec();
  }
  TRY(CheckSpec(wanted.spec()));
  return Adviser(engine, TRY(engine.host.Snapshot())).Advise(wanted);
}

}  // namespace berth::server
