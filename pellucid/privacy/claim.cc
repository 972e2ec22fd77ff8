#include "pellucid/privacy/claim.h"

#include "pellucid/core/error.h"
#include "pellucid/privacy/gaussian.h"

#include <cmath>

namespace pellucid::privacy {
namespace {

void check_settings(const LocalClaim& claim) {
  using core::Error;
  using core::ErrorKind;
  check_epsilon(claim.epsilon);
  check_delta(claim.delta);
  if (!(claim.clip > 0 && std::isfinite(claim.clip)))
    throw Error(ErrorKind::kUsage, "clip: got {}, expected a number above 0", claim.clip);
  if (!(claim.sensitivity >= 0 && std::isfinite(claim.sensitivity)))
    throw Error(ErrorKind::kUsage, "sensitivity: got {}, expected a number from 0", claim.sensitivity);
  if (claim.rounds < 1) throw Error(ErrorKind::kUsage, "rounds: got {}, expected a whole number from 1", claim.rounds);
  if (claim.clients < 1)
    throw Error(ErrorKind::kUsage, "clients: got {}, expected a whole number from 1", claim.clients);
}

// What one client can change: its update or zeros, or one update for another.
double reach(const LocalClaim& claim, Adjacency adjacency) {
  return adjacency == Adjacency::kAddOrRemove ? claim.clip : 2 * claim.clip;
}

}  // namespace

std::string of_updates(Adjacency adjacency) {
  return adjacency == Adjacency::kAddOrRemove ? "an update or none" : "any two updates";
}

LocalFindings check_claim(const LocalClaim& claim) {
  check_settings(claim);
  const double sensitivity = claim.sensitivity == 0 ? claim.clip : claim.sensitivity;
  const double classical = classical_noise(claim.epsilon, claim.delta);
  const auto rounds = static_cast<double>(claim.rounds);
  LocalFindings found;
  found.sigma = sensitivity * classical;
  found.claimed = claim.epsilon;
  found.one_round = gaussian_epsilon(classical, claim.delta);
  found.sound = found.one_round <= claim.epsilon;
  found.limit = classical_limit(claim.delta);
  found.summed = rounds * claim.epsilon;
  found.sigma_needed =
      gaussian_noise(claim.epsilon, claim.delta) * std::sqrt(rounds) * reach(claim, Adjacency::kReplace);
  for (const bool summed : {false, true}) {
    if (summed && claim.clients == 1) continue;
    const double sigma = found.sigma * (summed ? std::sqrt(static_cast<double>(claim.clients)) : 1);
    for (const auto adjacency : {Adjacency::kAddOrRemove, Adjacency::kReplace}) {
      LocalView view{summed ? fmt::format("only the sum of {} updates", claim.clients) : "each update", adjacency};
      view.noise = sigma / reach(claim, adjacency);
      view.one_round = gaussian_epsilon(view.noise, claim.delta);
      view.all_rounds = gaussian_epsilon(composed_noise(view.noise, rounds), claim.delta);
      found.views.push_back(view);
    }
  }
  return found;
}

std::vector<std::string> sentences(const LocalClaim& claim, const LocalFindings& found) {
  std::vector<std::string> all;
  if (!found.sound) {
    all.push_back(
        fmt::format("The formula is unsound here: it claims epsilon {:.5g} for a round and gives {:.5g}. It was "
                    "proven below 1, and is too little noise past {:.4g} at delta {}.",
                    found.claimed, found.one_round, found.limit, claim.delta));
  }
  const LocalView& any = found.views.at(1);
  if (any.one_round > claim.epsilon) {
    all.push_back(
        fmt::format("Any two updates are up to {:.5g} apart, twice the clipping norm: who sees an update has "
                    "epsilon {:.5g} in a round, not {:.5g}.",
                    2 * claim.clip, any.one_round, found.claimed));
  }
  if (claim.rounds > 1) {
    all.push_back(fmt::format(
        "Over {} rounds epsilon is {:.5g} at delta {}; adding up the claims says {:.5g}, at delta "
        "{:.3g}.",
        claim.rounds, any.all_rounds, claim.delta, found.summed, static_cast<double>(claim.rounds) * claim.delta));
  }
  if (found.sigma < found.sigma_needed) {
    all.push_back(
        fmt::format("For epsilon {:.5g} over all rounds, for any two updates, the noise must have standard "
                    "deviation {:.5g}, not {:.5g}.",
                    found.claimed, found.sigma_needed, found.sigma));
  }
  return all;
}

core::Json to_json(const LocalFindings& found) {
  core::Json views = core::Json::array();
  for (const auto& v : found.views) {
    views.push_back({{"sees", v.sees},
                     {"tells_apart", of_updates(v.adjacency)},
                     {"noise", v.noise},
                     {"one_round", v.one_round},
                     {"all_rounds", v.all_rounds}});
  }
  return {
      {"sigma", found.sigma}, {"claimed", found.claimed}, {"one_round", found.one_round},       {"sound", found.sound},
      {"limit", found.limit}, {"summed", found.summed},   {"sigma_needed", found.sigma_needed}, {"views", views}};
}

}  // namespace pellucid::privacy
