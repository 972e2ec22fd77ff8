#include "pellucid/grid/run.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/run_folder.h"
#include "pellucid/core/sealed.h"
#include "pellucid/core/stop.h"
#include "pellucid/core/text.h"
#include "pellucid/grid/result.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>
#include <thread>

namespace pellucid::grid {
namespace {

using core::Json;

constexpr auto kPatience = std::chrono::milliseconds(200);  // between looks at what other processes do

// The subjects of a study, each once, and which of them each repetition of each group reads.
void lay_out(const Study& study, System& system, Finished& finished) {
  std::map<std::string, std::size_t> known;
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    for (std::int64_t seed = 0; seed < study.seeds; ++seed) {
      auto subject = system.subject(study.groups[g].settings, seed);
      const auto [found, fresh] = known.emplace(record::cell_name(subject.determinants), finished.subjects.size());
      if (fresh) finished.subjects.push_back(std::move(subject));
      finished.blocks.push_back({g, found->second, seed});
    }
  }
}

// A study at work: what is finished, and the next step.
class Work {
 public:
  Work(const Study& study, System& system, const Folders& folders, const core::Run& run, const Peers& peers,
       bool read_only = false)
      : study_(study),
        system_(system),
        run_(run),
        shared_store_(folders.shared, together(peers), read_only, check(system)),
        cells_(folders.run, together(peers), read_only, check(system)),
        shared_{shared_store_, folders.shared},
        controls_(system.controls(study)) {
    lay_out(study, system, plan_);
    for (const auto& control : controls_) {
      const auto same = [&](const Subject& subject) { return subject.determinants == control.subject.determinants; };
      if (std::any_of(plan_.subjects.begin(), plan_.subjects.end(), same)) continue;
      throw core::Error(core::ErrorKind::kInternal, "{}: a control's subject is none of the study's", system.name());
    }
    prepared_.resize(plan_.subjects.size());
    readings_.resize(plan_.blocks.size() * static_cast<std::size_t>(study.items));
    control_results_.resize(controls_.size());
    common_.resize(plan_.blocks.size());
    names_.resize(readings_.size());
  }

  // Everything that can be done here now. True once nothing is missing.
  bool advance() {
    shared_store_.refresh();
    cells_.refresh();
    prepare();
    read();
    control();
    const auto missing = [](const auto& list) {
      return std::any_of(list.begin(), list.end(), [](const auto& x) { return !x; });
    };
    return !missing(prepared_) && !missing(readings_) && !missing(control_results_);
  }

  // What is finished, without doing anything.
  void look() {
    for (std::size_t s = 0; s < prepared_.size(); ++s) prepared_[s] = find_prepared(plan_.subjects[s]);
    for (std::size_t b = 0; b < plan_.blocks.size(); ++b) {
      if (!ready(b)) continue;
      for (std::int64_t i = 0; i < study_.items; ++i) reading(b, i) = find(b, i);
    }
    for (std::size_t c = 0; c < controls_.size(); ++c)
      control_results_[c] = shared_store_.find(record::cell_name(controls_[c].determinants));
  }

  // Refuses, of what is not finished, what cannot be run. @pre `look` was called.
  void check() {
    std::set<std::string> checked;
    const auto check = [&](const Json& settings) {
      if (!checked.insert(settings.dump(-1, ' ', false, Json::error_handler_t::replace)).second) return;
      system_.check_runs(settings);
      if (study_.items > 0) (void)system_.item(settings, study_.first_item + study_.items - 1);
    };
    for (std::size_t b = 0; b < plan_.blocks.size(); ++b) {
      bool missing = !ready(b);
      for (std::int64_t i = 0; i < study_.items; ++i) missing = missing || !reading(b, i);
      if (missing) check(settings(b));
    }
    for (std::size_t c = 0; c < controls_.size(); ++c) {
      if (!control_results_[c]) check(controls_[c].subject.settings);
    }
  }

  // What was left out of the folders' journals.
  [[nodiscard]] std::vector<std::string> notes() {
    auto notes = cells_.take_notes();
    for (auto& note : shared_store_.take_notes()) notes.push_back(std::move(note));
    return notes;
  }

