#include "pellucid/study/plan.h"

#include "pellucid/core/file.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"

namespace pellucid::study {
namespace {

using core::ErrorKind;
using core::Json;
using testing::ElementsAre;

struct ReadStudy : testing::Test {
  core::Folder folder;

  std::filesystem::path write(const std::string& name, std::string_view text) {
    core::write_file(folder.path() / name, text);
    return folder.path() / name;
  }
  Study read(std::string_view text, const std::string& scale = "", const std::vector<std::string>& changes = {}) {
    return read_study(write("study.toml", text), scale, changes);
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
levels = [{ label = "standard" }, { label = "adversarial", training.method = "adversarial", training.learning_rate = 2e-3 }]
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
  EXPECT_EQ(study.images, 3);
  ASSERT_EQ(study.groups.size(), 4u);
  EXPECT_THAT(study.groups[2].levels, ElementsAre(1, 0)) << "the last axis is the fastest";
  EXPECT_EQ(labels(study, study.groups[3]), (Json{{"mode", "adversarial"}, {"epsilon", "8/255"}}));
  EXPECT_EQ(describe(study, study.groups[3]), "adversarial, epsilon 8/255");
  const auto& s = study.groups[3].settings;
  EXPECT_EQ(s.net, "lenet");
  EXPECT_EQ(s.training.method, training::Method::kAdversarial);
  EXPECT_EQ(s.training.learning_rate, 2e-3);
  EXPECT_EQ(s.training.attack.epsilon.typed, "8/255");
  EXPECT_EQ(s.training.epochs, 2) << "a level's table is laid over the study's, not put in its place";
  EXPECT_DOUBLE_EQ(*study.axes[1].levels[1].x, 8 / 255.0);
  EXPECT_FALSE(study.axes[0].levels[0].x);
}

TEST_F(ReadStudy, LaysScaleAndChangesOver) {
  EXPECT_EQ(read(kTwoAxes, "small").images, 1);
  EXPECT_EQ(read(kTwoAxes, "small").groups[0].settings.training.epochs, 1);
  const auto changed = read(kTwoAxes, "small", {"images = 5", "training.epochs=7", "attack.preset=\"ig\""});
  EXPECT_EQ(changed.images, 5);
  EXPECT_EQ(changed.groups[0].settings.training.epochs, 7);
  EXPECT_EQ(changed.groups[0].settings.attack.iterations, inversion::preset("ig").options.iterations);
  EXPECT_EQ(read(kTwoAxes, "one").groups.size(), 1u) << "a scale's axes replace the study's";
  EXPECT_THAT(scales(write("study.toml", kTwoAxes)), testing::UnorderedElementsAre("small", "one"));
}

TEST_F(ReadStudy, ExtendsAnother) {
  write("base.toml", kTwoAxes);
  const auto study = read("extends = \"base.toml\"\nimages = 9\n[training]\nbatch_size = 32\n", "small");
  EXPECT_EQ(study.images, 1) << "the base's scale is laid over the whole";
  EXPECT_EQ(study.groups[0].settings.training.batch_size, 32);
  EXPECT_EQ(study.groups.size(), 4u);
}

TEST_F(ReadStudy, TellsTrainingsApartByWhatMattersToThem) {
  const auto study = read(kTwoAxes);
  EXPECT_EQ(to_json(study.groups[0].settings), to_json(study.groups[1].settings)) << "standard training has no epsilon";
  EXPECT_NE(to_json(study.groups[2].settings), to_json(study.groups[3].settings));
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
  refused("[[axis]]\nname = \"a\"\nlevels = []", "got no levels");
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
  for (const char* other : {"epoch 0", "epoch 1.5", "epoch 1x", "epoch -1", "epoch ", "epoch", "ends", "step 1e1"}) {
    refused(fmt::format("[client]\ncheckpoint = \"{}\"", other), fmt::format("got \"{}\"", other));
  }
  refused("[training]\nadversarial_share = 0.5", "expected method adversarial");
  core::expect_error([&] { (void)read_study(folder.path() / "none.toml", ""); }, ErrorKind::kIo, "none.toml");
}

}  // namespace
}  // namespace pellucid::study
