#include "pellucid/nets/architecture_json.h"

#include "pellucid/core/random.h"
#include "pellucid/nets/zoo.h"

#include "tests/core/expect_error.h"

namespace pellucid::nets {
namespace {

using core::ErrorKind;
using core::Json;

Architecture small() { return build({.net = "convnet", .input = {1, 9, 9}, .classes = 3}); }

TEST(ArchitectureJson, ComesBackForEveryNetwork) {
  for (const auto& row : zoo()) {
    const auto channels = static_cast<std::size_t>(row.input[0]);
    const auto architecture = build({.net = row.name,
                                     .input = row.input,
                                     .mean = std::vector<double>(channels, 0.4),
                                     .deviation = std::vector<double>(channels, 0.2)});
    const Json json = to_json(architecture);
    EXPECT_EQ(to_json(architecture_from_json(nlohmann::json::parse(json.dump()))), json) << row.name;
    EXPECT_TRUE(is_of_the_zoo(architecture)) << row.name;
  }
}

TEST(ArchitectureJson, TellsANetworkOfTheZooFromOthers) {
  auto other = small();
  other.layers.push_back({Tanh{}, "", {static_cast<int>(other.layers.size()) - 1}});
  EXPECT_FALSE(is_of_the_zoo(other));
  other = small();
  other.spec.net = "mine";
  EXPECT_FALSE(is_of_the_zoo(other));
}

TEST(ArchitectureJson, HoldsEveryKindOfLayer) {
  Architecture all{.spec = {.net = "mine", .input = {2, 12, 12}, .classes = 5}, .layers = {}};
  const auto add = [&](Op op, std::string name = "") {
    const int before = static_cast<int>(all.layers.size()) - 1;
    all.layers.push_back({std::move(op), std::move(name), {before}});
  };
  add(Normalise{{.1, .2}, {1, 2}});
  add(Conv{2, 4, 3, 1, 1, false, Init::kHeFanOut}, "a");
  add(BatchNorm{4}, "b");
  add(Relu{});
  add(LeakyRelu{.2});
  add(Sigmoid{});
  add(Tanh{});
  add(Gelu{});
  all.layers.push_back({Add{}, "", {7, 1}});
  add(MaxPool{2});
  add(AveragePool{2});
  add(Dropout{.5});
  add(GlobalAveragePool{});
  add(GroupNorm{4, 2, 1e-3}, "g");
  add(Flatten{});
  add(Linear{4, 5, Init::kZero}, "c");
  std::set<std::size_t> kinds;
  for (const auto& layer : all.layers) kinds.insert(layer.op.index());
  EXPECT_EQ(kinds.size(), std::variant_size_v<Op>);
  EXPECT_EQ(to_json(architecture_from_json(nlohmann::json::parse(to_json(all).dump()))), to_json(all));
}

TEST(ArchitectureJson, RefusesWhatDoesNotFit) {
  const auto refused = [](const char* place, const nlohmann::json& value, const char* why) {
    auto json = nlohmann::json::parse(to_json(small()).dump());
    json[nlohmann::json::json_pointer(place)] = value;
    core::expect_error([&] { (void)architecture_from_json(json); }, ErrorKind::kModel, why);
  };
  refused("/layers", nlohmann::json::array(), "the last layer: expected an output for each of 3 classes");
  refused("/layers", nlohmann::json(std::vector<int>(10'001)), "got 10001 layers, expected at most 10000");
  refused("/layers/0", 1, "layer 0: expected an object with an op");
  refused("/layers/0/op", "convolution", "layer 0: expected a known kind of layer, got \"convolution\"");
  refused("/layers/0/inputs", {0}, "layer 0: expected inputs that are layers before it");
  refused("/layers/1/inputs", {-2}, "layer 1: expected inputs that are layers before it");
  refused("/layers/1/inputs", {0, 0}, "layer 1: expected one number in inputs");
  refused("/layers/0/in", 7, "layer 0: expected an input of 7 channels");
  refused("/layers/0/kernel", 0, "kernel");
  refused("/layers/0/kernel", 1000, "layer 0: expected an input that is not smaller than its windows");
  refused("/layers/0/stride", 0, "stride");
  refused("/layers/0/out", std::int64_t{1} << 40, "out");
  refused("/layers/0/extra", 1, "extra");
  refused("/layers/0/name", "", "layer 0: expected a name of its own, for its parameters");
  refused("/spec/input", {1, 9}, "the spec: expected an input of three sizes");
  refused("/spec/classes", 4, "the last layer: expected an output for each of 4 classes");
  auto lacking = nlohmann::json::parse(to_json(small()).dump());
  lacking["layers"][0].erase("kernel");
  core::expect_error([&] { (void)architecture_from_json(lacking); }, ErrorKind::kModel, "layer 0: expected kernel");
}

// Whatever a file says, it is an architecture that can be evaluated, or refused as a fault of the file.
TEST(ArchitectureJson, TakesNoDamage) {
  const std::string whole = to_json(small()).dump();
  core::Stream stream(0, "architecture damage");
  for (int i = 0; i < 2000; ++i) {
    std::string text = whole;
    for (std::uint64_t n = 1 + stream.below(3); n > 0; --n)
      text[stream.below(text.size())] = "0123456789-\"[]{}e"[stream.below(17)];
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) continue;
    try {
      const auto architecture = architecture_from_json(json);
      EXPECT_EQ(output_shapes(architecture).back(), std::vector{architecture.spec.classes});
    } catch (const core::Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kModel) << error.what();
    }
  }
}

}  // namespace
}  // namespace pellucid::nets
