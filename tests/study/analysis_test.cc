#include "pellucid/study/analysis.h"

#include "pellucid/stats/paired.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::study {
namespace {

using core::Json;

// Two modes by two attacks, with so many images and seeds.
Study study(std::int64_t images, std::int64_t seeds) {
  Study s;
  s.compare = "mode";
  s.images = images;
  s.first_image = 10;
  s.seeds = seeds;
  s.axes = {{"attack", "Attack", {{"ours", {}, {}}, {"theirs", {}, {}}}}, {"mode", "Training", {{"standard", {}, {}}, {"robust", {}, {}}}}};
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
      for (std::int64_t i = 0; i < s.images; ++i) list.push_back({g, seed, i, 10 * i, "", make(g, seed, i)});
    }
  }
  return list;
}

Json ok(double psnr, double margin = 5) { return {{"status", "ok"}, {"psnr", psnr}, {"margin", margin}, {"diagnoses", Json::array()}}; }

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
  const auto result = analyse(s, cells(s, [](auto g, auto seed, auto i) { return ok(20 + 5.0 * i + 7.0 * seed + (g == 1 ? 3 : 0)); }));
  const auto& ours = row(result["contrasts"], "robust minus standard: ours");
  EXPECT_NEAR(ours["difference"]["value"].get<double>(), 3, 1e-12);
  EXPECT_NEAR(ours["difference"]["low"].get<double>(), 3, 1e-9) << "paired: the images' own differences are gone";
  EXPECT_EQ(ours["images"], 8);
  EXPECT_DOUBLE_EQ(ours["p_value"].get<double>(), kAllAlike);
  EXPECT_DOUBLE_EQ(ours["p_holm"].get<double>(), 2 * kAllAlike) << "of two comparisons";
  EXPECT_EQ(ours["told"], 2 * kAllAlike < 0.05);
  EXPECT_TRUE(ours["needed"].is_null());
  const auto& theirs = row(result["contrasts"], "robust minus standard: theirs");
  EXPECT_EQ(theirs["told"], false);
  EXPECT_EQ(theirs["p_value"], 1);
  EXPECT_TRUE(theirs["needed"].is_null()) << "no number of images tells a difference of nothing";
  EXPECT_EQ(row(result["groups"], "ours, robust")["metrics"]["psnr"]["max"], 20 + 35 + 7 + 3);
}

TEST(Analyse, SaysHowManyImagesWouldTell) {
  const auto s = study(6, 1);
  const auto result = analyse(s, cells(s, [](auto g, auto, auto i) { return ok(20 + (g % 2 == 1 ? (i % 2 == 0 ? 4 : -3) : 0)); }));
  const auto& c = row(result["contrasts"], "robust minus standard: ours");
  EXPECT_NEAR(c["difference"]["value"].get<double>(), 0.5, 1e-12);
  EXPECT_GT(c["p_holm"].get<double>(), 0.05);
  EXPECT_GT(c["needed"].get<int>(), 400);
  EXPECT_THAT(result["headline"].get<std::string>(), testing::HasSubstr("which is not told from nothing"));
}

// Wilcoxon's test is sure of it, but not where the trainings may have been others: a difference is one only where both agree.
TEST(Analyse, TellsNothingThatAnotherTrainingMayUndo) {
  const auto s = study(40, 2);
  const auto result = analyse(s, cells(s, [](auto g, auto seed, auto i) { return ok(20 + (g % 2 == 1 ? (seed == 0 ? 4 : -3) + 0.01 * i : 0)); }));
  const auto& c = row(result["contrasts"], "robust minus standard: ours");
  EXPECT_LT(c["p_holm"].get<double>(), 0.05);
  EXPECT_LT(c["difference"]["low"].get<double>(), 0);
  EXPECT_EQ(c["told"], false);
  EXPECT_TRUE(c["needed"].is_null()) << "more images would not help";
  EXPECT_THAT(result["headline"].get<std::string>(), testing::HasSubstr("not told from nothing"));
}

TEST(Analyse, NamesTheLargestDifferenceThatIsTold) {
  Study s;
  s.compare = "mode";
  s.images = 10;
  s.axes = {{"stage", "Stage", {}}, {"mode", "Training", {{"standard", {}, {}}, {"robust", {}, {}}}}};
  for (std::size_t a = 0; a < 4; ++a) {
    s.axes[0].levels.push_back({"stage " + std::to_string(a), {}, {}});
    for (std::size_t m = 0; m < 2; ++m) s.groups.push_back({{a, m}, {}});
  }
  // At stage 1 the difference is wild, at stage 2 it is small and sure.
  const auto result = analyse(s, cells(s, [](auto g, auto, auto i) { return ok(20 + (g == 3 ? (i % 3 == 0 ? 60 : -10) : g == 5 ? 2 : 0)); }));
  EXPECT_THAT(result["headline"].get<std::string>(),
              testing::AllOf(testing::StartsWith("robust minus standard: stage 2: +2.0 dB"),
                             testing::HasSubstr("That is the largest difference of those told. Of 4 comparisons 1 give away more than their "
                                                "reference, 0 less, and 3 cannot be told.")));
  EXPECT_EQ(result["main_contrast"], 2);
}

