// Whole studies: damage, failures and what could not be reached.
#include "pellucid/report/html.h"

#include "tests/gradients/tiny_study.h"

#include <sstream>

namespace pellucid::gradients {
namespace {

TEST_F(RunStudy, ComputesAgainWhatIsDamagedAndSaysSo) {
  const auto study = read();
  std::vector<std::string> said;
  const auto run_again = [&] {
    said.clear();
    return run_study(study, folders, {.threads = 2}, [&](const std::string& sentence) { said.push_back(sentence); });
  };
  const Json expected = run_again();
  EXPECT_TRUE(said.empty());
  const auto flip = [](const std::filesystem::path& path, std::size_t at) {
    auto text = core::read_text(path);
    text.at(at) = static_cast<char>(text.at(at) ^ 1);
    core::write_file(path, text);
  };
  flip(folders.run / "cells.jsonl", 300);
  EXPECT_EQ(run_again(), expected) << "the same cell, the same result";
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0], testing::HasSubstr("1 of 16 lines is damaged (the first is line 1)"));
  const auto text = core::read_text(folders.run / "result.json");
  flip(folders.run / "result.json", text.find("\"psnr\"") + 20);
  EXPECT_EQ(without_dates(run_again()), without_dates(expected));
  ASSERT_EQ(said.size(), 2u) << "the damaged line is still there";
  EXPECT_THAT(said[1], testing::EndsWith("it is written again"));
  for (const char* content : {"", "{", "[]", "5", "{\"inputs\": 5}", "{\"inputs\": null, \"checksum\": 7}"}) {
    core::write_file(folders.run / "result.json", content);
    EXPECT_EQ(without_dates(run_again()), without_dates(expected)) << content;
    EXPECT_EQ(Json::parse(core::read_text(folders.run / "result.json"))["headline"], expected["headline"]) << content;
  }
}

TEST_F(RunStudy, WorksInNoOtherRunSFolder) {
  core::write_file(folders.run / "config.json", R"({"verb": "train"})");
  core::expect_error([&] { (void)run(read()); }, ErrorKind::kUsage, "holds a run of `pellucid train`");
  core::write_file(folders.run / "config.json", R"({"verb": "demo"})");
  core::expect_error([&] { (void)run(read()); }, ErrorKind::kUsage,
                     "holds the demo of an older version of Pellucid; remove it, or");
  core::write_file(folders.run / "config.json", R"({"verb": "study", "study": "another"})");
  core::expect_error([&] { (void)run(read()); }, ErrorKind::kUsage, "holds the study \"another\", got \"tiny\"");
  EXPECT_FALSE(std::filesystem::exists(folders.run / "cells.jsonl"));
  core::write_file(folders.run / "config.json", R"({"verb": "study", "study": "tiny"})");
  (void)run(read({"images = 1", "seeds = 1"}));
  EXPECT_EQ(Json::parse(core::read_text(folders.run / "config.json"))["settings"]["images"], 1);
}

TEST_F(RunStudy, WarnsOfATrainingThatLeftItsNetworkWeak) {
  const Json result = run(read(
      {"seeds = 1", "images = 1", "model.train_images = 1000", "training.epochs = 4", "model.judge_images = 20",
       "training.attack.epsilon = 1.0", "training.attack.step = 1e-9", "training.attack.random_start = false",
       "training.test_attack.epsilon = 1.0", "training.test_attack.step = 0.5", "training.test_attack.iterations = 4",
       R"(axis = [{ name = "mode", levels = [{ label = "standard" }, )"
       R"({ label = "adversarial", training.method = "adversarial" }] }])"}));
  const auto warnings = result["warnings"].dump();
  EXPECT_THAT(warnings, testing::HasSubstr("adversarial, seed 0: this network is right on ")) << result["trainings"];
  EXPECT_THAT(warnings,
              testing::HasSubstr("it is not robust, and what is compared with it says nothing about robustness"));
  EXPECT_THAT(warnings, testing::Not(testing::HasSubstr("standard, seed 0: this network is right")))
      << "it was not trained to be";
}

// What may be taken up from a journal is what the readers of results expect.
TEST_F(RunStudy, KnowsWhatIsAResult) {
  (void)run(read({"seeds = 1"}));
  const auto fits = [](const Json& cell, const Json& result) { return grid::is_kept_result(System(), cell, result); };
  for (const auto& path : {folders.run / "cells.jsonl", trained() / "cells.jsonl"}) {
    std::istringstream lines(core::read_text(path));
    for (std::string text; std::getline(lines, text);) {
      const auto line = record::read_journal_line(text);
      ASSERT_EQ(line.state, record::JournalLine::State::kWhole);
      EXPECT_TRUE(fits(line.cell, line.result)) << line.result;
      for (const Json& other : {Json(), Json(5), Json("text"), Json::array(), Json::object(), Json{{"status", 5}},
                                Json{{"status", "ok"}}}) {
        EXPECT_FALSE(fits(line.cell, other)) << other;
      }
      if (line.result["status"] != "ok") continue;
      for (const auto& [key, value] : line.result.items()) {
        Json wrong = line.result;
        if (key == "more") {
          wrong[key]["label"] = "another kind";
          EXPECT_FALSE(fits(line.cell, wrong)) << key;
          continue;
        }
        wrong[key] = Json{{"of", "another kind"}};
        EXPECT_FALSE(fits(line.cell, wrong)) << key;
      }
    }
  }
}