  // Brings what was finished onto the disk.
  void sync() {
    shared_store_.sync();
    cells_.sync();
  }

  // @pre nothing is missing.
  [[nodiscard]] Finished finish() {
    Finished finished = plan_;
    for (auto& prepared : prepared_) finished.prepared.push_back(*prepared);
    for (std::size_t b = 0; b < plan_.blocks.size(); ++b) {
      for (std::int64_t i = 0; i < study_.items; ++i) {
        finished.cells.push_back({.group = plan_.blocks[b].group,
                                  .seed = plan_.blocks[b].seed,
                                  .place = i,
                                  .item = item(b, i),
                                  .name = name(b, i),
                                  .reading = *std::move(reading(b, i))});
      }
    }
    for (std::size_t c = 0; c < controls_.size(); ++c)
      finished.controls.push_back(controls_[c].row(*control_results_[c]));
    for (auto& row : system_.baselines(study_, finished.cells)) finished.controls.push_back(std::move(row));
    return finished;
  }

  [[nodiscard]] Outline outline();

 private:
  static record::Store::Check check(const System& system) {
    return [&system](const Json& cell, const Json& result) { return is_kept_result(system, cell, result); };
  }

  static record::Together together(const Peers& peers) {
    if (peers.count == 1) return {};
    return {.apart = true, .first_to_ask = peers.claim};
  }

  [[nodiscard]] const Json& settings(std::size_t block) const {
    return study_.groups[plan_.blocks[block].group].settings;
  }
  [[nodiscard]] const Subject& subject(std::size_t block) const { return plan_.subjects[plan_.blocks[block].subject]; }
  [[nodiscard]] const Json& prepared(std::size_t block) const { return *prepared_[plan_.blocks[block].subject]; }
  [[nodiscard]] bool ready(std::size_t block) const { return prepared_[plan_.blocks[block].subject].has_value(); }
  [[nodiscard]] std::size_t index(std::size_t block, std::int64_t i) const {
    return block * static_cast<std::size_t>(study_.items) + static_cast<std::size_t>(i);
  }
  std::optional<record::Reading>& reading(std::size_t block, std::int64_t i) { return readings_[index(block, i)]; }

  // The number of a block's i-th item.
  [[nodiscard]] std::int64_t item(std::size_t b, std::int64_t i) const {
    return system_.item(settings(b), study_.first_item + i);
  }

  // All that determines a cell. @pre its subject did not fail.
  [[nodiscard]] Json determinants(std::size_t b, std::int64_t i) {
    Json& common = common_[b];
    if (common.is_null()) {
      common = {{"reading", kReadingVersion}, {"system", system_.name()}};
      common.update(system_.determinants(settings(b), subject(b), prepared(b)));
    }
    Json all = common;
    all["item"] = item(b, i);
    return all;
  }

  // A cell's name; of one whose subject failed, nothing.
  const std::string& name(std::size_t b, std::int64_t i) {
    std::string& known = names_[index(b, i)];
    if (known.empty() && prepared(b)["status"] == "ok") known = record::cell_name(determinants(b, i));
    return known;
  }

  [[nodiscard]] std::optional<Json> find_prepared(const Subject& subject) const {
    return shared_store_.find(record::cell_name(subject.determinants));
  }

  // A cell that is finished, or cannot be because its subject failed. @pre the block is ready.
  [[nodiscard]] std::optional<record::Reading> find(std::size_t b, std::int64_t i) {
    if (prepared(b)["status"] != "ok") return without_subject(prepared(b));
    const auto kept = cells_.find(name(b, i));
    return kept ? record::reading(*kept) : std::nullopt;
  }

  [[nodiscard]] std::string why_failed(const Json& prepared) const {
    return fmt::format("{}: {}", system_.words().repetition, prepared["reason"].get<std::string>());
  }
  [[nodiscard]] record::Reading without_subject(const Json& prepared) const {
    return {.status = record::Status::kFailed, .reason = why_failed(prepared)};
  }

