#include "pellucid/grid/result.h"

#include "pellucid/core/file.h"
#include "pellucid/grid/analysis.h"

#include <algorithm>
#include <limits>

namespace pellucid::grid {
namespace {

using core::Json;

constexpr int kResultVersion = 9;  // of what is made of the cells: a new one where old results must not stand

std::string one_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// The first group of each source of items.
std::vector<std::size_t> by_source(const Study& study, const System& system) {
  std::vector<std::size_t> first;
  std::set<std::string> seen;
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    if (seen.insert(system.source(study.groups[g].settings)).second) first.push_back(g);
  }
  return first;
}

// The items of one source, sorted by the first group's score on them: one order for all columns.
Json gallery_of(const Study& study, System& system, const Finished& finished, std::size_t first_group) {
  const auto& settings = study.groups[first_group].settings;
  const auto source = system.source(settings);
  const auto scores = metrics(study, system);
  const auto& tested = scores.front().key;
  const double sign = scores.front().better == record::Better::kLower ? -1 : 1;
  struct Row {
    std::int64_t item;
    double score;  // the higher, the better
    std::vector<const Cell*> cells;
  };
  std::vector<Row> rows;
  for (std::int64_t i = 0; i < study.items; ++i)
    rows.push_back({system.item(settings, study.first_item + i), -std::numeric_limits<double>::infinity(), {}});
  for (const auto& cell : finished.cells) {
    if (cell.seed != 0 || system.source(study.groups[cell.group].settings) != source) continue;
    auto& row = rows[static_cast<std::size_t>(cell.place)];
    row.cells.push_back(&cell);
    if (const auto score = cell.reading.score(tested); score && cell.group == first_group) row.score = sign * *score;
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.score > b.score; });
  const auto shown = std::min<std::size_t>(rows.size(), static_cast<std::size_t>(study.gallery));
  Json list = Json::array();
  for (std::size_t k = 0; k < shown; ++k) {  // from the best to the worst, evenly
    const auto& row = rows[shown == 1 ? 0 : k * (rows.size() - 1) / (shown - 1)];
    Json readings = Json::array();
    for (const Cell* cell : row.cells) {
      Json entry = {{"group", cell->group}, {"cell", cell->name}};
      for (const auto& m : scores) {
        const auto score = cell->reading.score(m.key);
        if (m.key == tested || m.contrast) entry[m.key] = score ? Json(*score) : Json();
      }
      entry["png"] = cell->reading.picture.empty() ? Json() : Json(cell->reading.picture);
      entry["status"] = record::to_string(cell->reading.status);
      readings.push_back(std::move(entry));
    }
    const Json original = system.original(settings, row.item);
    if (original.is_null()) return list;
    Json entry = {{"image", row.item}};
    entry.update(original);
    entry["readings"] = std::move(readings);
    list.push_back(std::move(entry));
  }
  return list;
}

Json gallery(const Study& study, System& system, const Finished& finished) {
  Json list = Json::array();
  if (study.gallery == 0 || study.items == 0) return list;
  for (const auto group : by_source(study, system)) {
    for (auto& row : gallery_of(study, system, finished, group)) list.push_back(std::move(row));
  }
  return list;
}

Json cell_rows(const System& system, const std::vector<Cell>& cells) {
  Json rows = Json::array();
  for (const auto& cell : cells) {
    const auto& r = cell.reading;
    Json row = {{"cell", cell.name},
                {"group", cell.group},
                {"seed", cell.seed},
                {"image", cell.item},
                {"status", record::to_string(r.status)},
                {"reason", r.reason}};
    for (const auto& m : system.metrics()) {
      const auto score = r.score(m.key);
      row[m.key] = score ? Json(*score) : Json();
    }
    for (const auto& [key, unused] : system.columns()) row[key] = r.more.contains(key) ? r.more[key] : Json();
    row["diagnoses"] = Json::array();
    for (const auto& d : r.diagnoses) row["diagnoses"].push_back(d.code);
    rows.push_back(std::move(row));
  }
  return rows;
}

// What stands with each cell besides the summarised scores.
Json column_rows(const System& system) {
  Json rows = Json::array();
  for (const auto& m : system.metrics()) {
    if (!m.summed) rows.push_back({{"key", m.key}, {"label", m.label}});
  }
  for (const auto& [key, label] : system.columns()) rows.push_back({{"key", key}, {"label", label}});
  return rows;
}

