#include "pellucid/grid/study.h"

#include "pellucid/core/file.h"
#include "pellucid/gradients/system.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"

namespace pellucid::gradients {
namespace {

using core::ErrorKind;
using core::Json;
using grid::Study;
using testing::ElementsAre;

struct ReadStudy : testing::Test {
  core::Folder folder;

  std::filesystem::path write(const std::string& name, std::string_view text) {
    core::write_file(folder.path() / name, text);
    return folder.path() / name;
  }
  Study read(std::string_view text, const std::string& scale = "", const std::vector<std::string>& changes = {}) {
    return grid::read_study(System(), write("study.toml", text), scale, changes);
  }
  void refused(std::string_view text, const std::string& message, const std::string& scale = "",
               const std::vector<std::string>& changes = {}) {
    core::expect_error([&] { (void)read(text, scale, changes); }, ErrorKind::kUsage, message);
  }
};

constexpr std::string_view kTwoAxes = R"(
title = "T"
compare = "mode"
x = "epsilon"
images = 3
[model]
net = "lenet"
[training]
epochs = 2
[[axis]]
name = "mode"
title = "Training"
levels = [
  { label = "standard" },
  { label = "adversarial", training.method = "adversarial", training.learning_rate = 2e-3 },
]
[[axis]]
name = "epsilon"
key = "training.attack.epsilon"
values = [0.1, "8/255"]
[scale.small]
images = 1
[scale.small.training]
epochs = 1
[[scale.one.axis]]
name = "mode"
levels = [{ label = "standard" }]
[[scale.one.axis]]
name = "epsilon"
levels = [{ label = "0.2" }]
)";

TEST_F(ReadStudy, IsTheCrossProductOfItsAxes) {
  const auto study = read(kTwoAxes);
  EXPECT_EQ(study.name, "study");
  EXPECT_EQ(study.items, 3);
  ASSERT_EQ(study.groups.size(), 4u);
  EXPECT_THAT(study.groups[2].levels, ElementsAre(1, 0)) << "the last axis is the fastest";
  EXPECT_EQ(grid::labels(study, study.groups[3]), (Json{{"mode", "adversarial"}, {"epsilon", "8/255"}}));
  EXPECT_EQ(grid::describe(study, study.groups[3]), "adversarial, epsilon 8/255");
  const auto s = settings(study.groups[3].settings);
  EXPECT_EQ(s.net, "lenet");
  EXPECT_EQ(s.training.method, training::Method::kAdversarial);
  EXPECT_EQ(s.training.learning_rate, 2e-3);
  EXPECT_EQ(s.training.attack.epsilon.typed, "8/255");
  EXPECT_EQ(s.training.epochs, 2) << "a level's table is laid over the study's, not put in its place";
  EXPECT_DOUBLE_EQ(*study.axes[1].levels[1].x, 8 / 255.0);
  EXPECT_FALSE(study.axes[0].levels[0].x);
}

TEST_F(ReadStudy, LaysScaleAndChangesOver) {
  EXPECT_EQ(read(kTwoAxes, "small").items, 1);
  EXPECT_EQ(settings(read(kTwoAxes, "small").groups[0].settings).training.epochs, 1);
  const auto changed = read(kTwoAxes, "small", {"images = 5", "training.epochs=7", "attack.preset=\"ig\""});
  EXPECT_EQ(changed.items, 5);
  EXPECT_EQ(settings(changed.groups[0].settings).training.epochs, 7);
  EXPECT_EQ(settings(changed.groups[0].settings).attack.iterations, inversion::preset("ig").attack.iterations);
  const auto one = read(kTwoAxes, "one");
  EXPECT_EQ(one.groups.size(), 1u) << "an axis takes the levels of the scale's of its name";
  EXPECT_EQ(one.axes[0].title, "Training") << "and keeps what the scale's says nothing of";
  EXPECT_THAT(grid::scales(write("study.toml", kTwoAxes)), testing::UnorderedElementsAre("small", "one"));
}

constexpr std::string_view kRecipes = R"(
compare = "mode"
[recipe.robust.training]
method = "adversarial"
epochs = 5
[[axis]]
name = "mode"
levels = [
  { label = "standard" },
  { label = "robust", recipe = "robust" },
  { label = "short", recipe = "robust", training.epochs = 1 },
]
[[axis]]
name = "tv"
levels = [{ label = "0.1", attack.tv = 0.1 }]
[scale.long.recipe.robust.training]
epochs = 9
[[scale.long.axis]]
name = "tv"
levels = []
[[scale.long.axis]]
name = "budget"
levels = [{ label = "7", attack.iterations = 7 }]
)";

