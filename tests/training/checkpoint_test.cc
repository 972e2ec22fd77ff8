#include "pellucid/training/checkpoint.h"

#include "pellucid/core/file.h"
#include "pellucid/nets/safetensors.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"
#include <gmock/gmock.h>

#include <fstream>

namespace pellucid::training {
namespace {

using core::ErrorKind;
using core::Json;

const Json kIdentity = {{"spec", {{"net", "tiny"}}}, {"options", {{"epochs", 4}, {"milestones", {1, 2}}}}};
constexpr std::int64_t kImages = 24;

// Three batches an epoch, each trained on twice.
TrainingOptions options() {
  TrainingOptions o;
  o.method = Method::kFree;
  o.replays = 2;
  o.epochs = 4;
  o.batch_size = 8;
  return o;
}

// After the first epoch and two batches of the second.
TrainingState state() {
  const nets::Network network = tiny::normed();
  TrainingState s{
      .model = {.network = network}, .optimiser = {.steps = 10, .first = {}, .second = {}}, .epoch = 1, .batch = 2};
  s.model.network.state.at("bn.num_batches_tracked") += 3;
  for (const char* part : {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}) {
    s.model.clean_norms[std::string("bn.") + part] = network.state.at(std::string("bn.") + part) + 2;
  }
  for (const auto& parameter : parameters(s.model).tensors) {
    s.optimiser.first.push_back(parameter * 0.1);
    s.optimiser.second.push_back(parameter.square());
  }
  s.perturbation = tiny::images(8) - 0.5;
  s.loss_sum = 0.1 + 0.2;  // needs all 17 digits
  s.correct = 5;
  s.curve.push_back({.epoch = 1,
                     .train_loss = 1.0 / 3,
                     .train_accuracy = 0.25,
                     .natural = {.correct = 1, .n = 3, .undefined = 1},
                     .robust = {.correct = 0, .n = 2},
                     .guard = {.correct = 3, .n = 4}});
  s.judging = {{"test", "images"}, {"robust", nullptr}};
  s.workers = {{.processes = 1, .threads = 2}, {.processes = 2, .threads = 4}};
  return s;
}

// The state at the end of an epoch.
TrainingState at_end_of(std::int64_t epoch) {
  TrainingState s = state();
  s.epoch = epoch;
  s.batch = 0;
  s.correct = 0;
  s.loss_sum = 0;
  s.optimiser.steps = epoch * 6;
  s.curve.resize(static_cast<std::size_t>(epoch), s.curve.front());
  for (std::int64_t e = 1; e <= epoch; ++e) s.curve[static_cast<std::size_t>(e - 1)].epoch = e;
  return s;
}

struct Checkpoint : testing::Test {
  core::Folder folder;
  const std::filesystem::path path = folder / "resume.safetensors", before = folder / "resume-before.safetensors";
  const Model initial = state().model;
  const TrainingOptions trained_with = options();
  std::string note;

  void SetUp() override { StateFiles(folder.path()).save(state(), kIdentity); }

