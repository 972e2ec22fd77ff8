#include "pellucid/grid/run.h"

#include "pellucid/core/file.h"
#include "pellucid/core/stop.h"
#include "pellucid/data/image_file.h"
#include "pellucid/gradients/is_measured.h"
#include "pellucid/gradients/system.h"
#include "pellucid/nets/weights.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/report/html.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"

#include <algorithm>
#include <sstream>

namespace pellucid::gradients {
namespace {

using core::ErrorKind;
using core::Json;

constexpr std::string_view kTiny = R"(
title = "Tiny"
compare = "mode"
images = 2
seeds = 2
[model]
data = "patterns"
net = "lenet"
train_images = 64
test_images = 32
judge_images = 4
[training]
epochs = 1
batch_size = 8
checkpoint_steps = [0]
test_attack_images = 0
[training.attack]
iterations = 1
[training.test_attack]
iterations = 1
[attack]
iterations = 5
restarts = 1
[[axis]]
name = "mode"
levels = [{ label = "standard" }, { label = "adversarial", training.method = "adversarial" }]
[[axis]]
name = "attack"
levels = [{ label = "ours", attack.preset = "residual" }, { label = "theirs", attack.preset = "ig" }]
)";

// Networks and controls are made once for all tests, as studies do.
const std::filesystem::path& trained() {
  static const core::Folder folder;
  return folder.path();
}

using grid::Folders;
using grid::Study;

Study read_study(const std::filesystem::path& file, const std::string& scale,
                 const std::vector<std::string>& changes = {}) {
  return grid::read_study(System(), file, scale, changes);
}

Json run_study(const Study& study, const Folders& folders, const core::Run& run,
               const std::function<void(const std::string&)>& warn = {}) {
  System system;
  return grid::run_study(study, system, folders, run,
                         {{"pellucid", "test"}, {"commit", "none"}, {"cores", 2}, {"date", "2026-01-01T00:00:00Z"}}, {},
                         warn);
}

grid::Outline outline(const Study& study, const Folders& folders, const core::Run& run) {
  System system;
  return grid::outline(study, system, folders, run);
}

struct RunStudy : testing::Test {
  core::Folder folder;
  const Folders folders{.run = folder.path() / "run", .shared = trained()};

