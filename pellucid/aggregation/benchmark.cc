#include "pellucid/aggregation/benchmark.h"

#include "pellucid/aggregation/server.h"
#include "pellucid/core/random.h"
#include "pellucid/core/stop.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace pellucid::aggregation {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Figures of one round, by name.
std::map<std::string, double> one_round(Scheme scheme, std::size_t n, std::size_t values, std::uint64_t seed) {
  Roster roster;
  std::vector<Key> keys(n);
  std::vector<std::vector<double>> vectors(n);
  std::vector<double> mean(values);
  for (std::size_t i = 0; i < n; ++i) {
    keys[i] = make_key();
    roster.clients.push_back({fmt::format("client-{}", i + 1), keys[i].public_key});
    core::Stream stream(seed, "vector of a client", i);
    for (auto& total : mean) {
      vectors[i].push_back(stream.uniform(-1, 1));
      total += vectors[i].back() / static_cast<double>(n);
    }
  }
  const Layout layout{.values = values, .text = ""};
  Server server({.scheme = scheme, .threshold = usual_threshold(scheme, static_cast<std::uint32_t>(n)), .range = 1},
                roster);
  std::vector<Client> clients;
  for (std::size_t i = 0; i < n; ++i) clients.emplace_back(keys[i], roster, layout, vectors[i]);
  std::map<std::string, double> figures;
  core::Bytes frame = server.opening();
  while (!server.done()) {
    const std::size_t step = server.step();
    for (std::size_t i = 0; i < n; ++i) {
      auto start = Clock::now();
      const auto answer = clients[i].receive(frame);
      if (i == 0) {
        const double took = seconds_since(start);
        figures["client_s"] += took;
        figures["sent_bytes"] += static_cast<double>(answer->size());
        figures["received_bytes"] += static_cast<double>(frame.size());
        if (step == 2) figures["protect_s"] = took;
        if (step == (scheme == Scheme::kMasked ? 2 : 3)) figures["update_bytes"] = static_cast<double>(answer->size());
      }
      start = Clock::now();
      server.receive(*answer);
      figures["server_s"] += seconds_since(start);
    }
    const auto start = Clock::now();
    frame = server.advance();
    figures["server_s"] += seconds_since(start);
  }
  for (std::size_t j = 0; j < values; ++j)
    figures["largest_error"] = std::max(figures["largest_error"], std::abs(server.mean()[j] - mean[j]));
  figures["step"] = FixedPoint{.range = 1, .clients = static_cast<std::uint32_t>(n)}.step();
  return figures;
}

}  // namespace

core::Fields fields(BenchmarkOptions& options) {
  return {core::field("values", options.values, "parameters of the update", 1, 1'000'000'000),
          core::field("clients", options.clients, "clients of a round", 2, 30),
          core::field("repeats", options.repeats, "rounds, of which the median is shown", 1, 1000)};
}

core::Json benchmark(const BenchmarkOptions& options, const core::Run& run) {
  core::Json rows = core::Json::array();
  for (const auto scheme : {Scheme::kMasked, Scheme::kEncrypted}) {
    std::map<std::string, std::vector<double>> figures;
    for (std::int64_t i = 0; i < options.repeats; ++i) {
      core::throw_if_stopped();
      run.report({.task = to_string(scheme), .done = i, .total = options.repeats, .unit = "rounds"});
      for (const auto& [name, value] :
           one_round(scheme, static_cast<std::size_t>(options.clients), static_cast<std::size_t>(options.values),
                     static_cast<std::uint64_t>(i)))
        figures[name].push_back(value);
    }
    core::Json row = {{"scheme", to_string(scheme)}};
    for (auto& [name, all] : figures) {
      std::ranges::sort(all);
      row[name] = all[all.size() / 2];
    }
    rows.push_back(row);
  }
  return {{"rows", rows}};
}

}  // namespace pellucid::aggregation
