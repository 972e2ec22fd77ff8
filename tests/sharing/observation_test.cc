#include "pellucid/core/file.h"
#include "pellucid/core/memory.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/sharing/formats.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

namespace pellucid::sharing {
namespace {

using core::ErrorKind;
using core::Json;

struct ObservationFile : testing::Test {
  core::Folder folder;
  const std::filesystem::path path = folder / "update.safetensors";
  const nets::Network network = named();
  const Tensor images = tiny::images(2), labels = torch::tensor({3, 1});

  static nets::Network named() {
    auto network = tiny::network(tiny::spec());
    network.classes = {"a", "b", "c", "d"};
    return network;
  }
  Observation observation() {
    return {.network = network,
            .update = compute_update(network, images, labels, {.mode = nets::Mode::kTraining}),
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
  EXPECT_EQ(got.update.protocol.batch_size, 2);
  EXPECT_EQ(got.update.protocol.mode, nets::Mode::kTraining);
  EXPECT_EQ(got.update.model, nets::fingerprint(network));
  EXPECT_EQ(got.labels, (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(got.network.classes, network.classes);
}

// The observation's number is that of a test image in a study: whoever has the data set would have the image.
TEST_F(ObservationFile, SaysNothingOfWhichImagesTheyWere) {
  save_observation(observation(), path);
  const auto bytes = core::read_file(path);
  auto other = observation();
  other.id = 7;
  std::reverse(other.labels.begin(), other.labels.end());
  save_observation(other, folder / "another name");
  EXPECT_EQ(core::read_file(folder / "another name"), bytes)
      << "neither number nor order of the labels, neither file name nor time";

  const auto metadata = nets::read_safetensors(path).metadata;
  std::set<std::string> keys;
  for (const auto& [key, unused] : metadata) keys.insert(key);
  EXPECT_EQ(keys, (std::set<std::string>{"observation", "schema", "threat_model"}));
  EXPECT_EQ(nlohmann::json::parse(metadata.at("observation")), (nlohmann::json{{"batch_size", 2},
                                                                               {"mode", "training"},
                                                                               {"model", nets::fingerprint(network)},
                                                                               {"labels", {1, 3}},
                                                                               {"classes", {"a", "b", "c", "d"}}}));
}

TEST_F(ObservationFile, StartsFromNoiseThatDependsOnTheGradientAlone) {
  save_observation(observation(), path);
  const auto id = load_observation(path, network).id;
  auto other = observation();
  other.id = 7;
  other.labels = {};
  save_observation(other, path);
  EXPECT_EQ(load_observation(path, network).id, id);
  other.update.gradient.at("fc.0.bias")[0] += 1e-3;
  save_observation(other, path);
  EXPECT_NE(load_observation(path, network).id, id);
}

TEST_F(ObservationFile, OfTheFirstVersionLoadsAndItsNumberIsNotUsed) {
  save_observation(observation(), path);
  const auto id = load_observation(path, network).id;
  auto file = nets::read_safetensors(path);
  Json given = Json::parse(file.metadata.at("observation"));
  given.erase("classes");
  given["id"] = 3;
  file.metadata["observation"] = given.dump();
  file.metadata["schema"] = "pellucid.update/1";
  core::write_file(path, nets::write_safetensors(file));
  EXPECT_EQ(load_observation(path, network).id, id);
}

TEST_F(ObservationFile, BringsTheClassesNamesToANetworkWithoutThem) {
  save_observation(observation(), path);
  auto nameless = network;
  nameless.classes = {};
  EXPECT_EQ(load_observation(path, nameless).network.classes, network.classes);
  auto other = network;
  other.classes[0] = "z";
  core::expect_error([&] { (void)load_observation(path, other); }, ErrorKind::kModel,
                     "classes: the update's have other names than the network's");
  expect_refusal_of("classes: got array, expected 4 names", "classes", {"a", "b"});
  expect_refusal_of("classes: got array, expected 4 names", "classes", {1, 2, 3, 4});
}

TEST_F(ObservationFile, ThatWasDamagedIsRefused) {
  save_observation(observation(), path);
  const auto whole = core::read_file(path);
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  core::Stream stream(0, "damage");
  for (int i = 0; i < 300; ++i) {
    auto damaged = whole;
    const auto at = stream.below(i % 3 == 0 ? whole.size() : 8 + header);
    damaged[at] ^= static_cast<std::uint8_t>(1 << stream.below(8));
    SCOPED_TRACE(at);
    core::expect_error([&] { (void)load_observation(nets::SafeTensorsFile(damaged, "u"), network); }, ErrorKind::kModel,
                       "u: ");
    damaged = whole;
    damaged.resize(stream.below(whole.size()));
    core::expect_error([&] { (void)load_observation(nets::SafeTensorsFile(damaged, "u"), network); }, ErrorKind::kModel,
                       "u: ");
  }
}

TEST_F(ObservationFile, RefusesValuesThatAreNotFinite) {
  for (const float value : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    expect_refusal(
        "the gradient of \"body.0.bias\": got values that are not finite: no image can be read back from them",
        [&](auto& file) { file.tensors.at("body.0.bias")[1] = value; });
  }
}

TEST_F(ObservationFile, KeepsLabelsBackThatWereNotShared) {
  auto kept = observation();
  kept.labels = {};
  kept.update.protocol.mode = nets::Mode::kEvaluation;
  save_observation(kept, path);
  const Observation got = load_observation(path, network);
  EXPECT_TRUE(got.labels.empty());
  EXPECT_EQ(got.update.protocol.mode, nets::Mode::kEvaluation);
}

TEST_F(ObservationFile, SaysWhatTheClientDidToTheUpdate) {
  auto changed = observation();
  changed.update.protocol.mechanisms = {{"clip", 1}, {"gaussian", 0.01}, {"float16"}};
  save_observation(changed, path);
  EXPECT_EQ(load_observation(path, network).update.protocol.mechanisms, changed.update.protocol.mechanisms);
  EXPECT_THAT(describe(changed),
              testing::HasSubstr("in training mode, changed by clip 1, gaussian 0.01, float16, and the labels"));
  expect_refusal_of("mechanisms: got \"clop\", expected clip, gaussian", "mechanisms", "clop 1");
  expect_refusal_of("mechanisms: got 1, expected a text", "mechanisms", 1);
}

TEST_F(ObservationFile, IsInTheClientsArithmetic) {
  auto exact = observation();
  exact.update = compute_update(network, images, labels, {.arithmetic = Arithmetic::kFloat64});
  const double apart = (exact.update.gradient.begin()->second - observation().update.gradient.begin()->second)
                           .abs()
                           .max()
                           .item<double>();
  EXPECT_GT(apart, 0);
  save_observation(exact, path);
  const auto read = load_observation(path, network);
  EXPECT_EQ(read.update.protocol.arithmetic, Arithmetic::kFloat64);
  EXPECT_TRUE(torch::equal(read.update.gradient.begin()->second, exact.update.gradient.begin()->second));
  EXPECT_THAT(describe(read), testing::HasSubstr("the float64 gradient"));
  expect_refusal_of("arithmetic: got \"float8\", expected", "arithmetic", "float8");
}

TEST_F(ObservationFile, SaysHowItsClientTrained) {
  auto trained = observation();
  trained.update = compute_update(network, images, labels, {.local = {.epochs = 2, .step_images = 1}});
  save_observation(trained, path);
  const auto read = load_observation(path, network);
  EXPECT_EQ(read.update.protocol.local.epochs, 2);
  EXPECT_EQ(read.update.protocol.local.step_images, 1);
  EXPECT_EQ(read.update.protocol.local.learning_rate, 0.01);
  EXPECT_THAT(describe(read), testing::HasSubstr("the change of its float32 weights by 2 epochs of SGD at 0.01 (4 "
                                                 "steps) over 2 images"));
  expect_refusal_of("local_epochs: got -1, expected a whole number", "local_epochs", -1);
  expect_refusal_of("learning_rate: got \"fast\", expected a number", "learning_rate", "fast");
}

TEST_F(ObservationFile, HoldsNothingOfAHiddenSchedule) {
  auto trained = observation();
  trained.update =
      compute_update(network, images, labels, {.local = {.epochs = 3, .learning_rate = 0.125, .hidden = true}});
  save_observation(trained, path);
  const auto read = load_observation(path, network);
  EXPECT_TRUE(read.update.protocol.local.hidden);
  EXPECT_EQ(read.update.protocol.local.epochs, 1);
  for (const auto& [unused, text] : nets::read_safetensors(path).metadata)
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("0.125")));
  EXPECT_THAT(describe(read), testing::HasSubstr("by SGD at an unknown rate, in unknown steps, over 2 images"));
}

TEST_F(ObservationFile, HoldsTheAverageOfClientsAndTheirStatistics) {
  const auto normed = tiny::normed();
  Observation both{.network = normed, .update = {}, .labels = {}};
  both.update = compute_update(normed, tiny::images(4), tiny::labels(4),
                               {.clients = 2, .mode = nets::Mode::kTraining, .share_statistics = true});
  save_observation(both, path);
  const auto read = load_observation(path, normed);
  EXPECT_EQ(read.update.protocol.clients, 2);
  EXPECT_TRUE(tiny::same_bits(read.update.gradient, both.update.gradient));
  EXPECT_TRUE(tiny::same_bits(read.update.statistics, both.update.statistics));
  EXPECT_EQ(digest(read.update), digest(both.update));
  EXPECT_THAT(describe(read), testing::HasSubstr("over 4 images of 2 clients, on average, computed in training mode, "
                                                 "the new statistics of batch norm, and no labels"));
  auto file = nets::read_safetensors(path);
  file.tensors.erase("bn.running_var");
  core::write_file(path, nets::write_safetensors(file));
  core::expect_error([&] { (void)load_observation(path, normed); }, ErrorKind::kModel,
                     "the statistic \"bn.running_var\" is missing");
  expect_refusal_of("clients: got 3, expected a number that divides the 2 images", "clients", 3);
}

TEST_F(ObservationFile, IsReadInAnyFormatOfTheList) {
  for (const auto& format : formats()) EXPECT_FALSE(format.name.empty() || format.summary.empty());
  EXPECT_EQ(formats().front().extension, ".safetensors");
  save_observation(observation(), folder / "update");  // without an extension
  EXPECT_EQ(load_observation(folder / "update", network).update.protocol.batch_size, 2);
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
  expect_refusal("schema: got none, expected pellucid.update/2", [](auto& file) { file.metadata.erase("schema"); });
  expect_refusal("schema: got pellucid.update/9", [](auto& file) { file.metadata["schema"] = "pellucid.update/9"; });
}

TEST_F(ObservationFile, RefusesMetadataThatAreNoObservation) {
  expect_refusal("metadata \"observation\"", [](auto& file) { file.metadata.erase("observation"); });
  expect_refusal("metadata \"observation\"", [](auto& file) { file.metadata["observation"] = "{"; });
  expect_refusal_of("metadata \"observation\"", "labels", "three");
  expect_refusal_of("metadata \"observation\": batch_size: got \"two\", expected a whole number from 1", "batch_size",
                    "two");
  expect_refusal_of("batch_size: got 2.5", "batch_size", 2.5);
  expect_refusal_of("batch_size: got true", "batch_size", true);
  expect_refusal_of("batch_size: got 18446744073709551615", "batch_size", UINT64_MAX);
  expect_refusal_of("label: got 1.5, expected 0 to 3", "labels", {1.5, 1});
  expect_refusal_of("model: got null, expected the network's fingerprint", "model", nullptr);
  expect_refusal("metadata \"observation\": the metadata: got array, expected an object",
                 [](auto& file) { file.metadata["observation"] = "[]"; });
  expect_refusal("metadata \"observation\": got 1048577 bytes, expected at most 1048576",
                 [](auto& file) { file.metadata["observation"] = std::string((1 << 20) + 1, '['); });
  expect_refusal("computed with the network x\\x1b[2J, not", [](auto& file) {
    Json given = Json::parse(file.metadata.at("observation"));
    given["model"] = "x\x1b[2J";
    file.metadata["observation"] = given.dump();
  });
  expect_refusal_of("mode: got \"backwards\", expected evaluation or training", "mode", "backwards");
}

TEST_F(ObservationFile, RefusesGradientsThatAreNotTheNetworks) {
  expect_refusal("the gradient of \"fc.0.bias\" is missing", [](auto& file) { file.tensors.erase("fc.0.bias"); });
  expect_refusal("got 9 tensors, expected 8", [](auto& file) { file.tensors["images"] = torch::zeros({1}); });
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
  expect_refusal_of("batch_size: got 0, expected a whole number from 1", "batch_size", 0);
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

TEST(RequireMemory, CountsWhatTheLayersGive) {
  auto vast = tiny::spec("resnet18");
  vast.input = {3, 65536, 65536};
  core::expect_error([&] { require_memory(nets::build(vast), 1); }, ErrorKind::kData,
                     "the gradient of a batch of 1 through resnet18 on images of 3x65536x65536: needs");
  const auto lenet = nets::build(tiny::spec());
  require_memory(lenet, 100);
  core::expect_error([&] { require_memory(lenet, INT64_MAX); }, ErrorKind::kData, "of memory, and");
  core::set_memory_budget(50'000);
  core::expect_error([&] { (void)compute_update(tiny::network(tiny::spec()), tiny::images(20), tiny::labels(20)); },
                     ErrorKind::kData, "a batch of 20 through lenet");
  core::set_memory_budget(0);
}

TEST(Digest, IsOfTheGradientAlone) {
  const auto network = tiny::network(tiny::spec());
  auto update = compute_update(network, tiny::images(1), tiny::labels(1));
  const auto before = digest(update);
  EXPECT_EQ(before.size(), 64u);
  update.protocol.batch_size = 3;
  EXPECT_EQ(digest(update), before);
  EXPECT_NE(digest(compute_update(network, tiny::images(1, 1), tiny::labels(1))), before);
}

}  // namespace
}  // namespace pellucid::sharing