  void prepare() {
    for (std::size_t s = 0; s < prepared_.size(); ++s) {
      const auto& subject = plan_.subjects[s];
      if (prepared_[s] || (prepared_[s] = find_prepared(subject))) continue;
      core::Run run = run_;
      run.label = fmt::format("{} {} of {}, {}", system_.words().subject, s + 1, prepared_.size(),
                              core::printable(describe_subject(s)));
      prepared_[s] = system_.prepare(subject, shared_, run);
      if (!prepared_[s]) continue;
      const Json& done = *prepared_[s];
      const auto what =
          done["status"] == "ok" ? system_.describe(done) : "failed: " + done["reason"].get<std::string>();
      run_.report({.task = "prepare", .unit = "", .finished = fmt::format("{}: {}", run.label, what)});
    }
  }

  // By the first group that reads it.
  [[nodiscard]] std::string describe_subject(std::size_t s) const {
    const auto block =
        std::find_if(plan_.blocks.begin(), plan_.blocks.end(), [&](const Block& b) { return b.subject == s; });
    return describe(study_, block->group, block->seed);
  }

  void read() {
    struct Missing {
      std::size_t block;
      std::int64_t place;
    };
    std::vector<Missing> missing;
    std::int64_t done = 0;
    for (std::size_t b = 0; b < plan_.blocks.size(); ++b) {
      if (!ready(b)) continue;
      for (std::int64_t i = 0; i < study_.items; ++i) {
        auto& slot = reading(b, i);
        if (!slot && !(slot = find(b, i))) missing.push_back({b, i});
        if (slot) ++done;
      }
    }
    if (missing.empty()) return;
    std::set<std::size_t> warm;
    for (const auto& m : missing) {
      if (warm.insert(plan_.blocks[m.block].group).second) system_.warm_up(settings(m.block));
      (void)determinants(m.block, m.place);  // what its block's cells have in common is made before threads ask for it
    }
    const auto total = static_cast<std::int64_t>(readings_.size());
    const auto unit = system_.words().items();
    std::mutex mutex;
    run_.report({.task = "read back", .done = done, .total = total, .unit = unit});
    core::parallel_for(static_cast<std::int64_t>(missing.size()), run_.threads, [&](std::int64_t m) {
      core::throw_if_stopped();
      const auto& next = missing[static_cast<std::size_t>(m)];
      const std::size_t b = next.block;
      const std::int64_t place = next.place;
      const auto number = item(b, place);
      const auto result = cells_.try_cell(determinants(b, place), [&] {
        return record::to_json(checked(system_.read(settings(b), subject(b), prepared(b), number, shared_)));
      });
      const std::lock_guard guard(mutex);
      if (!result) return;  // another process is at it
      auto read = record::reading(*result);
      const auto tested = metrics(study_, system_).front();
      const auto score = read->score(tested.key);
      const auto line = fmt::format(
          "{}, {} {}: {}", core::printable(describe(study_, plan_.blocks[b].group, plan_.blocks[b].seed)),
          system_.words().item, number, score ? record::to_text(tested, *score) : record::to_string(read->status));
      reading(b, place) = std::move(read);
      run_.report({.task = "read back", .done = ++done, .total = total, .unit = unit, .finished = line});
    });
  }

  // What a system answers is not believed: a score that no file can hold would be lost with its cell.
  [[nodiscard]] record::Reading checked(record::Reading reading) const {
    for (const auto& score : reading.scores) {
      const auto& rows = system_.metrics();
      const bool known = std::any_of(rows.begin(), rows.end(), [&](const auto& m) { return m.key == score.first; });
      if (known && std::isfinite(score.second)) continue;
      throw core::Error(core::ErrorKind::kInternal, "{}: the score {} is {}, expected a finite one of its metrics",
                        system_.name(), score.first, score.second);
    }
    return reading;
  }

  void control() {
    core::parallel_for(static_cast<std::int64_t>(controls_.size()), run_.threads, [&](std::int64_t c) {
      core::throw_if_stopped();
      const auto& control = controls_[static_cast<std::size_t>(c)];
      auto& slot = control_results_[static_cast<std::size_t>(c)];
      const auto prepared = find_prepared(control.subject);
      if (slot || !prepared) return;
      if (control.needs_subject && (*prepared)["status"] != "ok") {
        slot = failed(why_failed(*prepared));
        return;
      }
      slot = shared_store_.try_cell(control.determinants, [&] { return control.run(shared_); });
    });
  }