  Study read(const std::vector<std::string>& changes = {}) {
    core::write_file(folder.path() / "tiny.toml", kTiny);
    return read_study(folder.path() / "tiny.toml", "", changes);
  }
  Json run(const Study& study) { return run_study(study, folders, {.threads = 2}); }
  std::string cells() { return core::read_text(folders.run / "cells.jsonl"); }
  void TearDown() override { core::request_stop(false); }
};

Json without_dates(Json result) {
  result.erase("environment");
  result.erase("checksum");  // it knows the date
  return result;
}

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

// What one training is judged on may differ between two groups: both are measured, and the study ends.
TEST_F(RunStudy, GroupsMayBeJudgedOnDifferentImages) {
  const Json result =
      run(read({"seeds = 1", R"(axis = [{ name = "judge", key = "model.judge_images", values = [3, 5] }])",
                "compare = \"judge\""}));
  ASSERT_EQ(result["trainings"].size(), 2u);
  EXPECT_EQ(result["trainings"][0]["id"], result["trainings"][1]["id"]);
  EXPECT_EQ(result["trainings"][0]["robust"]["n"], 3);
  EXPECT_EQ(result["trainings"][1]["robust"]["n"], 5);
  EXPECT_EQ(result["trainings"][1]["label"], "judge 5, seed 0");
}

TEST_F(RunStudy, RefusesImagesThatAreNotThere) {
  for (const char* first : {"first_image = 999", "first_image = 9223372036854675807"}) {
    core::expect_error([&] { (void)run(read({first})); }, ErrorKind::kUsage,
                       "expected 0 to 999: patterns has 1000 test images here");
  }
  EXPECT_FALSE(std::filesystem::exists(folders.run)) << "a refused study leaves nothing";
}

TEST_F(RunStudy, DrawsImagesWithEveryClass) {
  const auto study = read({"images = 20", "seeds = 1", "attack.iterations = 1"});
  const Json result = run(study);
  Datasets datasets;
  const auto& set = datasets.all_test(settings(study.groups[0].settings));
  const Tensor order = data::sample_order(set, 0);
  std::map<std::int64_t, int> classes;
  for (std::int64_t i = 0; i < 20; ++i) {
    const Json& cell = result["cells"][static_cast<std::size_t>(i)];
    EXPECT_EQ(cell["image"], order[i].item<std::int64_t>()) << "its own number in the test set";
    EXPECT_EQ(cell["label"], set.labels[cell["image"].get<std::int64_t>()].item<std::int64_t>());
    ++classes[cell["label"]];
  }
  EXPECT_EQ(classes.size(), 10u);
  const Json later = run(read({"images = 2", "first_image = 18", "seeds = 1", "attack.iterations = 1"}));
  EXPECT_EQ(later["cells"][0], result["cells"][18]) << "the same cell";
}

// A folder of images whose test split lacks a class: classes are matched by name, and further ones are refused.
TEST_F(RunStudy, MatchesClassesByName) {
  const auto write = [&](const std::string& split, const std::string& name, int count) {
    for (int i = 0; i < count; ++i) {
      const Tensor image = torch::full({1, 28, 28}, name == "cat" ? 250 : 5 * (i + 1), torch::kUInt8);
      core::write_file(folder.path() / "set" / split / name / fmt::format("{}.png", i), data::encode_png(image));
    }
  };
  for (const char* name : {"ant", "bee", "cat"}) write("train", name, 6);
  write("test", "bee", 3);
  write("test", "cat", 3);
  const auto study =
      read({fmt::format("model.data = \"{}\"", (folder.path() / "set").string()), "model.train_images = 0",
            "model.test_images = 0", "images = 6", "seeds = 1", "attack.iterations = 1"});
  Datasets datasets;
  EXPECT_EQ(datasets.test(settings(study.groups[0].settings)).labels.min().item<std::int64_t>(), 1)
      << "bee and cat, not ant and bee";
  const Json result = run(study);
  EXPECT_EQ(result["gallery"][0]["class"].get<std::string>().size(), 3u);
  write("test", "dog", 1);
  core::expect_error([&] { (void)run(study); }, ErrorKind::kData, "class \"dog\"");
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

TEST_F(RunStudy, ReadsNothingFromOtherWeights) {
  const core::Folder elsewhere;
  const Folders here{.run = folder.path() / "run", .shared = elsewhere.path() / "trained"};
  const Json result = run_study(read({"seeds = 1", "images = 1"}), here, {.threads = 2});
  const auto weights = [&](std::size_t t) {
    return here.shared / result["trainings"][t]["id"].get<std::string>() / "model.safetensors";
  };
  std::filesystem::copy_file(weights(1), weights(0), std::filesystem::copy_options::overwrite_existing);
  core::expect_error([&] { (void)run_study(read({"seeds = 1"}), here, {.threads = 2}); }, ErrorKind::kModel,
                     "other weights than those that were measured");
}

// The network of a training, given as a file: the same cells, and nothing is trained.
TEST_F(RunStudy, TakesWeightsThatAreGiven) {
  const core::Folder elsewhere;
  const Folders here{.run = folder.path() / "run", .shared = elsewhere.path() / "trained"};
  const Json trained = run_study(read({"seeds = 1"}), here, {.threads = 2});
  const auto file = elsewhere.path() / "model.safetensors";
  std::filesystem::copy_file(here.shared / trained["trainings"][0]["id"].get<std::string>() / "model.safetensors",
                             file);
  const Folders there{.run = folder.path() / "given", .shared = folder.path() / "none"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(
        more.end(),
        {"seeds = 1", "compare = \"\"", fmt::format("model.weights = \"{}\"", file.string()),
         R"(axis = [{ name = "attack", levels = [{ label = "ours" }, { label = "theirs", attack.preset = "ig" }] }])"});
    return run_study(read(more), there, {.threads = 2});
  };
  const auto refused = [&](const std::string& change, const std::string& message) {
    core::expect_error([&] { (void)with({change}); }, ErrorKind::kUsage, message);
    EXPECT_FALSE(std::filesystem::exists(there.run)) << change;
  };
  refused("model.net = \"convnet\"",
          "model.weights: " + file.string() + ": network: got \"convnet\", but the file itself says lenet");
  refused("model.normalise = true",
          "first layer: got none that standardises, expected one that does (model.normalise = true)");

  const Json given = with({});
  ASSERT_EQ(given["trainings"].size(), 1u);
  for (const char* key : {"natural", "robust", "parameters", "architecture", "description"})
    EXPECT_EQ(given["trainings"][0][key], trained["trainings"][0][key]) << key;
  EXPECT_TRUE(given["trainings"][0]["curve"].is_null());
  EXPECT_FALSE(std::filesystem::exists(there.shared / given["trainings"][0]["id"].get<std::string>()))
      << "nothing is trained";
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(given["cells"][i]["cell"], trained["cells"][i]["cell"])
        << "a cell is named by its network, wherever that comes from";
    EXPECT_EQ(given["cells"][i]["psnr"], trained["cells"][i]["psnr"]);
  }
  EXPECT_EQ(given["config"]["groups"]["ours"]["model"]["weights"], "model.safetensors");
  EXPECT_EQ(without_dates(with({})), without_dates(given));

  std::filesystem::copy_file(here.shared / trained["trainings"][1]["id"].get<std::string>() / "model.safetensors", file,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(with({})["cells"][0]["cell"], given["cells"][0]["cell"]) << "other weights are another network";
  std::filesystem::remove(file);
  core::expect_error([&] { (void)with({}); }, ErrorKind::kIo, file.string());
}

TEST_F(RunStudy, RefusesWeightsForOtherClasses) {
  auto spec = nets::Spec{.net = "lenet", .input = {1, 28, 28}, .classes = 10};
  nets::Network network{
      .architecture = nets::build(spec), .state = {}, .classes = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}};
  network.state = nets::initialise(network.architecture, 0);
  nets::save_network(network, folder.path() / "letters.safetensors");
  core::write_file(folder.path() / "tiny.toml", kTiny);
  const auto refused = [&](const std::string& message) {
    core::expect_error(
        [&] {
          (void)run(read_study(
              folder.path() / "tiny.toml", "",
              {"seeds = 1", fmt::format("model.weights = \"{}\"", (folder.path() / "letters.safetensors").string())}));
        },
        ErrorKind::kUsage, message);
  };
  refused("classes: got a, b, c, d, e, f, g, h, i, j, expected those of patterns in their order: 0°, 18°, 36°");
  network.architecture = nets::build(spec = {.net = "lenet", .input = {1, 28, 28}, .classes = 3});
  network.state = nets::initialise(network.architecture, 0);
  network.classes = {};
  nets::save_network(network, folder.path() / "letters.safetensors");
  refused("classes: got 3, expected 10 as patterns has");
  network.architecture = nets::build(spec = {.net = "lenet", .input = {3, 32, 32}, .classes = 10});
  network.state = nets::initialise(network.architecture, 0);
  nets::save_network(network, folder.path() / "letters.safetensors");
  refused("images: got 3 x 32 x 32, expected 1 x 28 x 28 as patterns has");
}

TEST_F(RunStudy, WarnsOfATrainingThatLeftItsNetworkWeak) {
  const Json result = run(read(
      {"seeds = 1", "images = 1", "model.train_images = 1000", "training.epochs = 4", "model.judge_images = 20",
       "training.attack.epsilon = 1.0", "training.attack.step = 1e-9", "training.attack.random_start = false",
       "training.test_attack.epsilon = 1.0", "training.test_attack.step = 0.5", "training.test_attack.iterations = 4",
       R"(axis = [{ name = "mode", levels = [{ label = "standard" }, { label = "adversarial", training.method = "adversarial" }] }])"}));
  const auto warnings = result["warnings"].dump();
  EXPECT_THAT(warnings, testing::HasSubstr("adversarial, seed 0: this network is right on ")) << result["trainings"];
  EXPECT_THAT(warnings,
              testing::HasSubstr("it is not robust, and what is compared with it says nothing about robustness"));
  EXPECT_THAT(warnings, testing::Not(testing::HasSubstr("standard, seed 0: this network is right")))
      << "it was not trained to be";
}

TEST_F(RunStudy, ANetworkThatDoesNotExistIsTheStudySMistake) {
  core::expect_error([&] { (void)run(read({"model.net = \"lennet\""})); }, ErrorKind::kUsage, "did you mean lenet?");
  EXPECT_FALSE(std::filesystem::exists(folders.run));
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

TEST_F(RunStudy, SaysWhichWeightsAreGone) {
  const core::Folder elsewhere;
  const Folders here{.run = folder.path() / "run", .shared = elsewhere.path() / "trained"};
  const Json result = run_study(read({"seeds = 1"}), here, {.threads = 2});
  const auto folder_of = here.shared / result["trainings"][0]["id"].get<std::string>();
  const auto more = [&] { return run_study(read({"seeds = 1", "images = 3"}), here, {.threads = 2}); };
  std::filesystem::remove(folder_of / "model.safetensors");
  core::expect_error([&] { (void)more(); }, ErrorKind::kModel, "no such weights");
  // As it says: that folder away and the store's files, and it is trained again.
  std::filesystem::remove_all(folder_of);
  std::filesystem::remove(here.shared / "cells.jsonl");
  EXPECT_EQ(more()["cells"].size(), 12u);
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

TEST_F(RunStudy, AFailureIsARowWithItsReason) {
  // Of these trainings one loses its mind at once; the other is a network like any.
  const Json result = run(read(
      {"seeds = 1",
       R"(axis = [{ name = "rate", levels = [{ label = "sound" }, { label = "mad", model.net = "small_cnn", training.optimiser = "sgd", training.learning_rate = 1000.0 }] }])",
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
  const Json result = run(read(
      {"seeds = 1",
       R"(axis = [{ name = "rate", levels = [{ label = "idle", model.net = "small_cnn", training.learning_rate = 1e-12 }, { label = "sound", model.train_images = 1000, training.epochs = 4 }] }])",
       "compare = \"\""}));
  EXPECT_GT(result["trainings"][1]["natural"]["value"].get<double>(), 0.5);
  ASSERT_EQ(result["warnings"].size(), 2u) << "and that the control at this budget fails: " << result["warnings"];
  EXPECT_THAT(result["warnings"][0].get<std::string>(),
              testing::StartsWith("idle, seed 0: this network learnt nothing ("));
}

TEST_F(RunStudy, WithoutItsNetworkANullControlIsNotRun) {
  const Json result = run(read(
      {"seeds = 1",
       R"(axis = [{ name = "rate", levels = [{ label = "mad", model.net = "small_cnn", training.optimiser = "sgd", training.learning_rate = 1000.0 }] }])",
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
  const Json result = run(read(
      {"seeds = 1", "training.method = \"adversarial\"", "training.epochs = 12", "training.guard_images = 64",
       "training.guard_fall = 0.0", "training.learning_rate = 0.3", "training.schedule = \"constant\"",
       R"(axis = [{ name = "stage", levels = [{ label = "end" }, { label = "last", client.checkpoint = "epoch 12" }] }])",
       "compare = \"stage\""}));
  EXPECT_EQ(result["trainings"][0]["status"], "ok");
  EXPECT_EQ(result["trainings"][1]["status"], "failed")
      << "no epoch was worse than the one before: the test needs a training that the guard ends";
  EXPECT_THAT(result["trainings"][1]["reason"].get<std::string>(),
              testing::StartsWith("epoch 12: no such weights: the training ended after epoch"));
}

TEST_F(RunStudy, ReadsFromTheCheckpointThatIsNamed) {
  const Json result = run(read(
      {R"(axis = [{ name = "stage", levels = [{ label = "begin", client.checkpoint = "step 0" }, { label = "end" }] }])",
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
  refused({"client.batch_size = 2"}, "client.share_labels = false, attack.preset = residual: labels: not shared");
  refused(
      {"client.batch_size = 2", "client.share_labels = true"},
      "client.batch_size = 2, client.share_labels = true, attack.preset = residual: the residual attack: got a batch "
      "of 2, expected one image; use ig");
  refused({"client.batch_size = 4096"}, "client.batch_size: got 4096, expected at most");
}

TEST_F(RunStudy, SaysAtOnceWhatDataAreMissing) {
  core::expect_error([&] { (void)run(read({"model.data = \"/nowhere/at/all\""})); }, ErrorKind::kData,
                     "/nowhere/at/all");
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
