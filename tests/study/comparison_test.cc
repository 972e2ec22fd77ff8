#include "pellucid/study/comparison.h"

#include "pellucid/core/config.h"
#include "pellucid/core/file.h"
#include "pellucid/core/stop.h"
#include "pellucid/report/html.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

#include <cmath>
#include <sstream>

namespace pellucid::study {
namespace {

using core::Json;
namespace fs = std::filesystem;

constexpr std::int64_t kSide = 12;  // SSIM needs 11

nets::Network network(std::uint64_t seed) { return tiny::network(tiny::spec("lenet", kSide), seed); }

std::vector<Subject> two(const nets::Network& first, const nets::Network& second) {
  return {{"standard", "Standard", first}, {"adversarial", "Robust", second}};
}
std::vector<Subject> two() { return two(network(0), network(1)); }

std::vector<Attack> both() {
  std::vector<Attack> attacks;
  for (const char* id : {"residual", "ig"}) {
    auto options = inversion::preset(id).options;
    options.iterations = 4;
    options.restarts = 2;
    attacks.push_back({id, std::string("Attack ") + id, options});
  }
  return attacks;
}

data::Dataset images() { return tiny::noise(2, 0, kSide); }

// The lines of the store, in the order in which they were finished.
std::vector<std::string> cells(const fs::path& folder) {
  std::vector<std::string> lines;
  std::istringstream text(core::read_text(folder / "cells.jsonl"));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

Json everything(const Comparison& c) {
  return {{"attacks", c.attacks},     {"images", c.images}, {"reconstructions", c.reconstructions},
          {"summaries", c.summaries}, {"paired", c.paired}, {"warnings", c.warnings},
          {"headline", c.headline}};
}

// A result file with this comparison in it, as a page.
std::string page(const Comparison& c, const fs::path& folder) {
  Json document = core::read_json(PELLUCID_GOLDEN "/../report/fixture/result.json");
  document.update(everything(c));
  document["conventions"] = conventions("Intervals: 95 %.", "evaluation mode");
  return report::render(document, folder);
}

// The first entry of a list with these values.
const Json& find(const Json& list, const std::map<std::string, Json>& wanted) {
  for (const auto& entry : list) {
    const bool matches = std::all_of(wanted.begin(), wanted.end(), [&](const auto& w) {
      return entry.contains(w.first) && entry[w.first] == w.second;
    });
    if (matches) return entry;
  }
  throw std::logic_error("no such entry");
}

// Two models, two attacks, two images: made once for the tests that only look at it.
struct Made {
  core::Folder folder;
  Comparison result = compare(two(), both(), images(), folder.path(), {});
};
const Made& made() {
  static const Made once;
  return once;
}

struct Compare : testing::Test {
  core::Folder folder;
  void TearDown() override { core::request_stop(false); }
};

TEST_F(Compare, ReconstructsEachImageFromEachModelByEachAttack) {
  const auto& result = made().result;
  const auto& path = made().folder.path();
  ASSERT_EQ(result.reconstructions.size(), 8u);
  std::set<std::string> names, files;
  for (const auto& r : result.reconstructions) {
    EXPECT_EQ(r["status"], "ok");
    EXPECT_EQ(r["restarts"], 2);
    EXPECT_GT(r["psnr"].get<double>(), 0);
    EXPECT_GE(r["oracle_psnr"].get<double>(), r["psnr"].get<double>());
    EXPECT_NEAR(r["psnr"].get<double>(), -10 * std::log10(r["mse"].get<double>()), 1e-9);
    EXPECT_GT(r["gradient_norm"].get<double>(), 0);
    EXPECT_EQ(r["curve"]["iteration"].size(), 5u);
    EXPECT_TRUE(fs::exists(path / r["file"].get<std::string>()));
    files.insert(r["file"]);
    names.insert(r["cell"]);
  }
  EXPECT_EQ(names.size(), 8u);
  EXPECT_EQ(files.size(), 8u);
  EXPECT_EQ(cells(path).size(), 8u);
  EXPECT_EQ(result.images[1],
            (Json{{"index", 1}, {"label", 1}, {"class", "b"}, {"original", "images/0001-original.png"}}));
  EXPECT_TRUE(fs::exists(path / "images/0001-original.png"));
  EXPECT_EQ(result.attacks[1]["settings"]["iterations"], 4);
}

TEST_F(Compare, MakesWhatTheReportShows) {
  EXPECT_THAT(page(made().result, made().folder.path()), testing::HasSubstr("Attack residual"));
}

TEST_F(Compare, ComputesNothingTwice) {
  const auto first = compare(two(), both(), images(), folder.path(), {});
  const auto kept = cells(folder.path());
  EXPECT_EQ(everything(compare(two(), both(), images(), folder.path(), {})), everything(first));
  EXPECT_EQ(cells(folder.path()), kept);
  auto attacks = both();
  attacks[0].options.tv = 0.5;
  (void)compare(two(), attacks, images(), folder.path(), {});
  EXPECT_EQ(cells(folder.path()).size(), kept.size() + 4) << "of one attack, two models and two images";
}

TEST_F(Compare, StartsFromTheSameNoiseUnderEveryModelAndAttack) {
  auto attacks = both();
  for (auto& attack : attacks) {
    attack.options.learning_rate = 0;
    attack.options.restarts = 1;
    attack.options.start = inversion::Start::kNormal;
  }
  const auto result = compare(two(), attacks, images(), folder.path(), {});
  std::map<int, std::set<std::string>> pictures;
  for (const auto& r : result.reconstructions) {
    pictures[r["image"].get<int>()].insert(core::sha256(core::read_file(folder.path() / r["file"].get<std::string>())));
  }
  EXPECT_EQ(pictures[0].size(), 1u);
  EXPECT_EQ(pictures[1].size(), 1u);
  EXPECT_NE(pictures[0], pictures[1]);
}

TEST_F(Compare, SubtractsTheFirstModelFromTheSecond) {
  const auto& result = made().result;
  for (const char* attack : {"residual", "ig"}) {
    for (const char* metric : {"psnr", "mse", "oracle_psnr"}) {
      double difference = 0;
      for (const auto& r : result.reconstructions) {
        if (r["attack"] == attack) difference += (r["model"] == "adversarial" ? 0.5 : -0.5) * r[metric].get<double>();
      }
      const Json& pair = find(result.paired, {{"attack", attack}, {"metric", metric}});
      EXPECT_NEAR(pair["difference"]["value"].get<double>(), difference, 1e-9);
      EXPECT_EQ(pair["n"], 2);
      EXPECT_EQ(pair["description"], "adversarial minus standard");
    }
  }
}

TEST_F(Compare, SummarisesEachModelAlone) {
  const auto& result = made().result;
  for (const char* model : {"standard", "adversarial"}) {
    const Json& summary = find(result.summaries, {{"attack", "ig"}, {"model", model}, {"metric", "ssim"}});
    const double a = find(result.reconstructions, {{"attack", "ig"}, {"model", model}, {"image", 0}})["ssim"];
    const double b = find(result.reconstructions, {{"attack", "ig"}, {"model", model}, {"image", 1}})["ssim"];
    EXPECT_NEAR(summary["mean"]["value"].get<double>(), (a + b) / 2, 1e-12);
    EXPECT_EQ(summary["max"], std::max(a, b));
    EXPECT_EQ(summary["n"], 2);
    EXPECT_EQ(summary["better"], "higher");
    EXPECT_EQ(summary["oracle"], false);
  }
  EXPECT_EQ(find(result.summaries, {{"metric", "oracle_psnr"}})["oracle"], true);
}

// Two images may have a bootstrap interval that excludes 0, but no right to a verdict: Wilcoxon's p is at least 0.5.
TEST_F(Compare, DoesNotJudgeFromTwoImages) {
  const nets::Network leaky = network(0), silent = tiny::sharpened(network(1), 1e-3);
  auto attack = both()[0];
  attack.options.iterations = 1;
  attack.options.restarts = 1;
  const auto result = compare(two(leaky, silent), {attack}, images(), folder.path(), {});
  EXPECT_THAT(result.headline, testing::StartsWith("No significant difference between the models by residual within 1 iterations: "));
  EXPECT_THAT(result.headline, testing::EndsWith(", n = 2."));
  EXPECT_LE(std::count(result.headline.begin(), result.headline.end(), ' ') + 1, 25) << result.headline;
}

// Six images with differences of one sign: p = 2 / 2^6.
TEST_F(Compare, SaysWhichModelIsEasierToReconstructFrom) {
  auto six = images();
  six.images = six.images.repeat({3, 1, 1, 1});
  six.labels = six.labels.repeat({3});
  auto attack = both()[0];
  attack.options.restarts = 1;
  const auto result = compare(two(network(0), tiny::sharpened(network(1), 1e-3)), {attack}, six, folder.path(), {});
  const Json& pair = find(result.paired, {{"metric", "psnr"}});
  const double low = pair["difference"]["low"], high = pair["difference"]["high"];
  const bool significant = pair["p_value"].get<double>() < 0.05 && (low > 0 || high < 0);
  EXPECT_THAT(result.headline, testing::StartsWith(!significant ? "No significant difference between the models by residual"
                                                   : low > 0    ? "Images are easier to reconstruct from the robust model by residual"
                                                                : "Images are easier to reconstruct from the standard model by residual"));
}

// Where float32 rounds the whole gradient away no image comes out: a row of the result, and not the end of the study.
TEST_F(Compare, KeepsFailuresAsData) {
  nets::Network mute = network(1);
  mute.state.at("fc.0.weight").zero_();
  mute.state.at("fc.0.bias") = torch::tensor({400.f, 200.f, 0.f, 0.f});
  auto first_only = images();
  first_only.labels = torch::tensor({0, 0});
  const auto result = compare(two(network(0), mute), {both()[0]}, first_only, folder.path(), {});
  const Json& failed = find(result.reconstructions, {{"model", "adversarial"}});
  EXPECT_EQ(failed["status"], "not_applicable");
  EXPECT_THAT(failed["reason"].get<std::string>(), testing::HasSubstr("zero everywhere"));
  EXPECT_TRUE(failed["file"].is_null());
  EXPECT_TRUE(failed["psnr"].is_null());
  EXPECT_TRUE(failed["oracle_psnr"].is_null());
  EXPECT_EQ(find(result.summaries, {{"model", "adversarial"}, {"metric", "psnr"}})["n"], 0);
  EXPECT_EQ(find(result.summaries, {{"model", "standard"}, {"metric", "psnr"}})["n"], 2);
  EXPECT_TRUE(find(result.paired, {{"metric", "psnr"}})["difference"].is_null());
  EXPECT_EQ(result.headline, "By residual no image could be reconstructed from both models.");
  EXPECT_EQ(everything(compare(two(network(0), mute), {both()[0]}, first_only, folder.path(), {})), everything(result));
  EXPECT_THAT(page(result, folder.path()), testing::HasSubstr("zero everywhere"));
}

TEST_F(Compare, WarnsOfConfidence) {
  nets::Network sure = network(1);
  sure.state.at("fc.0.bias") = sure.state.at("fc.0.bias") + torch::tensor({20.f, 0.f, 0.f, 0.f});
  auto first_only = images();
  first_only.labels = torch::tensor({0, 0});
  const auto result = compare(two(network(0), sure), both(), first_only, folder.path(), {});
  ASSERT_EQ(result.warnings.size(), 1u);
  EXPECT_THAT(result.warnings[0].get<std::string>(),
              testing::StartsWith("Robust model: 2 of 2 images have a logit margin above 15"));
  EXPECT_TRUE(find(result.reconstructions, {{"model", "standard"}})["warnings"].empty());
  const auto warning = [&](const char* attack) {
    return find(result.reconstructions, {{"attack", attack}, {"model", "adversarial"}})["warnings"][0]
        .get<std::string>();
  };
  EXPECT_THAT(warning("residual"), testing::HasSubstr("float32 rounds away p(true) - 1"));
  EXPECT_THAT(warning("ig"), testing::HasSubstr("an attack that recomputes the loss cannot match such a gradient"));
}

TEST_F(Compare, GoesOnAfterAStop) {
  const core::Run run{.progress = [](const core::Progress& p) { core::request_stop(p.done == 3); }};
  core::expect_error([&] { (void)compare(two(), both(), images(), folder.path(), run); }, core::ErrorKind::kStopped,
                     "stopped");
  const auto kept = cells(folder.path());
  EXPECT_EQ(kept.size(), 3u);
  core::request_stop(false);
  EXPECT_EQ(everything(compare(two(), both(), images(), folder.path(), {})), everything(made().result));
  EXPECT_EQ(cells(folder.path()).size(), 8u) << "what was finished was not computed again";
}

}  // namespace
}  // namespace pellucid::study
