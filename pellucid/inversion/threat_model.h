// Who the attacker is, by what it has beside the update: the threat models A to H.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/sharing/update.h"

#include <set>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// What an attacker may have beside the update and the network that it was computed with.
enum class Means {
  kBasics,        ///< the size of the batch, the loss, the images' shape and normalisation, the mode of evaluation
  kTraining,      ///< the schedule of local training: epochs, steps, learning rate
  kData,          ///< data like the clients'
  kStatistics,    ///< statistics of the clients' own data
  kManipulation,  ///< it changes the network that clients are given
  kSelection,     ///< it chooses the clients of a round
};
[[nodiscard]] std::string to_string(Means means);

/// A threat model, by its letter.
///
/// Source: Carletti et al. 2025, "SoK: Gradient Inversion Attacks in Federated Learning", USENIX Security, table of
/// threat models. F to H are not above E: they lack the statistics.
struct ThreatModel {
  std::string name, summary;  ///< "B", "informed eavesdropper"
  std::set<Means> has;
};

/// A to H.
[[nodiscard]] const std::vector<ThreatModel>& threat_models();

/// What the attack uses on this observation: what its solver and its terms declare, and the schedule of local training
/// where it goes through the steps.
[[nodiscard]] std::set<Means> used(const sharing::Observation& observation, const Attack& attack);

/// The first threat model that has all of it. @return null if none has.
[[nodiscard]] const ThreatModel* threat_model(const sharing::Observation& observation, const Attack& attack);

/// @throws Error(kUsage) if the attack uses more than its threat model has, saying what and which one has it.
void check_threat_model(const sharing::Observation& observation, const Attack& attack);

}  // namespace pellucid::inversion
