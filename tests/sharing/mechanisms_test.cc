#include "pellucid/sharing/mechanisms.h"

#include "pellucid/core/tensor.h"
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
  refused("quantise 1", "with X, the bits, a whole number of 2 or more and at most 16");
  refused("quantise 2.5", "a whole number of 2 or more");
  refused("percentile 101", "with X, the percent, above 0 and at most 100");
}

TEST(Mechanisms, ClipToTheNormOfAllTensorsTogether) {
  auto clipped = update(), same = update();
  apply({{"clip", 2.5}}, clipped, {.seed = 0});
  EXPECT_TRUE(torch::allclose(clipped.at("a"), torch::tensor({1.5f, 0.0f})));
  EXPECT_TRUE(torch::allclose(clipped.at("b"), torch::tensor({{-2.0f}})));
  apply({{"clip", 6}}, same, {.seed = 0});
  EXPECT_TRUE(tiny::same_bits(same, update()));
}

TEST(Mechanisms, AddNoiseOfTheDeviationThatDependsOnTheSeed) {
  nets::TensorMap noisy = {{"a", torch::zeros({200, 200})}}, again = noisy, other = noisy;
  apply({{"gaussian", 0.5}}, noisy, {.seed = 1});
  apply({{"gaussian", 0.5}}, again, {.seed = 1});
  apply({{"gaussian", 0.5}}, other, {.seed = 2});
  EXPECT_NEAR(noisy.at("a").std().item<double>(), 0.5, 0.01);  // 40,000 values: 0.0018 is one deviation
  EXPECT_TRUE(tiny::same_bits(noisy, again));
  EXPECT_FALSE(tiny::same_bits(noisy, other));
}

TEST(Mechanisms, RoundAsTheTypeDoes) {
  nets::TensorMap half = {{"a", torch::tensor({1 + 1.0f / 1024, 1 + 1.0f / 4096})}}, brain = half;
  apply({{"float16"}}, half, {.seed = 0});
  EXPECT_TRUE(torch::equal(half.at("a"), torch::tensor({1 + 1.0f / 1024, 1.0f})));
  apply({{"bfloat16"}}, brain, {.seed = 0});
  EXPECT_TRUE(torch::equal(brain.at("a"), torch::ones({2})));
}

TEST(Mechanisms, RoundToTheLevelsOfSecureAggregationWithoutBias) {
  constexpr double kStep = 16.0 / (1 << 22);
  nets::TensorMap sent = {{"a", torch::full({100000}, 0.3 * kStep)}, {"b", torch::tensor({9.0f, -9.0f})}};
  apply({{"secagg", 8}}, sent, {.seed = 1});
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
    apply({{"percentile", share}}, sent, {.seed = 0});
    EXPECT_TRUE(torch::equal(sent.at("a"), a)) << share;
    EXPECT_TRUE(torch::equal(sent.at("b"), b)) << share;
  };
  expect(25, torch::tensor({-1.0f, 3.0f, 0.0f}), torch::tensor({{2.0f}, {-8.0f}}));
  expect(60, torch::tensor({0.0f, 3.0f, 0.0f}), torch::tensor({{0.0f}, {-8.0f}}));
  expect(100, torch::zeros({3}), torch::tensor({{0.0f}, {-8.0f}}));
}

TEST(Mechanisms, LimitEveryValue) {
  auto sent = update();
  apply({{"limit", 3.5}}, sent, {.seed = 0});
  EXPECT_TRUE(torch::equal(sent.at("a"), torch::tensor({3.0f, 0.0f})));
  EXPECT_TRUE(torch::equal(sent.at("b"), torch::tensor({{-3.5f}})));
}

nets::TensorMap many(std::uint64_t seed = 0) {
  return {{"a", core::normal(core::Stream(seed, "a"), {200, 50})},
          {"b", 3 * core::normal(core::Stream(seed, "b"), {1000})}};
}

nets::TensorMap after(const std::string& mechanisms, nets::TensorMap update, std::uint64_t seed = 0) {
  apply(parse_mechanisms(mechanisms), update, {.seed = seed});
  return update;
}

TEST(Mechanisms, AddLaplaceNoiseOfTheScale) {
  const Tensor noise = after("laplace 0.5", {{"a", torch::zeros({200, 200})}}).at("a");
  EXPECT_NEAR(noise.abs().mean().item<double>(), 0.5, 0.01);  // 40,000 values: 0.0025 is one deviation
  EXPECT_NEAR(noise.std().item<double>(), 0.5 * std::sqrt(2), 0.02);
  EXPECT_NEAR(noise.mean().item<double>(), 0, 0.015);
  EXPECT_TRUE(after("laplace 1", {{"a", torch::zeros({5000, 5000})}}).at("a").isfinite().all().item<bool>());
}

