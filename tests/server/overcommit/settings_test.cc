#include "server/overcommit/settings.h"

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "tests/fakes/sample_host.h"

namespace berth::server {
namespace {

using host::CpuSet;
using testing::HasSubstr;
using testing::StartsWith;

// As if each were on the line of its number.
std::vector<Setting> Lines(const std::vector<std::pair<std::string, std::string>>& settings) {
  std::vector<Setting> lines;
  for (const auto& [name, value] : settings)
    lines.push_back({.name = name, .value = value, .origin = fmt::format("berthd.ini:{}", lines.size() + 1)});
  return lines;
}

void ExpectRefused(const std::vector<std::pair<std::string, std::string>>& settings, const char* origin,
                   const char* words) {
  const auto policy = ParseHostPolicy(Lines(settings));
  ASSERT_FALSE(policy) << words;
  EXPECT_EQ(policy.error().reason(), "BAD_SETTING");
  EXPECT_THAT(policy.error().message(), StartsWith(origin));
  EXPECT_THAT(policy.error().message(), HasSubstr(words));
}

TEST(HostPolicySettings, AreRead) {
  const auto policy = ParseHostPolicy(Lines({{"cpu-ratio", "2.5"},
                                             {"memory-ratio", "1.25"},
                                             {"housekeeping-cpus", "0"},
                                             {"dedicated-cpus", "2-3"},
                                             {"shared-cpus", "4-7"},
                                             {"guest-nodes", "1"},
                                             {"cpu-shares", "250"},
                                             {"cpu-limit-percent", "50"},
                                             {"merge-pages", "on"},
                                             {"last-resort", "freeze"},
                                             {"memory-autopilot", "off"},
                                             {"guest-memory-mib", "2048"},
                                             {"memory-available-percent", "15"},
                                             {"memory-pressure-percent", "20"},
                                             {"memory-interval-seconds", "2"},
                                             {"cpu-peak-sigmas", "5"}}));
  ASSERT_TRUE(policy) << policy.error().message();
  EXPECT_EQ(policy->cpu_ratio, 2500);
  EXPECT_EQ(policy->memory_ratio, 1250);
  EXPECT_EQ(policy->pools.housekeeping, CpuSet{0});
  EXPECT_EQ(policy->pools.dedicated, (CpuSet{2, 3}));
  EXPECT_EQ(policy->pools.shared, (CpuSet{4, 5, 6, 7}));
  EXPECT_EQ(policy->guest_nodes, CpuSet{1});
  EXPECT_EQ(policy->guest_defaults.cpu_shares, 250);
  EXPECT_EQ(policy->guest_defaults.cpu_limit_percent, 50);
  EXPECT_TRUE(policy->guest_defaults.merge_pages);
  EXPECT_EQ(policy->guest_defaults.last_resort, LastResort::kFreeze);
  EXPECT_EQ(policy->memory, (MemoryPolicy{.autopilot = false,
                                          .available_percent = 15,
                                          .pressure_percent = 20,
                                          .interval_seconds = 2,
                                          .guest_memory_bytes = 2 * kGiB}));
  EXPECT_EQ(policy->cpu_peak_sigmas, 5);
  EXPECT_EQ(*ParseHostPolicy({}), HostPolicy{});
}

TEST(HostPolicySettings, WrongOnesAreRefusedWithTheirLine) {
  ExpectRefused({{"memory-ratio", "1"}, {"cpu-ratio", "0.5"}}, "berthd.ini:2: cpu-ratio = 0.5", "below 1");
  ExpectRefused({{"memory-ratio", "0.999"}}, "berthd.ini:1", "below 1");
  ExpectRefused({{"memory-ratio", "11"}}, "berthd.ini:1", "more than 10");
  ExpectRefused({{"dedicated-cpus", "0-3"}, {"shared-cpus", "2-5"}}, "berthd.ini:2: shared-cpus = 2-5",
                "CPUs 2-3 are in dedicated-cpus (berthd.ini:1) too");
  ExpectRefused({{"housekeeping-cpus", "1"}, {"dedicated-cpus", "1"}}, "berthd.ini:2", "housekeeping-cpus");
  ExpectRefused({{"cpu-shares", "0"}}, "berthd.ini:1", "from 1 to 10000");
  ExpectRefused({{"cpu-reservation-percent", "80"}, {"cpu-limit-percent", "70"}},
                "berthd.ini:2: cpu-limit-percent = 70", "below the reservation of 80%");
  ExpectRefused({{"memory-reservation-percent", "80"}, {"memory-limit-percent", "70"}}, "berthd.ini:2",
                "below");
  ExpectRefused({{"memory-reservation-percent", "120"}}, "berthd.ini:1", "no percentage");
  ExpectRefused({{"memory-available-percent", "0"}}, "berthd.ini:1", "from 1 to 50");
  ExpectRefused({{"memory-pressure-percent", "101"}}, "berthd.ini:1", "from 1 to 100");
  ExpectRefused({{"memory-interval-seconds", "0"}}, "berthd.ini:1", "from 1 to 60");
  ExpectRefused({{"cpu-peak-sigmas", "11"}}, "berthd.ini:1", "from 0 to 10");
  ExpectRefused({{"last-resort", "kill"}}, "berthd.ini:1", "none of none, freeze, evict");
  ExpectRefused({{"merge-pages", "yes"}}, "berthd.ini:1", "none of off, on");
  ExpectRefused({{"shared-cpus", "0-"}}, "berthd.ini:1", "list of numbers");
}

TEST(HostPolicySettings, NumbersAreNumbers) {
  for (const char* text : {"", "x", "1x", "-2", "1.", ".5", "1.0000", "1e3", "99999999999999", "0x4", " 4"})
    ExpectRefused({{"cpu-ratio", text}}, "berthd.ini:1", "no number");
  ExpectRefused({{"cpu-shares", "1.5"}}, "berthd.ini:1", "whole number");
}

TEST(HostPolicySettings, MustSuitTheHost) {
  const auto refusal = [](const std::vector<std::pair<std::string, std::string>>& settings) {
    const auto policy = ParseHostPolicy(Lines(settings));
    const Status status = CheckAgainstHost(*policy, Lines(settings), host::SampleHost());
    return status ? "" : status.error().message();
  };
  EXPECT_EQ(refusal({{"dedicated-cpus", "0-3"}, {"guest-nodes", "0-1"}}), "");
  EXPECT_EQ(refusal({{"guest-nodes", "0,2"}}),
            "berthd.ini:1: guest-nodes = 0,2: the host has no NUMA node 2; it has 0-1");
  EXPECT_EQ(refusal({{"shared-cpus", "6-9"}}),
            "berthd.ini:1: shared-cpus = 6-9: the host has no CPUs 8-9; it has 0-7");
  EXPECT_THAT(refusal({{"housekeeping-cpus", "0-7"}}), HasSubstr("no CPU"));
  EXPECT_THAT(refusal({{"guest-memory-mib", "67108864"}}), HasSubstr("the host has"));
}

TEST(HostPolicySettings, OriginsAreLines) {
  const std::string text = "# cpu-ratio = 1\nsocket=/run/x\n\n  cpu-ratio = 0.5\n";
  EXPECT_EQ(OriginOf("a.ini", text, "cpu-ratio"), "a.ini:4");
  EXPECT_EQ(OriginOf("a.ini", text, "socket"), "a.ini:2");
  EXPECT_EQ(OriginOf("a.ini", text, "memory-ratio"), "a.ini");
}

}  // namespace
}  // namespace berth::server
