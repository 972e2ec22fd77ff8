#include "pellucid/training/optimiser.h"

#include "pellucid/core/config.h"

#include "tests/evasion/tiny.h"
#include <gtest/gtest.h>

namespace pellucid::training {
namespace {

TEST(Step, TakesTheStepsOfPyTorch) {
  const core::Json golden = core::read_json(PELLUCID_GOLDEN "/training.json");
  const auto shapes = golden["shapes"].get<std::vector<std::vector<std::int64_t>>>();
  for (const auto& c : golden["cases"]) {
    TrainingOptions options;
    core::assign(fields(options), c["settings"], "golden");
    std::vector<Tensor> parameters;
    for (std::size_t k = 0; k < shapes.size(); ++k) parameters.push_back(tiny::formula(shapes[k], k, 1));
    OptimiserState state;
    for (std::size_t number = 0; number < 5; ++number) {
      std::vector<Tensor> gradients, flat;
      for (std::size_t k = 0; k < shapes.size(); ++k)
        gradients.push_back(tiny::formula(shapes[k], 10 * number + k + 2, 2));
      step(options, golden["rates"][number], parameters, gradients, state);
      for (const auto& parameter : parameters) flat.push_back(parameter.flatten());
      const Tensor expected = torch::tensor(c["steps"][number].get<std::vector<double>>(), torch::kFloat64);
      EXPECT_LT((torch::cat(flat) - expected).abs().max().item<double>(), 1e-12) << c["settings"] << " step " << number;
    }
    EXPECT_EQ(state.steps, 5);
    EXPECT_EQ(state.first.size(), 2u);
    EXPECT_EQ(state.second.size(), options.optimiser == Optimiser::kAdam ? 2u : 0u);
  }
}

TEST(Step, MovesParametersThatAskForGradientsInPlace) {
  const Tensor parameter = torch::ones({3}).requires_grad_(true), alias = parameter.detach();
  OptimiserState state;
  step({.optimiser = Optimiser::kSgd}, 0.5, {parameter}, {torch::ones({3})}, state);
  EXPECT_TRUE(torch::equal(alias, torch::full({3}, 0.5)));
}

}  // namespace
}  // namespace pellucid::training
