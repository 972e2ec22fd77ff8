// Weights and images by a formula that tools/golden/nets.py repeats: both sides evaluate the same without a file.
#pragma once

#include "pellucid/nets/network.h"
#include "pellucid/nets/zoo.h"

#include <cmath>
#include <string_view>

namespace pellucid::nets {

/// Value i: 24 bits of number i of the SplitMix64 sequence that starts at the FNV-1a hash of the name, in [low, high),
/// as float32.
inline Tensor formula(std::string_view name, at::IntArrayRef shape, double low, double high) {
  std::uint64_t state = 0xcbf29ce484222325;
  for (const unsigned char c : name) state = (state ^ c) * 0x100000001b3;
  Tensor tensor = torch::empty(shape);
  for (auto *value = tensor.data_ptr<float>(), *end = value + tensor.numel(); value != end; ++value) {
    std::uint64_t x = state += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    const double unit = static_cast<double>((x ^ (x >> 31)) >> 40) * 0x1p-24;
    *value = static_cast<float>(low + (high - low) * unit);
  }
  return tensor;
}

/// The value of a state-dict entry: of a size that keeps what the network computes near 1.
inline Tensor formula_entry(const Entry& entry) {
  const std::string part = entry.name.substr(entry.name.rfind('.'));
  if (entry.kind == Entry::Kind::kCounter) return torch::tensor(7, torch::kInt64);
  if (part == ".running_var") return formula(entry.name, entry.shape, 0.5, 1.5);
  if (part == ".running_mean" || part == ".bias") return formula(entry.name, entry.shape, -0.1, 0.1);
  if (entry.shape.size() == 1) return formula(entry.name, entry.shape, 0.75, 1.25);
  double fan_in = 1;
  for (std::size_t i = 1; i < entry.shape.size(); ++i) fan_in *= static_cast<double>(entry.shape[i]);
  return formula(entry.name, entry.shape, -std::sqrt(3 / fan_in), std::sqrt(3 / fan_in));
}

inline Network formula_network(const Spec& spec) {
  Network network{.architecture = build(spec), .state = {}};
  for (const auto& entry : entries(network.architecture)) network.state[entry.name] = formula_entry(entry);
  return network;
}

inline Tensor formula_images(const Spec& spec, std::int64_t count = 2) {
  return formula("images", {count, spec.input[0], spec.input[1], spec.input[2]}, 0, 1);
}

}  // namespace pellucid::nets
