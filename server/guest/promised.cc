#include "server/guest/promised.h"

#include "server/overcommit/cpu_peak.h"

namespace berth::server {

Promised PromisedBy(const Engine& engine) {
  const Measurements::Values measured = engine.measurements.Get();
  Promised promised{.ledger = CountByUse(LedgerOf(engine.book.All()), measured.peaks, measured.reserved),
                    .overhead = {}};
  for (const auto& [name, sample] : measured.overhead) promised.overhead.push_back(sample);
  return promised;
}

}  // namespace berth::server
