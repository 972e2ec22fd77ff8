#include "pellucid/inversion/terms.h"

namespace pellucid::inversion {

Term total_variation(const Units& units, double weight);     // terms/total_variation.cc
Term opponent_variation(const Units& units, double weight);  // terms/opponent_variation.cc
Term mean_pixel(const Units& units, double weight);          // terms/mean_pixel.cc
Term mean_square(const Units& units, double weight);         // terms/mean_square.cc

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
  };
  return rows;
}

Term prior(const Attack& attack, const Units& units) {
  std::vector<Term> parts;
  for (const auto& row : terms()) {
    const auto weight = attack.terms.find(row.name);
    if (weight != attack.terms.end() && weight->second > 0) parts.push_back(row.make(units, weight->second));
  }
  return [parts](const Candidate& candidate, Evaluated& sum) {
    for (const auto& part : parts) part(candidate, sum);
  };
}

Evaluated evaluate(const Term& term, const Candidate& candidate) {
  Evaluated sum{.losses = torch::zeros({candidate.trials}, candidate.pixels.options().dtype(torch::kFloat64)),
                .gradient = torch::zeros_like(candidate.standardised)};
  term(candidate, sum);
  return sum;
}

}  // namespace pellucid::inversion
