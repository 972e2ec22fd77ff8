// A second system, as small as can be: a number is read back from its noisy copy and scored by its absolute error.
//
// It shows what a system is and that the grid depends on no network or picture: axes, seeds, resumption, several
// processes, intervals, contrasts, controls, the result, the page, CSV and LaTeX come from the grid and the report
// alone.
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/random.h"
#include "pellucid/core/stop.h"
#include "pellucid/grid/run.h"
#include "pellucid/report/html.h"
#include "pellucid/report/tidy.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>

namespace pellucid::grid {
namespace {

using core::Json;

struct NumberSettings {
  double noise = 1;         // deviation of what is added before the number is shared
  std::int64_t copies = 1;  // noisy copies of it that the attacker sees
  std::string attack = "mean";
};

core::Fields fields(NumberSettings& s) {
  return {core::field("noise", s.noise, "deviation of the noise", 0, 1e6),
          core::field("copies", s.copies, "copies shared", 1, 1000),
          core::field("attack", s.attack, "mean, or first: one copy alone")};
}

NumberSettings settings_of(const Json& json) {
  NumberSettings s;
  core::assign(fields(s), json.at("number"), "settings");
  return s;
}

double normal(std::uint64_t seed, std::uint64_t index) {
  double sum = -6;  // of twelve uniform numbers: deviation 1
  core::Stream stream(seed, "noise", index);
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(stream.below(1u << 20)) / (1u << 20);
  return sum;
}

// The truth: which number an item is.
double number(std::int64_t item) { return static_cast<double>(item % 7); }

class Numbers : public System {
 public:
  std::atomic<int> reads = 0;

  [[nodiscard]] std::string name() const override { return "numbers"; }
  [[nodiscard]] const Words& words() const override {
    static const Words words = {.item = "number", .repetition = "repetition", .subject = "source"};
    return words;
  }
  [[nodiscard]] const std::vector<record::Metric>& metrics() const override {
    static const std::vector<record::Metric> all = {
        {.key = "error", .label = "Absolute error", .digits = 3, .better = record::Better::kLower, .main = true},
        {.key = "square", .label = "Squared error", .digits = 3, .better = record::Better::kLower, .contrast = true},
        {.key = "never", .label = "Never scored", .main = true, .optional = true}};
    return all;
  }
  [[nodiscard]] std::vector<std::string> tables() const override { return {"number"}; }
  [[nodiscard]] Json resolve(const Json& tables, const std::filesystem::path&,
                             const std::string& where) const override {
    NumberSettings s;
    if (tables.contains("number")) core::assign(fields(s), tables["number"], where + ": [number]");
    return {{"number", core::to_json(fields(s))}};
  }
  [[nodiscard]] Subject subject(const Json& settings, std::int64_t seed) override {
    return {
        .id = fmt::format("source-{}", seed), .determinants = {{"source", seed}}, .settings = settings, .seed = seed};
  }
  [[nodiscard]] Json determinants(const Json& settings, const Subject& subject, const Json&) override {
    return {{"settings", settings}, {"seed", subject.seed}};
  }
  [[nodiscard]] record::Reading read(const Json& settings, const Subject& subject, const Json&, std::int64_t item,
                                     const Shared&) override {
    ++reads;
    const auto s = settings_of(settings);
    const auto copies = s.attack == "first" ? 1 : s.copies;
    double seen = 0;
    for (std::int64_t c = 0; c < copies; ++c) {
      const auto index = static_cast<std::uint64_t>(1000 * item + c);
      seen += (number(item) + s.noise * normal(static_cast<std::uint64_t>(subject.seed), index)) /
              static_cast<double>(copies);
    }
    const double error = std::abs(seen - number(item));
    return {.scores = {{"error", error}, {"square", error * error}}};
  }
  [[nodiscard]] std::vector<Control> controls(const Study& study) override {
    Control exact{.subject = subject(study.groups[0].settings, 0), .determinants = {{"control", "positive"}}};
    exact.run = [](const Shared&) { return Json{{"status", "ok"}, {"value", 0.0}, {"n", 1}}; };
    exact.row = [](const Json& result) {
      return record::Control{.kind = "positive",
                             .attack = "mean",
                             .value = result["value"].get<double>(),
                             .threshold = 1e-9,
                             .passed = result["value"] == 0.0,
                             .n = 1,
                             .sentence = "Without noise the number comes back."};
    };
    return {exact};
  }
};

constexpr std::string_view kStudy = R"(
title = "Numbers in noise"
question = "Do more copies leak more of a number?"
compare = "copies"
x = "noise"
numbers = 40
seeds = 2
[[axis]]
name = "copies"
title = "Copies"
levels = [{ label = "one", number.copies = 1 }, { label = "many", number.copies = 16 }]
[[axis]]
name = "noise"
title = "Noise"
key = "number.noise"
values = [0.5, 2.0]
[scale.smoke]
numbers = 4
)";

const Json kHere = {{"pellucid", "test"}, {"commit", "none"}, {"cores", 1}, {"date", "2026-01-01T00:00:00Z"}};

struct NumberStudy : testing::Test {
  core::Folder folder;
  const Folders folders{.run = folder / "run", .shared = folder / "shared"};
  Numbers system;

