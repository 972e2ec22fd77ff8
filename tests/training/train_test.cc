#include "pellucid/training/train.h"

#include "pellucid/core/environment.h"
#include "pellucid/core/file.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/nets/weights.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

namespace pellucid::training {
namespace {

using core::ErrorKind;

// Adversarial training of lenet: 64 images, four batches an epoch, two epochs.
TrainingOptions few_steps() {
  TrainingOptions options;
  options.method = Method::kAdversarial;
  options.epochs = 2;
  options.batch_size = 16;
  options.learning_rate = 1e-2;
  options.attack.iterations = 1;
  options.test_attack.iterations = 1;
  options.checkpoint_steps = {0, 1, 5};
  return options;
}

Trained train_lenet(const TrainingOptions& options, const std::filesystem::path& folder, const core::Run& run = {}) {
  return train(tiny::spec(), tiny::noise(64), tiny::noise(20, 1), options, folder, run);
}

nets::TensorMap weights(const std::filesystem::path& path) { return nets::load_network(path).state; }

TEST(Train, GivesTheSameBitsTwice) {
  const core::Folder a, b, c;
  auto options = few_steps();
  (void)train_lenet(options, a.path());
  (void)train_lenet(options, b.path());
  for (const char* file :
       {"model.safetensors", "checkpoints/step-000001.safetensors", "checkpoints/resume.safetensors"}) {
    EXPECT_EQ(core::read_file(a / file), core::read_file(b / file)) << file;
  }
  options.seed = 1;
  (void)train_lenet(options, c.path());
  EXPECT_FALSE(tiny::same_bits(weights(a / "model.safetensors"), weights(c / "model.safetensors")));
}

TEST(Train, LeavesTheWeightsOfItsStages) {
  const core::Folder folder;
  auto options = few_steps();
  options.schedule = Schedule::kConstant;
  const auto trained = train_lenet(options, folder.path());
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "checkpoints"))
    files.insert(entry.path().filename());
  EXPECT_EQ(files, (std::set<std::string>{"epoch-001.safetensors", "epoch-002.safetensors", "resume.safetensors",
                                          "resume-before.safetensors", "step-000000.safetensors",
                                          "step-000001.safetensors", "step-000005.safetensors"}));
  const auto checkpoint = [&](const char* name) { return weights(folder.path() / "checkpoints" / name); };
  const auto final = weights(folder / "model.safetensors");
  EXPECT_TRUE(tiny::same_bits(checkpoint("step-000000.safetensors"), tiny::network(tiny::spec()).state));
  EXPECT_FALSE(tiny::same_bits(checkpoint("step-000001.safetensors"), tiny::network(tiny::spec()).state));
  EXPECT_FALSE(tiny::same_bits(checkpoint("epoch-001.safetensors"), final));
  EXPECT_TRUE(tiny::same_bits(checkpoint("epoch-002.safetensors"), final));
  EXPECT_TRUE(tiny::same_bits(trained.network.state, final));
}

TEST(Train, MeasuresAfterEachEpoch) {
  const core::Folder folder;
  auto options = few_steps();
  options.test_attack_images = 5;
  const auto trained = train_lenet(options, folder.path());
  ASSERT_EQ(trained.curve.size(), 2u);
  EXPECT_EQ(trained.curve[0].epoch, 1);
  EXPECT_EQ(trained.curve[1].epoch, 2);
  EXPECT_EQ(trained.curve[1].natural.n, 20);
  EXPECT_EQ(trained.curve[1].natural.correct, evasion::natural_accuracy(trained.network, tiny::noise(20, 1)).correct);
  EXPECT_EQ(trained.curve[1].robust.n, 5);
}

TEST(Train, MeasuresNoRobustnessWhenThatIsOff) {
  const core::Folder folder;
  auto options = few_steps();
  options.test_attack_images = 0;
  EXPECT_EQ(train_lenet(options, folder.path()).curve[0].robust.n, 0);
}