TEST_F(ReadStudy, SharesRecipesAmongLevels) {
  const auto study = read(kRecipes);
  const auto epochs = [](const grid::Study& of, std::size_t group) {
    return settings(of.groups[group].settings).training.epochs;
  };
  EXPECT_EQ(settings(study.groups[0].settings).training.method, training::Method::kStandard);
  EXPECT_EQ(settings(study.groups[2].settings).training.method, training::Method::kAdversarial);
  EXPECT_EQ(epochs(study, 1), 5);
  EXPECT_EQ(epochs(study, 2), 1) << "a level's own settings are laid over its recipe";
  EXPECT_EQ(epochs(read(kRecipes, "long"), 1), 9) << "recipes are tables as others are";
  refused(kRecipes, R"(recipe: got "rubust", expected robust (did you mean robust?))", "",
          {R"(axis = [{ name = "mode", levels = [{ label = "a", recipe = "rubust" }] }])"});
  refused(kRecipes, "recipe.robust: unknown table [trainng] (did you mean training?)", "",
          {"recipe.robust.trainng.epochs = 1"});
  refused(kRecipes, "expected tables [recipe.NAME]", "", {"recipe = 5"});
}

TEST_F(ReadStudy, LaysAxesOverByName) {
  const auto study = read(kRecipes, "long");
  ASSERT_EQ(study.axes.size(), 2u) << "an axis without levels is left out";
  EXPECT_EQ(study.axes[0].name, "budget") << "a new axis comes first";
  EXPECT_EQ(study.axes[1].name, "mode");
  EXPECT_EQ(read(kRecipes, "", {R"(axis = [{ name = "mode", levels = [{ label = "a" }] }])"}).axes.size(), 1u)
      << "--set replaces";
}

TEST_F(ReadStudy, ExtendsAnother) {
  write("base.toml", kTwoAxes);
  const auto study = read("extends = \"base.toml\"\nimages = 9\n[training]\nbatch_size = 32\n", "small");
  EXPECT_EQ(study.items, 1) << "the base's scale is laid over the whole";
  EXPECT_EQ(settings(study.groups[0].settings).training.batch_size, 32);
  EXPECT_EQ(study.groups.size(), 4u);
}

TEST_F(ReadStudy, TellsTrainingsApartByWhatMattersToThem) {
  const auto study = read(kTwoAxes);
  EXPECT_EQ(study.groups[0].settings, study.groups[1].settings) << "standard training has no epsilon";
  EXPECT_NE(study.groups[2].settings, study.groups[3].settings);
}

// The settings of a group are kept as JSON: what is read from it is what was written.
TEST_F(ReadStudy, SettingsComeBackFromJson) {
  for (const auto& entry : std::filesystem::directory_iterator(PELLUCID_STUDIES "/grids")) {
    if (entry.path().stem() == "base") continue;  // what others extend
    for (auto names = grid::scales(entry.path()); const auto& scale : names) {
      for (const auto& group : grid::read_study(System(), entry.path(), scale).groups)
        EXPECT_EQ(to_json(settings(group.settings)), group.settings) << entry.path();
    }
  }
}

TEST_F(ReadStudy, FindsAPriorBesideItsFileOrWhereItWasTyped) {
  const auto prior = [&](std::string_view text, const std::vector<std::string>& changes = {}) {
    return settings(read(text, "", changes).groups[0].settings).attack.prior;
  };
  EXPECT_EQ(prior(kTwoAxes), "");
  EXPECT_EQ(prior(kTwoAxes, {"attack.prior = \"p.safetensors\""}),
            (std::filesystem::current_path() / "p.safetensors").string());
  EXPECT_EQ(prior("[[axis]]\nname = \"a\"\nkey = \"attack.prior\"\nvalues = [\"p.safetensors\"]"),
            (folder.path() / "p.safetensors").string());
  refused(kTwoAxes, "training.method: got autoencoder, expected a method that trains a classifier", "",
          {"training.method = \"autoencoder\""});
}

