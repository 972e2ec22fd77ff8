// Trainings that are stopped or killed at one moment or another, and begun again.
#include "pellucid/core/file.h"
#include "pellucid/core/stop.h"
#include "pellucid/training/train.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

namespace pellucid::training {
namespace {

struct Case {
  std::string name;
  nets::Spec spec;
  data::Dataset train_set, test_set;
  TrainingOptions options;
  std::vector<int> stops;  // at which reports to stop; an epoch has one for each batch and two for each accuracy
};

std::vector<Case> cases() {
  TrainingOptions options;
  options.method = Method::kAdversarial;
  options.epochs = 2;
  options.batch_size = 8;
  options.learning_rate = 1e-2;
  options.attack.iterations = 1;
  options.test_attack.iterations = 1;
  options.checkpoint_steps = {};
  options.epsilon_warmup = 1.5;
  options.crop_padding = 1;
  options.flip = true;
  TrainingOptions dropout = options;
  dropout.method = Method::kStandard;
  dropout.optimiser = Optimiser::kSgd;
  TrainingOptions norm = options;
  norm.optimiser = Optimiser::kSgd;
  norm.batch_size = 4;
  norm.attack_mode = nets::Mode::kTraining;
  norm.test_attack_images = 0;
  TrainingOptions free = options;
  free.method = Method::kFree;
  free.replays = 2;
  TrainingOptions dual = norm;
  dual.adversarial_share = 0.5;
  dual.dual_norm = true;
  dual.awp = 0.01;
  TrainingOptions trades = options;
  trades.method = Method::kTrades;
  trades.precision = Precision::kMixed;
  trades.guard_images = 3;
  TrainingOptions autoencoder = options;
  autoencoder.method = Method::kAutoencoder;
  const nets::Spec pixels{.net = "autoencoder", .input = {1, tiny::kSide, tiny::kSide}, .classes = 64};
  TrainingOptions dp = options;
  dp.batch_size = 2;  // of 12: some steps draw nothing
  dp.adversarial_share = 0.5;
  dp.clip_norm = 1;
  dp.noise_multiplier = 0.5;
  dp.checkpoint_steps = {3};
  return {{"private", tiny::spec(), tiny::noise(12), tiny::noise(5, 1), dp, {1, 3, 5, 8}},
          {"autoencoder", pixels, tiny::noise(24), tiny::noise(5, 1), autoencoder, {1, 3, 4, 5}},
          {"free", tiny::spec(), tiny::noise(20), tiny::noise(5, 1), free, {1, 2, 4, 7}},
          {"dual batch norm", tiny::spec("convnet", 9), tiny::noise(8, 0, 9), tiny::noise(4, 1, 9), dual, {1, 3}},
          {"trades", tiny::spec(), tiny::noise(24), tiny::noise(5, 1), trades, {2, 3, 6}},
          {"adversarial",
           tiny::spec(),
           tiny::noise(24),
           tiny::noise(5, 1),
           options,
           {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
          {"dropout", tiny::spec("small_cnn", 16), tiny::noise(24, 0, 16), tiny::noise(5, 1, 16), dropout, {2, 4, 9}},
          {"batch norm", tiny::spec("convnet", 9), tiny::noise(8, 0, 9), tiny::noise(4, 1, 9), norm, {1, 3}}};
}

Case named(const std::string& name) {
  const auto all = cases();
  return *std::find_if(all.begin(), all.end(), [&](const Case& c) { return c.name == name; });
}

Trained run_case(const Case& c, const std::filesystem::path& folder, const core::Run& run = {}) {
  return train(c.spec, c.train_set, c.test_set, c.options, folder, run);
}

// A run whose sink does something at its k-th report, counting from 1.
core::Run at_report(int k, const std::function<void()>& act) {
  return {.progress = [k, act, count = 0](const core::Progress&) mutable {
    if (++count == k) act();
  }};
}

struct Resume : testing::Test {
  void TearDown() override { core::request_stop(false); }
};

TEST_F(Resume, EndsWithTheSameBitsAfterAStopAtAnyMoment) {
  for (const auto& c : cases()) {
    const core::Folder undisturbed;
    (void)run_case(c, undisturbed.path());
    for (const int k : c.stops) {
      const core::Folder folder;
      core::expect_error([&] { (void)run_case(c, folder.path(), at_report(k, [] { core::request_stop(); })); },
                         core::ErrorKind::kStopped, "the same command goes on");
      EXPECT_FALSE(std::filesystem::exists(folder / "model.safetensors"));
      core::request_stop(false);
      (void)run_case(c, folder.path());
      for (const char* file :
           {"model.safetensors", "checkpoints/resume.safetensors", "checkpoints/resume-before.safetensors"}) {
        EXPECT_EQ(core::read_file(folder / file), core::read_file(undisturbed / file))
            << c.name << ", stopped at " << k;
      }
    }
  }
}

TEST_F(Resume, EndsWithTheSameBitsAfterBeingKilled) {
  const auto c = named("adversarial");
  const core::Folder undisturbed;
  (void)run_case(c, undisturbed.path());
  for (const int k : {2, 5, 9, 12}) {
    const core::Folder folder;
    EXPECT_THROW((void)run_case(c, folder.path(), at_report(k, [] { throw std::runtime_error("killed"); })),
                 std::runtime_error);
    (void)run_case(c, folder.path());
    EXPECT_EQ(core::read_file(folder / "model.safetensors"), core::read_file(undisturbed / "model.safetensors")) << k;
  }
}

TEST_F(Resume, GoesOnWhereItStopped) {
  const auto c = named("adversarial");
  const core::Folder folder;
  core::expect_error([&] { (void)run_case(c, folder.path(), at_report(2, [] { core::request_stop(); })); },
                     core::ErrorKind::kStopped, "the same command goes on");
  core::request_stop(false);
  std::int64_t first = 0;
  (void)run_case(c, folder.path(), {.progress = [&](const core::Progress& p) {
                   if (first == 0) first = p.done;
                 }});
  EXPECT_EQ(first, 3);
}

TEST_F(Resume, TrainsNothingWhenAllIsDone) {
  const auto c = named("adversarial");
  const core::Folder folder;
  const auto once = run_case(c, folder.path());
  int reports = 0;
  const auto again = run_case(c, folder.path(), {.progress = [&](const core::Progress&) { ++reports; }});
  EXPECT_EQ(reports, 0);
  EXPECT_TRUE(tiny::same_bits(once.network.state, again.network.state));
  EXPECT_EQ(again.curve.size(), 2u);
}

}  // namespace
}  // namespace pellucid::training