TEST(Train, RecordsTheMeanLossAndAccuracyOfTheEpoch) {
  const core::Folder folder;
  auto options = few_steps();
  options.method = Method::kStandard;
  options.learning_rate = 0;
  options.batch_size = 24;  // the last batch is smaller and must count by its images
  const auto set = tiny::noise(64);
  const auto trained = train_lenet(options, folder.path());
  const Tensor logits = nets::logits(tiny::network(tiny::spec()), data::pixels(set, torch::arange(64)));
  EXPECT_NEAR(trained.curve[1].train_loss, at::cross_entropy_loss(logits, set.labels).item<double>(), 1e-5);
  EXPECT_EQ(trained.curve[1].train_accuracy, logits.argmax(1).eq(set.labels).sum().item<double>() / 64);
}

TEST(Train, LearnsWhatCanBeLearned) {
  const core::Folder folder;
  TrainingOptions options;
  options.epochs = 8;
  options.batch_size = 16;
  options.learning_rate = 3e-2;
  const auto trained = train(tiny::spec(), tiny::quarters(64), tiny::quarters(40, 1), options, folder.path(), {});
  EXPECT_GT(trained.curve.front().train_loss, 1);
  EXPECT_LT(trained.curve.back().train_loss, 0.3);
  EXPECT_EQ(trained.curve.back().train_accuracy, 1);
  EXPECT_GE(trained.curve.back().natural.correct, 38);
}

TEST(Train, MovesTheStatisticsOfBatchNorm) {
  const core::Folder folder;
  auto options = few_steps();
  options.optimiser = Optimiser::kSgd;
  options.epochs = 1;
  options.batch_size = 4;
  const auto trained =
      train(tiny::spec("convnet", 9), tiny::noise(8, 0, 9), tiny::noise(4, 1, 9), options, folder.path(), {});
  EXPECT_EQ(trained.network.state.at("model.bn7.num_batches_tracked").item<std::int64_t>(), 2)
      << "the attack moves nothing";
  EXPECT_FALSE(torch::equal(trained.network.state.at("model.bn7.running_mean"), torch::zeros({256})));
}

// With a batch of all images and one step, the warm-up's first step is at epsilon 0.
TEST(Train, BeginsTheWarmUpWithCleanImages) {
  const core::Folder standard, warm, cold;
  auto options = few_steps();
  options.schedule = Schedule::kConstant;
  options.checkpoint_steps = {1, 2};
  const auto after = [](const core::Folder& folder, int steps) {
    return weights(folder / fmt::format("checkpoints/step-{:06}.safetensors", steps));
  };
  (void)train_lenet(options, cold.path());
  options.epsilon_warmup = 1;
  (void)train_lenet(options, warm.path());
  options.method = Method::kStandard;
  (void)train_lenet(options, standard.path());
  EXPECT_TRUE(tiny::same_bits(after(warm, 1), after(standard, 1)));
  EXPECT_FALSE(tiny::same_bits(after(warm, 2), after(standard, 2)));
  EXPECT_FALSE(tiny::same_bits(after(cold, 1), after(standard, 1)));
}

// A learning rate that throws the weights about: the accuracy on the guard's images rises and falls.
TEST(Train, EndsWhereTheGuardFallsAndKeepsTheBestEpoch) {
  const core::Folder folder;
  auto options = few_steps();
  options.epochs = 40;
  options.learning_rate = 0.05;
  options.schedule = Schedule::kConstant;
  options.attack.epsilon = core::Number("0.1");
  options.test_attack_images = 0;
  options.guard_images = 64;
  options.guard_fall = 0.1;
  const auto train_it = [&] {
    return train(tiny::spec(), tiny::quarters(64), tiny::quarters(20, 1), options, folder.path(), {});
  };
  const auto trained = train_it();
  ASSERT_LT(trained.curve.size(), 40u) << "no fall: the test shows nothing";
  const auto guard = [&](std::int64_t epoch) { return trained.curve[epoch - 1].guard.interval().value; };
  const auto last = static_cast<std::int64_t>(trained.curve.size());
  EXPECT_LT(guard(last), guard(trained.kept_epoch) - 0.1);
  for (std::int64_t epoch = 1; epoch < last; ++epoch) EXPECT_LE(guard(epoch), guard(trained.kept_epoch)) << epoch;
  const auto kept = weights(folder / fmt::format("checkpoints/epoch-{:03}.safetensors", trained.kept_epoch));
  EXPECT_TRUE(tiny::same_bits(trained.network.state, kept));
  EXPECT_TRUE(tiny::same_bits(weights(folder / "model.safetensors"), kept));
  const auto again = train_it();
  EXPECT_EQ(again.curve.size(), trained.curve.size()) << "a training that the guard ended does not go on";
  EXPECT_TRUE(tiny::same_bits(again.network.state, kept));
}

