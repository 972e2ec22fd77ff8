// Whole studies: what they compute, share and take up again.
#include "pellucid/report/html.h"

#include "tests/gradients/tiny_study.h"

#include <algorithm>
#include <map>
#include <set>

namespace pellucid::gradients {
namespace {

TEST_F(RunStudy, MakesEveryCellAndAReport) {
  const auto study = read();
  const Json result = run(study);
  EXPECT_EQ(result["schema"], "pellucid.study/2");
  EXPECT_EQ(result["trainings"].size(), 4u) << "two modes by two seeds; the attacks share them";
  EXPECT_EQ(result["groups"].size(), 4u);
  EXPECT_EQ(result["contrasts"].size(), 2u);
  ASSERT_EQ(result["cells"].size(), 16u);
  for (const auto& cell : result["cells"]) {
    EXPECT_EQ(cell["status"], "ok");
    EXPECT_NEAR(cell["gain"].get<double>(), cell["psnr"].get<double>() - cell["guess_psnr"].get<double>(), 1e-9);
  }
  ASSERT_EQ(result["controls"].size(), 7u) << "positive, null and network of two attacks, and the guess";
  for (const auto& control : result["controls"]) {
    EXPECT_EQ(control["passed"].is_null(), control["kind"] == "guess") << control;
    // Five iterations are too few for anything: only the control at the study's own budget shows it.
    EXPECT_NE(control["passed"], control["kind"] == "network") << control;
  }
  EXPECT_THAT(result["summary"].dump(), testing::HasSubstr("Positive control at this budget: "));
  EXPECT_THAT(result["warnings"].dump(),
              testing::HasSubstr("At the study's own budget the positive control on the untrained network fails"));
  EXPECT_EQ(result["gallery"].size(), 2u);
  EXPECT_EQ(result["gallery"][0]["readings"].size(), 4u);
  for (const char* kind : {"natural", "robust"}) EXPECT_GT(result["groups"][0][kind]["n"], 0);
  EXPECT_THAT(report::render(result, folders.run), testing::HasSubstr("Tiny"));
}

// The tiny study with other axes.
Study with_axes(const std::filesystem::path& folder, const std::string& axes) {
  std::string text(kTiny.substr(0, kTiny.find("[[axis]]")));
  text.replace(text.find("compare = \"mode\""), 16, "compare = \"attack\"");
  core::write_file(folder / "axes.toml", text + axes);
  return read_study(folder / "axes.toml", "");
}

// What a defence protects, and how much of it is the attacker's ignorance, are differences of the groups' means.
TEST_F(RunStudy, SaysWhatOfADefenceIsTheAttackersIgnorance) {
  const Json result = run(with_axes(folder.path(), R"(
[[axis]]
name = "defence"
levels = [{ label = "none" }, { label = "four bits", client.mechanisms = "quantise 4" }]
[[axis]]
name = "attack"
levels = [{ label = "ignores it" }, { label = "knows it", attack.mechanisms = "known" }]
)"));
  ASSERT_EQ(result["protections"].size(), 1u);
  const Json& row = result["protections"][0];
  const auto psnr = [&](std::size_t group) {
    return result["groups"][group]["metrics"]["psnr"]["mean"]["value"].get<double>();
  };
  EXPECT_EQ(row["mechanisms"], "quantise 4");
  EXPECT_EQ(row["group"], 3);
  EXPECT_DOUBLE_EQ(row["protects"], psnr(0) - psnr(2));
  EXPECT_DOUBLE_EQ(row["ignorance"], psnr(3) - psnr(2));
  EXPECT_THAT(result["summary"].dump(), testing::HasSubstr("Defence quantise 4"));
}

TEST_F(RunStudy, SaysWhatIsShared) {
  const Json result = run(with_axes(folder.path(), R"(
[[axis]]
name = "batch"
levels = [{ label = "1" }, { label = "2", client.batch_size = 2, client.share_labels = true }]
[[axis]]
name = "attack"
levels = [{ label = "theirs", attack.preset = "ig" }]
)"));
  EXPECT_THAT(
      result["conventions"].dump(),
      testing::HasSubstr("in float32 by the framework's cross-entropy, in evaluation mode, of one image each or "
                         "2 images; labels are not shared or shared."));
  EXPECT_FALSE(result.contains("protections"));
}

TEST_F(RunStudy, ComputesNothingTwice) {
  const auto study = read();
  const Json first = run(study);
  const auto before = cells();
  EXPECT_EQ(run(study), first) << "dates too: what is finished is not summed up again";
  EXPECT_EQ(cells(), before);
  const Json more = run(read({"images = 3"}));
  EXPECT_EQ(std::count(before.begin(), before.end(), '\n'), 16);
  const auto after = cells();
  EXPECT_EQ(std::count(after.begin(), after.end(), '\n'), 24) << "the images that were there are taken up";
  EXPECT_EQ(more["cells"].size(), 24u);
}

// In the store of the trained networks: the lines that hold a network, and those that hold a control.
std::int64_t lines_with(const std::string& what) {
  const std::string text = core::read_text(trained() / "cells.jsonl");
  std::int64_t count = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST_F(RunStudy, StudiesShareTrainingsAndControls) {
  (void)run(read());
  const auto networks = lines_with(R"("cell":{"network":)"), controls = lines_with(R"("control":"positive")");
  ASSERT_GE(networks, 4);
  ASSERT_GE(controls, 2);
  // The same networks, other images and another gallery: another study of another folder.
  const Folders other{.run = folder.path() / "other", .shared = trained()};
  const Json result = run_study(read({"first_image = 5", "compare = \"attack\""}), other, {.threads = 2});
  EXPECT_EQ(result["trainings"].size(), 4u);
  EXPECT_EQ(lines_with(R"("cell":{"network":)"), networks) << "nothing was trained or measured again";
  EXPECT_EQ(lines_with(R"("control":"positive")"), controls + 2) << "on other images controls are others";
}

TEST_F(RunStudy, RefusesACheckpointAfterTheEnd) {
  core::expect_error(
      [&] {
        (void)run(read({"training.checkpoint_steps = [9]", "client.checkpoint = \"step 9\""}));
      },
      ErrorKind::kUsage, "client.checkpoint: got \"step 9\", expected at most step 8");
  EXPECT_FALSE(std::filesystem::exists(folders.run));
}

// What judges a training is no part of it: the networks stand, and only their accuracies are measured anew.
TEST_F(RunStudy, AnotherJudgeTrainsNothingAgain) {
  const core::Folder elsewhere;
  const Folders here{.run = folder.path() / "run", .shared = elsewhere.path() / "trained"};
  const auto trainings = [&] {
    return std::count_if(std::filesystem::directory_iterator(here.shared), {},
                         [](const auto& entry) { return entry.is_directory(); });
  };
  const std::vector<std::string> one = {"seeds = 1", "images = 1"};
  const Json first = run_study(read(one), here, {.threads = 2});
  ASSERT_EQ(trainings(), 2);
  auto other = one;
  other.insert(other.end(), {"training.test_attack.iterations = 2", "training.test_attack_images = 6",
                             "model.judge_images = 7", "model.test_images = 24"});
  const Json second = run_study(read(other), here, {.threads = 2});
  EXPECT_EQ(trainings(), 2);
  EXPECT_EQ(first["trainings"][0]["id"], second["trainings"][0]["id"]);
  EXPECT_EQ(first["trainings"][0]["natural"]["n"], 32);
  EXPECT_EQ(second["trainings"][0]["natural"]["n"], 24);
  EXPECT_EQ(second["trainings"][0]["robust"]["n"], 7);
  EXPECT_TRUE(first["trainings"][0]["curve"]["robust"][0].is_null());
  EXPECT_FALSE(second["trainings"][0]["curve"]["robust"][0].is_null()) << "the curve is judged as the study says";
  EXPECT_EQ(first["cells"], second["cells"]);
}

TEST_F(RunStudy, PairsBySeedAndStartNoise) {
  // A descent that does not move ends where it began.
  const Json result = run(read({"attack.learning_rate = 0.0", "attack.l1 = 0.0", "attack.start = \"uniform\""}));
  std::map<std::int64_t, std::set<std::string>> pictures;
  for (const auto& image : result["gallery"]) {
    for (const auto& r : image["readings"]) pictures[image["image"]].insert(r["png"].get<std::string>());
  }
  ASSERT_EQ(pictures.size(), 2u);
  const auto &first = pictures.begin()->second, &second = pictures.rbegin()->second;
  EXPECT_EQ(first.size(), 1u) << "every mode and attack began at the same noise";
  EXPECT_NE(first, second);
}

TEST_F(RunStudy, GoesOnAfterStopsToTheSameResult) {
  const Json expected = run(read());
  const core::Folder other;
  const Folders here{.run = other.path() / "run", .shared = other.path() / "trained"};
  const auto study = read();
  int stops = 0;
  Json result;
  for (int tries = 0; tries < 100 && result.is_null(); ++tries) {
    int reports = 0;
    const core::Run stopping{.progress =
                                 [&](const core::Progress&) {
                                   if (++reports == 7) core::request_stop();  // an accuracy, measured anew, takes five
                                 },
                             .threads = 2};
    try {
      result = run_study(study, here, stopping);
    } catch (const core::Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::kStopped) << error.what();
      ++stops;
    }
    core::request_stop(false);
  }
  EXPECT_GT(stops, 3);
  const auto weights = [&](const auto& entry) { return std::filesystem::exists(entry.path() / "model.safetensors"); };
  EXPECT_EQ(std::count_if(std::filesystem::directory_iterator(here.shared), {}, weights), 4)
      << "two modes by two seeds: the attacks share them";
  EXPECT_EQ(without_dates(result), without_dates(expected));
}

TEST_F(RunStudy, ReadsFromTheCheckpointThatIsNamed) {
  const Json result =
      run(read({R"(axis = [{ name = "stage", levels = [{ label = "begin", client.checkpoint = "step 0" }, )"
                R"({ label = "end" }] }])",
                "compare = \"stage\"", "seeds = 1"}));
  ASSERT_EQ(result["trainings"].size(), 2u);
  EXPECT_EQ(result["trainings"][0]["id"], result["trainings"][1]["id"]) << "one training, two looks at it";
  EXPECT_NE(result["cells"][0]["gradient_norm"], result["cells"][2]["gradient_norm"]);
}

TEST_F(RunStudy, ScalesTheLogitsAndNothingElse) {
  const Json result =
      run(read({R"(axis = [{ name = "scale", levels = [{ label = "1" }, { label = "3", client.logit_scale = 3.0 }] }])",
                "compare = \"scale\"", "seeds = 1"}));
  EXPECT_NEAR(result["cells"][2]["margin"].get<double>(), 3 * result["cells"][0]["margin"].get<double>(), 1e-4);
  Datasets datasets;
  auto training = training_of(settings(read().groups[0].settings), 0, datasets);
  const auto plain = load(training, trained());
  training.settings.logit_scale = 3;
  const auto scaled = load(training, trained());
  const Tensor images = data::pixels(datasets.test(training.settings), torch::arange(8));
  EXPECT_TRUE(torch::allclose(nets::logits(scaled, images), 3 * nets::logits(plain, images), 1e-5, 1e-5));
}

TEST_F(RunStudy, WithoutImagesItSaysWhatTheNetworksCanDo) {
  const Json result = run(read({"images = 0"}));
  EXPECT_TRUE(result["cells"].empty());
  EXPECT_THAT(result["headline"].get<std::string>(),
              testing::MatchesRegex("Accuracy under attack: [a-z, ]+ [0-9.]+ % \\([0-9.]+ % natural\\)(, [a-z, ]+ "
                                    "[0-9.]+ % \\([0-9.]+ % natural\\))?; 2 trainings each\\."));
  ASSERT_EQ(result["summary"].size(), 4u);
  EXPECT_THAT(result["summary"][0].get<std::string>(), testing::StartsWith("standard, ours: "));
}

TEST_F(RunStudy, ReadsAnImageInTheCompanyOfItsBatch) {
  const auto result =
      run(read({R"(axis = [{ name = "size", levels = [{ label = "1" }, { label = "3", client.batch_size = 3 }] }])",
                R"(compare = "size")", R"(attack.preset = "ig")", "attack.iterations = 5", "client.share_labels = true",
                "seeds = 1"}));
  ASSERT_EQ(result["cells"].size(), 4u);
  for (const auto& cell : result["cells"]) {
    EXPECT_EQ(cell["status"], "ok");
    EXPECT_TRUE(cell["psnr"].is_number());
  }
  EXPECT_EQ(result["cells"][0]["image"], result["cells"][2]["image"]) << "the same image, alone and in company";
  EXPECT_NE(result["cells"][0]["psnr"], result["cells"][2]["psnr"]);
}

TEST_F(RunStudy, RefusesAnAttackThatCannotReadABatch) {
  const auto refused = [&](std::vector<std::string> changes, const char* why) {
    core::expect_error([&] { (void)run(read(std::move(changes))); }, ErrorKind::kUsage, why);
  };
  refused({"client.batch_size = 2", "attack.labels = \"idlg\""},
          "client.share_labels = false, attack.preset = residual: labels: idlg reads the label of one image");
  refused(
      {"client.batch_size = 2", "client.share_labels = true"},
      "client.batch_size = 2, client.share_labels = true, attack.preset = residual: the residual attack: got a batch "
      "of 2, expected one image; use ig");
  refused({"client.batch_size = 4096"}, "client.batch_size: got 4096, expected at most");
}

TEST_F(RunStudy, OutlinesWithoutChangingAnything) {
  const auto study = read();
  const Folders none{.run = folder.path() / "run", .shared = folder.path() / "trained"};
  const auto before = outline(study, none, {.threads = 2});
  EXPECT_FALSE(std::filesystem::exists(none.run));
  EXPECT_FALSE(std::filesystem::exists(none.shared));
  ASSERT_EQ(before.subjects.size(), 4u);
  ASSERT_EQ(before.readings.size(), 4u);
  EXPECT_EQ(before.subjects[0].done, 0);
  EXPECT_GT(before.subjects[0].seconds, 0);
  EXPECT_EQ(before.readings[0].total, 4);
  EXPECT_GT(before.readings[0].seconds, 0);
  (void)run(study);
  const auto after = outline(study, folders, {.threads = 2});
  EXPECT_EQ(after.subjects[3].done, 1);
  EXPECT_EQ(after.readings[3].done, 4);
  EXPECT_EQ(after.readings[3].seconds, 0);
}

}  // namespace
}  // namespace pellucid::gradients
