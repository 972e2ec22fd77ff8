#include "pellucid/inversion/terms.h"

#include <algorithm>

namespace pellucid::inversion {

// terms/*.cc
Term total_variation(const Problem& problem, const Units& units, double weight);
Term opponent_variation(const Problem& problem, const Units& units, double weight);
Term mean_square(const Problem& problem, const Units& units, double weight);
Term mean_pixel(const Problem& problem, const Units& units, double weight);
Term batch_norm(const Problem& problem, const Units& units, double weight);
Term group(const Problem& problem, const Units& units, double weight);
Term anomaly(const Problem& problem, const Units& units, double weight);

const std::vector<TermEntry>& terms() {
  static const std::vector<TermEntry> rows = {
      {"tv", "weight of the total variation, mean|dz/dx| + mean|dz/dy|, which prefers smooth images",
       "Rudin, Osher and Fatemi 1992; in this use Geiping et al. 2020, arXiv:2003.14053", total_variation},
      {"opponent_tv",
       "weight of the mean length of each pixel's gradient, of every channel and of the difference of every two, which "
       "prefers smooth images whose channels have their edges in the same places",
       "double opponents: Astrom and Schnorr 2016, Double-Opponent Vectorial Total Variation; in this use Geiping's "
       "breaching, its preset modern",
       opponent_variation},
      {"l1", "weight of the mean pixel, which keeps pixels black of which the gradient says nothing",
       "a norm of the image as a prior: Yin et al. 2021, arXiv:2104.07586, there the squared one", mean_pixel},
      {"l2", "weight of half the mean square in the network's units, which draws pixels to the mean that it subtracts",
       "Yin et al. 2021, arXiv:2104.07586", mean_square},
      {"batch_norm",
       "weight of the distance of the images' statistics at each batch norm from the client's, where it shares them, "
       "or else from the network's own",
       "Yin et al. 2020, arXiv:1912.08795, equation 4; in this use Yin et al. 2021, arXiv:2104.07586",
       batch_norm,
       /*compares_restarts=*/false,
       {Means::kStatistics}},
      {"group",
       "weight of the squared distance from the restarts' mean, to which they are registered by shifts of up to 2 "
       "pixels",
       "Yin et al. 2021, arXiv:2104.07586, section 3.4, there registered by optical flow", group,
       /*compares_restarts=*/true},
      {"anomaly",
       "weight of the mean squared distance from what the autoencoder of the setting prior gives of the images, which "
       "prefers images like those that it was trained on",
       "Sun et al. 2024 (GI-PIP), arXiv:2401.11748",
       anomaly,
       /*compares_restarts=*/false,
       {Means::kData}},
  };
  return rows;
}

double weight_of(const Attack& attack, const TermEntry& term) {
  const auto weight = attack.terms.find(term.name);
  return weight == attack.terms.end() ? 0 : weight->second;
}

Term prior(const Attack& attack, const Problem& problem, const Units& units) {
  std::vector<Term> parts;
  for (const auto& row : terms()) {
    if (const double weight = weight_of(attack, row); weight > 0) parts.push_back(row.make(problem, units, weight));
  }
  return [parts](const Candidate& candidate, Evaluated& sum) {
    for (const auto& part : parts) part(candidate, sum);
  };
}

bool compares_restarts(const Attack& attack) {
  return std::ranges::any_of(terms(),
                             [&](const TermEntry& row) { return row.compares_restarts && weight_of(attack, row) > 0; });
}

Evaluated evaluate(const Term& term, const Candidate& candidate) {
  Evaluated sum{.losses = torch::zeros({candidate.trials}, candidate.pixels.options().dtype(torch::kFloat64)),
                .gradient = torch::zeros_like(candidate.standardised)};
  term(candidate, sum);
  return sum;
}

}  // namespace pellucid::inversion