TEST_F(ReadStudy, FindsWeightsBesideItsFileOrWhereTheyWereTyped) {
  const auto weights = [&](const std::vector<std::string>& changes) {
    return settings(read(kTwoAxes, "", changes).groups[0].settings).weights;
  };
  EXPECT_EQ(weights({}), "");
  EXPECT_EQ(weights({"model.weights = \"\""}), "");
  EXPECT_EQ(weights({"model.weights = \"/m.safetensors\""}), "/m.safetensors");
  EXPECT_EQ(weights({"model.weights = \"m.safetensors\""}),
            (std::filesystem::current_path() / "m.safetensors").string());
  const auto study =
      read("[[axis]]\nname = \"a\"\nkey = \"model.weights\"\nvalues = [\"m.safetensors\", \"../m.safetensors\"]");
  EXPECT_EQ(settings(study.groups[0].settings).weights, (folder.path() / "m.safetensors").string());
  EXPECT_EQ(settings(study.groups[1].settings).weights, (folder.path().parent_path() / "m.safetensors").string());
  refused(kTwoAxes, "seeds: got 2, expected 1: given weights", "", {"model.weights = \"m.safetensors\"", "seeds = 2"});
  refused(kTwoAxes, "clients: got 3 with 4 images in all, expected as many for each", "",
          {"client.clients = 3", "client.batch_size = 4"});
  refused(kTwoAxes, "client.checkpoint: got \"epoch 1\", expected end: of given weights", "",
          {"model.weights = \"m.safetensors\"", "client.checkpoint = \"epoch 1\""});
}

TEST_F(ReadStudy, RefusesWhatItDoesNotKnow) {
  refused("imagse = 3", "unknown key \"imagse\" (did you mean images?)");
  refused("[modle]\nnet = \"lenet\"", "unknown table [modle] (did you mean model?)");
  refused("[model]\nnett = \"lenet\"", "[model]: unknown key \"nett\" (did you mean net?)");
  refused("[training.atack]\nepsilon = 1", "unknown key \"atack\"");
  refused("compare = \"mode\"", "compare: got \"mode\", expected an axis");
  refused(kTwoAxes, "scale: got \"smal\", expected", "smal");
  refused(kTwoAxes, "images: got -1", "", {"images = -1"});
  refused(kTwoAxes, "--set images 3", "", {"images 3"});
  refused("[[axis]]\nname = \"a\"", "(a): expected either key and values, or levels");
  refused("[[axis]]\nlevels = []", "got no name");
  refused("[[axis]]\nname = \"a\"\nlevels = []", "got no [[axis]]");
  refused("[[axis]]\nname = \"a\"\nlevels = [{ label = \"x\" }, { label = \"x\" }]", "got the label \"x\" twice");
  refused("[[axis]]\nname = \"a\"\nlevels = [{ x = 1 }]", "got a level without label");
  refused("[[axis]]\nname = \"a\"\nlevels = [{ label = \"x\", trainign.epochs = 2 }]",
          "unknown table [trainign] (did you mean training?)");
  refused("axis = 3", "expected [[axis]] tables");
  refused("images = 3", "got no [[axis]]");
  refused("extends = 3", "extends: got 3");
  refused("extends = \"study.toml\"", "extends itself");
  refused("[[axis]]\nname = \"a\"\nlevels = [{ label = \"x\" }]\n[[axis]]\nname = \"a\"\nlevels = [{ label = \"y\" }]",
          "got the name \"a\" twice");
  refused("compare = \"d\"\n[[axis]]\nname = \"d\"\nkey = \"model.data\"\nvalues = [\"mnist\", \"cifar10\"]",
          "whose levels read different data (mnist, cifar10)");
  refused("[attack]\npreset = \"residaul\"", "did you mean residual?");
  refused("[client]\ncheckpoint = \"step 7\"",
          "client.checkpoint: got \"step 7\", expected end, epoch 1 to 4, or step 0, 1, 10, 100");
  refused("[client]\ncheckpoint = \"epoch 5\"", "got \"epoch 5\"");
  refused("[attack]\nprecision = \"tf32\"", "precision: got tf32 on the cpu, expected float32 or a CUDA device");
  for (const char* other : {"epoch 0", "epoch 1.5", "epoch 1x", "epoch -1", "epoch ", "epoch", "ends", "step 1e1"}) {
    refused(fmt::format("[client]\ncheckpoint = \"{}\"", other), fmt::format("got \"{}\"", other));
  }
  refused("[training]\nadversarial_share = 0.5", "expected method adversarial");
  core::expect_error([&] { (void)grid::read_study(System(), folder.path() / "none.toml", ""); }, ErrorKind::kIo,
                     "none.toml");
}

