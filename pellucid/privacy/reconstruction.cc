#include "pellucid/privacy/reconstruction.h"

#include "pellucid/core/error.h"
#include "pellucid/privacy/loss_distribution.h"
#include "pellucid/privacy/renyi.h"

#include <boost/math/tools/minima.hpp>

#include <algorithm>
#include <cmath>

namespace pellucid::privacy {
namespace {

void check_prior(double prior) {
  if (!(prior > 0 && prior < 1))
    throw core::Error(core::ErrorKind::kUsage, "prior: got {}, expected a number above 0 and below 1", prior);
}

}  // namespace

ReconstructionBound reconstruction_bound(const Phases& phases, double prior, double accuracy) {
  check_prior(prior);
  const auto success = [&](double epsilon) {
    const auto delta = [&](Direction d) { return tight_delta(phases, std::abs(epsilon), accuracy, d, prior).upper; };
    return epsilon < 0 ? 1 - std::exp(epsilon) * (1 - prior - delta(Direction::kAdd))
                       : std::exp(epsilon) * prior + delta(Direction::kRemove);
  };
  ReconstructionBound best{.success = success(0), .prior = prior, .epsilon = 0};
  // The best test's threshold lies where Q exceeds it with the prior's probability. Above that is e^-epsilon at most;
  // below, 1 - e^-1 of the other probability at 1 more is at most delta'.
  const double low = -renyi_epsilon(phases, (1 - prior) / 2).value - 1, high = -std::log(prior);
  const auto keep = [&](double epsilon) {
    const double found = success(epsilon);
    if (found < best.success) best = {.success = found, .prior = prior, .epsilon = epsilon};
    return found;
  };
  std::uintmax_t evaluations = 40;
  (void)boost::math::tools::brent_find_minima(keep, low, high, 12, evaluations);
  best.success = std::min(1.0, best.success);
  return best;
}

double reconstruction_success(double epsilon, double delta, double prior) {
  check_prior(prior);
  if (!(epsilon >= 0 && std::isfinite(epsilon)))
    throw core::Error(core::ErrorKind::kUsage, "epsilon: got {}, expected a number from 0", epsilon);
  if (!(delta >= 0 && delta <= 1))
    throw core::Error(core::ErrorKind::kUsage, "delta: got {}, expected a number from 0 to 1", delta);
  return std::min({1.0, std::exp(epsilon) * prior + delta, 1 - std::exp(-epsilon) * (1 - delta - prior)});
}

}  // namespace pellucid::privacy
