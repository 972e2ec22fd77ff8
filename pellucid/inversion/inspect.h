// What an update and a network say before any attack, in about a second.
#pragma once

#include "pellucid/inversion/diagnose.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// One parameter's part of an update.
struct InspectedParameter {
  std::string name;
  std::int64_t values;
  double norm;   ///< Euclidean
  double zeros;  ///< share of its values that are 0, in [0, 1]
};

/// A linear layer's gradient, whose rank is at most the number of images.
struct InspectedLayer {
  std::string name;
  std::int64_t bound;   ///< the rank that its shape allows; images beyond it cannot be counted by it
  std::int64_t images;  ///< that stand above the rounding (`visible`); 0 where the batch is no smaller than the bound
  double gap;           ///< of the last image from the rounding; 0: cannot be said
};

/// A way to the labels, and the labels or why not.
struct InspectedLabels {
  std::string strategy, lacks;
  std::vector<std::int64_t> labels;
};

/// An attack, and why it does not apply.
struct InspectedAttack {
  std::string preset, lacks;  ///< lacks: empty where it applies
  std::string threat_model;   ///< the first that has what it uses; empty where it does not apply
};

struct Inspection {
  double norm;  ///< of the whole update
  std::vector<InspectedParameter> parameters;
  std::vector<InspectedLayer> layers;
  std::vector<InspectedLabels> labels;
  std::vector<InspectedAttack> attacks;
  std::vector<Diagnosis> update, network;  ///< what is unusual in either
};

/// Looks an update over. No image is looked for: a preset that applies may still fail.
///
/// Of the network, as a client would look at one that it is handed (the server may be malicious): linear layers whose
/// rows are all alike, as planted to sort images into bins (Fowl et al. 2022, arXiv:2110.13057), and weights most of
/// which are exactly 0. Other malicious weights are not found: none of this shows that a network is honest.
[[nodiscard]] Inspection inspect(const sharing::Observation& observation);

[[nodiscard]] core::Json to_json(const Inspection& inspection);

}  // namespace pellucid::inversion
