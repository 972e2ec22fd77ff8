#include "pellucid/sharing/mechanisms.h"

#include "pellucid/sharing/update.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/tiny.h"

namespace pellucid::sharing {
namespace {

nets::TensorMap update() { return {{"a", torch::tensor({3.0f, 0.0f})}, {"b", torch::tensor({{-4.0f}})}}; }

TEST(Mechanisms, AreReadAndWrittenAsText) {
  const std::vector<MechanismUse> both = {{"clip", 1}, {"gaussian", 0.25}};
  EXPECT_EQ(to_string(both), "clip 1, gaussian 0.25");
  EXPECT_EQ(parse_mechanisms("clip 1, gaussian 0.25"), both);
  EXPECT_EQ(parse_mechanisms(" clip  1 ,gaussian 0.25 "), both);
  EXPECT_TRUE(parse_mechanisms("").empty());
  for (const auto& row : mechanisms()) {
    EXPECT_FALSE(row.summary.empty() || row.source.empty()) << row.name;
    const MechanismUse use{row.name, row.value.empty() ? 0.0 : 2.0};
    EXPECT_EQ(parse_mechanisms(to_string({use})), std::vector{use});
  }
}

TEST(Mechanisms, RefuseWhatTheyDoNotKnow) {
  const auto refused = [](const char* text, const char* why) {
    core::expect_error([&] { (void)parse_mechanisms(text); }, core::ErrorKind::kUsage, why);
  };
  refused("clop 1", "(did you mean clip?)");
  refused("float16 2", "got \"float16 2\", expected float16 alone");
  refused("clip", "expected \"clip X\" with X, the norm, above 0");
  refused("clip 0", "above 0");
  refused("gaussian -1", "standard deviation, above 0");
  refused("clip inf", "above 0");
  refused("clip 1 2", "expected \"clip X\"");
  refused("clip 1,,", "got \"\"");
  refused("percentile 101", "with X, the percent, above 0 and at most 100");
}

TEST(Mechanisms, ClipToTheNormOfAllTensorsTogether) {
  auto clipped = update(), same = update();
  apply({{"clip", 2.5}}, clipped, 0);
  EXPECT_TRUE(torch::allclose(clipped.at("a"), torch::tensor({1.5f, 0.0f})));
  EXPECT_TRUE(torch::allclose(clipped.at("b"), torch::tensor({{-2.0f}})));
  apply({{"clip", 6}}, same, 0);
  EXPECT_TRUE(tiny::same_bits(same, update()));
}

TEST(Mechanisms, AddNoiseOfTheDeviationThatDependsOnTheSeed) {
  nets::TensorMap noisy = {{"a", torch::zeros({200, 200})}}, again = noisy, other = noisy;
  apply({{"gaussian", 0.5}}, noisy, 1);
  apply({{"gaussian", 0.5}}, again, 1);
  apply({{"gaussian", 0.5}}, other, 2);
  EXPECT_NEAR(noisy.at("a").std().item<double>(), 0.5, 0.01);  // 40,000 values: 0.0018 is one deviation
  EXPECT_TRUE(tiny::same_bits(noisy, again));
  EXPECT_FALSE(tiny::same_bits(noisy, other));
}

TEST(Mechanisms, RoundAsTheTypeDoes) {
  nets::TensorMap half = {{"a", torch::tensor({1 + 1.0f / 1024, 1 + 1.0f / 4096})}}, brain = half;
  apply({{"float16"}}, half, 0);
  EXPECT_TRUE(torch::equal(half.at("a"), torch::tensor({1 + 1.0f / 1024, 1.0f})));
  apply({{"bfloat16"}}, brain, 0);
  EXPECT_TRUE(torch::equal(brain.at("a"), torch::ones({2})));
}

TEST(Mechanisms, RoundToTheLevelsOfSecureAggregationWithoutBias) {
  constexpr double kStep = 16.0 / (1 << 22);
  nets::TensorMap sent = {{"a", torch::full({100000}, 0.3 * kStep)}, {"b", torch::tensor({9.0f, -9.0f})}};
  apply({{"secagg", 8}}, sent, 1);
  const Tensor steps = sent.at("a").to(torch::kFloat64) / kStep;
  EXPECT_TRUE(torch::equal(std::get<0>(at::_unique(steps)), torch::tensor({0.0, 1.0}, torch::kFloat64)));
  EXPECT_NEAR(steps.mean().item<double>(), 0.3, 0.006);  // four deviations of 100,000 draws
  EXPECT_TRUE(torch::equal(sent.at("b"), torch::tensor({8.0f, -8.0f})));
}

TEST(Mechanisms, ZeroWhatIsBelowAPercentileOfAllTensorsTogether) {
  // numpy.percentile([0.5, 1, 2, 3, 8], [25, 60, 100]) is 1, 2.4, 8.
  const nets::TensorMap whole = {{"a", torch::tensor({-1.0f, 3.0f, 0.5f})}, {"b", torch::tensor({{2.0f}, {-8.0f}})}};
  const auto expect = [&whole](double share, const Tensor& a, const Tensor& b) {
    auto sent = whole;
    apply({{"percentile", share}}, sent, 0);
    EXPECT_TRUE(torch::equal(sent.at("a"), a)) << share;
    EXPECT_TRUE(torch::equal(sent.at("b"), b)) << share;
  };
  expect(25, torch::tensor({-1.0f, 3.0f, 0.0f}), torch::tensor({{2.0f}, {-8.0f}}));
  expect(60, torch::tensor({0.0f, 3.0f, 0.0f}), torch::tensor({{0.0f}, {-8.0f}}));
  expect(100, torch::zeros({3}), torch::tensor({{0.0f}, {-8.0f}}));
}

TEST(Mechanisms, LimitEveryValue) {
  auto sent = update();
  apply({{"limit", 3.5}}, sent, 0);
  EXPECT_TRUE(torch::equal(sent.at("a"), torch::tensor({3.0f, 0.0f})));
  EXPECT_TRUE(torch::equal(sent.at("b"), torch::tensor({{-3.5f}})));
}

TEST(Mechanisms, AreAppliedInOrderByTheClient) {
  const auto network = tiny::network(tiny::spec());
  const auto shared = [&](const std::vector<MechanismUse>& uses) {
    return compute_update(network, tiny::images(1), tiny::labels(1), {.mechanisms = uses}, {}, 3);
  };
  EXPECT_NEAR(gradient_norm(shared({{"gaussian", 1}, {"clip", 0.5}})), 0.5, 1e-6);
  EXPECT_GT(gradient_norm(shared({{"clip", 0.5}, {"gaussian", 1}})), 1);
  auto expected = shared({}).gradient;
  apply({{"gaussian", 1}}, expected, 3);
  EXPECT_TRUE(tiny::same_bits(shared({{"gaussian", 1}}).gradient, expected));
}

}  // namespace
}  // namespace pellucid::sharing
