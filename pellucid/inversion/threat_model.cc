#include "pellucid/inversion/threat_model.h"

#include "pellucid/core/error.h"
#include "pellucid/inversion/best.h"
#include "pellucid/inversion/solvers.h"
#include "pellucid/inversion/terms.h"

#include <algorithm>

namespace pellucid::inversion {

std::string to_string(Means means) {
  switch (means) {
    case Means::kBasics: return "the batch's size and the images' normalisation";
    case Means::kTraining: return "the schedule of local training";
    case Means::kData: return "data like the clients'";
    case Means::kStatistics: return "statistics of the clients' data";
    case Means::kManipulation: return "a changed network";
    case Means::kSelection: return "a choice of the clients";
  }
  return "";
}

const std::vector<ThreatModel>& threat_models() {
  using enum Means;
  static const std::vector<ThreatModel> rows = {
      {"A", "eavesdropper", {}},
      {"B", "informed eavesdropper", {kBasics}},
      {"C", "parameter-aware eavesdropper", {kBasics, kTraining}},
      {"D", "data-enhanced eavesdropper", {kBasics, kTraining, kData}},
      {"E", "statistical-informed eavesdropper", {kBasics, kTraining, kData, kStatistics}},
      {"F", "active manipulator", {kBasics, kTraining, kManipulation}},
      {"G", "data-enhanced manipulator", {kBasics, kTraining, kData, kManipulation}},
      {"H", "active client manipulator", {kBasics, kTraining, kData, kManipulation, kSelection}},
  };
  return rows;
}

std::set<Means> used(const sharing::Observation& observation, const Attack& attack) {
  std::set<Means> all = {Means::kBasics};
  if (solver(attack).runs_presets) {
    for (const auto& part : parts_of_best(observation, attack)) all.merge(used(observation, part));
    return all;
  }
  const auto& local = observation.update.protocol.local;
  if (local.epochs > 0 && !local.hidden) all.insert(Means::kTraining);
  all.insert(solver(attack).uses.begin(), solver(attack).uses.end());
  for (const auto& row : terms()) {
    if (weight_of(attack, row) > 0) all.insert(row.uses.begin(), row.uses.end());
  }
  return all;
}

const ThreatModel* threat_model(const sharing::Observation& observation, const Attack& attack) {
  const auto needed = used(observation, attack);
  const auto row = std::ranges::find_if(
      threat_models(), [&](const ThreatModel& model) { return std::ranges::includes(model.has, needed); });
  return row == threat_models().end() ? nullptr : &*row;
}

void check_threat_model(const sharing::Observation& observation, const Attack& attack) {
  const auto row = std::ranges::find(threat_models(), attack.threat_model, &ThreatModel::name);
  if (row == threat_models().end()) return;
  for (const auto means : used(observation, attack)) {
    if (row->has.contains(means)) continue;
    const auto* enough = threat_model(observation, attack);
    throw core::Error(core::ErrorKind::kUsage, "threat model {} ({}): the attack uses {}, expected {}", row->name,
                      row->summary, to_string(means),
                      enough == nullptr ? "another attack" : fmt::format("{} ({})", enough->name, enough->summary));
  }
}

}  // namespace pellucid::inversion