TEST(Mechanisms, KeepTheLargestValues) {
  const auto sent = after("top-k 40", {{"a", torch::tensor({-1.0f, 3.0f, 0.5f})}, {"b", torch::tensor({2.0f, -8.0f})}});
  EXPECT_TRUE(torch::equal(sent.at("a"), torch::tensor({0.0f, 3.0f, 0.0f})));
  EXPECT_TRUE(torch::equal(sent.at("b"), torch::tensor({0.0f, -8.0f})));
}

TEST(Mechanisms, KeepValuesAtRandomWithTheirMean) {
  const auto whole = many(), sent = after("random-k 20", whole);
  const Tensor kept = sent.at("a") != 0;
  EXPECT_NEAR(kept.to(torch::kFloat64).mean().item<double>(), 0.2, 0.016);  // 10,000 draws: 0.004 is one deviation
  EXPECT_TRUE(torch::allclose(sent.at("a").masked_select(kept), whole.at("a").masked_select(kept) * 5));
}

TEST(Mechanisms, QuantiseEachTensorWithoutBias) {
  nets::TensorMap whole = {{"a", torch::full({50000}, 0.3)}, {"b", torch::tensor({7.0f, -14.0f, 0.0f})}};
  whole.at("a")[0] = 1;
  const auto ternary = after("quantise 2", whole);
  EXPECT_TRUE(torch::equal(std::get<0>(at::_unique(ternary.at("a"))), torch::tensor({0.0f, 1.0f})));
  EXPECT_NEAR(ternary.at("a").mean().item<double>(), 0.3, 0.01);  // 0.002 is one deviation
  EXPECT_TRUE(torch::equal(after("quantise 4", whole).at("b"), torch::tensor({6.0f, -14.0f, 0.0f})) ||
              torch::equal(after("quantise 4", whole).at("b"), torch::tensor({8.0f, -14.0f, 0.0f})));
  EXPECT_TRUE(torch::equal(after("quantise 8", {{"a", torch::zeros({3})}}).at("a"), torch::zeros({3})));
}

TEST(Mechanisms, KeepTheSignsAndEachTensorsMeanMagnitude) {
  const auto sent = after("sign", update());
  EXPECT_TRUE(torch::equal(sent.at("a"), torch::tensor({1.5f, 0.0f})));
  EXPECT_TRUE(torch::equal(sent.at("b"), torch::tensor({{-4.0f}})));
}

TEST(Mechanisms, DropWholeTensors) {
  nets::TensorMap whole;
  for (int i = 0; i < 400; ++i) whole["layer " + std::to_string(i)] = torch::ones({3});
  int dropped = 0;
  for (const auto& [unused, tensor] : after("drop-layers 25", whole)) {
    const auto sum = tensor.sum().item<double>();
    EXPECT_TRUE(sum == 0 || sum == 3);
    dropped += sum == 0 ? 1 : 0;
  }
  EXPECT_NEAR(dropped, 100, 35);  // 8.7 is one deviation
}

TEST(Mechanisms, PruneWhereTheInputChangesLeastWithTheImageForItsSize) {
  const auto network = tiny::network(tiny::spec());
  const auto before = compute_update(network, tiny::images(2), tiny::labels(2)).gradient,
             sent =
                 compute_update(network, tiny::images(2), tiny::labels(2), {.mechanisms = {{"soteria", 30}}}).gradient;
  nets::Architecture features = network.architecture;
  features.layers.pop_back();
  const Tensor images = tiny::images(2).requires_grad_(true);
  const Tensor values = nets::evaluate(features, network.state, images).logits.flatten(1);
  std::vector<std::pair<double, std::int64_t>> ratios;
  for (std::int64_t i = 0; i < values.size(1); ++i) {
    const Tensor derivative =
        torch::autograd::grad({values.select(1, i).sum()}, {images}, {}, /*retain_graph=*/true).front();
    const Tensor ratio = derivative.flatten(1).norm(2, 1) / values.select(1, i).abs();
    ratios.emplace_back(ratio.sum().item<double>(), i);
  }
  std::sort(ratios.begin(), ratios.end());
  Tensor expected = before.at("fc.0.weight").clone();
  const auto pruned = static_cast<std::size_t>(std::llround(0.3 * static_cast<double>(ratios.size())));
  for (std::size_t i = 0; i < pruned; ++i) expected.select(1, ratios[i].second).zero_();
  EXPECT_TRUE(torch::equal(sent.at("fc.0.weight"), expected));
  EXPECT_TRUE(torch::equal(sent.at("fc.0.bias"), before.at("fc.0.bias")));
}