  const Study& study_;
  System& system_;
  const core::Run& run_;
  record::Store shared_store_, cells_;
  Shared shared_;
  std::vector<Control> controls_;
  Finished plan_;  ///< its subjects and blocks
  std::vector<std::optional<Json>> prepared_, control_results_;
  std::vector<std::optional<record::Reading>> readings_;
  std::vector<Json> common_;        ///< of the blocks, what determines all their cells, made when first asked for
  std::vector<std::string> names_;  ///< of the readings, each made when it is first asked for
};

Outline Work::outline() {
  look();
  Outline result;
  for (std::size_t s = 0; s < plan_.subjects.size(); ++s) {
    const auto& subject = plan_.subjects[s];
    const auto same = [&](const Outline::Part& part) { return part.id == subject.id; };
    if (std::any_of(result.subjects.begin(), result.subjects.end(), same)) continue;  // another look at it
    Outline::Part part{.id = subject.id, .name = describe_subject(s), .done = prepared_[s] ? 1 : 0, .total = 1};
    if (!prepared_[s]) part.seconds = system_.preparing_seconds(subject, shared_.folder);
    result.subjects.push_back(std::move(part));
  }
  for (std::size_t g = 0; g < study_.groups.size(); ++g) {
    Outline::Part part{.name = describe(study_, study_.groups[g]), .total = study_.items * study_.seeds};
    for (std::size_t b = 0; b < plan_.blocks.size(); ++b) {
      if (plan_.blocks[b].group != g) continue;
      for (std::int64_t i = 0; i < study_.items; ++i) part.done += reading(b, i).has_value();
    }
    if (part.done < part.total)
      part.seconds = system_.reading_seconds(study_.groups[g].settings) * static_cast<double>(part.total - part.done) /
                     run_.threads;
    result.readings.push_back(std::move(part));
  }
  return result;
}

// A result that stands: of this study with these inputs, whole, as it was written. Null where there is none.
Json kept_result(const std::filesystem::path& path, const std::string& inputs,
                 const std::function<void(const std::string&)>& warn) {
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
  throw core::Error(core::ErrorKind::kUsage, "{}: holds the study {}, got {}; name another folder for it with --out",
                    folder.string(), core::quoted(name->get<std::string>()), core::quoted(study.name));
}

// Every cell is kept in memory with its picture.
void require_memory(const Study& study) {
  constexpr std::uint64_t kCell = 4096;  // bytes
  const auto cells = study.groups.size() * static_cast<std::uint64_t>(study.seeds * study.items);
  core::require_memory(cells * kCell, fmt::format("{}: {} cells", study.name, cells));
}

}  // namespace

Json run_study(const Study& study, System& system, const Folders& folders, const core::Run& run,
               const Json& environment, const Peers& peers, const std::function<void(const std::string&)>& warn) {
  require_memory(study);
  check_owner(study, folders.run);
  {
    Work before(study, system, folders, run, {}, /*read_only=*/true);
    before.look();
    before.check();
  }
  const core::RunFolder folder(folders.run, "study", core::Workers::kSeveral);
  Work work(study, system, folders, run, peers);
  if (warn && peers.first) {
    for (const auto& note : work.notes()) warn(note);
  }
  if (peers.first) folder.write_config({{"study", study.name}, {"scale", study.scale}, {"settings", study.document}});
  while (!work.advance()) {
    core::throw_if_stopped();
    std::this_thread::sleep_for(kPatience);
  }
  work.sync();
  if (peers.wait_for_all) peers.wait_for_all();  // none ends before the others: the first one keeps the list of claims
  if (!peers.first) return {};

  const auto finished = work.finish();
  const auto path = folders.run / "result.json";
  Json kept = kept_result(path, inputs(study, finished), warn);
  if (!kept.is_null()) return kept;
  run.report({.task = "sum up", .unit = ""});
  Json result = core::sealed(result_of(study, system, finished, environment));
  core::write_file(path, core::to_text(result));
  return result;
}

Outline outline(const Study& study, System& system, const Folders& folders, const core::Run& run) {
  return Work(study, system, folders, run, {}, /*read_only=*/true).outline();
}

}  // namespace pellucid::grid
