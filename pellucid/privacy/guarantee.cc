#include "pellucid/privacy/guarantee.h"

#include "pellucid/core/error.h"

#include <cmath>

namespace pellucid::privacy {
namespace {

using core::Error;
using core::ErrorKind;

std::string describe(const Phase& phase) {
  const std::string sampling =
      phase.rate == 1 ? "every record in each step" : fmt::format("Poisson sampling at rate {}", phase.rate);
  return fmt::format("{}, noise multiplier {}, {} step{}", sampling, phase.noise, phase.steps,
                     phase.steps == 1 ? "" : "s");
}

std::string five_digits(double x, double (*round)(double)) {
  if (x == 0 || !std::isfinite(x)) return fmt::format("{}", x);
  const double unit = std::pow(10, std::floor(std::log10(std::abs(x))) - 4);
  const double digits = x / unit, whole = std::round(digits);
  return fmt::format("{:.5g}", (std::abs(digits - whole) < 1e-9 ? whole : round(digits)) * unit);
}

}  // namespace

std::string upper_text(double bound) { return five_digits(bound, std::ceil); }
std::string lower_text(double bound) { return five_digits(bound, std::floor); }

std::string to_string(Adjacency adjacency) {
  return adjacency == Adjacency::kAddOrRemove ? "adding or removing one record" : "replacing one record";
}

std::string sentence(const Guarantee& g) {
  std::string mechanism;
  for (const auto& phase : g.phases) mechanism += (mechanism.empty() ? "" : "; then ") + describe(phase);
  const std::string epsilon =
      g.lowest > 0 ? fmt::format("epsilon {} (and not below {})", upper_text(g.epsilon), lower_text(g.lowest))
                   : fmt::format("epsilon {} (an upper bound)", upper_text(g.epsilon));
  return fmt::format("{} at delta {}, for {}: {}; by {}.{}{}", epsilon, g.delta, to_string(g.adjacency), mechanism,
                     g.accountant, g.warning.empty() ? "" : " Note: ", g.warning);
}

core::Json to_json(const Phases& phases) {
  core::Json rows = core::Json::array();
  for (const auto& p : phases) rows.push_back({{"rate", p.rate}, {"noise", p.noise}, {"steps", p.steps}});
  return rows;
}

core::Json to_json(const Guarantee& g) {
  return {{"epsilon", g.epsilon},
          {"lowest_epsilon", g.lowest > 0 ? core::Json(g.lowest) : core::Json()},
          {"delta", g.delta},
          {"adjacency", to_string(g.adjacency)},
          {"phases", to_json(g.phases)},
          {"accountant", g.accountant},
          {"warning", g.warning},
          {"sentence", sentence(g)}};
}

double total_steps(const Phases& phases) {
  double total = 0;
  for (const auto& phase : phases) total += static_cast<double>(phase.steps);
  return total;
}

void check(const Phases& phases) {
  if (phases.empty()) throw Error(ErrorKind::kUsage, "phases: got none, expected at least one");
  for (const auto& phase : phases) {
    if (!(phase.rate >= 0 && phase.rate <= 1)) {
      throw Error(ErrorKind::kUsage,
                  "rate: got {}, expected a number from 0 to 1: the probability with which a step takes an example",
                  phase.rate);
    }
    if (!(phase.noise > 0 && std::isfinite(phase.noise))) {
      throw Error(ErrorKind::kUsage, "noise: got {}, expected a number above 0: without noise nothing is guaranteed",
                  phase.noise);
    }
    constexpr std::int64_t kMostSteps = 1'000'000'000'000;
    if (phase.steps < 1 || phase.steps > kMostSteps) {
      throw Error(ErrorKind::kUsage, "steps: got {}, expected a whole number from 1 to {}", phase.steps, kMostSteps);
    }
  }
}

void check_epsilon(double epsilon) {
  if (!(epsilon > 0 && std::isfinite(epsilon)))
    throw Error(ErrorKind::kUsage, "epsilon: got {}, expected a number above 0", epsilon);
}

void check_delta(double delta) {
  if (!(delta >= 1e-100 && delta < 1)) {
    throw Error(ErrorKind::kUsage,
                "delta: got {}, expected a number from 1e-100 and below 1, such as 1e-5: less than one over the number "
                "of records",
                delta);
  }
}

}  // namespace pellucid::privacy
