// Tiny networks, images and data sets for the tests of the layers that evaluate networks.
#pragma once

#include "pellucid/core/tensor.h"
#include "pellucid/data/dataset.h"
#include "pellucid/nets/network.h"
#include "pellucid/nets/zoo.h"

#include <cmath>

namespace pellucid::tiny {

inline constexpr std::int64_t kSide = 8, kClasses = 4;

inline nets::Spec spec(const std::string& net = "lenet", std::int64_t side = kSide) {
  return {.net = net, .input = {1, side, side}, .classes = kClasses};
}

inline nets::Network network(const nets::Spec& spec, std::uint64_t seed = 0) {
  auto architecture = nets::build(spec);
  auto state = nets::initialise(architecture, seed);
  return {.architecture = std::move(architecture), .state = std::move(state)};
}

/// A network with batch norm, smaller than any of the zoo's, untrained.
inline nets::Network normed() {
  nets::Architecture net{.spec = spec("tiny"), .layers = {}};
  net.layers = {{nets::Conv{.in = 1, .out = 4, .kernel = 3}, "conv", {nets::kNetworkInput}},
                {nets::BatchNorm{4}, "bn", {0}},
                {nets::Relu{}, "", {1}},
                {nets::Flatten{}, "", {2}},
                {nets::Linear{4 * (kSide - 2) * (kSide - 2), kClasses}, "fc", {3}}};
  auto state = nets::initialise(net, 0);
  return {.architecture = std::move(net), .state = std::move(state)};
}

/// Uniform noise, (n, 1, side, side).
inline Tensor images(std::int64_t n, std::uint64_t seed = 0, std::int64_t side = kSide) {
  return core::uniform(core::Stream(seed, "tiny images"), {n, 1, side, side});
}

/// 0, 1, ..., around and around.
inline Tensor labels(std::int64_t n) { return torch::arange(n).remainder(kClasses); }

inline data::Dataset dataset(const Tensor& images, const Tensor& labels) {
  return {.name = "tiny",
          .source = "generated",
          .images = images.mul(255).round().to(torch::kUInt8),
          .labels = labels,
          .classes = {"a", "b", "c", "d"}};
}

/// A data set of noise: no network can learn it but by heart.
inline data::Dataset noise(std::int64_t n, std::uint64_t seed = 0, std::int64_t side = kSide) {
  return dataset(images(n, seed, side), labels(n));
}

/// Noise in which the quarter of the image that the label names is bright.
inline data::Dataset quarters(std::int64_t n, std::uint64_t seed = 0) {
  Tensor pixels = images(n, seed) * 0.4;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t label = i % kClasses, half = kSide / 2;
    pixels[i][0].narrow(0, label / 2 * half, half).narrow(1, label % 2 * half, half).add_(0.6);
  }
  return dataset(pixels, labels(n));
}

/// An untrained lenet whose answers depend on the image: its mean logits over some noise are zero.
inline nets::Network balanced_lenet() {
  nets::Network net = network(spec());
  net.state.at("fc.0.bias") -= nets::logits(net, images(64, 99)).mean(0);
  return net;
}

/// The network with its logits scaled: above 1 it is surer of everything.
inline nets::Network sharpened(nets::Network net, double factor) {
  net.state.at("fc.0.weight") = net.state.at("fc.0.weight") * factor;
  net.state.at("fc.0.bias") = net.state.at("fc.0.bias") * factor;
  return net;
}

/// The lenet that answers every image with these logits.
inline nets::Network constant_logits(const std::vector<float>& logits) {
  auto wanted = spec();
  wanted.classes = static_cast<std::int64_t>(logits.size());
  nets::Network net = network(wanted);
  net.state.at("fc.0.weight").zero_();
  net.state.at("fc.0.bias") = torch::tensor(logits);
  return net;
}

/// amplitude * sin(12.9898 i + 78.233 k + 1), i = 0, 1, ...: the numbers of tools/golden/*.py, in float64.
inline Tensor formula(at::IntArrayRef shape, double k, double amplitude) {
  Tensor tensor = torch::empty(shape, torch::kFloat64);
  auto* values = tensor.data_ptr<double>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    values[i] = amplitude * std::sin(12.9898 * static_cast<double>(i) + 78.233 * k + 1);
  }
  return tensor;
}

inline bool same_bits(const nets::TensorMap& a, const nets::TensorMap& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && torch::equal(x.second, y.second);
  });
}

}  // namespace pellucid::tiny
