#include "pellucid/study/run_study.h"

#include "pellucid/core/config.h"
#include "pellucid/core/environment.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/run_folder.h"
#include "pellucid/core/sealed.h"
#include "pellucid/core/stop.h"
#include "pellucid/core/text.h"
#include "pellucid/study/controls.h"
#include "pellucid/study/estimate.h"
#include "pellucid/study/is_result.h"
#include "pellucid/study/result.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

namespace pellucid::study {
namespace {

using core::Json;

constexpr auto kPatience = std::chrono::milliseconds(200);  // between looks at what other processes do

// Networks, each loaded when a cell first asks for it and dropped after the last cell that may.
class Networks {
 public:
  /// Says that one more cell may ask for it.
  void expect(const Training& training) { ++slots_[key(training)].cells; }

  std::shared_ptr<const nets::Network> get(const Training& training, const std::filesystem::path& folder, const std::string& fingerprint) {
    const std::lock_guard guard(mutex_);
    auto& slot = slots_.at(key(training));
    if (!slot.network) slot.network = std::make_shared<nets::Network>(load(training, folder, fingerprint));
    return slot.network;
  }

  /// Says that one of those cells will not ask again.
  void leave(const Training& training) {
    const std::lock_guard guard(mutex_);
    auto& slot = slots_.at(key(training));
    if (--slot.cells == 0) slot.network = nullptr;
  }

 private:
  struct Slot {
    std::int64_t cells = 0;
    std::shared_ptr<const nets::Network> network = nullptr;
  };
  static std::string key(const Training& t) {
    return fmt::format("{} {} {}", t.id, t.settings.checkpoint, t.settings.logit_scale);
  }
  std::mutex mutex_;
  std::map<std::string, Slot> slots_;
};

// A study at work: what is finished, and the next step.
class Work {
 public:
  Work(const Study& study, const Folders& folders, Datasets& datasets, const core::Run& run, const core::Processes& processes,
       bool read_only = false)
      : study_(study),
        folders_(folders),
        run_(run),
        datasets_(datasets),
        trained_(folders.trained, together(processes), read_only, is_result),
        cells_(folders.run, together(processes), read_only, is_result),
        parts_(parts_of(study, datasets_)),
        controls_(controls(study, datasets_)),
        networks_(parts_.trainings.size()),
        readings_(parts_.blocks.size() * static_cast<std::size_t>(study.images)),
        control_results_(controls_.size()),
        common_(parts_.blocks.size()),
        names_(readings_.size()) {}

  // Everything that can be done here now. True once nothing is missing.
  bool advance() {
    trained_.refresh();
    cells_.refresh();
    train();
    read();
    control();
    const auto missing = [](const auto& list) {
      return std::any_of(list.begin(), list.end(), [](const auto& x) { return !x; });
    };
    return !missing(networks_) && !missing(readings_) && !missing(control_results_);
  }

  // What is finished, without doing anything.
  void look() {
    for (std::size_t t = 0; t < networks_.size(); ++t) networks_[t] = find_measured(parts_.trainings[t], trained_);
    for (std::size_t b = 0; b < parts_.blocks.size(); ++b) {
      if (!ready(b)) continue;
      for (std::int64_t i = 0; i < study_.images; ++i) reading(b, i) = find(b, i);
    }
    for (std::size_t c = 0; c < controls_.size(); ++c)
      control_results_[c] = trained_.find(cell_name(controls_[c].determinants));
  }

  // Refuses, of what is not finished, what cannot be run. @pre `look` was called.
  void check() {
    std::set<std::string> checked;
    const auto check = [&](const Settings& s) {
      if (!checked.insert(to_json(s).dump(-1, ' ', false, Json::error_handler_t::replace)).second) return;
      check_runs(s, datasets_);
      if (study_.images > 0) (void)datasets_.drawn(s, study_.first_image + study_.images - 1);
    };
    for (std::size_t b = 0; b < parts_.blocks.size(); ++b) {
      bool missing = !ready(b);
      for (std::int64_t i = 0; i < study_.images; ++i) missing = missing || !reading(b, i);
      if (missing) check(study_.groups[parts_.blocks[b].group].settings);
    }
    for (std::size_t c = 0; c < controls_.size(); ++c) {
      if (!control_results_[c]) check(controls_[c].training.settings);
    }
  }

