#include "pellucid/study/run_study.h"

#include "pellucid/core/config.h"
#include "pellucid/core/environment.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/stop.h"
#include "pellucid/data/image_file.h"
#include "pellucid/evasion/accuracy.h"
#include "pellucid/metrics/image.h"
#include "pellucid/study/comparison.h"
#include "pellucid/study/controls.h"
#include "pellucid/study/estimate.h"
#include "pellucid/study/read_back.h"
#include "pellucid/study/trained.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

namespace pellucid::study {
namespace {

using core::Json;
using Clock = std::chrono::steady_clock;

constexpr int kCellVersion = 1;  // of what a cell computes: a new one where old results must not be taken up
constexpr auto kPatience = std::chrono::milliseconds(200);  // between looks at what other processes do

// What is read back from one network by one attack: a group with one training seed.
struct Block {
  std::size_t group = 0;
  std::size_t training = 0;  ///< index in `Plan::trainings`
  std::int64_t seed = 0;
};

struct Plan {
  std::vector<Training> trainings;  ///< each (training, checkpoint) once, in the order of the groups
  std::vector<Block> blocks;
};

Plan plan_of(const Study& study, Datasets& datasets) {
  Plan plan;
  std::map<std::string, std::size_t> known;
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    for (std::int64_t seed = 0; seed < study.seeds; ++seed) {
      auto training = training_of(study.groups[g].settings, seed, datasets);
      const auto key = training.id + " " + training.settings.checkpoint;
      const auto [found, fresh] = known.emplace(key, plan.trainings.size());
      if (fresh) plan.trainings.push_back(std::move(training));
      plan.blocks.push_back({g, found->second, seed});
    }
  }
  return plan;
}

Json determinants(const Study& study, const Block& block, const Json& network, std::int64_t image, Datasets& datasets) {
  inversion::InversionOptions attack = study.groups[block.group].settings.attack;
  const Settings& s = study.groups[block.group].settings;
  return {{"reading", kCellVersion},
          {"network", network["fingerprint"]},
          {"logit_scale", s.logit_scale},
          {"mode", s.mode == nets::Mode::kTraining ? "training" : "evaluation"},
          {"attack", core::to_json(inversion::fields(attack))},
          {"data", datasets.identity(s)},
          {"train_images", s.train_images},
          {"image", image}};
}

Json read_cell(const nets::Network& network, const Settings& s, std::int64_t image, Datasets& datasets) {
  const Tensor at = torch::tensor({image});
  const auto& set = datasets.test(s);
  const Truth truth{.images = data::pixels(set, at), .labels = data::labels(set, at)};
  auto [json, picture] = read_back(network, truth, image, s.attack, {.mode = s.mode, .seed = 0});
  const auto label = truth.labels.item<std::int64_t>();
  const double guess = metrics::psnr(datasets.mean_image(s)[0], truth.images[0]);
  json.erase("curve");
  json["label"] = label;
  json["guess_psnr"] = guess;
  json["gain"] = json["psnr"].is_number() ? Json(json["psnr"].get<double>() - guess) : Json();
  if (json["label_read"].is_number() && json["label_read"] != label) {
    json["diagnoses"].push_back({{"code", "label-wrong"}, {"sentence", "the label read off the last layer's gradient is not the image's"}});
  }
  json["png"] = picture.defined() ? Json(core::base64(data::encode_png(picture))) : Json();
  return json;
}

// Networks by block, each loaded when a cell first asks for it and dropped when no cell needs it any more.
class Networks {
 public:
  std::shared_ptr<const nets::Network> get(const Training& training, const std::filesystem::path& folder) {
    const std::lock_guard guard(mutex_);
    auto& slot = loaded_[fmt::format("{} {} {}", training.id, training.settings.checkpoint, training.settings.logit_scale)];
    auto network = slot.lock();
    if (!network) slot = network = std::make_shared<nets::Network>(load(training, folder));
    return network;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<const nets::Network>> loaded_;
};

// A study at work: what is finished, and the next step.
class Work {
 public:
  Work(const Study& study, const Folders& folders, const core::Run& run, const core::Processes& processes, bool read_only = false)
      : study_(study),
        folders_(folders),
        run_(run),
        trained_(folders.trained, claims(processes), read_only),
        cells_(folders.run, claims(processes), read_only),
        plan_(plan_of(study, datasets_)),
        controls_(controls(study, datasets_)),
        networks_(plan_.trainings.size()),
        readings_(plan_.blocks.size() * static_cast<std::size_t>(study.images)),
        control_results_(controls_.size()),
        names_(readings_.size()) {}

