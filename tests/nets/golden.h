// Compares a network with what PyTorch computed for it (tests/golden/nets.json, made by tools/golden/nets.py).
#pragma once

#include "pellucid/core/config.h"
#include "pellucid/core/tensor.h"

#include "tests/nets/formula.h"
#include <gtest/gtest.h>

namespace pellucid::nets {

// Both sides call the same kernels in float64 and agree to the 12 digits of the file; the rest is room for other
// machines, whose sums are in another order.
constexpr double kFloat64Tolerance = 1e-8;
constexpr double kFloat32Tolerance = 1e-5;

/// Expects every value to be within `tolerance` times the largest of the expected ones.
inline void expect_near(const std::vector<double>& got, const std::vector<double>& expected, double tolerance,
                        const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  double scale = 0;
  for (const double x : expected) scale = std::max(scale, std::abs(x));
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], tolerance * scale) << what << " " << i;
}

/// [norm, inner product with a formula direction, the first four values] in float64.
inline std::vector<double> digest(const std::string& name, const Tensor& tensor) {
  const Tensor direction = formula("direction " + name, tensor.sizes(), -1, 1);
  std::vector<double> values{tensor.norm().item<double>(), (tensor * direction).sum().item<double>()};
  for (const double x : core::to_doubles(tensor.flatten().slice(0, 0, 4))) values.push_back(x);
  return values;
}

inline std::vector<double> rows(const core::Json& matrix) {
  std::vector<double> values;
  for (const auto& row : matrix) values.insert(values.end(), row.begin(), row.end());
  return values;
}

inline core::Json golden_of(const std::string& net) {
  const core::Json golden = core::read_json(PELLUCID_GOLDEN "/nets.json");
  for (const auto& one : golden["cases"]) {
    if (one["spec"]["net"] == net) return one;
  }
  ADD_FAILURE() << "nets.json lacks " << net;
  return {};
}

inline Network in_float64(const Network& network) {
  return {.architecture = network.architecture, .state = converted(network.state, torch::kFloat64)};
}

/// Evaluation mode: names, logits, features, loss and every parameter's gradient.
inline void expect_golden_evaluation(const std::string& net) {
  const core::Json golden = golden_of(net);
  const Network network = in_float64(formula_network(spec_from_json(golden["spec"])));
  std::vector<std::string> names;
  for (const auto& entry : entries(network.architecture)) names.push_back(entry.name);
  EXPECT_EQ(core::Json(names), golden["entries"]);

  const Leaves leaves = with_gradients(network);
  const Tensor images = formula_images(network.architecture.spec).to(torch::kFloat64);
  const Output output = evaluate(network.architecture, leaves.state, images);
  expect_near(core::to_doubles(output.logits), rows(golden["logits"]), kFloat64Tolerance, "logits");
  expect_near(digest("features", output.features), golden["features"], kFloat64Tolerance, "features");

  const Tensor labels = torch::tensor(golden["labels"].get<std::vector<std::int64_t>>());
  const Tensor loss = torch::cross_entropy_loss(output.logits, labels);
  expect_near({loss.item<double>()}, {golden["loss"]}, kFloat64Tolerance, "loss");
  const auto gradients = torch::autograd::grad({loss}, leaves.parameters);
  const auto parameters = parameter_names(network.architecture);
  ASSERT_EQ(golden["gradients"].size(), parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    expect_near(digest(parameters[i], gradients[i]), golden["gradients"][parameters[i]], kFloat64Tolerance,
                parameters[i]);
  }
}

/// The same logits and features from float32.
inline void expect_golden_float32(const std::string& net) {
  const core::Json golden = golden_of(net);
  const Network network = formula_network(spec_from_json(golden["spec"]));
  const Output output = evaluate(network.architecture, network.state, formula_images(network.architecture.spec));
  ASSERT_EQ(output.logits.scalar_type(), torch::kFloat32);
  expect_near(core::to_doubles(output.logits), rows(golden["logits"]), kFloat32Tolerance, "logits");
  expect_near(digest("features", output.features), golden["features"], kFloat32Tolerance, "features");
}

}  // namespace pellucid::nets