TEST(Train, KeepsTheLastEpochWithoutAFall) {
  const core::Folder folder;
  auto options = few_steps();
  options.guard_images = 16;
  options.guard_fall = 1;
  const auto trained = train_lenet(options, folder.path());
  EXPECT_EQ(trained.curve.size(), 2u);
  EXPECT_EQ(trained.kept_epoch, 2);
  EXPECT_EQ(trained.curve[1].guard.n, 16);
}

TEST(Train, StepsOnEachReplayOfFreeTraining) {
  const core::Folder folder;
  auto options = few_steps();
  options.method = Method::kFree;
  options.replays = 3;
  options.checkpoint_steps = {3, 24};
  const auto trained = train_lenet(options, folder.path());
  EXPECT_TRUE(std::filesystem::exists(folder / "checkpoints/step-000003.safetensors"));
  EXPECT_TRUE(tiny::same_bits(weights(folder / "checkpoints/step-000024.safetensors"), trained.network.state))
      << "2 epochs x 4 batches x 3";
  EXPECT_LE(trained.curve[0].train_accuracy, 1);
}

TEST(Train, CarriesAPerturbationOfFreeTrainingWithinTheBall) {
  const core::Folder folder;
  auto options = few_steps();
  options.method = Method::kFree;
  options.attack.step = core::Number("0.2");
  (void)train_lenet(options, folder.path());
  const auto identity =
      core::Json::parse(nets::read_safetensors(folder / "checkpoints/resume.safetensors").metadata.at("identity"));
  const Model initial = initial_model(nets::build(tiny::spec()), options);
  std::string note;
  const auto state = StateFiles(folder / "checkpoints")
                         .load({.initial = initial, .options = options, .images = 64, .identity = identity}, note);
  const Tensor size = state->perturbation.abs();
  EXPECT_LE(size.max().item<double>(), 0.3 + 1e-6);
  EXPECT_GT(size.mean().item<double>(), 0.1) << "it has moved";
}

TEST(Train, SavesBothRoutesOfDualBatchNorm) {
  const core::Folder folder;
  auto options = few_steps();
  options.epochs = 1;
  options.batch_size = 4;
  options.adversarial_share = 0.5;
  options.dual_norm = true;
  options.test_attack_images = 0;
  const auto trained =
      train(tiny::spec("convnet", 9), tiny::noise(8, 0, 9), tiny::noise(4, 1, 9), options, folder.path(), {});
  ASSERT_TRUE(trained.clean_network);
  const auto main = weights(folder / "model.safetensors"), clean = weights(folder / "model-clean.safetensors");
  EXPECT_TRUE(tiny::same_bits(clean, trained.clean_network->state));
  EXPECT_TRUE(torch::equal(main.at("model.conv3.weight"), clean.at("model.conv3.weight")));
  for (const char* name : {"model.bn3.weight", "model.bn3.running_mean"})
    EXPECT_FALSE(torch::equal(main.at(name), clean.at(name))) << name;
}

TEST(Train, RefusesOptionsThatDoNotGoTogether) {
  const core::Folder folder;
  auto options = few_steps();
  options.method = Method::kTrades;
  options.adversarial_share = 0.5;
  core::expect_error([&] { (void)train_lenet(options, folder.path()); }, ErrorKind::kUsage,
                     "expected method adversarial");
}

TEST(Train, ShowsItsCurvesInTensorBoard) {
  const core::Folder folder;
  (void)train_lenet(few_steps(), folder.path());
  std::string content;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) content += core::read_text(entry.path());
  }
  for (const char* tag : {"brain.Event:2", "loss/epoch", "accuracy/natural", "accuracy/robust", "images/test",
                          "images/under attack", "PNG"}) {
    EXPECT_THAT(content, testing::HasSubstr(tag));
  }
}

