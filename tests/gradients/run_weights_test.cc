// Whole studies on weights that are given as files.
#include "pellucid/nets/weights.h"
#include "pellucid/nets/zoo.h"

#include "tests/gradients/tiny_study.h"

namespace pellucid::gradients {
namespace {

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

TEST_F(RunStudy, ANetworkThatDoesNotExistIsTheStudySMistake) {
  core::expect_error([&] { (void)run(read({"model.net = \"lennet\""})); }, ErrorKind::kUsage, "did you mean lenet?");
  EXPECT_FALSE(std::filesystem::exists(folders.run));
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

}  // namespace
}  // namespace pellucid::gradients
