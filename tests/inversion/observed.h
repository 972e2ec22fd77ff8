// What a client with a tiny network would share, for the tests of the attacks.
#pragma once

#include "pellucid/inversion/diagnose.h"
#include "pellucid/inversion/double_backward.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/sharing/update.h"

#include "tests/evasion/tiny.h"

namespace pellucid::tiny {

inline sharing::Observation observed(const nets::Network& network, const Tensor& images, const Tensor& labels,
                                     nets::Mode mode = nets::Mode::kEvaluation) {
  return {.network = network, .update = sharing::compute_update(network, images, labels, {.mode = mode}), .labels = {}};
}

/// The gradient of the first image of `images(1)`, labelled 1, in `balanced_lenet`.
inline sharing::Observation observed_lenet() { return observed(balanced_lenet(), images(1), torch::tensor({1})); }

/// The same image in the same network, sharpened until it is answered by that margin, and labelled so.
inline sharing::Observation observed_with_margin(double margin) {
  const nets::Network timid = balanced_lenet();
  const Tensor logits = nets::logits(timid, images(1))[0], top = std::get<0>(logits.topk(2));
  const double factor = margin / (top[0] - top[1]).item<double>();
  return observed(sharpened(timid, factor), images(1), logits.argmax().view({1}));
}

/// A network with a hidden layer on the pixels, whose units some images of a batch leave at zero.
inline nets::Network rectified(std::int64_t hidden) {
  nets::Architecture net{.spec = spec("rectified"), .layers = {}};
  net.layers = {{nets::Flatten{}, "", {nets::kNetworkInput}},
                {nets::Linear{kSide * kSide, hidden}, "one", {0}},
                {nets::Relu{}, "", {1}},
                {nets::Linear{hidden, kClasses}, "two", {2}}};
  return {.architecture = net, .state = nets::initialise(net, 0)};
}

inline void scale(sharing::Update& update, double factor) {
  for (auto& [name, tensor] : update.gradient) tensor = tensor * factor;
}

/// The matching loss of an attack by double backward, in the attack's precision or in float64.
inline inversion::DoubleBackward reference(const sharing::Observation& observation, const inversion::Attack& attack,
                                           const std::vector<std::int64_t>& labels) {
  return {inversion::make_problem(observation, attack, labels), attack.precision};
}

/// In dB, of images in [0, 1].
inline double psnr(const Tensor& a, const Tensor& b) {
  return -10 * std::log10((a - b).to(torch::kFloat64).square().mean().item<double>());
}

/// What `inversion::diagnose` finds, each as "code: sentence".
inline std::vector<std::string> causes(const sharing::Observation& observation, const inversion::Attack& options,
                                       const inversion::Reconstruction& reconstruction) {
  std::vector<std::string> list;
  for (const auto& d : inversion::diagnose(observation, options, reconstruction))
    list.push_back(d.code + ": " + d.sentence);
  return list;
}

}  // namespace pellucid::tiny