TEST(Train, ReportsEachBatch) {
  const core::Folder folder;
  std::vector<core::Progress> reports;
  const core::Run run{.progress =
                          [&](const core::Progress& p) {
                            if (p.task == "mine: train") reports.push_back(p);
                          },
                      .label = "mine"};
  (void)train_lenet(few_steps(), folder.path(), run);
  ASSERT_EQ(reports.size(), 8u);
  EXPECT_EQ(reports[4].done, 5);
  EXPECT_EQ(reports[4].total, 8);
  EXPECT_THAT(reports[4].note, testing::StartsWith("epoch 2/2, loss "));
}

// The images and labels of a data set whose folder lacks some classes or has more: other places, the same names.
data::Dataset with_classes(data::Dataset set, const std::vector<std::string>& classes) {
  const auto named = set.classes;
  set.labels = set.labels.clone();
  for (std::int64_t i = 0; i < set.size(); ++i) {
    const auto& name = named.at(static_cast<std::size_t>(set.labels[i].item<std::int64_t>()));
    set.labels[i] = std::find(classes.begin(), classes.end(), name) - classes.begin();
  }
  set.classes = classes;
  return set;
}

TEST(Train, MatchesTheTestLabelsByName) {
  const core::Folder a, b;
  auto set = tiny::noise(20, 1);
  const auto places = (set.labels != 1).nonzero().squeeze(1);  // nothing of class b
  set.images = set.images.index_select(0, places);
  set.labels = set.labels.index_select(0, places);
  const auto without_b = with_classes(set, {"a", "c", "d"}), reversed = with_classes(set, {"d", "c", "b", "a"});
  ASSERT_FALSE(torch::equal(without_b.labels, set.labels));
  const auto expected = train(tiny::spec(), tiny::noise(64), set, few_steps(), a.path(), {});
  EXPECT_EQ(expected.network.classes, (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(nets::load_network(a / "model.safetensors").classes, expected.network.classes);
  for (const auto& other : {without_b, reversed}) {
    const core::Folder folder;
    const auto trained = train(tiny::spec(), tiny::noise(64), other, few_steps(), folder.path(), {});
    EXPECT_EQ(trained.curve[1].natural.correct, expected.curve[1].natural.correct);
    EXPECT_EQ(trained.curve[1].robust.correct, expected.curve[1].robust.correct);
  }
}

TEST(Train, RefusesDataThatDoNotBelongTogetherBeforeAnyWork) {
  const core::Folder folder;
  const auto out = folder / "run";
  bool accepted = false;
  const auto begin = [&](const data::Dataset& train_set, const data::Dataset& test_set,
                         const nets::Spec& spec = tiny::spec(), TrainingOptions options = few_steps()) {
    (void)train(spec, train_set, test_set, options, out, {}, {}, [&] { accepted = true; });
  };
  auto more = tiny::noise(20, 1);
  more.classes[3] = "e";
  core::expect_error([&] { begin(tiny::noise(64), more); }, ErrorKind::kData, "class \"e\"");
  auto few = tiny::spec();
  few.classes = 3;
  core::expect_error([&] { begin(tiny::noise(64), tiny::noise(20), few); }, ErrorKind::kData, "class \"d\"");
  core::expect_error([&] { begin(tiny::noise(64), tiny::noise(8, 0, 9)); }, ErrorKind::kData,
                     "got images of 1 x 9 x 9, expected 1 x 8 x 8");
  auto none = tiny::noise(4);
  none.images = none.images.slice(0, 0, 0);
  none.labels = none.labels.slice(0, 0, 0);
  core::expect_error([&] { begin(none, tiny::noise(8)); }, ErrorKind::kData, "no images");
  core::expect_error([&] { begin(tiny::noise(64), none); }, ErrorKind::kData, "no images");
  auto one = tiny::noise(4);
  one.labels.zero_();
  core::expect_error([&] { begin(one, tiny::noise(8)); }, ErrorKind::kData, "images of one class");
  auto judged_by_nonsense = few_steps();
  judged_by_nonsense.test_attack.epsilon = core::Number("8");
  core::expect_error([&] { begin(tiny::noise(64), tiny::noise(8), tiny::spec(), judged_by_nonsense); },
                     ErrorKind::kUsage, "test_attack: epsilon: got 8");
  EXPECT_FALSE(accepted);
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Train, RefusesABatchOfOneImageForABatchNormOverOnePixel) {
  const core::Folder folder;
  auto options = few_steps();
  options.batch_size = 16;
  const auto spec = tiny::spec("preact_resnet8");
  const auto begin = [&](std::int64_t images) {
    (void)train(spec, tiny::noise(images), tiny::noise(4), options, folder / "run", {});
  };
  core::expect_error([&] { begin(33); }, ErrorKind::kUsage, "33 images in batches of 16 leave a batch of 1");
  options.adversarial_share = 0.0625;
  options.dual_norm = true;
  core::expect_error([&] { begin(32); }, ErrorKind::kUsage, "with one image of a kind");
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

TEST(Train, NeverSavesWeightsThatAreNotFinite) {
  const core::Folder folder;
  auto options = few_steps();
  options.optimiser = Optimiser::kSgd;
  options.learning_rate = 1e38;
  options.weight_decay = 1000;  // the loss of the only step is finite, the step is not
  options.schedule = Schedule::kConstant;
  options.batch_size = 64;
  options.epochs = 1;
  options.checkpoint_steps = {};
  core::expect_error([&] { (void)train_lenet(options, folder.path()); }, ErrorKind::kUsage,
                     "such weights are not saved; lower learning_rate");
  EXPECT_FALSE(std::filesystem::exists(folder / "model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(folder / "checkpoints/epoch-001.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(folder / "checkpoints/resume.safetensors"));
}

TEST(Train, JudgesAnewWhenOnlyTheTestAttackDiffers) {
  const core::Folder first, second;
  auto options = few_steps();
  options.test_attack.epsilon = core::Number("0.001");
  (void)train_lenet(options, first.path());
  const auto weights_then = core::read_file(first / "model.safetensors");
  options.test_attack.epsilon = core::Number("0.9");
  options.test_attack.iterations = 3;
  options.test_attack_images = 15;
  options.checkpoint_steps = {};
  int steps = 0;
  const auto again =
      train_lenet(options, first.path(), {.progress = [&](const core::Progress& p) { steps += p.task == "train"; }});
  const auto anew = train_lenet(options, second.path());
  EXPECT_EQ(steps, 0) << "nothing is trained again";
  EXPECT_EQ(core::read_file(first / "model.safetensors"), weights_then);
  ASSERT_EQ(again.curve.size(), 2u);
  for (std::size_t e = 0; e < 2; ++e) {
    EXPECT_EQ(again.curve[e].robust.n, 15);
    EXPECT_EQ(again.curve[e].robust.correct, anew.curve[e].robust.correct);
    EXPECT_EQ(again.curve[e].natural.correct, anew.curve[e].natural.correct);
  }
  std::filesystem::remove(first / "checkpoints/epoch-001.safetensors");
  options.test_attack_images = 10;
  const auto last = train_lenet(options, first.path());
  EXPECT_EQ(last.curve[0].robust.n, 0) << "its weights are gone";
  EXPECT_EQ(last.curve[0].natural.n, 20);
  EXPECT_EQ(last.curve[1].robust.n, 10);
}

TEST(Train, GoesOnWithMoreEpochsWhereTheScheduleAllowsIt) {
  const core::Folder longer, whole;
  auto options = few_steps();
  options.schedule = Schedule::kStep;
  options.milestones = {1};
  (void)train_lenet(options, longer.path());
  options.epochs = 3;
  (void)train_lenet(options, longer.path());
  (void)train_lenet(options, whole.path());
  EXPECT_EQ(core::read_file(longer / "model.safetensors"), core::read_file(whole / "model.safetensors"));
  options.epochs = 2;
  core::expect_error([&] { (void)train_lenet(options, longer.path()); }, ErrorKind::kUsage, "has 3 epochs behind it");
}

TEST(Train, TakesTheEpochBeforeWhereTheNewestStateIsDamaged) {
  const core::Folder folder, whole;
  const auto options = few_steps();
  (void)train_lenet(options, whole.path());
  (void)train_lenet(options, folder.path());
  auto bytes = core::read_file(folder / "checkpoints/resume.safetensors");
  bytes[bytes.size() - 5] ^= 4;
  core::write_file(folder / "checkpoints/resume.safetensors", bytes);
  const auto trained = train_lenet(options, folder.path());
  ASSERT_EQ(trained.notes.size(), 1u);
  EXPECT_THAT(trained.notes[0], testing::HasSubstr("goes on from the end of epoch 1"));
  for (const char* file :
       {"model.safetensors", "checkpoints/resume.safetensors", "checkpoints/resume-before.safetensors"}) {
    EXPECT_EQ(core::read_file(folder / file), core::read_file(whole / file)) << file;
  }
}

TEST(Train, SaysThatAnotherNumberOfThreadsTookOver) {
  const core::Folder folder;
  auto options = few_steps();
  options.schedule = Schedule::kConstant;
  EXPECT_EQ(train_lenet(options, folder.path()).workers, (std::vector<Workers>{{1, 1}}));
  options.epochs = 3;
  core::Run two;
  two.threads = 2;
  const auto trained = train_lenet(options, folder.path(), two);
  EXPECT_EQ(trained.workers, (std::vector<Workers>{{1, 1}, {1, 2}}));
  ASSERT_EQ(trained.notes.size(), 1u);
  EXPECT_THAT(trained.notes[0], testing::HasSubstr("differ in their last bits"));
  EXPECT_TRUE(train_lenet(options, folder.path()).notes.empty()) << "nothing is trained";
}

TEST(Train, ComputesInFloat32WhereThereIsNoBfloat16) {
  if (core::has_bfloat16()) GTEST_SKIP() << "this processor has it";
  const core::Folder mixed, plain;
  auto options = few_steps();
  const auto expected = train_lenet(options, plain.path());
  options.precision = Precision::kMixed;
  const auto trained = train_lenet(options, mixed.path());
  EXPECT_TRUE(tiny::same_bits(trained.network.state, expected.network.state));
  EXPECT_EQ(trained.options.precision, Precision::kFloat32);
  ASSERT_EQ(trained.notes.size(), 1u);
  EXPECT_THAT(trained.notes[0], testing::HasSubstr("float32 is used"));
}

TEST(Train, RefusesAFolderOfAnotherTraining) {
  const core::Folder folder;
  auto options = few_steps();
  (void)train_lenet(options, folder.path());
  options.learning_rate = 0.5;
  core::expect_error([&] { (void)train_lenet(options, folder.path()); }, ErrorKind::kUsage,
                     "/options/learning_rate: got 0.5");
}

TEST(Train, SaysThatTheLearningRateIsTooHigh) {
  const core::Folder folder;
  auto options = few_steps();
  options.optimiser = Optimiser::kSgd;
  options.learning_rate = 1e38;
  options.schedule = Schedule::kConstant;
  core::expect_error([&] { (void)train_lenet(options, folder.path()); }, ErrorKind::kUsage,
                     "lower learning_rate (now 1e+38)");
}

TEST(Train, RefusesImagesThatDoNotFitTheNetwork) {
  const core::Folder folder;
  core::expect_error(
      [&] { (void)train(tiny::spec(), tiny::noise(8, 0, 9), tiny::noise(8), few_steps(), folder.path(), {}); },
      ErrorKind::kData, "got images of 1 x 9 x 9, expected 1 x 8 x 8");
}

TEST(Train, SaysWhenItsFilesCannotBeWritten) {
  const core::Folder folder;
  core::write_file(folder / "taken", std::string_view("a file"));
  core::expect_error([&] { (void)train_lenet(few_steps(), folder / "taken"); }, ErrorKind::kIo, "taken");
}

}  // namespace
}  // namespace pellucid::training
