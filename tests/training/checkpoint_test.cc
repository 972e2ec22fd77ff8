#include "pellucid/training/checkpoint.h"

#include "pellucid/core/file.h"
#include "pellucid/nets/safetensors.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

namespace pellucid::training {
namespace {

using core::ErrorKind;
using core::Json;

const Json kIdentity = {{"spec", {{"net", "tiny"}}}, {"options", {{"epochs", 4}, {"milestones", {1, 2}}}}};

TrainingState state() {
  const nets::Network network = tiny::normed();
  TrainingState s{
      .model = {.network = network}, .optimiser = {.steps = 3, .first = {}, .second = {}}, .epoch = 1, .batch = 2, .curve = {}};
  s.model.network.state.at("bn.num_batches_tracked") += 3;
  for (const char* part : {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}) {
    s.model.clean_norms[std::string("bn.") + part] = network.state.at(std::string("bn.") + part) + 2;
  }
  for (const auto& parameter : parameters(s.model).tensors) {
    s.optimiser.first.push_back(parameter * 0.1);
    s.optimiser.second.push_back(parameter.square());
  }
  s.perturbation = tiny::images(2) - 0.5;
  s.loss_sum = 0.1 + 0.2;  // needs all 17 digits
  s.correct = 5;
  s.curve.push_back({.epoch = 1,
                     .train_loss = 1.0 / 3,
                     .train_accuracy = 0.25,
                     .natural = {.correct = 1, .n = 3},
                     .robust = {.correct = 0, .n = 2},
                     .guard = {.correct = 3, .n = 4}});
  return s;
}

struct Checkpoint : testing::Test {
  core::Folder folder;
  const std::filesystem::path path = folder / "resume.safetensors";
  const Model initial = state().model;

  void SetUp() override { save_state(state(), kIdentity, path); }

  // Writes the file again after a change.
  template <typename Change>
  void damage(Change change) {
    auto file = nets::read_safetensors(path);
    change(file);
    core::write_file(path, nets::write_safetensors(file));
  }
  void expect_refusal(ErrorKind kind, const std::string& message, const Json& identity = kIdentity) {
    core::expect_error([&] { (void)load_state(initial, identity, path); }, kind, message);
  }
};

TEST_F(Checkpoint, ComesBackToTheBit) {
  const auto got = load_state(initial, kIdentity, path);
  const TrainingState expected = state();
  ASSERT_TRUE(got);
  EXPECT_TRUE(tiny::same_bits(got->model.network.state, expected.model.network.state));
  EXPECT_TRUE(tiny::same_bits(got->model.clean_norms, expected.model.clean_norms));
  EXPECT_TRUE(torch::equal(got->perturbation, expected.perturbation));
  EXPECT_EQ(got->optimiser.steps, 3);
  ASSERT_EQ(got->optimiser.first.size(), expected.optimiser.first.size());
  ASSERT_EQ(got->optimiser.second.size(), expected.optimiser.second.size());
  for (std::size_t i = 0; i < expected.optimiser.first.size(); ++i) {
    EXPECT_TRUE(torch::equal(got->optimiser.first[i], expected.optimiser.first[i])) << i;
    EXPECT_TRUE(torch::equal(got->optimiser.second[i], expected.optimiser.second[i])) << i;
  }
  EXPECT_EQ(got->epoch, 1);
  EXPECT_EQ(got->batch, 2);
  EXPECT_EQ(got->loss_sum, expected.loss_sum);
  EXPECT_EQ(got->correct, 5);
  ASSERT_EQ(got->curve.size(), 1u);
  EXPECT_EQ(got->curve[0].epoch, 1);
  EXPECT_EQ(got->curve[0].train_loss, 1.0 / 3);
  EXPECT_EQ(got->curve[0].train_accuracy, 0.25);
  EXPECT_EQ(got->curve[0].natural.correct, 1);
  EXPECT_EQ(got->curve[0].natural.n, 3);
  EXPECT_EQ(got->curve[0].robust.n, 2);
  EXPECT_EQ(got->curve[0].guard.correct, 3);
}

TEST_F(Checkpoint, IsNothingWhereThereIsNoFile) {
  EXPECT_FALSE(load_state(initial, kIdentity, folder / "none.safetensors"));
}

TEST_F(Checkpoint, RefusesAnotherTrainingNamingTheDifference) {
  Json other = kIdentity;
  other["options"]["epochs"] = 3;
  expect_refusal(ErrorKind::kUsage, "/options/epochs: got 3, the run there has 4", other);
  other = kIdentity;
  other["options"]["milestones"].push_back(3);
  expect_refusal(ErrorKind::kUsage, "/options/milestones", other);
  other = kIdentity;
  other["spec"]["classes"] = 7;
  expect_refusal(ErrorKind::kUsage, "/spec/classes: got 7, the run there has nothing", other);
}

TEST_F(Checkpoint, RefusesATruncatedFile) {
  auto bytes = core::read_file(path);
  bytes.resize(bytes.size() - 1);
  core::write_file(path, bytes);
  expect_refusal(ErrorKind::kModel, "truncated");
}

TEST_F(Checkpoint, RefusesAFileThatIsNoState) {
  damage([](auto& file) { file.metadata.erase("identity"); });
  expect_refusal(ErrorKind::kModel, "something is missing");
}

TEST_F(Checkpoint, RefusesAStateThatIsNotJson) {
  damage([](auto& file) { file.metadata["state"].clear(); });
  expect_refusal(ErrorKind::kModel, "no training state");
}

TEST_F(Checkpoint, RefusesAStateWithoutAField) {
  damage([](auto& file) {
    Json json = Json::parse(file.metadata["state"]);
    json.erase("loss_sum");
    file.metadata["state"] = json.dump();
  });
  expect_refusal(ErrorKind::kModel, "loss_sum");
}

TEST_F(Checkpoint, RefusesAMissingWeight) {
  damage([](auto& file) { file.tensors.erase("network/bn.running_var"); });
  expect_refusal(ErrorKind::kModel, "something is missing");
}

TEST_F(Checkpoint, RefusesAMissingBatchNormOfTheCleanImages) {
  damage([](auto& file) { file.tensors.erase("clean norms/bn.bias"); });
  expect_refusal(ErrorKind::kModel, "something is missing");
}

TEST_F(Checkpoint, RefusesAMissingMomentOfTheOptimiser) {
  damage([](auto& file) { file.tensors.erase("optimiser/second/conv.weight"); });
  expect_refusal(ErrorKind::kModel, "something is missing");
}

TEST_F(Checkpoint, SaysWhenItCannotBeWritten) {
  core::expect_error([&] { save_state(state(), kIdentity, path / "below" / "a file"); }, ErrorKind::kIo,
                     "resume.safetensors");
}

TEST(Curve, IsJsonByColumns) {
  const std::vector<EpochRecord> curve = {{.epoch = 1, .train_loss = 2, .natural = {1, 2}, .robust = {}, .guard = {}},
                                          {.epoch = 2, .train_loss = 1, .natural = {2, 2}, .robust = {1, 4}, .guard = {}}};
  EXPECT_EQ(
      to_json(curve),
      (Json{{"epoch", {1, 2}}, {"train_loss", {2.0, 1.0}}, {"natural", {0.5, 1.0}}, {"robust", {nullptr, 0.25}}, {"guard", {nullptr, nullptr}}}));
}

}  // namespace
}  // namespace pellucid::training
