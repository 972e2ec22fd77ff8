#include "pellucid/inversion/candidate.h"

namespace pellucid::inversion {

Units::Units(const nets::Spec& spec, const torch::TensorOptions& options)
    : mean_(torch::zeros({1, 1, 1, 1}, options)), deviation_(torch::ones({1, 1, 1, 1}, options)) {
  if (spec.mean.empty()) return;
  mean_ = torch::tensor(spec.mean, torch::kFloat64).view({1, -1, 1, 1}).to(options);
  deviation_ = torch::tensor(spec.deviation, torch::kFloat64).view({1, -1, 1, 1}).to(options);
}

}  // namespace pellucid::inversion
