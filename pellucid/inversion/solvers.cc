#include "pellucid/inversion/solvers.h"

#include "pellucid/inversion/analytic.h"
#include "pellucid/inversion/best.h"
#include "pellucid/inversion/cpa.h"
#include "pellucid/inversion/disaggregate.h"
#include "pellucid/inversion/feature.h"
#include "pellucid/inversion/imprint.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/optimise.h"
#include "pellucid/inversion/r_gap.h"
#include "pellucid/inversion/surrogate.h"

#include <algorithm>

namespace pellucid::inversion {

const std::vector<Solver>& solvers() {
  static const std::vector<Solver> rows = {
      {"optimise", "descends on the matching loss and the terms from each start",
       "Zhu et al. 2019, arXiv:1906.08935; Geiping et al. 2020, arXiv:2003.14053", optimise_lacks, optimise},
      {"analytic", "solves for the input of a network whose first layer is linear, exactly; one image",
       "Phong et al. 2017, section 3; Geiping et al. 2020, proposition 3.1", analytic_lacks, analytic},
      {"r-gap", "solves for the input of each layer, from the last to the first; one image",
       "R-GAP, Zhu and Blaschko 2021, arXiv:2010.07733", r_gap_lacks, r_gap},
      {"disaggregate", "takes a batch apart by a linear layer before a ReLU, then descends with each image's features",
       "SPEAR, Dimitrov et al. 2024, arXiv:2403.03945", disaggregate_lacks, disaggregate, whole_problem,
       /*own_labels=*/true},
      {"feature", "reads the last layer's input for each class that one image has, then descends with these features",
       "Zhang, Chen and Li 2022, CVPR Workshop on the Art of Robustness", feature_lacks, feature, whole_problem},
      {"cpa", "separates a batch at a linear layer as independent components, then descends with each image's features",
       "Cocktail Party Attack, Kariyappa et al. 2023, arXiv:2209.05578", cpa_lacks, cpa, whole_problem,
       /*own_labels=*/true},
      {"surrogate", "descends on the gradient at a network between the weights before and after local training",
       "SME, Zhu et al. 2023, arXiv:2306.00127", surrogate_lacks, surrogate, judged_by_surrogate},
      {"imprint",
       "reads the bins of a planted layer",
       "Robbing the Fed, Fowl et al. 2022, arXiv:2110.13057",
       imprint_lacks,
       imprint,
       make_problem,
       /*own_labels=*/true,
       /*runs_presets=*/false,
       {Means::kData, Means::kManipulation}},
      {"best", "runs the strongest preset that applies, chosen in a short trial", "Ours", best_lacks, best,
       judged_by_best,
       /*own_labels=*/true, /*runs_presets=*/true},
  };
  return rows;
}

bool finds_labels(const Attack& attack) {
  return solver(attack).own_labels || (solver(attack).solve == optimise && attack.labels == kJointLabels);
}

const Solver& solver(const Attack& attack) {
  return *std::find_if(solvers().begin(), solvers().end(), [&](const Solver& s) { return s.name == attack.solver; });
}

}  // namespace pellucid::inversion
