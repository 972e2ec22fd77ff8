#include "pellucid/evasion/worst_case.h"

#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/names.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/stop.h"
#include "pellucid/core/tensor.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <set>

namespace pellucid::evasion {
namespace {

using Clock = std::chrono::steady_clock;
using Rows = std::vector<std::int64_t>;
using core::Json;

struct OutOfTime {};

// Processor time of this thread: a piece of work runs on one (`core::parallel_for`).
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds_since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

std::string hash(const Tensor& images, const Tensor& labels) {
  const auto bytes = [](const Tensor& tensor) {
    return std::span(static_cast<const std::uint8_t*>(tensor.data_ptr()), tensor.nbytes());
  };
  return core::sha256(core::sha256(bytes(images.contiguous())) + core::sha256(bytes(labels.contiguous())));
}

std::vector<Rows> batches(const Rows& rows, std::int64_t size) {
  std::vector<Rows> list;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i % size == 0) list.emplace_back();
    list.back().push_back(rows[i]);
  }
  return list;
}

std::vector<bool> to_bools(const Tensor& mask) {
  const Tensor flat = mask.contiguous();
  return std::vector<bool>(flat.data_ptr<bool>(),
                           flat.data_ptr<bool>() + flat.numel());  // braces would make a list of two
}

Json to_numbers(const Tensor& mask) { return core::to_doubles(mask.to(torch::kFloat64)); }

// What is known of the images while the attacks run.
struct Points {
  std::vector<bool> right, undefined;       // before any attack
  std::vector<bool> broken, broken_8bit;    // by any attack so far
  std::vector<bool> broken_now = {};        // by the attack at hand
  std::vector<std::string> broken_by = {};  // as in WorstCase

  [[nodiscard]] Accuracy standing(const std::vector<bool>& fallen) const {
    Accuracy accuracy{.correct = 0, .n = static_cast<std::int64_t>(right.size())};
    for (std::size_t i = 0; i < right.size(); ++i) {
      accuracy.correct += right[i] && !fallen[i];
      accuracy.undefined += undefined[i];
    }
    return accuracy;
  }
};

// What the model makes of the images before any attack.
// @param classes out: how many it knows.
Points natural_answers(const Model& model, const data::Dataset& dataset, const core::Run& run, std::int64_t& classes) {
  Rows all(dataset.size());
  std::iota(all.begin(), all.end(), 0);
  const auto parts = batches(all, 250);
  std::vector<std::vector<bool>> right(parts.size()), undefined(parts.size());
  std::atomic<std::int64_t> width = 0;
  core::parallel_for(static_cast<std::int64_t>(parts.size()), run.threads, [&](std::int64_t k) {
    const torch::NoGradGuard no_gradient;
    core::throw_if_stopped();
    const Tensor rows = torch::tensor(parts[k], torch::kInt64);
    const Tensor logits = model(data::pixels(dataset, rows));
    width = logits.size(1);
    right[k] = to_bools(errs(logits, data::labels(dataset, rows)).logical_not());
    undefined[k] = to_bools(logits.isfinite().all(1).logical_not());
  });
  classes = width;
  Points points{.right = {},
                .undefined = {},
                .broken = std::vector<bool>(all.size()),
                .broken_8bit = std::vector<bool>(all.size())};
  for (std::size_t k = 0; k < parts.size(); ++k) {
    points.right.insert(points.right.end(), right[k].begin(), right[k].end());
    points.undefined.insert(points.undefined.end(), undefined[k].begin(), undefined[k].end());
  }
  return points;
}

// Attacks some images and judges what comes back. Stops and budgets are seen by `look_up` at each query, so that no
// attack knows of them.
Json attack_batch(const Model& model, const Attack& attack, const AttackSettings& settings, const Tensor& images,
                  const Tensor& labels, const Tensor& ids, const std::function<void()>& look_up) {
  const double begun = processor_seconds();
  std::int64_t queries = 0;
  const Model watched = [&](const Tensor& x) {
    look_up();
    queries += x.size(0);
    return model(x);
  };
  const Tensor found = attack.run(watched, images, labels, ids, settings);
  const Judged judged = judge(model, found, images, labels, settings.ball());
  return {{"broken", to_numbers(judged.broken)},
          {"broken_8bit", to_numbers(judged.broken_8bit)},
          {"corrected", judged.corrected.sum().item<std::int64_t>()},
          {"queries", queries},
          {"seconds", processor_seconds() - begun}};
}

// Adds what `attack_batch` said of some images to what is known.
void count(const Json& outcome, const Rows& rows, AttackRecord& record, Points& points) {
  record.attacked += static_cast<std::int64_t>(rows.size());
  record.corrected += outcome.at("corrected").get<std::int64_t>();
  record.queries += outcome.at("queries").get<std::int64_t>();
  record.seconds += outcome.at("seconds").get<double>();
  for (std::size_t j = 0; j < rows.size(); ++j) {
    const auto i = static_cast<std::size_t>(rows[j]);
    if (outcome.at("broken_8bit").at(j) != 0) points.broken_8bit[i] = true;
    if (outcome.at("broken").at(j) == 0) continue;
    ++record.broken;
    points.broken_now[i] = true;
    if (points.broken[i]) continue;
    ++record.broken_first;
    points.broken[i] = true;
    points.broken_by[i] = record.name;
  }
}

void check_classes(const std::vector<std::string>& attacks, std::int64_t classes) {
  for (const auto& name : attacks) {
    if (const auto least = find_attack(name).least_classes; classes < least) {
      throw core::Error(core::ErrorKind::kUsage, "attacks: {} needs {} classes, got a model of {}; leave it out", name,
                        least, classes);
    }
  }
}

}  // namespace

