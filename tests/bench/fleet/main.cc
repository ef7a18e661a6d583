// berth-fleet-sim: fleets of made-up hosts on which guests come and go, placed by Berth and by other
// schedulers' published rules.
#include <cmath>
#include <functional>
#include <sstream>
#include <string>

#include <boost/program_options.hpp>
#include <fmt/format.h>

#include "tests/bench/fleet/estimate.h"
#include "tests/bench/fleet/memory.h"
#include "tests/bench/fleet/simulation.h"

namespace berth::fleet {
namespace {

namespace po = boost::program_options;

struct Options {
  int hosts = 500, arrivals = 50'000, seeds = 5, memory_hosts = 50;
  uint64_t first_seed = 1;
};

// What is not compared depends on which guests a rule refuses: one that refuses guests far from a device has
// none of them.
enum class Better { kMore, kLess, kNotCompared };

struct Metric {
  const char* name;
  Better better;
  std::function<double(const Outcome&)> value;
};

double Percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

const std::vector<Metric>& Metrics() {
  static const std::vector<Metric> metrics = {
      {"guests before the first rejection", Better::kMore,
       [](const Outcome& o) { return static_cast<double>(o.placed_before_rejection); }},
      {"guests rejected, %", Better::kLess,
       [](const Outcome& o) { return Percent(o.rejected, o.rejected + o.placed); }},
      {"CPU time promised, %", Better::kMore, [](const Outcome& o) { return 100 * o.density; }},
      {"guests across nodes, %", Better::kLess,
       [](const Outcome& o) { return Percent(o.cross_node, o.placed); }},
      {"guests away from a device, %", Better::kNotCompared,
       [](const Outcome& o) { return Percent(o.far_devices, o.placed); }},
      {"free CPUs of no use to a large guest, %", Better::kNotCompared,
       [](const Outcome& o) { return 100 * o.fragmentation; }},
  };
  return metrics;
}

// Less is better: Berth's by the best peer's, or the other way round.
double RatioOf(const Metric& metric, const std::vector<double>& means) {
  double ratio = 0;
  for (size_t peer = 1; peer < means.size(); ++peer) {
    const double ours = metric.better == Better::kMore ? means[peer] : means[0];
    const double theirs = metric.better == Better::kMore ? means[0] : means[peer];
    ratio = std::max(ratio, ours == theirs ? 1 : theirs == 0 ? INFINITY : ours / theirs);
  }
  return ratio;
}

class Report {
 public:
  void Print(const char* title, const std::vector<std::string>& names,
             const std::vector<std::vector<Outcome>>& outcomes) {
    fmt::print("{}\n{:42}", title, "");
    for (const std::string& name : names) fmt::print("{:>18}", name);
    fmt::print("{:>8}\n", "ratio");
    for (const Metric& metric : Metrics()) {
      fmt::print("{:42}", metric.name);
      std::vector<double> means;
      std::vector<Estimate> differences;
      for (const auto& of_rule : outcomes) {
        std::vector<double> values, less_berth;
        for (size_t seed = 0; seed < of_rule.size(); ++seed) {
          values.push_back(metric.value(of_rule[seed]));
          less_berth.push_back(values.back() - metric.value(outcomes[0][seed]));
        }
        const Estimate estimate = EstimateOf(values);
        means.push_back(estimate.mean);
        differences.push_back(EstimateOf(less_berth));
        fmt::print("{:>18}", Text(estimate));
      }
      const double ratio = metric.better == Better::kNotCompared ? 0 : RatioOf(metric, means);
      fmt::print("{:>8}\n{:42}{:18}", ratio > 0 ? fmt::format("{:.2f}", ratio) : "",
                 "  less berth's, by the same seeds", "");
      for (size_t peer = 1; peer < differences.size(); ++peer) fmt::print("{:>18}", Text(differences[peer]));
      fmt::print("\n");
      if (ratio <= worst_) continue;
      worst_ = ratio;
      worst_case_ = fmt::format("{}: {}", title, metric.name);
    }
    fmt::print("{:42}", "decision, µs (median; not compared)");
    for (const auto& of_rule : outcomes) {
      std::vector<double> values;
      for (const Outcome& outcome : of_rule) values.push_back(outcome.decision_us);
      fmt::print("{:>18.1f}", EstimateOf(values).mean);
    }
    fmt::print("\n\n");
  }
  void Close() const { fmt::print("worst ratio: {:.2f} ({})\n", worst_, worst_case_); }

