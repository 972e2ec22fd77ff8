// Small models for the tests of attacks: linear ones, whose optimum is known, and networks in float64.
#pragma once

#include "pellucid/core/config.h"
#include "pellucid/evasion/attacks.h"

#include "tests/evasion/tiny.h"

namespace pellucid::tiny {

/// Logits W x + b of the flattened image. @param weight (classes, C * H * W).
inline evasion::Model linear_model(const Tensor& weight, const Tensor& bias) {
  return [weight, bias](const Tensor& x) { return torch::addmm(bias, x.flatten(1), weight.t()); };
}

/// A linear model with weights of the given type and size, whatever the seed says; its logits are near 0 in mid-grey.
inline evasion::Model random_linear(std::int64_t classes, std::uint64_t seed = 0,
                                    torch::ScalarType type = torch::kFloat64) {
  const Tensor weight = core::normal(core::Stream(seed, "linear"), {classes, kSide * kSide}).to(type);
  return linear_model(weight, -weight.sum(1) / 2);
}

inline Tensor answers(const evasion::Model& model, const Tensor& images) {
  const torch::NoGradGuard no_gradient;
  return model(images).argmax(1);
}

/// The balanced lenet in float64, where rounding does not decide.
inline evasion::Model double_lenet() {
  const nets::Network net = balanced_lenet();
  return evasion::model_of({.architecture = net.architecture, .state = nets::converted(net.state, torch::kFloat64)});
}

/// The network of tools/golden/evasion.py.
inline nets::Network golden_network() {
  nets::Network net = network(spec());
  const auto names = nets::parameter_names(net.architecture);
  for (std::size_t k = 0; k < names.size(); ++k) {
    Tensor& parameter = net.state.at(names[k]);
    parameter = formula(parameter.sizes(), static_cast<double>(k), 0.5);
  }
  return net;
}
inline Tensor golden_images() { return (formula({3, 1, 8, 8}, 20, 0.6) + 0.5).clamp(0, 1); }
inline Tensor golden_labels() { return torch::tensor({0, 1, 3}); }
inline Tensor golden_noise() { return formula({3, 1, 8, 8}, 21, 1); }

/// Outlives every use, a loop over a part of it too.
inline const core::Json& golden() {
  static const core::Json document = core::read_json(PELLUCID_GOLDEN "/evasion.json");
  return document;
}
inline double apart(const Tensor& got, const core::Json& expected) {
  return (got.flatten() - torch::tensor(expected.get<std::vector<double>>(), torch::kFloat64))
      .abs()
      .max()
      .item<double>();
}

inline evasion::Ball ball(evasion::Norm norm, const std::string& epsilon) {
  return {.norm = norm, .epsilon = core::Number(epsilon)};
}

/// Settings with which every attack takes well under a second.
inline evasion::AttackSettings quick(evasion::Norm norm, const std::string& epsilon) {
  evasion::AttackSettings s;
  s.pgd = {.epsilon = core::Number(epsilon),
           .step = core::Number(fmt::format("{}", core::Number(epsilon).value / 4)),
           .iterations = 8};
  s.pgd.norm = norm;
  s.restarts = 2;
  s.apgd_ce.iterations = s.apgd_t.iterations = s.fab_t.iterations = 12;
  s.cw = {.iterations = 60, .searches = 3, .learning_rate = 0.05, .constant = 1};
  s.square.queries = 60;
  return s;
}

}  // namespace pellucid::tiny
