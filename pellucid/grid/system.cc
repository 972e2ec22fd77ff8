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

namespace {

bool is_control_result(const Json& cell, const Json& result) {
  if (!result.is_object() || !result.contains("status") || !result["status"].is_string()) return false;
  if (result["status"] == "failed")
    return result.size() == 2 && result.contains("reason") && result["reason"].is_string();
  const auto value = result.find("value"), n = result.find("n");
  return value != result.end() && (value->is_number() || (value->is_null() && cell["control"] != "positive")) &&
         n != result.end() && n->is_number_integer();
}

bool is_reading(const System& system, const Json& result) {
  const auto reading = record::reading(result);
  if (!reading) return false;
  const auto columns = system.columns();
  return std::all_of(columns.begin(), columns.end(), [&](const auto& column) {
    const auto found = reading->more.find(column.first);
    return found == reading->more.end() || found->is_number() || found->is_null();
  });
}

}  // namespace

bool is_kept_result(const System& system, const Json& cell, const Json& result) {
  if (const auto version = cell.find("reading"); version != cell.end())
    return *version != kReadingVersion || is_reading(system, result);
  return cell.contains("control") ? is_control_result(cell, result) : system.is_prepared(result);
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
