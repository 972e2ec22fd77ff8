// Whole studies: which images and classes they are on.
#include "pellucid/data/image_file.h"

#include "tests/gradients/tiny_study.h"

#include <map>

namespace pellucid::gradients {
namespace {

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

TEST_F(RunStudy, SaysAtOnceWhatDataAreMissing) {
  core::expect_error([&] { (void)run(read({"model.data = \"/nowhere/at/all\""})); }, ErrorKind::kData,
                     "/nowhere/at/all");
}

}  // namespace
}  // namespace pellucid::gradients
