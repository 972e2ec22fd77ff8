// The engine on the networks of the zoo: slow, because double backward is.
#include "pellucid/nets/weights.h"

#include "tests/inversion/agreement.h"
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace pellucid::inversion {
namespace {

using namespace agreement;

class EngineZoo : public testing::TestWithParam<std::string> {};

// As drawn, with batch norms far from the identity. Their gradients differ little between images (a cosine distance of
// 4e-4 for the convnet), so that v is a small difference and float32 keeps fewer digits, in double backward as in the
// engine.
TEST_P(EngineZoo, EqualsDoubleBackward) {
  const bool wide = GetParam() == "wide_resnet34_10";
  const auto architecture = nets::build(nets::usual_spec(GetParam()));
  const Agreement a = compare({.net = network(architecture, 3), .trials = wide ? 1 : 3});
  fmt::print("{}: gradient {:.1e} (double backward in float32 {:.1e}), loss {:.1e}, {} trials with flips\n", GetParam(),
             a.gradient, a.reference, a.loss, a.flips);
  EXPECT_LT(a.gradient, a.tolerance(5));
  EXPECT_LT(a.loss, 1e-6);
  EXPECT_GT(a.cosine,
            0.9999);  // also where a ReLU flipped, as one of the wide network's six million does in most trials
  if (!wide) {
    EXPECT_LT(a.flips, 3) << "every trial flips, nothing was compared";
  }
}

TEST_P(EngineZoo, EqualsDoubleBackwardByTensors) {
  if (GetParam() == "wide_resnet34_10") GTEST_SKIP() << "minutes, and no layer of its own";
  const auto architecture = nets::build(nets::usual_spec(GetParam()));
  const Case c{.net = network(architecture, 3), .trials = 3};
  const Agreement a = compare<TensorEngine>(c), exact = compare<TensorEngine>(c, Precision::kFloat64);
  fmt::print(
      "{}: gradient {:.1e} (double backward in float32 {:.1e}), loss {:.1e}, {} trials with flips; in float64 {:.1e}, "
      "{:.1e}\n",
      GetParam(), a.gradient, a.reference, a.loss, a.flips, exact.gradient, exact.loss);
  EXPECT_LT(a.gradient, a.tolerance(5));
  EXPECT_LT(a.loss, 1e-6);
  EXPECT_GT(a.cosine, 0.9999);
  EXPECT_LT(a.flips, 3) << "every trial flips, nothing was compared";
  EXPECT_EQ(exact.flips, 0);
  EXPECT_LT(exact.gradient, 1e-9);
  EXPECT_LT(exact.loss, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Zoo, EngineZoo,
                         testing::Values("small_cnn", "lenet", "cnn6", "convnet", "preact_resnet18", "preact_resnet8",
                                         "resnet18", "wide_resnet34_10"));

// Weights of real trainings: the pretrained pair, and what lies in the folder $PELLUCID_WEIGHTS if there is one.
TEST(EngineTrained, EqualsDoubleBackward) {
  std::vector<std::filesystem::path> files;
  const auto add = [&](const std::filesystem::path& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
    }
  };
  add(PELLUCID_MODELS);
  if (const char* more = std::getenv("PELLUCID_WEIGHTS")) add(more);
  ASSERT_GE(files.size(), 2u);
  for (const auto& file : files) {
    const auto net = nets::load_network(file);
    const bool wide = net.architecture.spec.net == "wide_resnet34_10";
    const Agreement a = compare({.net = net, .trials = wide ? 1 : 3});
    fmt::print("{} ({}): gradient {:.1e} (double backward in float32 {:.1e}), loss {:.1e}, {} trials with flips\n",
               file.filename().string(), net.architecture.spec.net, a.gradient, a.reference, a.loss, a.flips);
    EXPECT_LT(a.gradient, a.tolerance(5)) << file;
    EXPECT_LT(a.loss, 1e-6) << file;
    EXPECT_GT(a.cosine, 0.9999) << file;
  }
}

TEST(EngineMixed, PointsTheSameWay) {
  if (!has_brain_floats()) GTEST_SKIP() << "this processor has no brain floats";
  for (const char* name : {"convnet", "preact_resnet18"}) {
    const Agreement a =
        compare({.net = network(nets::build({.net = name, .input = {3, 32, 32}}), 3), .trials = 2}, Precision::kMixed);
    EXPECT_GT(a.cosine, 0.999) << name;
    EXPECT_LT(a.gradient, 0.03) << name;
    EXPECT_GT(a.gradient, 1e-4) << name << ": are these brain floats?";
  }
}

}  // namespace
}  // namespace pellucid::inversion