core::Fields fields(WorstCaseOptions& o) {
  return {
      core::names_field("attacks", o.attacks, "what attacks, in this order: see `pellucid list attacks`",
                        attack_names()),
      core::field("early_exit", o.early_exit, "images that an attack broke are left out by the next ones"),
      core::field("batch_size", o.batch_size, "images attacked at once; what an interruption can lose", 1, 100000),
      core::field("budget", o.budget, "seconds after which nothing more is attacked; 0 is no limit", 0),
  };
}

void check(const WorstCaseOptions& options, Norm norm) {
  std::set<std::string> seen;
  for (const auto& name : options.attacks) {
    if (find_attack(name).l2_only && norm != Norm::kL2) {
      throw core::Error(core::ErrorKind::kUsage, "attacks: {} needs norm l2, got {}", name, to_string(norm));
    }
    if (!seen.insert(name).second) throw core::Error(core::ErrorKind::kUsage, "attacks: {} is named twice", name);
  }
}

WorstCase worst_case(const Model& model, const data::Dataset& dataset, const AttackSettings& settings,
                     const WorstCaseOptions& options, const core::Run& run, const Json& identity,
                     const Remember& remember) {
  check(options, settings.pgd.norm);
  const auto begun = Clock::now();
  const auto n = static_cast<std::size_t>(dataset.size());
  std::int64_t classes = 0;
  Points points = natural_answers(model, dataset, run, classes);
  check_classes(options.attacks, classes);
  WorstCase result;
  result.natural = points.standing(points.broken);
  for (const bool right : points.right) points.broken_by.emplace_back(right ? "" : "natural");

  for (const auto& name : options.attacks) {
    const Attack& attack = find_attack(name);
    AttackRecord record{.name = name, .title = attack.title, .description = describe(attack, settings)};
    Rows standing;
    for (std::size_t i = 0; i < n; ++i) {
      if (points.right[i] && !(options.early_exit && points.broken[i]))
        standing.push_back(static_cast<std::int64_t>(i));
    }
    const auto parts = batches(standing, options.batch_size);
    std::vector<Json> outcomes(parts.size());  // null: not finished in time
    std::mutex reporting;
    std::int64_t done = 0;
    core::parallel_for(static_cast<std::int64_t>(parts.size()), run.threads, [&](std::int64_t k) {
      const Tensor rows = torch::tensor(parts[k], torch::kInt64), ids = rows + options.first;
      const Tensor images = data::pixels(dataset, rows), labels = data::labels(dataset, rows);
      const auto compute = [&] {
        return attack_batch(model, attack, settings, images, labels, ids, [&] {
          core::throw_if_stopped();
          if (options.budget > 0 && seconds_since(begun) > options.budget) throw OutOfTime{};
        });
      };
      try {
        const Json named = {{"model", identity},
                            {"images", hash(images, labels)},
                            {"ids", Rows(ids.data_ptr<std::int64_t>(), ids.data_ptr<std::int64_t>() + ids.numel())},
                            {"attack", determinants(attack, settings)}};
        outcomes[k] = remember ? remember(named, compute) : compute();
      } catch (const OutOfTime&) {
      }
      const std::lock_guard lock(reporting);
      done += static_cast<std::int64_t>(parts[k].size());
      run.report(
          {.task = attack.title, .done = done, .total = static_cast<std::int64_t>(standing.size()), .unit = "images"});
    });

    points.broken_now.assign(n, false);
    for (std::size_t k = 0; k < parts.size(); ++k) {
      if (outcomes[k].is_null()) {
        record.unfinished += static_cast<std::int64_t>(parts[k].size());
        continue;
      }
      count(outcomes[k], parts[k], record, points);
    }
    if (record.attacked == result.natural.correct) record.alone = points.standing(points.broken_now);
    record.worst_case = points.standing(points.broken);
    record.worst_case_8bit = points.standing(points.broken_8bit);
    if (record.unfinished > 0) result.complete = false;
    result.attacks.push_back(std::move(record));
  }
  result.worst_case = points.standing(points.broken);
  result.worst_case_8bit = points.standing(points.broken_8bit);
  result.broken_by = std::move(points.broken_by);
  result.name = result.complete ? ensemble_name(options.attacks, settings)
                                : "upper bound: the budget was spent before the attacks were done";
  return result;
}

std::optional<double> pgd_gap(const WorstCase& result) {
  for (const auto& a : result.attacks) {
    if (a.name != "pgd" || !a.alone || result.attacks.size() == 1) continue;
    return static_cast<double>(a.alone->correct - result.worst_case.correct) / static_cast<double>(result.worst_case.n);
  }
  return std::nullopt;
}

Json to_json(const WorstCase& result) {
  const auto gap = pgd_gap(result);
  Json attacks = Json::array();
  for (const auto& a : result.attacks) {
    attacks.push_back({{"name", a.name},
                       {"description", a.description},
                       {"attacked", a.attacked},
                       {"unfinished", a.unfinished},
                       {"broken", a.broken},
                       {"broken_first", a.broken_first},
                       {"corrected", a.corrected},
                       {"queries", a.queries},
                       {"seconds", a.seconds},
                       {"alone", a.alone ? to_json(*a.alone) : Json()},
                       {"worst_case", to_json(a.worst_case)},
                       {"worst_case_8bit", to_json(a.worst_case_8bit)}});
  }
  return {{"name", result.name},
          {"complete", result.complete},
          {"natural", to_json(result.natural)},
          {"attacks", attacks},
          {"worst_case", to_json(result.worst_case)},
          {"worst_case_8bit", to_json(result.worst_case_8bit)},
          {"pgd_gap", gap ? Json(*gap) : Json()},
          {"broken_by", result.broken_by}};
}

}  // namespace pellucid::evasion
