#include "pellucid/evasion/worst_case.h"

#include "pellucid/core/stop.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/models.h"

#include <chrono>
#include <map>
#include <thread>

namespace pellucid::evasion {
namespace {

constexpr std::int64_t kAttacked = 30;

// Noise that the model answers rightly but for every tenth image.
data::Dataset mostly_right(const Model& model) {
  data::Dataset set = tiny::noise(kAttacked);
  set.labels = tiny::answers(model, data::pixels(set, torch::arange(kAttacked)));
  set.labels.slice(0, 0, kAttacked, 10).add_(1).remainder_(tiny::kClasses);
  return set;
}

struct Setting {
  Model model = model_of(tiny::balanced_lenet());
  data::Dataset set = mostly_right(model);
  AttackSettings attacks = tiny::quick(Norm::kLinf, "0.06");
  WorstCaseOptions options{.attacks = {"fgsm", "apgd-ce", "square"}};

  [[nodiscard]] WorstCase run(const core::Run& how = {}, const Remember& remember = {}) const {
    return worst_case(model, set, attacks, options, how, {{"model", "tiny"}}, remember);
  }
};

// What does not depend on the clock.
core::Json figures(const WorstCase& result) {
  core::Json json = to_json(result);
  for (auto& attack : json["attacks"]) attack.erase("seconds");
  return json;
}

// Kept in memory what `record::Store` keeps in files.
struct Memory {
  std::map<std::string, core::Json> kept = {};
  std::int64_t computed = 0;