  // What was left out of the folders' journals.
  [[nodiscard]] std::vector<std::string> notes() {
    auto notes = cells_.take_notes();
    for (auto& note : trained_.take_notes()) notes.push_back(std::move(note));
    return notes;
  }

  // @pre nothing is missing.
  [[nodiscard]] Finished finish() {
    Finished finished{.parts = parts_, .networks = {}, .cells = {}, .controls = {}};
    for (auto& network : networks_) finished.networks.push_back(*network);
    for (std::size_t b = 0; b < parts_.blocks.size(); ++b) {
      const auto& block = parts_.blocks[b];
      for (std::int64_t i = 0; i < study_.images; ++i) {
        finished.cells.push_back({.group = block.group,
                                  .seed = block.seed,
                                  .place = i,
                                  .image = image(b, i),
                                  .name = name(b, i),
                                  .result = *std::move(reading(b, i))});
      }
    }
    std::vector<Json> results;
    for (const auto& result : control_results_) results.push_back(*result);
    finished.controls = control_rows(study_, controls_, results, finished.cells);
    return finished;
  }

  [[nodiscard]] Outline outline();

 private:
  static Together together(const core::Processes& processes) {
    if (processes.count() == 1) return {};
    return {.apart = true, .first_to_ask = [&processes](const std::string& name) { return processes.claim(name); }};
  }

  [[nodiscard]] const Json& network(std::size_t block) const { return *networks_[parts_.blocks[block].training]; }
  [[nodiscard]] bool ready(std::size_t block) const { return networks_[parts_.blocks[block].training].has_value(); }
  std::optional<Json>& reading(std::size_t block, std::int64_t i) {
    return readings_[block * static_cast<std::size_t>(study_.images) + static_cast<std::size_t>(i)];
  }
  [[nodiscard]] const std::optional<Json>& reading(std::size_t block, std::int64_t i) const {
    return readings_[block * static_cast<std::size_t>(study_.images) + static_cast<std::size_t>(i)];
  }

  // The number of a block's i-th image in its test set.
  [[nodiscard]] std::int64_t image(std::size_t b, std::int64_t i) const {
    return datasets_.drawn(study_.groups[parts_.blocks[b].group].settings, study_.first_image + i);
  }

  // All that determines a cell. @pre its network did not fail.
  [[nodiscard]] Json determinants(std::size_t b, std::int64_t i) const {
    Json& common = common_[b];
    if (common.is_null()) common = study::determinants(study_, parts_.blocks[b], network(b), datasets_);
    Json all = common;
    all["image"] = image(b, i);
    return all;
  }

  // A cell's name; of one whose network failed, nothing.
  [[nodiscard]] const std::string& name(std::size_t b, std::int64_t i) const {
    std::string& known = names_[b * static_cast<std::size_t>(study_.images) + static_cast<std::size_t>(i)];
    if (known.empty() && network(b)["status"] == "ok") known = cell_name(determinants(b, i));
    return known;
  }

  // A cell that is finished, or cannot be because its network failed. @pre the block is ready.
  [[nodiscard]] std::optional<Json> find(std::size_t b, std::int64_t i) const {
    if (network(b)["status"] != "ok") return failed("training: " + network(b)["reason"].get<std::string>());
    return cells_.find(name(b, i));
  }

  // The settings of a block with the seed in them.
  [[nodiscard]] Training training(const Block& block) const {
    Training training = parts_.trainings[block.training];
    training.settings.logit_scale = study_.groups[block.group].settings.logit_scale;
    return training;
  }