// What the machine does to a cell is no result of the cell.
TEST(Attempt, KeepsWhatIsTheWorksOwn) {
  EXPECT_EQ(attempt([]() -> Json { throw core::Error(ErrorKind::kUsage, "diverged"); }), grid::failed("diverged"));
  for (const auto kind :
       {ErrorKind::kData, ErrorKind::kModel, ErrorKind::kIo, ErrorKind::kStopped, ErrorKind::kInternal}) {
    core::expect_error([&] { (void)attempt([&]() -> Json { throw core::Error(kind, "no"); }); }, kind, "no");
  }
  const auto without_result = []() -> Json {
    TORCH_CHECK(false, "the decomposition did not converge");
    return {};
  };
  EXPECT_THAT(attempt(without_result)["reason"].get<std::string>(), testing::StartsWith("libtorch: "));
  core::expect_error(
      [] {
        (void)attempt([]() -> Json {
          TORCH_CHECK(false, "DefaultCPUAllocator: can't allocate memory");
          return {};
        });
      },
      ErrorKind::kIo, "memory");
}

TEST_F(RunStudy, AFailureIsARowWithItsReason) {
  // Of these trainings one loses its mind at once; the other is a network like any.
  const Json result = run(read(
      {"seeds = 1",
       R"(axis = [{ name = "rate", levels = [{ label = "sound" }, )"
       R"({ label = "mad", model.net = "small_cnn", training.optimiser = "sgd", training.learning_rate = 1000.0 }] }])",
       "compare = \"rate\""}));
  ASSERT_EQ(result["trainings"].size(), 2u);
  EXPECT_EQ(result["trainings"][0]["status"], "ok");
  EXPECT_EQ(result["trainings"][1]["status"], "failed");
  EXPECT_THAT(result["trainings"][1]["reason"].get<std::string>(), testing::HasSubstr("learning"));
  EXPECT_EQ(result["groups"][1]["failed"], 2);
  EXPECT_THAT(result["cells"][2]["reason"].get<std::string>(), testing::HasSubstr("training: "));
  EXPECT_TRUE(result["contrasts"][0]["difference"].is_null());
  EXPECT_THAT(result["warnings"].dump(), testing::HasSubstr("Nothing came out of 2 of 4 cells"));
  EXPECT_THAT(report::render(result, folders.run), testing::HasSubstr("failed"));
}

TEST_F(RunStudy, SaysWhichNetworksLearntNothing) {
  const Json result = run(read({"seeds = 1",
                                R"(axis = [{ name = "rate", levels = [)"
                                R"({ label = "idle", model.net = "small_cnn", training.learning_rate = 1e-12 }, )"
                                R"({ label = "sound", model.train_images = 1000, training.epochs = 4 }] }])",
                                "compare = \"\""}));
  EXPECT_GT(result["trainings"][1]["natural"]["value"].get<double>(), 0.5);
  ASSERT_EQ(result["warnings"].size(), 2u) << "and that the control at this budget fails: " << result["warnings"];
  EXPECT_THAT(result["warnings"][0].get<std::string>(),
              testing::StartsWith("idle, seed 0: this network learnt nothing ("));
}

TEST_F(RunStudy, WithoutItsNetworkANullControlIsNotRun) {
  const Json result = run(read(
      {"seeds = 1",
       R"(axis = [{ name = "rate", levels = [)"
       R"({ label = "mad", model.net = "small_cnn", training.optimiser = "sgd", training.learning_rate = 1000.0 }] }])",
       "compare = \"\""}));
  EXPECT_EQ(result["groups"][0]["failed"], 2);
  ASSERT_EQ(result["controls"][1]["kind"], "null");
  EXPECT_TRUE(result["controls"][1]["passed"].is_null());
  EXPECT_THAT(result["controls"][1]["sentence"].get<std::string>(), testing::StartsWith("not run: training: "));
  EXPECT_EQ(result["headline"], "No image could be reconstructed.");
  EXPECT_THAT(report::render(result, folders.run), testing::HasSubstr("not run"));
}

// The guard may end a training before the epoch whose weights a level names.
TEST_F(RunStudy, ACheckpointThatWasNotReachedIsARowWithItsReason) {
  const Json result =
      run(read({"seeds = 1", "training.method = \"adversarial\"", "training.epochs = 12", "training.guard_images = 64",
                "training.guard_fall = 0.0", "training.learning_rate = 0.3", "training.schedule = \"constant\"",
                R"(axis = [{ name = "stage", levels = [{ label = "end" }, )"
                R"({ label = "last", client.checkpoint = "epoch 12" }] }])",
                "compare = \"stage\""}));
  EXPECT_EQ(result["trainings"][0]["status"], "ok");
  EXPECT_EQ(result["trainings"][1]["status"], "failed")
      << "no epoch was worse than the one before: the test needs a training that the guard ends";
  EXPECT_THAT(result["trainings"][1]["reason"].get<std::string>(),
              testing::StartsWith("epoch 12: no such weights: the training ended after epoch"));
}

}  // namespace
}  // namespace pellucid::gradients