 private:
  double worst_ = 0;
  std::string worst_case_;
};

// Not compared by a ratio: what is gained in one line is paid for in another.
void PrintMemory(const Options& options) {
  struct MemoryMetric {
    const char* name;
    double MemoryOutcome::*value;
  };
  constexpr MemoryMetric kMetrics[] = {
      {"time that some task waits for memory, %", &MemoryOutcome::stalled_percent},
      {"hosts that run out of memory, %", &MemoryOutcome::out_of_memory},
      {"time of guests with less than they need, %", &MemoryOutcome::squeezed_percent},
      {"changes of a guest's balloon an hour", &MemoryOutcome::balloons_an_hour}};
  const std::vector<MemoryRuleKind> kinds = MemoryRules();
  std::vector<std::vector<MemoryOutcome>> outcomes(kinds.size());
  fmt::print("memory sold one and a half times, {} hosts for an hour\n{:42}", options.memory_hosts, "");
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    fmt::print("{:>18}", kinds[kind].name);
    for (int seed = 0; seed < options.seeds; ++seed)
      outcomes[kind].push_back(SimulateMemory(kinds[kind], options.memory_hosts,
                                              options.first_seed + static_cast<uint64_t>(seed)));
  }
  fmt::print("\n");
  for (const MemoryMetric& metric : kMetrics) {
    fmt::print("{:42}", metric.name);
    for (const auto& of_rule : outcomes) {
      std::vector<double> values;
      for (const MemoryOutcome& outcome : of_rule) values.push_back(outcome.*metric.value);
      fmt::print("{:>18}", Text(EstimateOf(values)));
    }
    fmt::print("\n");
  }
  fmt::print("\n");
}

int Run(const Options& options) {
  const std::vector<host::HostSnapshot> kinds = HostKinds();
  std::vector<server::HostModel> models;
  for (const host::HostSnapshot& kind : kinds) models.push_back(server::MakeHostModel(kind, {}));
  std::vector<Host> hosts;
  Workload workload{.arrivals = options.arrivals};
  for (int i = 0; i < options.hosts; ++i) {
    hosts.emplace_back(models[i % kinds.size()]);
    workload.host_cpus += hosts.back().total_threads;
  }
  std::vector<std::unique_ptr<Rule>> rules;
  rules.push_back(MakeBerth());
  rules.push_back(MakeNova());
  rules.push_back(MakeNumad());
  rules.push_back(MakeIncus());
  rules.push_back(MakeKubeVirt());
  std::vector<std::string> names;
  for (const auto& rule : rules) names.push_back(rule->name());
  fmt::print("{} hosts, {} CPUs, {} arrivals, seeds {} to {}; means with 95% confidence intervals\n\n",
             options.hosts, workload.host_cpus, options.arrivals, options.first_seed,
             options.first_seed + static_cast<uint64_t>(options.seeds) - 1);
  Report report;
  for (const bool first_fit : {false, true}) {
    std::vector<std::vector<Outcome>> outcomes(rules.size());
    for (int seed = 0; seed < options.seeds; ++seed) {
      workload.seed = options.first_seed + static_cast<uint64_t>(seed);
      const std::vector<Arrival> arrivals = MakeArrivals(workload);
      for (size_t rule = 0; rule < rules.size(); ++rule)
        outcomes[rule].push_back(Simulate(*rules[rule], arrivals, hosts, first_fit));
    }
    report.Print(first_fit ? "the same hosts for all (first fit)" : "each rule's own choice of hosts", names,
                 outcomes);
  }
  PrintMemory(options);
  report.Close();
  return 0;
}

}  // namespace
}  // namespace berth::fleet

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  berth::fleet::Options options;
  po::options_description described("berth-fleet-sim: places guests on made-up fleets\n\nOptions");
  described.add_options()("help,h", "this")  //
      ("memory-hosts", po::value(&options.memory_hosts)->default_value(options.memory_hosts),
       "hosts that were sold more memory than they have")  //
      ("hosts", po::value(&options.hosts)->default_value(options.hosts), "hosts of the fleet")(
          "arrivals", po::value(&options.arrivals)->default_value(options.arrivals), "guests that arrive")(
          "seeds", po::value(&options.seeds)->default_value(options.seeds), "sequences of arrivals")(
          "seed", po::value(&options.first_seed)->default_value(options.first_seed), "the first one's");
  try {
    po::variables_map values;
    po::store(po::command_line_parser(argc, argv).options(described).positional({}).run(), values);
    po::notify(values);
    if (values.count("help") != 0) {
      std::ostringstream text;
      text << described;
      fmt::print("{}", text.str());
      return 0;
    }
  } catch (const po::error& error) {
    fmt::print(stderr, "berth-fleet-sim: {}\n", error.what());
    return 2;
  }
  constexpr int kMaxHosts = 100'000, kMaxArrivals = 10'000'000, kMaxSeeds = 1000;
  if (options.hosts < 1 || options.hosts > kMaxHosts || options.arrivals < 2 ||
      options.arrivals > kMaxArrivals || options.seeds < 1 || options.seeds > kMaxSeeds ||
      options.memory_hosts < 1 || options.memory_hosts > kMaxHosts) {
    fmt::print(stderr, "berth-fleet-sim: at most {} hosts, {} arrivals (at least 2), {} seeds\n", kMaxHosts,
               kMaxArrivals, kMaxSeeds);
    return 2;
  }
  return berth::fleet::Run(options);
}
