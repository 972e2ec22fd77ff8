// Sums a finished study up again from the cells that its result.json holds, as the program would today: for results whose
// journal and networks are gone. Nothing is attacked again but, where asked for, the positive controls on the untrained
// network.
//
//   resummarise STUDY.toml SCALE FOLDER [controls]
//
// Cells and pictures stay as they are. "not-converged" was judged by a threshold that compared with nothing, and the
// curves that it is judged by now are gone, so it is left out.
#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/study/controls.h"
#include "pellucid/study/result.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

namespace pellucid::study {
namespace {

using core::Json;

// The settings of before must be those of now, but for settings that are new.
void check_settings(const Study& study, const Json& result) {
  std::size_t g = 0;
  for (const auto& group : result["groups"]) {
    const Json& before = result["config"]["groups"].at(group["label"].get<std::string>());
    Json now = to_json(study.groups.at(g).settings);
    now.merge_patch(before);
    if (now != to_json(study.groups[g].settings)) {
      throw core::Error(core::ErrorKind::kUsage, "{}: got other settings than the study has now", group["label"].get<std::string>());
    }
    ++g;
  }
}

std::vector<Cell> cells_of(const Json& result) {
  std::map<std::string, Json> sentences;
  for (const auto& d : result["diagnoses"]) sentences[d["code"]] = d["sentence"];
  std::vector<Cell> cells;
  std::int64_t first = INT64_MAX;  // the images were the first ones
  for (const auto& row : result["cells"]) first = std::min(first, row["image"].get<std::int64_t>());
  for (const auto& row : result["cells"]) {
    const std::int64_t image = row["image"];
    Cell cell{.group = row["group"], .seed = row["seed"], .place = image - first, .image = image, .name = row["cell"], .result = row};
    Json diagnoses = Json::array();
    for (const auto& code : row["diagnoses"]) {
      if (code != "not-converged") diagnoses.push_back({{"code", code}, {"sentence", sentences[code]}});
    }
    cell.result["diagnoses"] = diagnoses;
    cells.push_back(std::move(cell));
  }
  return cells;
}

// The controls' rows in today's words, from the values of before; those on the untrained network are run, or left out.
Json controls_of(const Study& study, const Json& result, const std::vector<Cell>& cells, bool run, Datasets& datasets) {
  std::vector<Control> list;
  std::vector<Json> results;
  for (const auto& control : controls(study, datasets)) {
    const auto& rows = result["controls"];
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Json& r) { return r["kind"] == control.kind && r["attack"] == control.attack; });
    if (control.kind == "network" && run) {
      results.push_back(run_control(study, control, {}, datasets));
    } else if (row != rows.end()) {
      results.push_back({{"status", "ok"}, {"value", (*row)["value"]}, {"n", (*row)["n"]}});
    } else {
      continue;
    }
    list.push_back(control);
  }
  return control_rows(study, list, results, cells);
}

void resummarise(const std::filesystem::path& file, const std::string& scale, const std::filesystem::path& folder, bool run) {
  const auto path = folder / "result.json";
  const Json before = core::read_json(path);
  const Study study = read_study(file, scale);
  check_settings(study, before);
  Datasets datasets;
  Finished finished{.parts = parts_of(study, datasets), .networks = {}, .cells = cells_of(before), .controls = {}};
  for (const auto& row : before["trainings"]) finished.networks.push_back(row);
  if (finished.networks.size() != finished.parts.trainings.size()) {
    throw core::Error(core::ErrorKind::kUsage, "trainings: got {}, expected {}", finished.networks.size(), finished.parts.trainings.size());
  }
  finished.controls = controls_of(study, before, finished.cells, run, datasets);
  Json result = result_of(study, finished, datasets, before["environment"]);
  for (const char* kept : {"gallery", "data"}) result[kept] = before[kept];
  result["conventions"].push_back("Run as \"environment\" says, when a study's images were the first ones from its first image on and its "
                                  "networks were trained on the first training images; summed up again later from the same cells. "
                                  "\"not-converged\" was not judged.");
  core::write_file(path, core::to_text(result));
}

}  // namespace
}  // namespace pellucid::study

int main(int count, char** words) try {
  if (count < 4) {
    fmt::print(stderr, "resummarise STUDY.toml SCALE FOLDER [controls]\n");
    return 2;
  }
  pellucid::study::resummarise(words[1], words[2], words[3], count > 4);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
