#include "pellucid/core/file.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/sharing/update.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

#include <algorithm>
#include <cstring>

namespace pellucid::sharing {
namespace {

using core::ErrorKind;
using core::Json;

struct ObservationFile : testing::Test {
  core::Folder folder;
  const std::filesystem::path path = folder / "update.safetensors";
  const nets::Network network = tiny::network(tiny::spec());
  const Tensor images = tiny::images(2), labels = torch::tensor({3, 1});

  Observation observation() {
    return {.network = network,
            .update = compute_update(network, images, labels, nets::Mode::kTraining),
            .labels = {3, 1},
            .id = 42};
  }

  // Saves, changes the file and expects that it is refused.
  template <typename Change>
  void expect_refusal(const std::string& message, Change change) {
    save_observation(observation(), path);
    auto file = nets::read_safetensors(path);
    change(file);
    core::write_file(path, nets::write_safetensors(file));
    core::expect_error([&] { (void)load_observation(path, network); }, ErrorKind::kModel, message);
  }
  void expect_refusal_of(const std::string& message, const char* key, const Json& value) {
    expect_refusal(message, [&](auto& file) {
      Json given = Json::parse(file.metadata.at("observation"));
      given[key] = value;
      file.metadata["observation"] = given.dump();
    });
  }
};

TEST_F(ObservationFile, ComesBackToTheBit) {
  save_observation(observation(), path);
  const Observation got = load_observation(path, network);
  EXPECT_TRUE(tiny::same_bits(got.update.gradient, observation().update.gradient));
  EXPECT_EQ(got.update.batch_size, 2);
  EXPECT_EQ(got.update.mode, nets::Mode::kTraining);
  EXPECT_EQ(got.update.model, nets::fingerprint(network));
  EXPECT_EQ(got.labels, (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(got.id, 42);
}

TEST_F(ObservationFile, KeepsLabelsBackThatWereNotShared) {
  auto kept = observation();
  kept.labels = {};
  kept.update.mode = nets::Mode::kEvaluation;
  save_observation(kept, path);
  const Observation got = load_observation(path, network);
  EXPECT_TRUE(got.labels.empty());
  EXPECT_EQ(got.update.mode, nets::Mode::kEvaluation);
}

TEST_F(ObservationFile, HoldsNoImage) {
  save_observation(observation(), path);
  for (const auto& [name, tensor] : nets::read_safetensors(path).tensors) {
    EXPECT_EQ(network.state.count(name), 1u);
    EXPECT_EQ(tensor.sizes(), network.state.at(name).sizes());
  }
  const auto bytes = core::read_file(path);
  const Tensor flat = images.flatten();
  for (std::int64_t i = 0; i + 2 <= flat.numel(); i += 2) {  // any two neighbouring pixels
    const auto* pair = reinterpret_cast<const std::uint8_t*>(flat.data_ptr<float>() + i);
    EXPECT_EQ(std::search(bytes.begin(), bytes.end(), pair, pair + 2 * sizeof(float)), bytes.end()) << i;
  }
}

TEST_F(ObservationFile, RefusesAnotherSchema) {
  expect_refusal("schema: got none, expected pellucid.update/1", [](auto& file) { file.metadata.erase("schema"); });
  expect_refusal("schema: got pellucid.update/9", [](auto& file) { file.metadata["schema"] = "pellucid.update/9"; });
}

TEST_F(ObservationFile, RefusesMetadataThatAreNoObservation) {
  expect_refusal("metadata \"observation\"", [](auto& file) { file.metadata.erase("observation"); });
  expect_refusal("metadata \"observation\"", [](auto& file) { file.metadata["observation"] = "{"; });
  expect_refusal_of("metadata \"observation\"", "labels", "three");
  expect_refusal_of("metadata \"observation\"", "batch_size", "two");
  expect_refusal_of("mode: got \"backwards\", expected evaluation or training", "mode", "backwards");
}

TEST_F(ObservationFile, RefusesGradientsThatAreNotTheNetworks) {
  expect_refusal("the gradient of \"fc.0.bias\" is missing", [](auto& file) { file.tensors.erase("fc.0.bias"); });
  expect_refusal("got 9 gradients, expected 8", [](auto& file) { file.tensors["images"] = torch::zeros({1}); });
  expect_refusal("the gradient of \"fc.0.bias\": got Float [5], expected Float [4]",
                 [](auto& file) { file.tensors["fc.0.bias"] = torch::zeros({5}); });
  expect_refusal("the gradient of \"fc.0.bias\": got Double [4]",
                 [](auto& file) { file.tensors["fc.0.bias"] = torch::zeros({4}, torch::kFloat64); });
}

TEST_F(ObservationFile, RefusesLabelsThatCannotBe) {
  expect_refusal_of("label: got 4, expected 0 to 3", "labels", {3, 4});
  expect_refusal_of("label: got -1, expected 0 to 3", "labels", {-1, 1});
  expect_refusal_of("labels: got 3, expected 2", "labels", {1, 1, 1});
}

TEST_F(ObservationFile, RefusesAnEmptyBatch) {
  expect_refusal_of("batch_size: got 0, expected at least 1", "batch_size", 0);
}

TEST_F(ObservationFile, RefusesAnotherNetwork) {
  save_observation(observation(), path);
  core::expect_error(
      [&] { (void)load_observation(path, tiny::network(tiny::spec(), 1)); }, ErrorKind::kModel,
      "computed with the network " + nets::fingerprint(network).substr(0, 12) + ", not with the one given");
}

TEST_F(ObservationFile, RefusesATruncatedFile) {
  save_observation(observation(), path);
  auto bytes = core::read_file(path);
  bytes.pop_back();
  core::write_file(path, bytes);
  core::expect_error([&] { (void)load_observation(path, network); }, ErrorKind::kModel, "truncated");
}

TEST_F(ObservationFile, SaysWhenItCannotBeReadOrWritten) {
  core::expect_error([&] { (void)load_observation(folder / "none", network); }, ErrorKind::kIo, "none");
  core::write_file(path, std::string_view("a file"));
  core::expect_error([&] { save_observation(observation(), path / "below"); }, ErrorKind::kIo,
                     "cannot make the folder");
}

TEST_F(ObservationFile, SaysWhatTheAttackerIsGiven) {
  EXPECT_EQ(describe(observation()),
            "the attacker is given the network (lenet), the float32 gradient of the mean cross-entropy over 2 images, "
            "computed in "
            "training mode, and the labels");
  save_observation(observation(), path);
  EXPECT_EQ(nets::read_safetensors(path).metadata.at("threat_model"), describe(observation()));
  const Observation one{
      .network = network, .update = compute_update(network, tiny::images(1), tiny::labels(1)), .labels = {}};
  EXPECT_THAT(describe(one), testing::HasSubstr("over 1 image, computed in evaluation mode, and no labels"));
}

}  // namespace
}  // namespace pellucid::sharing