  std::optional<TrainingState> load(const Json& identity = kIdentity, const TrainingOptions* with = nullptr) {
    note.clear();
    const TrainingOptions& o = with == nullptr ? trained_with : *with;
    return StateFiles(folder.path())
        .load({.initial = initial, .options = o, .images = kImages, .identity = identity}, note);
  }
  // Writes the file again, with a checksum that is right, after a change.
  template <typename Change>
  void change(Change change) {
    auto file = nets::read_safetensors(path);
    change(file);
    nets::save_safetensors(file, path);
  }
  // The same for a number or text of the state.
  void change_state(const char* pointer, const Json& value) {
    change([&](auto& file) {
      Json json = Json::parse(file.metadata["state"]);
      json[Json::json_pointer(pointer)] = value;
      file.metadata["state"] = json.dump();
    });
  }
  void expect_refusal(ErrorKind kind, const std::string& message, const Json& identity = kIdentity) {
    core::expect_error([&] { (void)load(identity); }, kind, message);
  }
};

TEST_F(Checkpoint, ComesBackToTheBit) {
  const auto got = load();
  const TrainingState expected = state();
  ASSERT_TRUE(got);
  EXPECT_EQ(note, "");
  EXPECT_TRUE(tiny::same_bits(got->model.network.state, expected.model.network.state));
  EXPECT_TRUE(tiny::same_bits(got->model.clean_norms, expected.model.clean_norms));
  EXPECT_TRUE(torch::equal(got->perturbation, expected.perturbation));
  EXPECT_EQ(got->optimiser.steps, 10);
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
  EXPECT_EQ(got->judging, expected.judging);
  EXPECT_EQ(got->workers, expected.workers);
  ASSERT_EQ(got->curve.size(), 1u);
  EXPECT_EQ(got->curve[0].epoch, 1);
  EXPECT_EQ(got->curve[0].train_loss, 1.0 / 3);
  EXPECT_EQ(got->curve[0].train_accuracy, 0.25);
  EXPECT_EQ(got->curve[0].natural.correct, 1);
  EXPECT_EQ(got->curve[0].natural.n, 3);
  EXPECT_EQ(got->curve[0].natural.undefined, 1);
  EXPECT_EQ(got->curve[0].robust.n, 2);
  EXPECT_EQ(got->curve[0].guard.correct, 3);
}

TEST_F(Checkpoint, IsNothingWhereThereIsNoFile) {
  std::filesystem::remove(path);
  EXPECT_FALSE(load());
}

TEST_F(Checkpoint, RefusesAnotherTrainingNamingTheDifference) {
  Json other = kIdentity;
  other["options"]["epochs"] = 3;
  expect_refusal(ErrorKind::kUsage, "/options/epochs: got 3, the run there has 4", other);
  expect_refusal(ErrorKind::kUsage, "needs schedule constant or step from its beginning", other);
  other = kIdentity;
  other["options"]["milestones"].push_back(3);
  expect_refusal(ErrorKind::kUsage, "/options/milestones", other);
  other = kIdentity;
  other["spec"]["classes"] = 7;
  expect_refusal(ErrorKind::kUsage, "/spec/classes: got 7, the run there has nothing", other);
}

TEST_F(Checkpoint, RefusesToGoBackToFewerEpochs) {
  StateFiles(folder.path()).save(at_end_of(3), kIdentity);
  TrainingOptions fewer = options();
  fewer.epochs = 2;
  core::expect_error([&] { (void)load(kIdentity, &fewer); }, ErrorKind::kUsage, "has 3 epochs behind it, got epochs 2");
}

TEST_F(Checkpoint, RefusesATruncatedFile) {
  auto bytes = core::read_file(path);
  bytes.resize(bytes.size() - 1);
  core::write_file(path, bytes);
  expect_refusal(ErrorKind::kModel, "truncated");
  expect_refusal(ErrorKind::kModel, "resume*.safetensors, and the training begins again");
}

TEST_F(Checkpoint, RefusesAFileThatIsNoState) {
  change([](auto& file) { file.metadata.erase("identity"); });
  expect_refusal(ErrorKind::kModel, "\"identity\" is missing");
}

TEST_F(Checkpoint, RefusesAStateThatIsNotJson) {
  change([](auto& file) { file.metadata["state"].clear(); });
  expect_refusal(ErrorKind::kModel, "no training state");
  change([](auto& file) { file.metadata["state"] = std::string(100'000, '['); });
  expect_refusal(ErrorKind::kModel, "no training state");
  change([](auto& file) { file.metadata["state"] = "[]"; });
  expect_refusal(ErrorKind::kModel, "got [], expected an object");
}

TEST_F(Checkpoint, RefusesAStateWithoutAField) {
  for (const char* field : {"epoch", "batch", "steps", "loss_sum", "correct", "curve", "judging", "workers"}) {
    SetUp();
    change([&](auto& file) {
      Json json = Json::parse(file.metadata["state"]);
      json.erase(field);
      file.metadata["state"] = json.dump();
    });
    expect_refusal(ErrorKind::kModel, std::string(field) + " is missing");
  }
}

TEST_F(Checkpoint, RefusesNumbersOutOfTheirRange) {
  const std::vector<std::pair<const char*, Json>> wrong = {{"/epoch", -1},
                                                           {"/epoch", 2},
                                                           {"/epoch", 1.5},
                                                           {"/epoch", UINT64_MAX},
                                                           {"/epoch", "1"},
                                                           {"/batch", 3},
                                                           {"/batch", -1},
                                                           {"/batch", 1},
                                                           {"/steps", 9},
                                                           {"/steps", 11},
                                                           {"/steps", -10},
                                                           {"/steps", 1e18},
                                                           {"/correct", 17},
                                                           {"/correct", -1},
                                                           {"/loss_sum", nullptr},
                                                           {"/loss_sum", "0"},
                                                           {"/curve", Json::array()},
                                                           {"/curve/0/epoch", 2},
                                                           {"/curve/0/train_loss", nullptr},
                                                           {"/curve/0/train_accuracy", 1.5},
                                                           {"/curve/0/natural/0", 4},
                                                           {"/curve/0/natural/1", -3},
                                                           {"/curve/0/guard", Json::array()},
                                                           {"/curve/0/robust", 3},
                                                           {"/workers/0/1", 0},
                                                           {"/workers", 3},
                                                           {"/judging", nullptr}};
  for (const auto& [pointer, value] : wrong) {
    SetUp();
    change_state(pointer, value);
    SCOPED_TRACE(fmt::format("{} {}", pointer, value.dump()));
    expect_refusal(ErrorKind::kModel, "expected");
  }
}

TEST_F(Checkpoint, RefusesTensorsThatAreMissingOrTooMuch) {
  for (const char* name : {"network/bn.running_var", "clean norms/bn.bias", "optimiser/first/conv.weight",
                           "optimiser/second/conv.weight", "optimiser/second/clean/bn.weight", "perturbation"}) {
    SetUp();
    change([&](auto& file) { file.tensors.erase(name); });
    expect_refusal(ErrorKind::kModel, fmt::format("\"{}\" is missing", name));
  }
  SetUp();
  change([](auto& file) { file.tensors["network/other"] = torch::zeros({1}); });
  expect_refusal(ErrorKind::kModel, "\"network/other\" is none of this training");
}

TEST_F(Checkpoint, RefusesTensorsOfAnotherShapeOrTypeOrNotFinite) {
  change([](auto& file) { file.tensors["network/fc.bias"] = torch::zeros({5}); });
  expect_refusal(ErrorKind::kModel, "got Float of shape [5], expected Float of [4]");
  SetUp();
  change([](auto& file) { file.tensors["network/fc.bias"] = torch::zeros({4}, torch::kFloat64); });
  expect_refusal(ErrorKind::kModel, "got Double of shape [4], expected Float of [4]");
  SetUp();
  change([](auto& file) { file.tensors["perturbation"] = torch::zeros({2, 1, 8, 8}); });
  expect_refusal(ErrorKind::kModel, "expected Float of [8, 1, 8, 8]");
  SetUp();
  change([](auto& file) { file.tensors["optimiser/first/fc.bias"].fill_(NAN); });
  expect_refusal(ErrorKind::kModel, "not finite");
  SetUp();
  change([](auto& file) { file.tensors["optimiser/second/fc.bias"].fill_(-1); });
  expect_refusal(ErrorKind::kModel, "squares below 0");
}

TEST_F(Checkpoint, FindsEveryFlippedBitAndEveryTruncation) {
  const auto whole = core::read_file(path);
  core::Stream random(0, "damage");
  for (int k = 0; k < 400; ++k) {
    auto bytes = whole;
    if (k % 2 == 0)
      bytes[random.below(bytes.size())] ^= static_cast<std::uint8_t>(1u << random.below(8));
    else
      bytes.resize(random.below(bytes.size()));
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));  // no fsync
    SCOPED_TRACE(k);
    expect_refusal(ErrorKind::kModel, "damaged; remove");
  }
}

TEST_F(Checkpoint, GoesOnFromTheEpochBeforeWhereTheNewestIsDamaged) {
  StateFiles files(folder.path());
  files.save(at_end_of(1), kIdentity);
  EXPECT_FALSE(std::filesystem::exists(before)) << "what stood there was within an epoch";
  files.save(at_end_of(2), kIdentity);
  auto bytes = core::read_file(path);
  bytes[bytes.size() / 2] ^= 1;
  core::write_file(path, bytes);
  const auto got = load();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->epoch, 1);
  EXPECT_THAT(note, testing::HasSubstr("damaged, left out: the training goes on from the end of epoch 1"));
  EXPECT_EQ(core::read_file(path), bytes) << "loading changes nothing";
  std::filesystem::remove(path);  // as if it was killed between the renaming and the writing
  EXPECT_EQ(load()->epoch, 1);
  EXPECT_EQ(note, "");
}

TEST_F(Checkpoint, EndsWithTheSameFilesWhereverItWasStopped) {
  const auto both = [&] { return std::pair(core::read_file(path), core::read_file(before)); };
  std::filesystem::remove(path);
  StateFiles straight(folder.path());
  for (const std::int64_t epoch : {1, 2, 3}) straight.save(at_end_of(epoch), kIdentity);
  const auto expected = both();
  const auto save_anew = [&](const TrainingState& s) {  // another process
    StateFiles files(folder.path());
    (void)files.load({.initial = initial, .options = trained_with, .images = kImages, .identity = kIdentity}, note);
    files.save(s, kIdentity);
  };
  TrainingState within = at_end_of(2);
  within.batch = 1;
  within.optimiser.steps += 2;
  for (const auto& path_to_remove : {path, before}) std::filesystem::remove(path_to_remove);
  for (const auto& s : {at_end_of(1), at_end_of(2), within, within, at_end_of(3), at_end_of(3)}) save_anew(s);
  EXPECT_EQ(both(), expected);
}

TEST_F(Checkpoint, SaysWhenItCannotBeWritten) {
  core::write_file(folder / "taken", std::string_view("a file"));
  core::expect_error([&] { StateFiles(folder / "taken").save(state(), kIdentity); }, ErrorKind::kIo, "taken");
}

TEST(Curve, IsJsonByColumns) {
  const std::vector<EpochRecord> curve = {
      {.epoch = 1, .train_loss = 2, .natural = {1, 2}, .robust = {}, .guard = {}},
      {.epoch = 2, .train_loss = 1, .natural = {2, 2}, .robust = {1, 4}, .guard = {}}};
  EXPECT_EQ(to_json(curve), (Json{{"epoch", {1, 2}},
                                  {"train_loss", {2.0, 1.0}},
                                  {"natural", {0.5, 1.0}},
                                  {"robust", {nullptr, 0.25}},
                                  {"guard", {nullptr, nullptr}}}));
}

}  // namespace
}  // namespace pellucid::training