  // Everything that can be done here now. True once nothing is missing.
  bool advance() {
    trained_.refresh();
    cells_.refresh();
    train();
    read();
    control();
    const auto missing = [](const auto& list) { return std::any_of(list.begin(), list.end(), [](const auto& x) { return !x; }); };
    return !missing(networks_) && !missing(readings_) && !missing(control_results_);
  }

  // What is finished, without doing anything.
  void look() {
    for (std::size_t t = 0; t < networks_.size(); ++t) networks_[t] = find_measured(plan_.trainings[t], trained_);
    for (std::size_t b = 0; b < plan_.blocks.size(); ++b) {
      if (!ready(b)) continue;
      for (std::int64_t i = 0; i < study_.images; ++i) reading(b, i) = cells_.find(name(b, i));
    }
    for (std::size_t c = 0; c < controls_.size(); ++c) control_results_[c] = trained_.find(cell_name(controls_[c].determinants));
  }

  [[nodiscard]] std::vector<Cell> cells() const {
    std::vector<Cell> list;
    for (std::size_t b = 0; b < plan_.blocks.size(); ++b) {
      const auto& block = plan_.blocks[b];
      for (std::int64_t i = 0; i < study_.images; ++i) {
        list.push_back({.group = block.group, .seed = block.seed, .image = study_.first_image + i, .name = name(b, i), .result = *reading(b, i)});
      }
    }
    return list;
  }

  [[nodiscard]] Json control_rows(const std::vector<Cell>& cells) const {
    std::vector<Json> results;
    for (const auto& result : control_results_) results.push_back(*result);
    return study::control_rows(controls_, results, cells);
  }

  [[nodiscard]] Json training_rows() const;
  [[nodiscard]] Json gallery(const std::vector<Cell>& cells);
  void add_accuracies(Json& groups) const;
  [[nodiscard]] Json data_row();
  [[nodiscard]] Outline outline();

 private:
  static std::function<bool(const std::string&)> claims(const core::Processes& processes) {
    if (processes.count() == 1) return {};
    return [&processes](const std::string& name) { return processes.claim(name); };
  }

  [[nodiscard]] const Json& network(std::size_t block) const { return *networks_[plan_.blocks[block].training]; }
  [[nodiscard]] bool ready(std::size_t block) const { return networks_[plan_.blocks[block].training].has_value(); }
  std::optional<Json>& reading(std::size_t block, std::int64_t i) { return readings_[block * static_cast<std::size_t>(study_.images) + static_cast<std::size_t>(i)]; }
  [[nodiscard]] const std::optional<Json>& reading(std::size_t block, std::int64_t i) const {
    return readings_[block * static_cast<std::size_t>(study_.images) + static_cast<std::size_t>(i)];
  }

  // A cell's name; of one whose network failed, nothing.
  [[nodiscard]] const std::string& name(std::size_t b, std::int64_t i) const {
    std::string& known = names_[b * static_cast<std::size_t>(study_.images) + static_cast<std::size_t>(i)];
    if (known.empty() && network(b)["status"] == "ok") {
      known = cell_name(determinants(study_, plan_.blocks[b], network(b), study_.first_image + i, datasets_));
    }
    return known;
  }

  // The settings of a block with the seed in them.
  [[nodiscard]] Training training(const Block& block) const {
    Training training = plan_.trainings[block.training];
    training.settings.logit_scale = study_.groups[block.group].settings.logit_scale;
    return training;
  }

  [[nodiscard]] std::string label(const Block& block) const {
    const auto text = describe(study_, study_.groups[block.group]);
    return fmt::format("{}{}seed {}", text, text.empty() ? "" : ", ", block.seed);
  }