  Remember remember() {
    return [this](const core::Json& named, const std::function<core::Json()>& compute) {
      const auto found = kept.find(named.dump());
      if (found != kept.end()) return found->second;
      core::Json result = compute();
      ++computed;
      return kept[named.dump()] = result;
    };
  }
};

TEST(WorstCase, CountsForEachImageTheWorstAttack) {
  Setting setting;
  setting.options.early_exit = false;
  const WorstCase result = setting.run();
  EXPECT_EQ(result.natural.correct, kAttacked - 3);
  EXPECT_EQ(result.natural.n, kAttacked);
  std::int64_t standing = 0, least = kAttacked;
  for (const auto& by : result.broken_by) standing += by.empty();
  for (const auto& attack : result.attacks) {
    EXPECT_EQ(attack.attacked, kAttacked - 3) << attack.name;
    ASSERT_TRUE(attack.alone.has_value());
    EXPECT_EQ(attack.alone->correct, kAttacked - 3 - attack.broken) << attack.name;
    least = std::min(least, attack.alone->correct);
  }
  EXPECT_EQ(result.worst_case.correct, standing);
  EXPECT_LE(standing, least);
  EXPECT_EQ(result.broken_by[0], "natural");
  EXPECT_GE(result.worst_case_8bit.correct, result.worst_case.correct);
  EXPECT_LT(result.worst_case.correct, result.attacks[0].alone->correct)
      << "later attacks must add something, else nothing is tested";
  EXPECT_GT(result.worst_case.correct, 0);
}

TEST(WorstCase, LeavesOutWhatIsBrokenAndSaysTheSame) {
  Setting setting;
  const WorstCase early = setting.run();
  setting.options.early_exit = false;
  EXPECT_EQ(early.broken_by, setting.run().broken_by);
  EXPECT_EQ(early.attacks[1].attacked, early.natural.correct - early.attacks[0].broken);
  EXPECT_FALSE(early.attacks[1].alone.has_value());
  EXPECT_EQ(early.attacks[1].broken_first, early.attacks[1].broken);
  EXPECT_LT(early.attacks[1].queries, setting.run().attacks[1].queries);
}

TEST(WorstCase, JudgesAsTheAttackItself) {
  Setting setting;
  setting.options.attacks = {"pgd"};
  setting.attacks.restarts = 1;
  const nets::Network network = tiny::balanced_lenet();
  EXPECT_EQ(setting.run().worst_case.correct, robust_accuracy(network, setting.set, setting.attacks.pgd, 0).correct);
}

TEST(WorstCase, DoesNotDependOnBatchesOrThreads) {
  Setting setting;
  const core::Json expected = figures(setting.run());
  setting.options.batch_size = 4;
  EXPECT_EQ(figures(setting.run({.threads = 3})), expected);
}

TEST(WorstCase, GoesOnWhereItWasStopped) {
  Setting setting;
  setting.options.batch_size = 10;
  const core::Json expected = figures(setting.run());
  Memory memory;
  const Remember keep = memory.remember();
  const Remember stopping = [&](const core::Json& named, const std::function<core::Json()>& compute) {
    core::request_stop(memory.computed == 2);
    return keep(named, compute);
  };
  core::expect_error([&] { (void)setting.run({}, stopping); }, core::ErrorKind::kStopped, "stopped");
  core::request_stop(false);
  EXPECT_EQ(memory.computed, 2);
  Memory undisturbed;
  (void)setting.run({}, undisturbed.remember());
  EXPECT_EQ(figures(setting.run({}, keep)), expected);
  EXPECT_EQ(memory.computed, undisturbed.computed) << "nothing was computed twice";
  (void)setting.run({}, keep);
  EXPECT_EQ(memory.computed, undisturbed.computed);
}

TEST(WorstCase, RemembersByWhatDeterminesAResult) {
  Setting setting;
  setting.options.attacks = {"square"};
  Memory memory;
  (void)setting.run({}, memory.remember());
  const auto once = memory.computed;
  setting.attacks.apgd_ce.iterations = 99;  // another attack's
  (void)setting.run({}, memory.remember());
  EXPECT_EQ(memory.computed, once);
  for (const auto& change : std::vector<std::function<void(Setting&)>>{
           [](Setting& s) { s.attacks.seed = 1; }, [](Setting& s) { s.attacks.square.queries = 5; },
           [](Setting& s) { s.attacks.pgd.epsilon = core::Number("0.05"); },
           [](Setting& s) { s.set.images.add_(1); }}) {
    Setting other;
    other.options.attacks = {"square"};
    change(other);
    const auto before = memory.computed;
    (void)other.run({}, memory.remember());
    EXPECT_GT(memory.computed, before);
  }
}

TEST(WorstCase, SaysWhatABudgetLeftUndone) {
  Setting setting;
  setting.options.attacks = {"apgd-ce", "apgd-t", "fab-t", "square"};
  setting.attacks = {};
  setting.attacks.pgd.epsilon = core::Number("0.01");
  setting.options.budget = 1e-9;
  const WorstCase result = setting.run();
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.attacks[0].attacked, 0);
  EXPECT_EQ(result.attacks[0].unfinished, kAttacked - 3);
  EXPECT_FALSE(result.attacks[0].alone.has_value());
  EXPECT_EQ(result.worst_case.correct, result.natural.correct) << "an upper bound";
  EXPECT_EQ(result.name.find("AutoAttack"), std::string::npos);
}

TEST(WorstCase, ReportsItsProgress) {
  Setting setting;
  std::vector<core::Progress> reports;
  const WorstCase result = setting.run({.progress = [&](const core::Progress& p) { reports.push_back(p); }});
  EXPECT_EQ(reports.front().task, "FGSM");
  EXPECT_EQ(reports.front().total, kAttacked - 3);
  EXPECT_EQ(reports.back().task, "Square");
  EXPECT_EQ(reports.back().done, reports.back().total);
}

TEST(WorstCase, RefusesAttacksForMoreClassesBeforeAnyIsRun) {
  Setting setting;
  setting.model = model_of(tiny::constant_logits({1, 0, 0}));
  setting.set.labels.zero_();
  setting.options.attacks = {"pgd", "apgd-t"};
  int kept = 0;
  core::expect_error(
      [&] { (void)setting.run({}, [&](const core::Json&, const auto& compute) { return ++kept, compute(); }); },
      core::ErrorKind::kUsage, "apgd-t needs 4 classes, got a model of 3");
  EXPECT_EQ(kept, 0);
  EXPECT_EQ(applicable({"apgd-ce", "apgd-t", "fab-t", "square"}, 2),
            (std::vector<std::string>{"apgd-ce", "fab-t", "square"}));
  EXPECT_EQ(applicable({"apgd-t"}, 4), (std::vector<std::string>{"apgd-t"}));
  core::expect_error([] { (void)applicable({"apgd-t"}, 3); }, core::ErrorKind::kUsage,
                     "got apgd-t for a model of 3 classes");
  core::expect_error([] { (void)applicable({"pgd"}, 1); }, core::ErrorKind::kUsage, "a model of 1 classes");
}

TEST(WorstCase, RunsEveryAttackThatAppliesOnTwoClasses) {
  Setting setting;
  auto spec = tiny::spec();
  spec.classes = 2;
  setting.model = model_of(tiny::network(spec));
  setting.set.labels = tiny::answers(setting.model, data::pixels(setting.set, torch::arange(kAttacked)));
  setting.options.attacks = applicable(attack_names(), 2);
  std::erase(setting.options.attacks, "cw");  // for L2
  EXPECT_EQ(setting.run().attacks.size(), attack_names().size() - 2);
}

TEST(WorstCase, CountsProcessorTime) {
  Setting setting;
  setting.options = {.attacks = {"pgd"}, .batch_size = kAttacked};
  const Model asleep = [model = setting.model](const Tensor& x) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return model(x);
  };
  const auto awake = setting.run().attacks[0].seconds;
  setting.model = asleep;  // ten evaluations or more
  EXPECT_LT(setting.run().attacks[0].seconds, awake + 0.15);
}

