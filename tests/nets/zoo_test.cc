#include "pellucid/nets/zoo.h"

#include "tests/core/expect_error.h"

#include <set>

namespace pellucid::nets {
namespace {

void expect_no_network(const Spec& spec, const std::string& message) {
  core::expect_error([&] { (void)build(spec); }, core::ErrorKind::kUsage, message);
}

TEST(Zoo, DescribesEveryNetworkOnce) {
  std::set<std::string> names;
  for (const auto& entry : zoo()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_FALSE(entry.summary.empty()) << entry.name;
    EXPECT_FALSE(entry.source.empty()) << entry.name;
    EXPECT_EQ(build({.net = entry.name, .input = {3, 32, 32}}).spec.net, entry.name);
    EXPECT_EQ(build(usual_spec(entry.name)).spec.input, entry.input) << entry.name;
  }
}

TEST(Build, EndsInTheLogits) {
  for (const auto& entry : zoo()) {
    const Architecture net = build({.net = entry.name, .input = {2, 40, 36}, .classes = 17});
    EXPECT_EQ(output_shapes(net).back(), std::vector<std::int64_t>{17}) << entry.name;
  }
}

TEST(Build, PutsTheNormalisationFirst) {
  const Spec spec{.net = "resnet18", .input = {3, 32, 32}, .mean = {0.4, 0.5, 0.6}, .deviation = {0.1, 0.2, 0.3}};
  const Architecture net = build(spec);
  const auto& first = std::get<Normalise>(net.layers[0].op);
  EXPECT_EQ(first.mean, spec.mean);
  EXPECT_EQ(first.deviation, spec.deviation);
  EXPECT_EQ(net.layers[0].inputs, std::vector<int>{kNetworkInput});
  EXPECT_EQ(net.layers[1].inputs, std::vector<int>{0});
}

TEST(Build, RefusesAnUnknownNameAndNamesTheNearest) {
  expect_no_network({.net = "resnet_18"},
                    "network: got \"resnet_18\", expected small_cnn, lenet, cnn6, tanh_cnn, small_tanh_cnn, "
                    "convnet, preact_resnet18, preact_resnet8, preact_resnet8_gn, resnet18, wide_resnet34_10 or "
                    "autoencoder (did you mean resnet18?)");
}

TEST(Build, RefusesAnInputThatIsNoImage) {
  expect_no_network({.input = {}},
                    "small_cnn: input shape: got [], expected channels, height and width, each from 1 to 65536");
  expect_no_network({.input = {28, 28}}, "got [28, 28]");
  expect_no_network({.input = {1, 0, 28}}, "got [1, 0, 28]");
  expect_no_network({.input = {1, 28, 65537}}, "got [1, 28, 65537]");
}

TEST(Build, RefusesImagesThatAreTooSmall) {
  expect_no_network({.net = "small_cnn", .input = {1, 15, 28}}, "small_cnn: images of 15x28 pixels are too small");
  expect_no_network({.net = "convnet", .input = {3, 8, 32}}, "convnet: images of 8x32 pixels are too small");
  EXPECT_EQ(build({.net = "small_cnn", .input = {1, 16, 16}}).spec.input[1], 16);
  EXPECT_EQ(build({.net = "resnet18", .input = {1, 1, 1}}).spec.input[1], 1);
}

TEST(Build, RefusesFewerThanTwoClasses) {
  expect_no_network({.classes = 1}, "small_cnn: classes: got 1, expected from 2 to 1048576");
  expect_no_network({.classes = 1048577}, "small_cnn: classes: got 1048577");
}

TEST(Build, RefusesANormalisationOfOtherChannels) {
  const std::string message = "expected 3 of each or none";
  expect_no_network({.net = "resnet18", .input = {3, 32, 32}, .mean = {0.5}, .deviation = {0.5}}, message);
  expect_no_network({.net = "resnet18", .input = {3, 32, 32}, .mean = {0, 0, 0}, .deviation = {1, 1}}, message);
  expect_no_network({.net = "resnet18", .input = {3, 32, 32}, .deviation = {1, 1, 1}}, "got 0 means and 3 deviations");
}

TEST(Build, RefusesADeviationThatIsNotPositive) {
  expect_no_network({.mean = {0.5}, .deviation = {0}},
                    "small_cnn: normalisation: got a deviation of 0, expected above 0");
  expect_no_network({.mean = {0.5}, .deviation = {-1}}, "got a deviation of -1");
}

}  // namespace
}  // namespace pellucid::nets
