#include "block/filter/throttle.h"

#include <algorithm>
#include <memory>
#include <thread>

#include "block/filter/filter_image.h"
#include "block/named_objects.h"

namespace berth::block {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kWhose[] = {"total", "read", "write"};
// As much as a bucket counts without losing a unit.
constexpr uint64_t kMaxRate = 1'000'000'000'000'000;

NamedObjects<std::shared_ptr<ThrottleGroup>>& AllGroups() {
  static NamedObjects<std::shared_ptr<ThrottleGroup>> all;
  return all;
}

Result<uint64_t> TakeRate(Options* options, const std::string& name) {
  const auto text = Take(options, name);
  if (!text) return 0;
  if (text->starts_with('-')) return Fail(Code::kInvalidArgument, "Property values cannot be negative");
  const auto number = ParseNumber(*text);
  if (!number) return Fail(Code::kInvalidArgument, "Parameter '{}' expects a number", name);
  if (*number > kMaxRate)
    return Fail(Code::kInvalidArgument, "bps/iops/max values must be within [0, {}]", kMaxRate);
  return *number;
}

struct Rate {
  uint64_t units = 0, burst = 0;
};

// x-iops-total, x-iops-total-max (of a second) and x-iops-total-max-length (seconds of it).
Result<Rate> TakeLimit(Options* options, const std::string& name) {
  const uint64_t rate = TRY(TakeRate(options, name)), max = TRY(TakeRate(options, name + "-max"));
  const bool has_length = options->contains(name + "-max-length");
  const uint64_t length = TRY(TakeRate(options, name + "-max-length"));
  if (has_length && length == 0)
    return Fail(Code::kInvalidArgument, "{}-max-length value must be a positive integer", name);
  if (max != 0 && rate == 0)
    return Fail(Code::kInvalidArgument, "bps_max/iops_max require corresponding bps/iops values");
  if (max != 0 && max < rate)
    return Fail(Code::kInvalidArgument, "bps_max/iops_max cannot be lower than bps/iops");
  return Rate{rate, std::min(max * std::max<uint64_t>(std::min(length, kMaxRate), 1), kMaxRate)};
}

class ThrottleImage final : public FilterImage {
 public:
  ThrottleImage(OpenContext* context, std::shared_ptr<ThrottleGroup> group)
      : FilterImage(context), group_(std::move(group)) {}

  int Perform(const Request& request) override {
    if (const int error = Refusal(request); error != 0) return error;
    if (request.op != Op::kFlush) group_->WaitFor(request);
    return file()->Perform(request);
  }

 private:
  const std::shared_ptr<ThrottleGroup> group_;
};

Result<std::unique_ptr<FormatImage>> Open(OpenContext* context) {
  const auto id = Take(&context->options, "throttle-group");
  if (!id) return Fail(Code::kInvalidArgument, "Please specify a throttle group");
  auto group = AllGroups().Find(*id);
  if (!group) return Fail(Code::kNotFound, "Throttle group '{}' does not exist", *id);
  return std::make_unique<ThrottleImage>(context, *std::move(group));
}

}  // namespace

Result<std::unique_ptr<ThrottleGroup>> ThrottleGroup::Create(Options* options) {
  std::unique_ptr<ThrottleGroup> group(new ThrottleGroup());
  const auto now = Clock::now();
  for (const std::string unit : {"x-iops-", "x-bps-"}) {
    std::array<Rate, std::size(kWhose)> rates;
    for (size_t i = 0; i < rates.size(); ++i)
      rates[i] = TRY(TakeLimit(options, unit + std::string(kWhose[i])));
    if (rates[0].units != 0 && (rates[1].units != 0 || rates[2].units != 0)) {
      return Fail(Code::kInvalidArgument,
                  "bps/iops/max total values and read/write values cannot be used at the same time");
    }
    MutexLock lock(group->mutex_);
    for (size_t i = 0; i < rates.size(); ++i) {
      TokenBucket& bucket = unit == "x-bps-" ? group->buckets_[i].bytes : group->buckets_[i].operations;
      bucket = TokenBucket(rates[i].units, rates[i].burst, now);
    }
  }
  group->operation_bytes_ = TRY(TakeRate(options, "x-iops-size"));
  return group;
}

void ThrottleGroup::WaitFor(const Request& request) {
  const bool reads = request.op == Op::kRead;
  const bool has_bytes = reads || request.op == Op::kWrite;
  const uint64_t operations =
      operation_bytes_ == 0
          ? 1
          : std::max<uint64_t>((request.length + operation_bytes_ - 1) / operation_bytes_, 1);
  // Held while it waits: those behind wait for this one.
  MutexLock lock(mutex_);
  Buckets* const own[] = {&buckets_[0], &buckets_[reads ? 1 : 2]};
  for (;;) {
    const auto now = Clock::now();
    auto due = now;
    for (Buckets* buckets : own)
      due = std::max({due, buckets->operations.NextAt(now), buckets->bytes.NextAt(now)});
    if (due <= now) break;
    std::this_thread::sleep_until(due);
  }
  for (Buckets* buckets : own) {
    buckets->operations.Take(operations);
    if (has_bytes) buckets->bytes.Take(request.length);
  }
}

Status DefineThrottleGroup(const std::string& id, std::shared_ptr<ThrottleGroup> group) {
  return AllGroups().Define(id, std::move(group));
}

const Format kThrottleFormat{.name = "throttle", .open = Open};

}  // namespace berth::block