Json axis_rows(const Study& study) {
  Json rows = Json::array();
  for (const auto& axis : study.axes) {
    Json levels = Json::array();
    for (const auto& level : axis.levels)
      levels.push_back({{"label", level.label}, {"x", level.x ? Json(*level.x) : Json()}});
    rows.push_back({{"name", axis.name}, {"title", axis.title}, {"levels", levels}});
  }
  return rows;
}

Json warnings(const Study& study, const System& system, const Finished& finished) {
  Json list = Json::array();
  std::vector<std::string> weak;  // of the network controls, of which there may be many
  for (const auto& c : finished.controls) {
    if (c.kind == "guess" || c.passed == true) continue;
    if (c.kind == "network" && c.passed == false) {
      weak.push_back(c.attack);
      continue;
    }
    list.push_back(fmt::format("The {} control of {} {}. {}", c.kind, c.attack,
                               c.passed == false ? "failed" : "could not be run, so nothing vouches for the attack",
                               c.sentence));
  }
  if (!weak.empty()) {
    constexpr std::size_t kNamed = 3;
    const auto more = weak.size() > kNamed ? fmt::format("; and {} more, see the controls", weak.size() - kNamed) : "";
    weak.resize(std::min(weak.size(), kNamed));
    list.push_back(
        fmt::format("At the study's own budget the positive control on the untrained network fails ({}{}): there a low "
                    "score is no evidence of privacy.",
                    fmt::join(weak, "; "), more));
  }
  const auto tested = metrics(study, system).front().key;
  const auto failed = std::count_if(finished.cells.begin(), finished.cells.end(),
                                    [&](const Cell& c) { return !c.reading.score(tested); });
  if (failed > 0)
    list.push_back(fmt::format("Nothing came out of {} of {} cells; the table of all cells says why.", failed,
                               finished.cells.size()));
  if (study.scale == "smoke") list.push_back("This is the smoke scale: everything runs, and no figure means anything.");
  return list;
}

std::set<std::size_t> groups_of(const Finished& finished, const std::vector<std::size_t>& subjects) {
  std::set<std::size_t> groups;
  for (const auto& block : finished.blocks) {
    if (std::find(subjects.begin(), subjects.end(), block.subject) != subjects.end()) groups.insert(block.group);
  }
  return groups;
}

}  // namespace

std::string inputs(const Study& study, const Finished& finished) {
  Json results = Json::array(),
       controls = Json::array();  // the name says what was computed; the scores whether it came out the same
  for (const auto& cell : finished.cells) {
    Json reading = record::to_json(cell.reading);
    reading.erase("picture");
    results.push_back({cell.name, reading});
  }
  for (const auto& control : finished.controls) controls.push_back(record::to_json(control));
  return core::sha256(one_line({kResultVersion, study.name, study.scale, study.document, study.published,
                                finished.prepared, controls, results}));
}

Json result_of(const Study& study, System& system, const Finished& finished, const Json& environment) {
  Json parts = analyse(system, study, finished.cells, groups_of(finished, system.meaningless(finished)));
  Json controls = Json::array(), settings = Json::object();
  for (const auto& control : finished.controls) controls.push_back(record::to_json(control));
  for (const auto& group : study.groups) {
    const auto name = describe(study, group);
    settings[name.empty() ? "all" : name] = group.settings;
  }
  Json result = {{"schema", "pellucid.study/2"},
                 {"system", system.name()},
                 {"name", study.name},
                 {"scale", study.scale},
                 {"title", study.title.empty() ? study.name : study.title},
                 {"question", study.question},
                 {"headline", parts["headline"]},
                 {"summary", parts["summary"]},
                 {"warnings", warnings(study, system, finished)},
                 {"environment", environment},
                 {"inputs", inputs(study, finished)},
                 {"config", {{"study", study.document}, {"groups", settings}}},
                 {"data", Json::object()},
                 {"axes", axis_rows(study)},
                 {"x", study.x.empty() ? Json() : Json(study.x)},
                 {"compare", study.compare.empty() ? Json() : Json(study.compare)},
                 {"words", {{"item", system.words().item}, {"repetition", system.words().repetition}}},
                 {"metrics", parts["metrics"]},
                 {"columns", column_rows(system)},
                 {"published", study.published},
                 {"trainings", Json::array()},
                 {"groups", parts["groups"]},
                 {"main_contrast", parts["main_contrast"]},
                 {"contrasts", parts["contrasts"]},
                 {"controls", controls},
                 {"diagnoses", parts["diagnoses"]},
                 {"cells", cell_rows(system, finished.cells)},
                 {"gallery", gallery(study, system, finished)},
                 {"conventions", Json::array()}};
  system.complete(result, study, finished);
  return result;
}

}  // namespace pellucid::grid
