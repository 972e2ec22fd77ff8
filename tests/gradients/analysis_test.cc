#include "pellucid/grid/analysis.h"

#include "pellucid/gradients/system.h"
#include "pellucid/stats/paired.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace pellucid::gradients {
namespace {

using core::Json;
using grid::Cell;
using grid::Study;
using record::Reading;

// With default settings for every group.
Json analyse(Study study, const std::vector<Cell>& cells, const std::set<std::size_t>& untaught = {}) {
  for (auto& group : study.groups) {
    if (group.settings.is_null()) group.settings = to_json(Settings());
  }
  return grid::analyse(System(), study, cells, untaught);
}

// Two modes by two attacks, with so many images and seeds.
Study study(std::int64_t images, std::int64_t seeds) {
  Study s;
  s.compare = "mode";
  s.items = images;
  s.first_item = 10;
  s.seeds = seeds;
  s.axes = {{"attack", "Attack", {{"ours", {}, {}}, {"theirs", {}, {}}}},
            {"mode", "Training", {{"standard", {}, {}}, {"robust", {}, {}}}}};
  for (std::size_t a = 0; a < 2; ++a) {
    for (std::size_t m = 0; m < 2; ++m) s.groups.push_back({{a, m}, {}});
  }
  return s;
}

// One cell for each (group, seed, image), by a function of these.
template <typename Make>
std::vector<Cell> cells(const Study& s, Make make) {
  std::vector<Cell> list;
  for (std::size_t g = 0; g < s.groups.size(); ++g) {
    for (std::int64_t seed = 0; seed < s.seeds; ++seed) {
      for (std::int64_t i = 0; i < s.items; ++i) list.push_back({g, seed, i, 10 * i, "", make(g, seed, i)});
    }
  }
  return list;
}

Reading ok(double psnr, double margin = 5) { return {.scores = {{"psnr", psnr}, {"margin", margin}}}; }

const Reading kFailed = {.status = record::Status::kFailed, .reason = "why"};

// Wilcoxon's p of eight differences of 3.
const double kAllAlike = stats::compare_paired(std::vector<double>(8, 3.0), std::vector<double>(8, 0.0)).p_value;

const Json& row(const Json& rows, const std::string& label) {
  for (const auto& r : rows) {
    if (r["label"] == label) return r;
  }
  throw std::logic_error("no row " + label);
}

TEST(Analyse, PairsImagesAndSeedsByWhatTheyAre) {
  const auto s = study(8, 2);
  // The robust network gives 3 dB more on every image of every seed under our attack, nothing under theirs.
  const auto result =
      analyse(s, cells(s, [](auto g, auto seed, auto i) { return ok(20 + 5.0 * i + 7.0 * seed + (g == 1 ? 3 : 0)); }));
  const auto& ours = row(result["contrasts"], "robust minus standard: ours");
  EXPECT_NEAR(ours["difference"]["value"].get<double>(), 3, 1e-12);
  EXPECT_NEAR(ours["difference"]["low"].get<double>(), 3, 1e-9) << "paired: the images' own differences are gone";
  EXPECT_EQ(ours["images"], 8);
  EXPECT_DOUBLE_EQ(ours["p_value"].get<double>(), kAllAlike);
  EXPECT_DOUBLE_EQ(ours["p_holm"].get<double>(), 2 * kAllAlike) << "of two comparisons";
  EXPECT_EQ(ours["significant"], 2 * kAllAlike < 0.05);
  EXPECT_TRUE(ours["needed"].is_null());
  const auto& theirs = row(result["contrasts"], "robust minus standard: theirs");
  EXPECT_EQ(theirs["significant"], false);
  EXPECT_EQ(theirs["p_value"], 1);
  EXPECT_TRUE(theirs["needed"].is_null()) << "no number of images detects a difference of nothing";
  EXPECT_EQ(row(result["groups"], "ours, robust")["metrics"]["psnr"]["max"], 20 + 35 + 7 + 3);
}

TEST(Analyse, SaysHowManyImagesAreNeeded) {
  const auto s = study(6, 1);
  const auto result =
      analyse(s, cells(s, [](auto g, auto, auto i) { return ok(20 + (g % 2 == 1 ? (i % 2 == 0 ? 4 : -3) : 0)); }));
  const auto& c = row(result["contrasts"], "robust minus standard: ours");
  EXPECT_NEAR(c["difference"]["value"].get<double>(), 0.5, 1e-12);
  EXPECT_GT(c["p_holm"].get<double>(), 0.05);
  EXPECT_GT(c["needed"].get<int>(), 400);
  EXPECT_THAT(result["headline"].get<std::string>(), testing::HasSubstr(", not significant (6 images x 1 training)."));
}

// Wilcoxon's test is sure of it, but not where the trainings may have been others: a difference is one only where both
// agree.
TEST(Analyse, NothingIsSignificantThatAnotherTrainingMayUndo) {
  const auto s = study(40, 2);
  const auto result = analyse(s, cells(s, [](auto g, auto seed, auto i) {
                                return ok(20 + (g % 2 == 1 ? (seed == 0 ? 4 : -3) + 0.01 * i : 0));
                              }));
  const auto& c = row(result["contrasts"], "robust minus standard: ours");
  EXPECT_LT(c["p_holm"].get<double>(), 0.05);
  EXPECT_LT(c["difference"]["low"].get<double>(), 0);
  EXPECT_EQ(c["significant"], false);
  EXPECT_TRUE(c["needed"].is_null()) << "more images would not help";
  EXPECT_THAT(result["headline"].get<std::string>(), testing::HasSubstr("not significant"));
}

TEST(Analyse, NamesTheLargestSignificantDifference) {
  Study s;
  s.compare = "mode";
  s.items = 10;
  s.axes = {{"stage", "Stage", {}}, {"mode", "Training", {{"standard", {}, {}}, {"robust", {}, {}}}}};
  for (std::size_t a = 0; a < 4; ++a) {
    s.axes[0].levels.push_back({"stage " + std::to_string(a), {}, {}});
    for (std::size_t m = 0; m < 2; ++m) s.groups.push_back({{a, m}, {}});
  }
  // At stage 1 the difference is wild, at stage 2 it is small and sure.
  const auto result = analyse(s, cells(s, [](auto g, auto, auto i) {
                                return ok(20 + (g == 3 ? (i % 3 == 0 ? 60 : -10) : g == 5 ? 2 : 0));
                              }));
  EXPECT_THAT(result["headline"].get<std::string>(), testing::StartsWith("robust minus standard: stage 2: +2.0 dB"));
  EXPECT_EQ(result["summary"][0],
            "The largest significant one of 4 differences: 1 significant and positive, 0 significant and negative, 3 "
            "not significant.");
  EXPECT_EQ(result["main_contrast"], 2);
}

// A network that learnt nothing may differ the most, and says the least.
TEST(Analyse, LeadsWithNetworksThatLearntSomething) {
  Study s;
  s.compare = "epsilon";
  s.items = 10;
  s.axes = {{"epsilon", "Epsilon", {}}};
  for (std::size_t e = 0; e < 5; ++e) {
    s.axes[0].levels.push_back({"0." + std::to_string(e), {}, {}});
    s.groups.push_back({{e}, {}});
  }
  const auto all = cells(s, [](auto g, auto, auto i) { return ok(40 - static_cast<double>(g * g) + 0.1 * i); });
  EXPECT_EQ(analyse(s, all)["main_contrast"], 3);
  const auto result = analyse(s, all, {4});
  EXPECT_EQ(result["main_contrast"], 2);
  EXPECT_THAT(result["headline"].get<std::string>(), testing::StartsWith("Epsilon 0.3 minus 0.0: -9.0 dB"));
  EXPECT_THAT(
      result["summary"][0].get<std::string>(),
      testing::StartsWith("The largest significant one of 4 differences (networks that learnt nothing left out): "));
  EXPECT_EQ(analyse(s, all, {0, 1, 2, 3, 4})["main_contrast"], 3) << "there are no others";
}

TEST(Analyse, TheHeadlineIsOneSentenceAndTheOtherContrastsStandBelow) {
  const auto s = study(10, 1);
  const auto result =
      analyse(s, cells(s, [](auto g, auto, auto i) { return ok(20 + (g % 2 == 1 ? 2 : 0) + 0.1 * i); }));
  EXPECT_EQ(result["headline"],
            "robust minus standard: ours: +2.0 dB [+2.0, +2.0] within 8 x 1000 iterations (10 images x 1 training).");
  EXPECT_EQ(result["summary"][0], "robust minus standard: theirs: +2.0 dB [+2.0, +2.0] within 8 x 1000 iterations.");
  Study single;
  single.compare = "epsilon";
  single.items = 10;
  single.axes = {{"epsilon", "Epsilon", {}}};
  for (std::size_t e = 0; e < 3; ++e) {
    single.axes[0].levels.push_back({"L2: 0." + std::to_string(e), {}, {}});
    single.groups.push_back({{e}, {}});
  }
  const auto other = analyse(single, cells(single, [](auto g, auto, auto i) { return ok(20 + 2.0 * g + 0.1 * i); }));
  EXPECT_THAT(other["headline"].get<std::string>(), testing::StartsWith("L2: 0.1 minus L2: 0.0: +2.0 dB"));
}

TEST(Analyse, OfAFewComparisonsLeadsWithTheFirstThatSaysSomething) {
  const auto s = study(4, 1);
  const auto result = analyse(
      s, cells(s, [](auto g, auto, auto i) { return g == 1 ? kFailed : ok(20.0 + static_cast<double>(g) + i); }));
  EXPECT_EQ(result["main_contrast"], 1);
}

TEST(Analyse, TakesTheMarginOutOfTheDifference) {
  const auto s = study(40, 1);
  // Every unit of the margin's size costs 2 dB, and robustness costs nothing. Half of the images are misclassified.
  const auto of_sizes = [&](double step) {
    return analyse(s, cells(s, [&](auto g, auto, auto i) {
                     const double size = g % 2 == 1 ? 9.5 - step * i : 10.0;
                     return ok(50 - 2 * size, i % 2 == 0 ? size : -size);
                   }));
  };
  const auto overlapping = of_sizes(0.015);  // 34 of 40 within 1
  const Json c = row(overlapping["contrasts"], "robust minus standard: ours")["at_equal_margin"];
  EXPECT_NEAR(c["value"].get<double>(), 0, 1e-9) << "by the margin's size: its sign would move the line";
  EXPECT_EQ(c["pairs"], 40);
  EXPECT_EQ(c["overlap"], 34);
  EXPECT_EQ(c["note"], "");
  const auto apart = of_sizes(0.1);
  const Json none = row(apart["contrasts"], "robust minus standard: ours")["at_equal_margin"];
  EXPECT_TRUE(none["value"].is_null()) << "no figure from a line that hardly any pair is near";
  EXPECT_EQ(none["overlap"], 6);
  EXPECT_EQ(none["note"], "left out: 6 of 40 pairs have margins whose sizes are within 1 of each other, fewer than 30");
}

TEST(Analyse, TakesTheMatchingLossOutOfTheDifference) {
  auto s = study(40, 1);
  // A tenfold loss costs 5 dB, and there are 2 dB beyond that.
  const auto with_losses = [&](double ratio) {
    return analyse(s, cells(s, [&](auto g, auto, auto i) {
                     const double loss = g % 2 == 1 ? 1e-3 : 1e-3 * ratio * (1 + 0.02 * static_cast<double>(i));
                     Reading cell = ok(20 - 5 * std::log10(loss) + (g % 2 == 1 ? 2 : 0));
                     cell.scores["matching_loss"] = i == 39 ? 0.0 : loss;  // no logarithm: the pair is left out
                     return cell;
                   }));
  };
  const auto near = with_losses(1.0);
  const Json& c = row(near["contrasts"], "robust minus standard: ours");
  EXPECT_NEAR(c["at_equal_loss"]["value"].get<double>(), 2, 1e-9);
  EXPECT_EQ(c["at_equal_loss"]["pairs"], 39);
  EXPECT_EQ(c["at_equal_loss"]["overlap"], 39);
  EXPECT_EQ(c["at_equal_loss"]["note"], "");
  EXPECT_THAT(near["summary"].dump(),
              testing::HasSubstr("At equal matching loss the difference is +2.0 dB [+2.0, +2.0]."));
  const auto far = with_losses(8.0);
  const Json& e = row(far["contrasts"], "robust minus standard: ours");
  EXPECT_NEAR(e["at_equal_loss"]["value"].get<double>(), 2, 1e-9) << "shown, but called what it is";
  EXPECT_EQ(e["at_equal_loss"]["note"],
            "extrapolated: 0 of 39 pairs have matching losses within a factor of 2 of each other, fewer than 30");
  EXPECT_NEAR(e["loss_ratio"]["value"].get<double>(), 1 / (8 * 1.38), 1e-3);
  for (auto& group : s.groups) {
    Settings settings;
    settings.attack.objective = group.levels[1] == 0 ? inversion::Objective::kCosine : inversion::Objective::kL2;
    group.settings = to_json(settings);
  }
  const auto other = with_losses(1.0);
  EXPECT_TRUE(row(other["contrasts"], "robust minus standard: ours")["at_equal_loss"].is_null())
      << "losses of other objectives";
  EXPECT_TRUE(row(other["contrasts"], "robust minus standard: ours")["loss_ratio"].is_null());
}

// A mean of decibels and the decibels of the mean error part where the images differ.
TEST(Analyse, SetsTheMeanOfDecibelsBesideTheDecibelsOfTheMeanError) {
  const auto s = study(8, 1);
  const auto result = analyse(s, cells(s, [](auto g, auto, auto i) {
                                // Every other image is already good, and only those differ: by 10 dB.
                                const double psnr = i % 2 == 0 ? 10 : g % 2 == 1 ? 30 : 40;
                                Reading cell = ok(psnr);
                                cell.scores["mse"] = std::pow(10, -psnr / 10);
                                cell.scores["ssim"] = i % 2 == 0 ? 0.2 : 0.9 + (g % 2 == 1 ? 0 : 0.02);
                                return cell;
                              }));
  const auto& c = row(result["contrasts"], "robust minus standard: ours");
  EXPECT_NEAR(c["difference"]["value"].get<double>(), -5, 1e-9);
  EXPECT_NEAR(c["of_mean_error"]["value"].get<double>(), 10 * std::log10((0.1 + 1e-4) / (0.1 + 1e-3)), 1e-9);
  EXPECT_LT(c["of_mean_error"]["low"].get<double>(), c["of_mean_error"]["high"].get<double>());
  EXPECT_NEAR(c["ssim"]["value"].get<double>(), -0.01, 1e-9);
  const auto& group = row(result["groups"], "ours, robust");
  EXPECT_NEAR(group["metrics"]["psnr"]["mean"]["value"].get<double>(), 20, 1e-9);
  EXPECT_NEAR(group["psnr_of_mean_error"]["value"].get<double>(), -10 * std::log10((0.1 + 1e-3) / 2), 1e-9);
}

// So that a page's first line is read at once. The labels are those of the studies that come with Pellucid.
TEST(Analyse, TheHeadlineHasAtMost25Words) {
  auto s = study(16, 3);
  s.axes[0].levels = {{"ig-residual", {}, {}}, {"residual (ours)", {}, {}}};
  s.axes[1].levels = {{"standard", {}, {}}, {"adversarial", {}, {}}};
  for (const double difference : {0.0, 3.0}) {
    const auto result = analyse(s, cells(s, [&](auto g, auto, auto i) {
                                  return ok(20 + (g % 2 == 1 ? difference : 0) + (g % 2 == 1 && i % 2 == 0 ? 0.1 : 0));
                                }));
    const auto headline = result["headline"].get<std::string>();
    EXPECT_LE(std::count(headline.begin(), headline.end(), ' ') + 1, 25) << headline;
    EXPECT_EQ(headline.find(". "), std::string::npos) << headline;
  }
}

TEST(Analyse, CountsWhatFailedAndComparesWithoutIt) {
  const auto s = study(8, 1);
  const auto result = analyse(s, cells(s, [](auto g, auto, auto i) {
                                return g == 1 && i < 3 ? kFailed : ok(20 + (g == 1 ? 1 : 0) + 3.0 * i);
                              }));
  EXPECT_EQ(row(result["groups"], "ours, robust")["failed"], 3);
  EXPECT_EQ(row(result["contrasts"], "robust minus standard: ours")["images"], 5);
  EXPECT_NEAR(row(result["contrasts"], "robust minus standard: ours")["difference"]["value"].get<double>(), 1, 1e-12);
  EXPECT_EQ(result["diagnoses"][0], (Json{{"code", "failed"}, {"cells", 3}, {"sentence", "why"}}));
}

TEST(Analyse, StandsWhereNothingCameOut) {
  const auto s = study(2, 2);
  const auto result = analyse(s, cells(s, [](auto, auto, auto) { return kFailed; }));
  EXPECT_TRUE(result["groups"][0]["metrics"]["psnr"]["mean"].is_null());
  EXPECT_TRUE(result["contrasts"][0]["difference"].is_null());
  EXPECT_THAT(result["headline"].get<std::string>(),
              testing::HasSubstr("no image could be reconstructed on both sides."));
}

TEST(Analyse, NamesBestAndWorstWhereNothingIsCompared) {
  auto s = study(3, 1);
  s.compare = "";
  const auto result = analyse(s, cells(s, [](auto g, auto, auto) { return ok(10 + 2.0 * static_cast<double>(g)); }));
  EXPECT_TRUE(result["contrasts"].empty());
  EXPECT_THAT(
      result["headline"].get<std::string>(),
      testing::StrEq(
          "Highest mean PSNR: theirs, robust, 16.0 dB; lowest: ours, standard, 10.0 dB (3 images x 1 training)."));
}

}  // namespace
}  // namespace pellucid::gradients