  void train() {
    for (std::size_t t = 0; t < networks_.size(); ++t) {
      if (networks_[t] || (networks_[t] = find_measured(parts_.trainings[t], trained_))) continue;
      const auto& training = parts_.trainings[t];
      core::Run run = run_;
      const auto block =
          std::find_if(parts_.blocks.begin(), parts_.blocks.end(), [&](const Block& b) { return b.training == t; });
      run.label = fmt::format("network {} of {}, {}", t + 1, networks_.size(), core::printable(describe(study_, *block)));
      networks_[t] = measured(training, trained_, folders_.trained, datasets_, run);
      if (networks_[t])
        run_.report(
            {.task = "train", .unit = "", .finished = fmt::format("{}: {}", run.label, summary(*networks_[t]))});
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
    for (std::size_t b = 0; b < parts_.blocks.size(); ++b) {
      if (!ready(b)) continue;
      for (std::int64_t i = 0; i < study_.images; ++i) {
        auto& slot = reading(b, i);
        if (!slot && !(slot = find(b, i))) missing.push_back({b, i});
        if (slot) ++done;
      }
    }
    if (missing.empty()) return;
    // What every thread needs is loaded before they begin.
    Networks networks;
    for (const auto& m : missing) {
      const auto& settings = study_.groups[parts_.blocks[m.block].group].settings;
      (void)datasets_.mean_image(settings);
      networks.expect(training(parts_.blocks[m.block]));
    }
    const auto total = static_cast<std::int64_t>(readings_.size());
    std::mutex mutex;
    run_.report({.task = "read back", .done = done, .total = total, .unit = "images"});
    core::parallel_for(static_cast<std::int64_t>(missing.size()), run_.threads, [&](std::int64_t m) {
      const std::size_t b = missing[static_cast<std::size_t>(m)].block;
      const std::int64_t i = missing[static_cast<std::size_t>(m)].image;
      const auto& block = parts_.blocks[b];
      const auto image = this->image(b, i);
      auto result = cells_.try_cell(determinants(b, i), [&] {
        return attempt([&] {
          const auto trained = networks.get(training(block), folders_.trained, network(b)["fingerprint"]);
          return read_cell(*trained, study_.groups[block.group].settings, image, datasets_);
        });
      });
      networks.leave(training(block));
      const std::lock_guard guard(mutex);
      if (!result) return;  // another process is at it
      std::string line = fmt::format("{}, image {}: ", core::printable(describe(study_, block)), image);
      const auto psnr = result->find("psnr");
      line += psnr != result->end() && psnr->is_number() ? fmt::format("{:.1f} dB", psnr->get<double>())
                                                         : (*result)["status"].get<std::string>();
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
        slot = failed("training: " + (*network)["reason"].get<std::string>());
        return;
      }
      slot = trained_.try_cell(control.determinants,
                               [&] { return run_control(study_, control, folders_.trained, datasets_); });
    });
  }