// Any key of a study replaced by a value of any kind, by --set and in the file: read, or refused in one line.
TEST_F(ReadStudy, RefusesValuesOfTheWrongKindAtEveryKey) {
  const std::vector<std::string> keys = {"title",
                                         "question",
                                         "compare",
                                         "x",
                                         "images",
                                         "first_image",
                                         "seeds",
                                         "gallery",
                                         "model",
                                         "model.data",
                                         "model.data_dir",
                                         "model.net",
                                         "model.normalise",
                                         "model.weights",
                                         "model.train_images",
                                         "model.test_images",
                                         "model.judge_images",
                                         "training",
                                         "training.method",
                                         "training.epochs",
                                         "training.batch_size",
                                         "training.learning_rate",
                                         "training.checkpoint_steps",
                                         "training.seed",
                                         "training.attack",
                                         "training.attack.epsilon",
                                         "training.attack.iterations",
                                         "training.test_attack",
                                         "training.test_attack.norm",
                                         "client",
                                         "client.checkpoint",
                                         "client.mode",
                                         "client.logit_scale",
                                         "attack",
                                         "attack.preset",
                                         "attack.iterations",
                                         "attack.tv",
                                         "attack.start",
                                         "axis",
                                         "recipe",
                                         "recipe.robust",
                                         "published",
                                         "published.source",
                                         "published.note",
                                         "published.rows",
                                         "scale",
                                         "scale.small",
                                         "extends",
                                         "unknown"};
  const std::vector<std::string> values = {"5",
                                           "-5",
                                           "9223372036854775807",
                                           "1e300",
                                           "-0.0",
                                           "inf",
                                           "nan",
                                           "true",
                                           "\"\"",
                                           "\"text\"",
                                           "\"a\\u0000b\"",
                                           "[]",
                                           "[1]",
                                           "[\"a\", \"b\"]",
                                           "[[1], [2]]",
                                           "{}",
                                           "{ a = 1 }",
                                           "[{}]",
                                           "[{ label = 5 }]",
                                           "1979-05-27",
                                           "[{ label = \"a\", levels = 5, values = [] }]",
                                           "[{ name = \"a\", key = \"b\", values = [1, 2] }]"};
  int refused = 0;
  for (const auto& key : keys) {
    for (const auto& value : values) {
      for (const std::string scale : {"", "small"}) {
        try {
          (void)read(kTwoAxes, scale, {key + " = " + value});
        } catch (const core::Error& error) {
          ++refused;
          EXPECT_EQ(error.kind(), ErrorKind::kUsage) << key << " = " << value << ": " << error.what();
          EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos)
              << key << " = " << value << ": " << error.what();
        }
      }
      try {
        (void)read(key + " = " + value + "\n");
      } catch (const core::Error& error) {
        EXPECT_TRUE(error.kind() == ErrorKind::kUsage || key == "extends")
            << key << " = " << value << ": " << error.what();
      }
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST_F(ReadStudy, RefusesWhatIsWrongWithALevel) {
  const auto level = [](const std::string& text) { return "[[axis]]\nname = \"a\"\nlevels = [" + text + "]"; };
  refused(level("{ label = [1] }"), "label: got [1], expected text or a number");
  refused(level("{ label = true }"), "label: got true");
  refused(level("{ label = \"l\", x = \"far\" }"), "x: got \"far\", expected a number");
  refused(level("5"), "got a level 5, expected a table with a label");
  refused(level("{ label = \"l\", training = 5 }"), "training: got 5, expected a table");
  refused(level("{ label = \"l\", training.attack = 5 }"), "training.attack: got 5, expected a table");
  refused(level("{ label = \"l\", attack.preset = 5 }"), "preset: got 5, expected a name");
  refused(level("{ label = \"l\", attack.preset = \"residaul\" }"), "did you mean residual?");
  refused("[[axis]]\nname = \"a\"\nkey = \"" + std::string(1000, '.') + "\"\nvalues = [1]", "expected a key such as");
  refused("[[axis]]\nname = \"a\"\nkey = \"images.b\"\nvalues = [1]", "unknown table [images]");
}

TEST_F(ReadStudy, RefusesFiguresOfOthersThatHaveNoForm) {
  const auto set = [&](const std::string& change, const std::string& message) {
    refused(kTwoAxes, message, "", {change});
  };
  set("published = 5", "published: got 5, expected a table with source, note and rows");
  set("published = { source = \"s\" }", "published.note: got null, expected text");
  set("published = { source = \"s\", note = \"n\", rows = 5 }", "published.rows: got 5, expected a list");
  set("published = { source = \"s\", note = \"n\", rows = [{ label = \"l\", levels = { mode = 5 }, values = {} }] }",
      "published.rows.levels");
  set("published = { source = \"s\", note = \"n\", rows = [{ label = \"l\", levels = {}, values = { psnr = \"5\" } }] "
      "}",
      "published.rows.values");
  EXPECT_FALSE(read(kTwoAxes, "",
                    {"published = { source = \"s\", note = \"n\", rows = [{ label = \"l\", levels = { mode = "
                     "\"standard\" }, values = { psnr = 5.0 } }] }"})
                   .published.is_null());
}

TEST_F(ReadStudy, CountsBeforeItBuilds) {
  std::string values;
  for (int i = 0; i < 1000; ++i) values += fmt::format("{}, ", i);
  const auto axis = [&](const char* name) {
    return fmt::format("[[axis]]\nname = \"{}\"\nkey = \"training.seed\"\nvalues = [{}]\n", name, values);
  };
  std::string grid;
  for (const char* name : {"a", "b"}) grid += axis(name);
  refused(grid, "got more than 10000 groups (1000 x 1000 levels");
  for (const char* name : {"c", "d", "e", "f", "g", "h", "i", "j"}) grid += axis(name);
  refused(grid, "got more than 10000 groups");
  refused(axis("a"), "got more than 10000 trainings (1000 levels x 1000 seeds", "", {"seeds = 1000"});
  refused(axis("a"), "got more than 1000000 cells (1000 levels x 1 seeds x 100000 images)", "", {"images = 100000"});
  refused(kTwoAxes, "images: got 9223372036854775807, expected", "", {"images = 9223372036854775807"});
  std::string axes;
  for (int i = 0; i < 21; ++i) axes += fmt::format("[[axis]]\nname = \"{}\"\nlevels = [{{ label = \"x\" }}]\n", i);
  refused(axes, "got 21 axes, expected at most 20");
  core::write_file(folder.path() / "huge.toml", std::string((1 << 20) + 1, '#'));
  core::expect_error([&] { (void)grid::read_study(System(), folder.path() / "huge.toml", ""); }, ErrorKind::kIo,
                     "1048577 bytes");
}

TEST_F(ReadStudy, FollowsBasesToAnEnd) {
  write("a.toml", "extends = \"b.toml\"");
  write("b.toml", "extends = \"a.toml\"");
  core::expect_error([&] { (void)grid::read_study(System(), folder.path() / "a.toml", ""); }, ErrorKind::kUsage,
                     "extends itself");
  std::filesystem::create_symlink("loop.toml", folder.path() / "loop.toml");
  core::expect_error([&] { (void)grid::read_study(System(), folder.path() / "loop.toml", ""); }, ErrorKind::kIo,
                     "loop.toml");
  for (const char* base : {"\"none.toml\"", "\"/\"", "\".\""}) {
    core::expect_error([&] { (void)read(fmt::format("extends = {}", base)); }, ErrorKind::kIo, "");
  }
  refused("extends = \"\"", "extends: got \"\", expected a file's name");
  for (int i = 0; i < 20; ++i) write(fmt::format("{}.toml", i), fmt::format("extends = \"{}.toml\"", i + 1));
  core::expect_error([&] { (void)grid::read_study(System(), folder.path() / "0.toml", ""); }, ErrorKind::kUsage,
                     "a chain of more than 16 files");
}

TEST_F(ReadStudy, KeepsControlCharactersFromMessages) {
  refused("[[axis]]\nname = \"a\\u001b[31m\"", "(a\\x1b[31m): expected either");
  refused("[\"mo\\ndle\"]\nnet = 1", "unknown table [mo\\ndle]");
  refused(kTwoAxes, "--set images\\n= 3", "", {"images\n= 3"});
}

}  // namespace
}  // namespace pellucid::gradients