  void train() {
    for (std::size_t t = 0; t < networks_.size(); ++t) {
      if (networks_[t] || (networks_[t] = find_measured(plan_.trainings[t], trained_))) continue;
      const auto& training = plan_.trainings[t];
      (void)datasets_.train(training.settings);  // what is missing is said at once, not in a row of the table
      core::Run run = run_;
      const auto block = std::find_if(plan_.blocks.begin(), plan_.blocks.end(), [&](const Block& b) { return b.training == t; });
      run.label = fmt::format("network {} of {}, {}", t + 1, networks_.size(), label(*block));
      networks_[t] = measured(training, trained_, folders_.trained, datasets_, run);
      if (networks_[t]) run_.report({.task = "train", .unit = "", .finished = fmt::format("{}: {}", run.label, summary(*networks_[t]))});
    }
  }

  static std::string summary(const Json& network) {
    if (network["status"] != "ok") return "failed: " + network["reason"].get<std::string>();
    return fmt::format("{:.2f} % natural, {:.2f} % under attack", 100 * network["natural"]["value"].get<double>(),
                       100 * network["robust"]["value"].get<double>());
  }

  void read() {
    struct Missing {
      std::size_t block;
      std::int64_t image;
    };
    std::vector<Missing> missing;
    std::int64_t done = 0;
    for (std::size_t b = 0; b < plan_.blocks.size(); ++b) {
      if (!ready(b)) continue;
      for (std::int64_t i = 0; i < study_.images; ++i) {
        auto& slot = reading(b, i);
        if (!slot && network(b)["status"] != "ok") slot = Json{{"status", "failed"}, {"reason", "training: " + network(b)["reason"].get<std::string>()}};
        if (!slot) {
          slot = cells_.find(name(b, i));
          if (!slot) missing.push_back({b, i});
        }
        if (slot) ++done;
      }
    }
    if (missing.empty()) return;
    // What every thread needs is loaded before they begin.
    for (const auto& m : missing) {
      (void)datasets_.test(study_.groups[plan_.blocks[m.block].group].settings);
      (void)datasets_.mean_image(study_.groups[plan_.blocks[m.block].group].settings);
    }
    const auto total = static_cast<std::int64_t>(readings_.size());
    Networks networks;
    std::mutex mutex;
    run_.report({.task = "read back", .done = done, .total = total, .unit = "images"});
    core::parallel_for(static_cast<std::int64_t>(missing.size()), run_.threads, [&](std::int64_t m) {
      const auto& [b, i] = missing[static_cast<std::size_t>(m)];
      const auto& block = plan_.blocks[b];
      const auto image = study_.first_image + i;
      auto result = cells_.try_cell(determinants(study_, block, network(b), image, datasets_), [&] {
        return attempt([&] {
          const auto network = networks.get(training(block), folders_.trained);
          return read_cell(*network, study_.groups[block.group].settings, image, datasets_);
        });
      });
      const std::lock_guard guard(mutex);
      if (!result) return;  // another process is at it
      std::string line = fmt::format("{}, image {}: ", label(block), image);
      const auto psnr = result->find("psnr");
      line += psnr != result->end() && psnr->is_number() ? fmt::format("{:.1f} dB", psnr->get<double>()) : (*result)["status"].get<std::string>();
      reading(b, i) = std::move(result);
      run_.report({.task = "read back", .done = ++done, .total = total, .unit = "images", .finished = line});
    });
  }

  void control() {
    core::parallel_for(static_cast<std::int64_t>(controls_.size()), run_.threads, [&](std::int64_t c) {
      const auto& control = controls_[static_cast<std::size_t>(c)];
      auto& slot = control_results_[static_cast<std::size_t>(c)];
      const auto network = find_measured(control.training, trained_);
      if (slot || !network) return;
      if (control.kind == "null" && (*network)["status"] != "ok") {
        slot = Json{{"status", "failed"}, {"reason", "training: " + (*network)["reason"].get<std::string>()}};
        return;
      }
      slot = trained_.try_cell(control.determinants, [&] { return run_control(study_, control, folders_.trained, datasets_); });
    });
  }

