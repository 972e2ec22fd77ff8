#include "pellucid/nets/architecture.h"

#include "pellucid/nets/zoo.h"

#include "tests/core/expect_error.h"

namespace pellucid::nets {
namespace {

using core::ErrorKind;
using core::expect_error;
using Shape = std::vector<std::int64_t>;

Architecture grey(const std::string& net) { return build({.net = net}); }
Architecture colour(const std::string& net) { return build({.net = net, .input = {3, 32, 32}}); }

TEST(CountParameters, GivesThePublishedCounts) {
  EXPECT_EQ(count_parameters(grey("small_cnn")), 312'202);
  EXPECT_EQ(count_parameters(grey("lenet")), 312 + 2 * 3'612 + 5'890);
  EXPECT_EQ(count_parameters(build({.net = "lenet", .input = {3, 32, 32}, .classes = 100})), 912 + 2 * 3'612 + 76'900);
  EXPECT_EQ(count_parameters(colour("cnn6")), 122'256 + 32'010);
  EXPECT_EQ(count_parameters(colour("tanh_cnn")), 550'570);
  EXPECT_EQ(count_parameters(grey("small_tanh_cnn")), 26'010);
  EXPECT_EQ(count_parameters(colour("convnet")), 2'904'970);
  EXPECT_EQ(count_parameters(colour("resnet18")), 11'173'962);
  EXPECT_EQ(count_parameters(colour("preact_resnet18")), 11'172'170);
  EXPECT_EQ(count_parameters(colour("preact_resnet8")), 1'226'826);
  EXPECT_EQ(count_parameters(colour("preact_resnet8_gn")), 1'226'826);
  EXPECT_EQ(count_parameters(colour("wide_resnet34_10")), 46'160'474);
}

TEST(CountMacs, GivesThePublishedCounts) {
  EXPECT_NEAR(static_cast<double>(count_macs(grey("small_cnn"))), 9.95e6, 0.005e6);
  EXPECT_NEAR(static_cast<double>(count_macs(colour("resnet18"))), 555.4e6, 0.05e6);
  EXPECT_NEAR(static_cast<double>(count_macs(colour("wide_resnet34_10"))), 6659e6, 0.5e6);
}

TEST(ParameterNames, LeaveOutStatisticsAndCounters) {
  const auto names = parameter_names(colour("preact_resnet18"));
  EXPECT_EQ(names.front(), "conv1.weight");
  EXPECT_EQ(names.back(), "linear.bias");
  for (const auto& name : names) EXPECT_TRUE(name.ends_with(".weight") || name.ends_with(".bias")) << name;
}

TEST(OutputShapes, FollowTheLayers) {
  const Architecture net{
      .spec = {.net = "own", .input = {3, 11, 8}},
      .layers = {{Conv{.in = 3, .out = 4, .kernel = 3, .stride = 2, .padding = 1}, "c", {kNetworkInput}},
                 {Relu{}, "", {0}},
                 {Add{}, "", {0, 1}},
                 {MaxPool{3}, "", {2}},
                 {GlobalAveragePool{}, "", {0}},
                 {Flatten{}, "", {3}},
                 {Linear{8, 5}, "l", {5}}}};
  EXPECT_EQ(output_shapes(net), (std::vector<Shape>{{4, 6, 4}, {4, 6, 4}, {4, 6, 4}, {4, 2, 1}, {4, 1, 1}, {8}, {5}}));
}

TEST(OutputShapes, RefuseAnInputThatIsTooSmall) {
  Architecture net{.spec = {.net = "own", .input = {1, 4, 2}}, .layers = {{Relu{}, "", {kNetworkInput}}}};
  net.layers.push_back({Conv{.in = 1, .out = 1, .kernel = 3, .stride = 2}, "c", {0}});
  expect_error([&] { (void)output_shapes(net); }, ErrorKind::kUsage,
               "own: images of 4x2 pixels are too small: nothing is left after layer 2");
}

TEST(SpecJson, RoundTrips) {
  const Spec spec{
      .net = "resnet18", .input = {3, 64, 48}, .classes = 7, .mean = {0.1, 0.2, 0.3}, .deviation = {1, 2, 3}};
  EXPECT_EQ(spec_from_json(to_json(spec)), spec);
  EXPECT_EQ(spec_from_json(core::Json::parse(to_json(Spec{}).dump())), Spec{});
}

TEST(SpecJson, RefusesAMissingKey) {
  for (const char* key : {"net", "input", "classes", "mean", "deviation"}) {
    core::Json json = to_json(Spec{});
    json.erase(key);
    expect_error([&] { (void)spec_from_json(json); }, ErrorKind::kModel, key);
  }
}

TEST(SpecJson, RefusesAnotherType) {
  for (const char* key : {"net", "input", "classes", "mean", "deviation"}) {
    core::Json json = to_json(Spec{});
    json[key] = core::Json::object();
    expect_error([&] { (void)spec_from_json(json); }, ErrorKind::kModel, "the description of the network: ");
  }
  expect_error([] { (void)spec_from_json(core::Json("small_cnn")); }, ErrorKind::kModel,
               "the description of the network: ");
}

}  // namespace
}  // namespace pellucid::nets
