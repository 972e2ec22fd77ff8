#include "pellucid/grid/system.h"

#include <algorithm>

namespace pellucid::grid {
using core::Json;

std::optional<Json> System::prepare(const Subject& subject, const Shared& shared, const core::Run& /*run*/) {
  return shared.store.try_cell(subject.determinants, [] { return Json{{"status", "ok"}, {"reason", ""}}; });
}

bool System::is_prepared(const Json& result) const {
  return result.is_object() && result.contains("status") && result["status"].is_string() && result.contains("reason") &&
         result["reason"].is_string();
}

Json failed(const std::string& reason) { return {{"status", "failed"}, {"reason", reason}}; }

Json subject_labels(const Study& study, const Finished& finished, std::size_t subject) {
  Json levels = Json::object();
  std::vector<std::string> names;
  for (std::size_t a = 0; a < study.axes.size(); ++a) {
    std::set<std::size_t> taken;
    for (const auto& block : finished.blocks) {
      if (block.subject == subject) taken.insert(study.groups[block.group].levels[a]);
    }
    const auto& axis = study.axes[a];
    if (axis.levels.size() < 2 || taken.size() != 1) continue;
    levels[axis.name] = axis.levels[*taken.begin()].label;
    names.push_back(name_of(axis, axis.levels[*taken.begin()].label));
  }
  names.push_back(fmt::format("seed {}", finished.subjects[subject].seed));
  return {{"levels", levels}, {"label", fmt::format("{}", fmt::join(names, ", "))}};
}

}  // namespace pellucid::grid