  const Study& study_;
  const Folders& folders_;
  const core::Run& run_;
  mutable Datasets datasets_;
  Store trained_, cells_;
  Plan plan_;
  std::vector<Control> controls_;
  std::vector<std::optional<Json>> networks_, readings_, control_results_;
  mutable std::vector<std::string> names_;  ///< of the readings, each made when it is first asked for
};

Outline Work::outline() {
  look();
  Outline result;
  std::map<std::string, double> timed;  // one step of each kind is enough
  const auto once = [&](const Json& kind, const std::function<double()>& time) {
    const auto [found, fresh] = timed.emplace(kind.dump(), 0.0);
    if (fresh) found->second = time();
    return found->second;
  };
  for (std::size_t t = 0; t < plan_.trainings.size(); ++t) {
    const auto& training = plan_.trainings[t];
    const auto same = [&](const Outline::Item& item) { return item.id == training.id; };
    if (std::any_of(result.trainings.begin(), result.trainings.end(), same)) continue;  // another checkpoint of it
    const auto block = std::find_if(plan_.blocks.begin(), plan_.blocks.end(), [&](const Block& b) { return b.training == t; });
    Outline::Item item{.id = training.id, .name = label(*block), .done = networks_[t] ? 1 : 0, .total = 1};
    Json kind = training::to_json(training.settings.training);
    for (const char* key : {"seed", "learning_rate", "checkpoint_steps", "test_attack"}) kind.erase(key);
    for (const char* key : {"epsilon", "step"}) kind["attack"].erase(key);
    const bool trained = std::filesystem::exists(folders_.trained / training.id / "model.safetensors");
    if (!networks_[t] && !trained) item.seconds = once({training.settings.net, training.settings.data, kind}, [&] { return training_seconds(training, datasets_); });
    result.trainings.push_back(std::move(item));
  }
  for (std::size_t g = 0; g < study_.groups.size(); ++g) {
    const auto& s = study_.groups[g].settings;
    Outline::Item item{.name = describe(study_, study_.groups[g]), .total = study_.images * study_.seeds};
    for (std::size_t b = 0; b < plan_.blocks.size(); ++b) {
      if (plan_.blocks[b].group != g) continue;
      for (std::int64_t i = 0; i < study_.images; ++i) item.done += reading(b, i).has_value();
    }
    if (item.done < item.total) {
      auto attack = s.attack;
      Json kind = core::to_json(inversion::fields(attack));
      kind.erase("seed");
      const double one = once({s.net, s.data, kind}, [&] { return reading_seconds(s, datasets_); });
      item.seconds = one * static_cast<double>(item.total - item.done) / run_.threads;
    }
    result.readings.push_back(std::move(item));
  }
  return result;
}

Json Work::training_rows() const {
  Json rows = Json::array();
  for (std::size_t t = 0; t < plan_.trainings.size(); ++t) {
    const auto block = std::find_if(plan_.blocks.begin(), plan_.blocks.end(), [&](const Block& b) { return b.training == t; });
    const auto& group = study_.groups[block->group];
    Json levels = Json::object();
    for (std::size_t a = 0; a < study_.axes.size(); ++a) {  // the axes that a training depends on
      const auto& level = study_.axes[a].levels[group.levels[a]];
      if (level.settings.contains("model") || level.settings.contains("training") || level.settings.contains("client")) {
        levels[study_.axes[a].name] = level.label;
      }
    }
    std::vector<std::string> parts;
    for (const auto& [axis, level] : levels.items()) parts.push_back(level);
    parts.push_back(fmt::format("seed {}", block->seed));
    Json row = {{"id", plan_.trainings[t].id}, {"label", fmt::format("{}", fmt::join(parts, ", "))}, {"levels", levels}, {"seed", block->seed}};
    row.update({{"natural", Json()}, {"robust", Json()}, {"robust_attack", ""}, {"description", ""}, {"architecture", group.settings.net},
                {"parameters", Json()}, {"kept_epoch", Json()}, {"curve", Json()}});
    row.update(*networks_[t]);
    row.erase("fingerprint");
    if (plan_.trainings[t].settings.checkpoint != "end") row["curve"] = Json();  // it is the end's
    rows.push_back(std::move(row));
  }
  return rows;
}

// The mean over the seeds: each accuracy has its own interval in its training's row.
void Work::add_accuracies(Json& groups) const {
  for (auto& group : groups) {
    for (const char* kind : {"natural", "robust"}) {
      std::int64_t correct = 0, n = 0;
      for (const auto& block : plan_.blocks) {
        const Json& network = *networks_[block.training];
        if (block.group != group["id"].get<std::size_t>() || network["status"] != "ok") continue;
        correct += network[kind]["correct"].get<std::int64_t>();
        n += network[kind]["n"].get<std::int64_t>();
      }
      group[kind] = n == 0 ? Json() : evasion::to_json(evasion::Accuracy{correct, n});
    }
  }
}

Json Work::gallery(const std::vector<Cell>& cells) {
  if (study_.gallery == 0 || study_.images == 0) return Json::array();
  struct Row {
    std::int64_t image;
    double score;
    std::vector<const Cell*> cells;
  };
  std::vector<Row> rows;
  for (std::int64_t i = 0; i < study_.images; ++i) rows.push_back({study_.first_image + i, -1e9, {}});
  for (const auto& cell : cells) {
    if (cell.seed != 0) continue;
    auto& row = rows[static_cast<std::size_t>(cell.image - study_.first_image)];
    row.cells.push_back(&cell);
    // Sorted by the first group's score: one order for all columns.
    if (cell.group == 0 && cell.result.contains("psnr") && cell.result["psnr"].is_number()) row.score = cell.result["psnr"];
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.score > b.score; });
  const auto shown = std::min<std::size_t>(rows.size(), static_cast<std::size_t>(study_.gallery));
  Json list = Json::array();
  for (std::size_t k = 0; k < shown; ++k) {  // from the best to the worst, evenly
    const auto& row = rows[shown == 1 ? 0 : k * (rows.size() - 1) / (shown - 1)];
    Json readings = Json::array();
    const Cell* first = row.cells.front();
    const auto& settings = study_.groups[first->group].settings;
    const auto& set = datasets_.test(settings);
    for (const Cell* cell : row.cells) {
      const auto get = [&](const char* key) { return cell->result.contains(key) ? cell->result[key] : Json(); };
      readings.push_back({{"group", cell->group}, {"cell", cell->name}, {"psnr", get("psnr")}, {"ssim", get("ssim")}, {"png", get("png")},
                          {"status", cell->result["status"]}});
    }
    list.push_back({{"image", row.image},
                    {"class", set.classes[static_cast<std::size_t>(set.labels[row.image].item<std::int64_t>())]},
                    {"original", core::base64(data::encode_png(set.images[row.image]))},
                    {"readings", readings}});
  }
  return list;
}

Json Work::data_row() {
  const auto& settings = study_.groups.front().settings;
  const auto &train = datasets_.train(settings), &test = datasets_.test(settings);
  // Of a path the last part: a report is passed on, and whose folder it was is nobody's business.
  return {{"name", test.name}, {"source", std::filesystem::path(test.source).filename().string()}, {"train_images", train.size()}, {"test_images", test.size()}, {"note", ""}};
}

Json cell_rows(const std::vector<Cell>& cells) {
  Json rows = Json::array();
  for (const auto& cell : cells) {
    Json row = {{"cell", cell.name}, {"group", cell.group}, {"seed", cell.seed}, {"image", cell.image}};
    const auto& r = cell.result;
    for (const char* key : {"label", "status", "reason", "psnr", "gain", "guess_psnr", "ssim", "mse", "fmse_logits", "fmse_features", "oracle_psnr",
                            "matching_loss", "margin", "p_true", "gradient_norm", "restart", "restarts"}) {
      row[key] = r.contains(key) ? r[key] : Json();
    }
    row["diagnoses"] = Json::array();
    if (r.contains("diagnoses")) {
      for (const auto& d : r["diagnoses"]) row["diagnoses"].push_back(d["code"]);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json axis_rows(const Study& study) {
  Json rows = Json::array();
  for (const auto& axis : study.axes) {
    Json levels = Json::array();
    for (const auto& level : axis.levels) levels.push_back({{"label", level.label}, {"x", level.x ? Json(*level.x) : Json()}});
    rows.push_back({{"name", axis.name}, {"title", axis.title}, {"levels", levels}});
  }
  return rows;
}

Json warnings(const std::vector<Cell>& cells, const Json& controls, const Study& study) {
  Json list = Json::array();
  for (const auto& control : controls) {
    if (control["passed"] == false) list.push_back(fmt::format("The {} control of {} failed. {}", control["kind"].get<std::string>(),
                                                               control["attack"].get<std::string>(), control["sentence"].get<std::string>()));
  }
  const auto failed = std::count_if(cells.begin(), cells.end(), [](const Cell& c) { return c.result["status"] == "failed"; });
  if (failed > 0) list.push_back(fmt::format("{} of {} cells failed; the table of all cells says why.", failed, cells.size()));
  if (study.scale == "smoke") list.push_back("This is the smoke scale: everything runs, and no figure means anything.");
  return list;
}

}  // namespace

Json run_study(const Study& study, const Folders& folders, const core::Run& run, const core::Processes& processes) {
  const auto begin = Clock::now();
  Work work(study, folders, run, processes);
  if (processes.first()) core::write_file(folders.run / "study.json", core::to_text({{"study", study.document}, {"scale", study.scale}}));
  while (!work.advance()) {
    core::throw_if_stopped();
    std::this_thread::sleep_for(kPatience);
  }
  (void)processes.sum(torch::zeros({1}));  // none ends before the others: the first one keeps the list of claims
  if (!processes.first()) return {};

  const auto cells = work.cells();
  const Json rows = cell_rows(cells), trainings = work.training_rows(), controls = work.control_rows(cells);
  // What is finished and has been summed up is not summed up again.
  const std::string inputs = core::sha256(Json{core::version(), study.document, rows, trainings, controls}.dump());
  const auto path = folders.run / "result.json";
  if (std::filesystem::exists(path)) {
    const Json kept = core::read_json(path);
    if (kept.is_object() && kept.value("inputs", "") == inputs) return kept;
  }
  run.report({.task = "sum up", .unit = ""});
  Json parts = analyse(study, cells);
  work.add_accuracies(parts["groups"]);
  Json environment = core::environment(run.threads);
  environment["seconds"] = std::chrono::duration<double>(Clock::now() - begin).count();
  Json settings = Json::object();
  for (const auto& group : study.groups) {
    const auto name = describe(study, group);
    settings[name.empty() ? "all" : name] = to_json(group.settings);
  }
  Json notes = conventions();
  notes[3] = "Intervals: 95 %, over images and training seeds (percentiles of a bootstrap that resamples both; with one seed BCa over images). With "
             "two or three seeds they are somewhat narrow. Accuracies: Clopper-Pearson; a group's are pooled over its trainings.";
  const Json result = {{"schema", "pellucid.study/1"},
                       {"name", study.name},
                       {"scale", study.scale},
                       {"title", study.title.empty() ? study.name : study.title},
                       {"question", study.question},
                       {"headline", parts["headline"]},
                       {"warnings", warnings(cells, controls, study)},
                       {"environment", environment},
                       {"inputs", inputs},
                       {"config", {{"study", study.document}, {"groups", settings}}},
                       {"data", work.data_row()},
                       {"axes", axis_rows(study)},
                       {"x", study.x.empty() ? Json() : Json(study.x)},
                       {"compare", study.compare.empty() ? Json() : Json(study.compare)},
                       {"metrics", parts["metrics"]},
                       {"published", study.published},
                       {"trainings", trainings},
                       {"groups", parts["groups"]},
                       {"contrasts", parts["contrasts"]},
                       {"controls", controls},
                       {"diagnoses", parts["diagnoses"]},
                       {"cells", rows},
                       {"gallery", work.gallery(cells)},
                       {"conventions", notes}};
  core::write_file(path, core::to_text(result));
  return result;
}

Outline outline(const Study& study, const Folders& folders, const core::Run& run) {
  return Work(study, folders, run, {}, /*read_only=*/true).outline();
}

}  // namespace pellucid::study