// A network that learnt nothing may differ the most, and says the least.
TEST(Analyse, LeadsWithNetworksThatLearntSomething) {
  Study s;
  s.compare = "epsilon";
  s.images = 10;
  s.axes = {{"epsilon", "Epsilon", {}}};
  for (std::size_t e = 0; e < 5; ++e) {
    s.axes[0].levels.push_back({"0." + std::to_string(e), {}, {}});
    s.groups.push_back({{e}, {}});
  }
  const auto all = cells(s, [](auto g, auto, auto i) { return ok(40 - static_cast<double>(g * g) + 0.1 * i); });
  EXPECT_EQ(analyse(s, all)["main_contrast"], 3);
  const auto result = analyse(s, all, {4});
  EXPECT_EQ(result["main_contrast"], 2);
  EXPECT_THAT(result["headline"].get<std::string>(),
              testing::AllOf(testing::StartsWith("Epsilon 0.3 minus 0.0: -9.0 dB"),
                             testing::HasSubstr("That is the largest difference of those told, networks that learnt nothing left out.")));
  EXPECT_EQ(analyse(s, all, {0, 1, 2, 3, 4})["main_contrast"], 3) << "there are no others";
}

TEST(Analyse, NamesOnceWhatAFewComparisonsCompare) {
  const auto s = study(10, 1);
  const auto result = analyse(s, cells(s, [](auto g, auto, auto i) { return ok(20 + (g % 2 == 1 ? 2 : 0) + 0.1 * i); }));
  EXPECT_THAT(result["headline"].get<std::string>(),
              testing::AllOf(testing::StartsWith("robust minus standard: ours: +2.0 dB ["), testing::HasSubstr("]. theirs: +2.0 dB [")));
  Study single;
  single.compare = "epsilon";
  single.images = 10;
  single.axes = {{"epsilon", "Epsilon", {}}};
  for (std::size_t e = 0; e < 3; ++e) {
    single.axes[0].levels.push_back({"L2: 0." + std::to_string(e), {}, {}});
    single.groups.push_back({{e}, {}});
  }
  const auto other = analyse(single, cells(single, [](auto g, auto, auto i) { return ok(20 + 2.0 * g + 0.1 * i); }));
  EXPECT_THAT(other["headline"].get<std::string>(), testing::HasSubstr("]. L2: 0.2 minus L2: 0.0: +4.0 dB"));
}

TEST(Analyse, OfAFewComparisonsLeadsWithTheFirstThatSaysSomething) {
  const auto s = study(4, 1);
  const auto result = analyse(s, cells(s, [](auto g, auto, auto i) {
                                return g == 1 ? Json{{"status", "failed"}, {"reason", "why"}} : ok(20.0 + static_cast<double>(g) + i);
                              }));
  EXPECT_EQ(result["main_contrast"], 1);
}

TEST(Analyse, TakesTheMarginOutOfTheDifference) {
  const auto s = study(12, 1);
  // Every unit of margin costs 2 dB, and robustness costs nothing: the gap is all margin.
  const auto result = analyse(s, cells(s, [](auto g, auto, auto i) {
                                const double margin = g % 2 == 1 ? 5 + 0.3 * i : 10.0;
                                return ok(50 - 2 * margin, margin);
                              }));
  const auto& c = row(result["contrasts"], "robust minus standard: ours");
  EXPECT_GT(c["difference"]["value"].get<double>(), 6);
  EXPECT_NEAR(c["at_equal_margin"]["value"].get<double>(), 0, 1e-9);
}

TEST(Analyse, CountsWhatFailedAndComparesWithoutIt) {
  const auto s = study(8, 1);
  const auto result = analyse(s, cells(s, [](auto g, auto, auto i) {
                                return g == 1 && i < 3 ? Json{{"status", "failed"}, {"reason", "why"}} : ok(20 + (g == 1 ? 1 : 0) + 3.0 * i);
                              }));
  EXPECT_EQ(row(result["groups"], "ours, robust")["failed"], 3);
  EXPECT_EQ(row(result["contrasts"], "robust minus standard: ours")["images"], 5);
  EXPECT_NEAR(row(result["contrasts"], "robust minus standard: ours")["difference"]["value"].get<double>(), 1, 1e-12);
  EXPECT_EQ(result["diagnoses"][0], (Json{{"code", "failed"}, {"cells", 3}, {"sentence", "why"}}));
}

TEST(Analyse, StandsWhereNothingCameOut) {
  const auto s = study(2, 2);
  const auto result = analyse(s, cells(s, [](auto, auto, auto) { return Json{{"status", "failed"}, {"reason", "why"}}; }));
  EXPECT_TRUE(result["groups"][0]["metrics"]["psnr"]["mean"].is_null());
  EXPECT_TRUE(result["contrasts"][0]["difference"].is_null());
  EXPECT_THAT(result["headline"].get<std::string>(), testing::HasSubstr("no image came out"));
}

TEST(Analyse, NamesBestAndWorstWhereNothingIsCompared) {
  auto s = study(3, 1);
  s.compare = "";
  const auto result = analyse(s, cells(s, [](auto g, auto, auto) { return ok(10 + 2.0 * static_cast<double>(g)); }));
  EXPECT_TRUE(result["contrasts"].empty());
  EXPECT_THAT(result["headline"].get<std::string>(), testing::StartsWith("Most comes back with theirs, robust: 16.0 dB [16.0, 16.0]; least with ours, standard"));
}

}  // namespace
}  // namespace pellucid::study