  const Study& study_;
  const Folders& folders_;
  const core::Run& run_;
  Datasets& datasets_;
  Store trained_, cells_;
  Parts parts_;
  std::vector<Control> controls_;
  std::vector<std::optional<Json>> networks_, readings_, control_results_;
  mutable std::vector<Json> common_;        ///< of the blocks, what determines all their cells, made when first asked for
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
  for (std::size_t t = 0; t < parts_.trainings.size(); ++t) {
    const auto& training = parts_.trainings[t];
    const auto same = [&](const Outline::Item& item) { return item.id == training.id; };
    if (std::any_of(result.trainings.begin(), result.trainings.end(), same)) continue;  // another checkpoint of it
    const auto block =
        std::find_if(parts_.blocks.begin(), parts_.blocks.end(), [&](const Block& b) { return b.training == t; });
    Outline::Item item{.id = training.id, .name = describe(study_, *block), .done = networks_[t] ? 1 : 0, .total = 1};
    Json kind = training::to_json(training.settings.training);
    for (const char* key : {"seed", "learning_rate", "checkpoint_steps", "test_attack"}) kind.erase(key);
    for (const char* key : {"epsilon", "step"}) kind["attack"].erase(key);
    std::error_code none;
    const bool trained =
        !training.given.empty() || std::filesystem::exists(folders_.trained / training.id / "model.safetensors", none);
    if (!networks_[t] && !trained)
      item.seconds = once({training.settings.net, training.settings.data, training.settings.train_images, kind},
                          [&] { return training_seconds(training, datasets_); });
    result.trainings.push_back(std::move(item));
  }
  for (std::size_t g = 0; g < study_.groups.size(); ++g) {
    const auto& s = study_.groups[g].settings;
    Outline::Item item{.name = describe(study_, study_.groups[g]), .total = study_.images * study_.seeds};
    for (std::size_t b = 0; b < parts_.blocks.size(); ++b) {
      if (parts_.blocks[b].group != g) continue;
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

}  // namespace

namespace {

// A result that stands: of this study with these inputs, whole, as it was written. Null where there is none.
Json kept_result(const std::filesystem::path& path, const std::string& inputs, const std::function<void(const std::string&)>& warn) {
  std::error_code none;
  if (!std::filesystem::exists(path, none)) return {};
  try {
    Json kept = core::read_sealed(path);
    const auto found = kept.is_object() && kept.contains("checksum") ? kept.find("inputs") : kept.end();
    return found != kept.end() && *found == inputs ? kept : Json();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::kData) throw;
    if (warn) warn(fmt::format("{}; it is written again", error.what()));
    return {};
  }
}

// A folder holds one study: another one would replace its result.
void check_owner(const Study& study, const std::filesystem::path& folder) {
  std::error_code none;
  const auto path = folder / "config.json";
  if (!std::filesystem::is_regular_file(path, none)) return;
  const Json config = core::read_json(path);
  if (config.is_object() && config.value("verb", Json()) == "demo") {
    throw core::Error(
        core::ErrorKind::kUsage,
        "{}: holds the demo of an older version of Pellucid; remove it, or name another folder with --out",
        folder.string());
  }
  const auto name = config.is_object() ? config.find("study") : config.end();
  if (name == config.end() || !name->is_string() || *name == study.name) return;
  throw core::Error(core::ErrorKind::kUsage, "{}: holds the study {}, got {}; name another folder for it with --out", folder.string(),
                    core::quoted(name->get<std::string>()), core::quoted(study.name));
}

// Every cell is kept in memory with its picture.
void require_memory(const Study& study) {
  constexpr std::uint64_t kCell = 4096;  // bytes
  const auto cells = study.groups.size() * static_cast<std::uint64_t>(study.seeds * study.images);
  core::require_memory(cells * kCell, fmt::format("{}: {} cells", study.name, cells));
}

}  // namespace

Json run_study(const Study& study, const Folders& folders, const core::Run& run, const core::Processes& processes,
               const std::function<void(const std::string&)>& warn) {
  Datasets datasets;
  require_memory(study);
  check_owner(study, folders.run);
  {
    Work before(study, folders, datasets, run, {}, /*read_only=*/true);
    before.look();
    before.check();
  }
  const core::RunFolder folder(folders.run, "study", core::Workers::kSeveral);
  Work work(study, folders, datasets, run, processes);
  if (warn && processes.first()) {
    for (const auto& note : work.notes()) warn(note);
  }
  if (processes.first()) folder.write_config({{"study", study.name}, {"scale", study.scale}, {"settings", study.document}});
  while (!work.advance()) {
    core::throw_if_stopped();
    std::this_thread::sleep_for(kPatience);
  }
  (void)processes.sum(torch::zeros({1}));  // none ends before the others: the first one keeps the list of claims
  if (!processes.first()) return {};

  const auto finished = work.finish();
  const auto path = folders.run / "result.json";
  Json kept = kept_result(path, inputs(study, finished), warn);
  if (!kept.is_null()) return kept;
  run.report({.task = "sum up", .unit = ""});
  Json result = core::sealed(result_of(study, finished, datasets, core::environment(run.threads)));
  core::write_file(path, core::to_text(result));
  return result;
}

Outline outline(const Study& study, const Folders& folders, const core::Run& run) {
  Datasets datasets;
  return Work(study, folders, datasets, run, {}, /*read_only=*/true).outline();
}

}  // namespace pellucid::study