TEST(Mechanisms, OfErrorFeedbackAddWhatEarlierRoundsLeftOut) {
  const auto uses = parse_mechanisms("error-feedback, top-k 10");
  nets::TensorMap memory, given, shared;
  for (std::uint64_t round = 0; round < 3; ++round) {
    auto update = many(round);
    for (const auto& [name, tensor] : update) given[name] = given.contains(name) ? given[name] + tensor : tensor;
    apply(uses, update, {}, &memory);
    for (const auto& [name, tensor] : update) shared[name] = shared.contains(name) ? shared[name] + tensor : tensor;
  }
  for (const auto& [name, tensor] : given) {
    EXPECT_TRUE(torch::allclose(shared.at(name) + memory.at(name), tensor, 1e-5, 1e-5)) << name;
    EXPECT_GT(memory.at(name).abs().sum().item<double>(), 1);
  }
  EXPECT_TRUE(tiny::same_bits(after("error-feedback, top-k 10", many()), after("top-k 10", many())));
}

// Every mechanism without noise, and what stands in its place on the way back, hold the update that was.
TEST(Preimage, HoldsWhatTheUpdateWas) {
  const auto network = tiny::network(tiny::spec());
  const auto whole = compute_update(network, tiny::images(1), tiny::labels(1)).gradient;
  std::vector<std::string> all = {"top-k 20, quantise 4, bfloat16", "quantise 3, float16", "random-k 50, secagg 8",
                                  "limit 0.01, sign", "soteria 30, percentile 40"};
  for (const auto& row : mechanisms()) {
    if (row.name != "gaussian" && row.name != "laplace" && row.name != "clip")
      all.push_back(row.value.empty() ? row.name : row.name + (row.name == "limit" ? " 0.01" : " 8"));
  }
  for (const auto& mechanisms : all) {
    const auto uses = parse_mechanisms(mechanisms);
    const auto shared = compute_update(network, tiny::images(1), tiny::labels(1), {.mechanisms = uses}).gradient;
    const auto known = preimage(uses, shared, network.architecture);
    for (const auto& [name, tensor] : whole) {
      const Tensor value = tensor.to(torch::kFloat64), slack = 1e-6 * value.abs();
      EXPECT_TRUE((known.low.at(name) <= value + slack).all().item<bool>()) << mechanisms << ", " << name;
      EXPECT_TRUE((known.high.at(name) >= value - slack).all().item<bool>()) << mechanisms << ", " << name;
    }
  }
}

TEST(Preimage, IsNoWiderThanItMustBe) {
  const auto width = [](const std::string& mechanisms, const nets::TensorMap& shared) {
    const auto known = preimage(parse_mechanisms(mechanisms), shared, tiny::network(tiny::spec()).architecture);
    return (known.high.at("a") - known.low.at("a")).max().item<double>();
  };
  const nets::TensorMap shared = {{"a", torch::tensor({6.0f, -2.0f, 0.0f})}};
  EXPECT_DOUBLE_EQ(width("gaussian 1", shared), 0);
  EXPECT_DOUBLE_EQ(width("clip 1", shared), 0);
  EXPECT_DOUBLE_EQ(width("quantise 3", shared), 4);  // a step to both sides
  EXPECT_DOUBLE_EQ(width("top-k 50", shared), 4);    // zero: no larger than 2
  EXPECT_DOUBLE_EQ(width("bfloat16", shared), 12.0 / 256);
  EXPECT_DOUBLE_EQ(width("secagg 8", shared), 4 * 8.0 / (1 << 22));
  EXPECT_TRUE(std::isinf(width("random-k 50", shared)));
  EXPECT_TRUE(std::isinf(width("limit 6", shared)));
}

TEST(Preimage, SaysWhatWasLost) {
  const nets::TensorMap shared = {{"a", torch::tensor({6.0f, 0.0f})}};
  const auto known = [&](const std::string& text) {
    return preimage(parse_mechanisms(text), shared, tiny::network(tiny::spec()).architecture);
  };
  EXPECT_TRUE(known("clip 1").any_size);
  EXPECT_TRUE(known("top-k 50").sparse);
  EXPECT_FALSE(known("quantise 4").sparse || known("quantise 4").any_size);
  EXPECT_TRUE(known("clip 1, quantise 4").rounded);
  EXPECT_FALSE(known("top-k 50, quantise 4").rounded);  // zeros are of two kinds
  EXPECT_FALSE(known("limit 1, quantise 4").rounded);
}

TEST(Mechanisms, AreAppliedInOrderByTheClient) {
  const auto network = tiny::network(tiny::spec());
  const auto shared = [&](const std::vector<MechanismUse>& uses) {
    return compute_update(network, tiny::images(1), tiny::labels(1), {.mechanisms = uses}, {}, 3);
  };
  EXPECT_NEAR(gradient_norm(shared({{"gaussian", 1}, {"clip", 0.5}})), 0.5, 1e-6);
  EXPECT_GT(gradient_norm(shared({{"clip", 0.5}, {"gaussian", 1}})), 1);
  auto expected = shared({}).gradient;
  apply({{"gaussian", 1}}, expected, {.seed = 3});
  EXPECT_TRUE(tiny::same_bits(shared({{"gaussian", 1}}).gradient, expected));
}

}  // namespace
}  // namespace pellucid::sharing
