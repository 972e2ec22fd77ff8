// What an attack prefers of an image beside the matching loss: one row each.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/candidate.h"
#include "pellucid/inversion/problem.h"
#include "pellucid/inversion/threat_model.h"

#include <string>
#include <vector>

namespace pellucid::inversion {

/// A term of an attack's objective that does not look at the update: a prior on images.
struct TermEntry {
  std::string name;     ///< the setting that holds its weight
  std::string summary;  ///< one sentence; 0 leaves it out
  std::string source;
  Term (*make)(const Problem& problem, const Units& units, double weight);
  bool compares_restarts = false;  ///< which then run in one engine
  std::vector<Means> uses = {};    ///< beyond the basics
};

/// Every term, the one place that lists them. A new one is a file in terms/ and a row.
[[nodiscard]] const std::vector<TermEntry>& terms();

/// What the attack gives a term; 0: nothing.
[[nodiscard]] double weight_of(const Attack& attack, const TermEntry& term);

/// The terms to which the attack gives a weight, summed.
[[nodiscard]] Term prior(const Attack& attack, const Problem& problem, const Units& units);

/// The autoencoder that the term `anomaly` looks through; nothing where the attack gives it no weight.
/// @throws Error(kUsage) if there is a weight without a file, or a file without a weight.
/// @throws Error(kUsage) if the network takes other images than the client's, or is no autoencoder.
/// @throws as `nets::load_network`.
[[nodiscard]] std::optional<nets::Network> autoencoder_of(const Attack& attack, const nets::Spec& spec);

/// Whether one of them compares the restarts.
[[nodiscard]] bool compares_restarts(const Attack& attack);

/// What a term adds to where nothing has been added yet.
[[nodiscard]] Evaluated evaluate(const Term& term, const Candidate& candidate);

}  // namespace pellucid::inversion