TEST(WorstCase, IsTheSumOfItsParts) {
  Setting setting;
  const auto whole = setting.run();
  std::vector<std::string> broken_by;
  for (const std::int64_t first : {0, 10, 20}) {
    Setting part;
    part.set.images = setting.set.images.slice(0, first, first + 10);
    part.set.labels = setting.set.labels.slice(0, first, first + 10);
    part.options.first = first;
    const auto judged = part.run();
    broken_by.insert(broken_by.end(), judged.broken_by.begin(), judged.broken_by.end());
  }
  EXPECT_EQ(broken_by, whole.broken_by);
}

TEST(WorstCase, CountsLogitsThatAreNoNumbersAsWrong) {
  Setting setting;
  setting.model = [](const Tensor& x) { return torch::full({x.size(0), tiny::kClasses}, NAN); };
  setting.set.labels.zero_();
  const auto judged = setting.run();
  EXPECT_EQ(judged.natural.correct, 0);
  EXPECT_EQ(judged.natural.undefined, kAttacked);
}

TEST(WorstCase, RefusesAttacksThatCannotBeRun) {
  Setting setting;
  const auto refuses = [&](const std::vector<std::string>& attacks, const std::string& message) {
    setting.options.attacks = attacks;
    core::expect_error([&] { (void)setting.run(); }, core::ErrorKind::kUsage, message);
  };
  refuses({"cw"}, "cw needs norm l2");
  refuses({"pgd", "pgd"}, "pgd is named twice");
  refuses({"pdg"}, "did you mean pgd?");
}

TEST(WorstCaseOptions, TakeALimitedListOfNames) {
  WorstCaseOptions o;
  core::assign(fields(o),
               {{"attacks", {"apgd-ce", "square"}}, {"budget", 60}, {"batch_size", 7}, {"early_exit", false}}, "test");
  EXPECT_EQ(o.attacks, (std::vector<std::string>{"apgd-ce", "square"}));
  EXPECT_EQ(o.batch_size, 7);
  EXPECT_FALSE(o.early_exit);
  core::expect_error([&] { core::assign_text(fields(o)[0], "pgd,sqare", "--attacks"); }, core::ErrorKind::kUsage,
                     "each fgsm, mi-fgsm,");
}

}  // namespace
}  // namespace pellucid::evasion