  Study read(const std::string& scale = "", const std::vector<std::string>& changes = {}) {
    core::write_file(folder / "numbers.toml", kStudy);
    return read_study(system, folder / "numbers.toml", scale, changes);
  }
  Json run(const Study& study, const core::Run& how = {}) { return run_study(study, system, folders, how, kHere); }
  void TearDown() override { core::request_stop(false); }
};

TEST_F(NumberStudy, HasGroupsIntervalsContrastsAndControls) {
  const Json result = run(read());
  EXPECT_EQ(result["system"], "numbers");
  ASSERT_EQ(result["groups"].size(), 4u);
  ASSERT_EQ(result["cells"].size(), 4u * 2 * 40);
  EXPECT_EQ(system.reads, 4 * 2 * 40);
  // The mean of |N(0, 1)| is 0.798; the mean of 16 copies has a quarter of the deviation.
  const auto mean = [&](std::size_t g) { return result["groups"][g]["metrics"]["error"]["mean"]; };
  EXPECT_NEAR(mean(0)["value"].get<double>(), 0.5 * 0.798, 0.15);
  EXPECT_NEAR(mean(3)["value"].get<double>(), 2.0 * 0.798 / 4, 0.15);
  EXPECT_LT(mean(3)["low"].get<double>(), mean(3)["value"].get<double>());
  ASSERT_EQ(result["contrasts"].size(), 2u);
  for (const auto& c : result["contrasts"]) {
    EXPECT_LT(c["difference"]["high"].get<double>(), 0) << "more copies, less error";
    EXPECT_EQ(c["significant"], true);
  }
  EXPECT_THAT(result["headline"].get<std::string>(),
              testing::MatchesRegex(
                  "many minus one: Noise 0.5: -0.[0-9]+ .-0.[0-9]+, -0.[0-9]+. .40 numbers x 2 repetitions.[.]"));
  EXPECT_EQ(result["metrics"].size(), 2u) << "an optional score that no reading has is left out";
  ASSERT_EQ(result["controls"].size(), 1u);
  EXPECT_EQ(result["controls"][0]["passed"], true);
}

TEST_F(NumberStudy, TestsTheScoreThatItNames) {
  const Json first = run(read()), result = run(read("", {"metric = \"square\""}));
  EXPECT_EQ(first["metrics"][0]["key"], "error");
  EXPECT_EQ(result["metrics"][0]["key"], "square");
  for (std::size_t c = 0; c < 2; ++c) {
    EXPECT_EQ(result["contrasts"][c]["metric"], "square");
    EXPECT_EQ(result["contrasts"][c]["difference"], first["contrasts"][c]["square"]);
    EXPECT_EQ(result["contrasts"][c]["error"], first["contrasts"][c]["difference"]) << "it stands beside";
  }
  EXPECT_NE(result["headline"], first["headline"]);
  core::expect_error([&] { (void)read("", {"metric = \"sqare\""}); }, core::ErrorKind::kUsage,
                     "metric: got \"sqare\", expected error or square (did you mean square?)");
}

TEST_F(NumberStudy, RefusesWhatItsTablesDoNotHave) {
  core::expect_error([&] { (void)read("", {"number.nois = 1.0"}); }, core::ErrorKind::kUsage, "did you mean noise?");
  core::expect_error([&] { (void)read("", {"model.net = \"lenet\""}); }, core::ErrorKind::kUsage,
                     "unknown table [model]");
  core::expect_error([&] { (void)read("", {"images = 3"}); }, core::ErrorKind::kUsage, "unknown key \"images\"");
}

// What a system answers is not believed.
TEST_F(NumberStudy, RefusesScoresThatNoFileCanHold) {
  struct Wrong : Numbers {
    std::map<std::string, double> scores;
    [[nodiscard]] record::Reading read(const Json&, const Subject&, const Json&, std::int64_t, const Shared&) override {
      return {.scores = scores};
    }
  } wrong;
  const auto study = read("smoke");
  for (const auto& scores : {std::map<std::string, double>{{"error", std::nan("")}}, {{"eror", 1.0}}}) {
    wrong.scores = scores;
    core::expect_error([&] { (void)run_study(study, wrong, folders, {}, kHere); }, core::ErrorKind::kInternal,
                       "numbers: the score e");
  }
}

TEST_F(NumberStudy, ComputesNothingTwiceAndGoesOnAfterAStop) {
  const auto study = read();
  int reports = 0;
  const core::Run stopping{.progress = [&](const core::Progress&) {
    if (++reports == 30) core::request_stop();
  }};
  core::expect_error([&] { (void)run(study, stopping); }, core::ErrorKind::kStopped, "");
  core::request_stop(false);
  const int before = system.reads;
  EXPECT_GT(before, 0);
  EXPECT_LT(before, 320);
  const Json result = run(study);
  EXPECT_EQ(system.reads, 320) << "what was there is not read again";
  EXPECT_EQ(run(study), result);
  EXPECT_EQ(system.reads, 320);
  const core::Folder other;
  Json alone = run_study(study, system, {.run = other / "run", .shared = other / "shared"}, {}, kHere);
  EXPECT_EQ(alone, result) << "stopped or not, the same result";
}

TEST_F(NumberStudy, TwoProcessesShareIt) {
  const auto study = read();
  std::vector<pid_t> children;
  for (int i = 0; i < 2; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        (void)run_study(study, system, folders, {}, kHere);
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const auto lines = core::read_text(folders.run / "cells.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 320) << "no cell was computed by both";
  (void)run(study);
  EXPECT_EQ(system.reads, 0) << "all of it was there";
}

TEST_F(NumberStudy, OutlinesWhatIsToDo) {
  const auto study = read("smoke");
  const auto before = outline(study, system, folders, {});
  ASSERT_EQ(before.readings.size(), 4u);
  EXPECT_EQ(before.readings[0].total, 8);
  EXPECT_EQ(before.readings[0].done, 0);
  EXPECT_FALSE(std::filesystem::exists(folders.run));
  (void)run(study);
  EXPECT_EQ(outline(study, system, folders, {}).readings[3].done, 8);
}

TEST_F(NumberStudy, HasAPageATableAndLaTeX) {
  const Json result = run(read());
  const auto page = core::read_text(report::write_report(folders.run));
  for (const char* text :
       {"Numbers in noise", "Absolute error", "many minus one", "Without noise the number comes back."})
    EXPECT_THAT(page, testing::HasSubstr(text));
  const auto csv = core::read_text(folders.run / "results.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 321);
  EXPECT_THAT(csv, testing::HasSubstr("error"));
  EXPECT_THAT(core::read_text(folders.run / "table.tex"), testing::HasSubstr("Absolute error"));
}

}  // namespace
}  // namespace pellucid::grid
