#include "pellucid/sharing/update.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/tiny.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::sharing {
namespace {

double relative_error(const Tensor& got, const Tensor& expected) {
  return ((got.to(torch::kFloat64) - expected).norm() / expected.norm()).item<double>();
}

// The gradient of the mean of -log p(label), in float64 and without the framework's cross-entropy.
nets::TensorMap exact_gradient(const nets::Network& network, const Tensor& images, const Tensor& labels,
                               nets::Mode mode) {
  const auto leaves = nets::with_gradients(
      {.architecture = network.architecture, .state = nets::converted(network.state, torch::kFloat64)});
  const Tensor logits = nets::evaluate(network.architecture, leaves.state, images.to(torch::kFloat64), mode).logits;
  const Tensor p_true = logits.softmax(1).gather(1, labels.unsqueeze(1));
  p_true.log().neg().mean().backward();
  nets::TensorMap gradient;
  for (const auto& name : nets::parameter_names(network.architecture)) gradient[name] = leaves.state.at(name).grad();
  return gradient;
}

TEST(ComputeUpdate, IsTheGradientOfTheMeanCrossEntropy) {
  const Tensor labels = tiny::labels(3);
  const Tensor images = tiny::images(3);
  for (const auto& network : {tiny::network(tiny::spec()), tiny::normed()}) {
    for (const auto mode : {nets::Mode::kEvaluation, nets::Mode::kTraining}) {
      const Update update = compute_update(network, images, labels, {.mode = mode});
      const auto expected = exact_gradient(network, images, labels, mode);
      ASSERT_EQ(update.gradient.size(), expected.size());
      for (const auto& [name, tensor] : update.gradient) {
        EXPECT_EQ(tensor.scalar_type(), torch::kFloat32);
        EXPECT_EQ(tensor.sizes(), network.state.at(name).sizes());
        // A bias before batch norm has no gradient in training mode: both are rounding.
        if (expected.at(name).norm().item<double>() < 1e-9) continue;
        EXPECT_LT(relative_error(tensor, expected.at(name)), 1e-4) << network.architecture.spec.net << " " << name;
      }
    }
  }
}

TEST(ComputeUpdate, GivesTheLastLayerTheResidualTimesItsInput) {
  const nets::Network network = tiny::network(tiny::spec());
  const Tensor images = tiny::images(2), labels = torch::tensor({3, 1});
  const auto output = nets::evaluate(network.architecture, network.state, images);
  const Tensor residual = (output.logits.softmax(1) - torch::one_hot(labels, tiny::kClasses)).to(torch::kFloat64) / 2;
  const Update update = compute_update(network, images, labels);
  EXPECT_LT(relative_error(update.gradient.at("fc.0.weight"), residual.t().mm(output.features.to(torch::kFloat64))),
            1e-6);
  EXPECT_LT(relative_error(update.gradient.at("fc.0.bias"), residual.sum(0)), 1e-6);
}

TEST(ComputeUpdate, IsTheMeanOverTheBatch) {
  const nets::Network network = tiny::network(tiny::spec());
  const Tensor images = tiny::images(2), labels = tiny::labels(2);
  const Update both = compute_update(network, images, labels);
  const Update first = compute_update(network, images.slice(0, 0, 1), labels.slice(0, 0, 1));
  const Update second = compute_update(network, images.slice(0, 1, 2), labels.slice(0, 1, 2));
  for (const auto& [name, tensor] : both.gradient) {
    const Tensor mean = (first.gradient.at(name) + second.gradient.at(name)).to(torch::kFloat64) / 2;
    EXPECT_LT(relative_error(tensor, mean), 1e-5) << name;
  }
}

// SGD by hand, in the order in which the images stand.
nets::TensorMap trained(nets::Network network, const Tensor& images, const Tensor& labels, const LocalTraining& local) {
  network.state = nets::converted(network.state, torch::kFloat64);
  for (std::int64_t epoch = 0; epoch < local.epochs; ++epoch) {
    for (std::int64_t begin = 0; begin < images.size(0); begin += local.step_images) {
      const auto some = [&](const Tensor& all) { return all.slice(0, begin, begin + local.step_images); };
      const auto gradient = exact_gradient(network, some(images), some(labels), nets::Mode::kEvaluation);
      for (const auto& [name, tensor] : gradient)
        network.state[name] = network.state[name].detach() - local.learning_rate * tensor;
    }
  }
  return network.state;
}

TEST(LocalTraining, SharesTheChangeOfTheWeightsByItsSteps) {
  const nets::Network network = tiny::network(tiny::spec());
  const Tensor images = tiny::images(3), labels = tiny::labels(3);
  const Protocol protocol = {.local = {.epochs = 2, .step_images = 2, .learning_rate = 0.5}};
  const Update update = compute_update(network, images, labels, protocol);
  EXPECT_EQ(steps(update.protocol), 4) << "the last step of an epoch has one image";
  EXPECT_EQ(gradients_in(update.protocol), 2);
  const auto after = trained(network, images, labels, protocol.local);
  for (const auto& [name, tensor] : update.gradient)
    EXPECT_LT(relative_error(tensor, network.state.at(name) - after.at(name)), 1e-4) << name;
  const Update shuffled = compute_update(network, images, labels, protocol, core::Stream(0, "client dropout"));
  EXPECT_FALSE(torch::equal(shuffled.gradient.at("fc.0.bias"), update.gradient.at("fc.0.bias")));
  EXPECT_LT(relative_error(shuffled.gradient.at("fc.0.bias"), update.gradient.at("fc.0.bias").to(torch::kFloat64)), 0.5)
      << "another order of the same images";
}

TEST(LocalTraining, OfOneStepIsTheGradient) {
  const nets::Network network = tiny::network(tiny::spec());
  const Tensor images = tiny::images(3), labels = tiny::labels(3);
  const Update gradient = compute_update(network, images, labels);
  const Update one = as_gradient(compute_update(network, images, labels, {.local = {.epochs = 1}}));
  EXPECT_EQ(one.protocol.local.epochs, 0);
  for (const auto& [name, tensor] : one.gradient)
    EXPECT_LT(relative_error(tensor, gradient.gradient.at(name).to(torch::kFloat64)), 1e-3) << name;
  const Update two = compute_update(network, images, labels, {.local = {.epochs = 2}});
  EXPECT_EQ(as_gradient(two).protocol.local.epochs, 2) << "no gradient";
}

TEST(LocalTraining, OnAHiddenScheduleSaysNoMoreThanThatItWas) {
  const nets::Network network = tiny::network(tiny::spec());
  const Protocol protocol = {.local = {.epochs = 3, .step_images = 1, .learning_rate = 0.5}};
  Protocol hidden = protocol;
  hidden.local.hidden = true;
  const Update open = compute_update(network, tiny::images(2), tiny::labels(2), protocol),
               update = compute_update(network, tiny::images(2), tiny::labels(2), hidden);
  EXPECT_TRUE(tiny::same_bits(update.gradient, open.gradient));
  const LocalTraining unknown;
  EXPECT_EQ(update.protocol.local.epochs, 1);
  EXPECT_EQ(update.protocol.local.step_images, unknown.step_images);
  EXPECT_EQ(update.protocol.local.learning_rate, unknown.learning_rate);
  EXPECT_EQ(as_gradient(update).protocol.local.epochs, 1) << "no gradient of a known size";
  EXPECT_EQ(gradients_in(update.protocol), 1);
}

// What a server that averages would have: each client alone, on its part.
TEST(Clients, ShareTheMeanOfTheirUpdates) {
  const nets::Network network = tiny::normed();
  const Tensor images = tiny::images(4), labels = tiny::labels(4);
  const auto part = [&](const Tensor& all, std::int64_t k) { return all.slice(0, 2 * k, 2 * k + 2); };
  Protocol protocol = {.local = {.epochs = 2, .step_images = 1, .learning_rate = 0.1},
                       .mode = nets::Mode::kTraining,
                       .share_statistics = true};
  const Update first = compute_update(network, part(images, 0), part(labels, 0), protocol),
               second = compute_update(network, part(images, 1), part(labels, 1), protocol);
  protocol.clients = 2;
  const Update both = compute_update(network, images, labels, protocol);
  EXPECT_EQ(steps(both.protocol), 4) << "of each";
  for (const auto& [name, tensor] : both.gradient) {
    const Tensor mean = (first.gradient.at(name) + second.gradient.at(name)).to(torch::kFloat64) / 2;
    EXPECT_LT((tensor - mean).abs().max().item<double>(), 1e-6) << name;
  }
  for (const auto& [name, tensor] : both.statistics) {
    const Tensor mean = (first.statistics.at(name) + second.statistics.at(name)) / 2;
    EXPECT_LT((tensor - mean).abs().max().item<double>(), 1e-6) << name;
  }
  EXPECT_EQ(both.statistics.size(), 2u);
}

TEST(Clients, ProtectThemselvesEachByItself) {
  const nets::Network network = tiny::network(tiny::spec());
  const auto noise = [&](std::int64_t clients) {
    const Protocol with = {.clients = clients, .mechanisms = {{"gaussian", 1}}}, without = {.clients = clients};
    const auto bias = [&](const Protocol& protocol) {
      return compute_update(network, tiny::images(4), tiny::labels(4), protocol).gradient.at("body.0.weight");
    };
    return (bias(with) - bias(without)).std().item<double>();
  };
  EXPECT_NEAR(noise(1), 1, 0.1);
  EXPECT_NEAR(noise(4), 0.5, 0.05);
  core::expect_error([&] { (void)noise(3); }, core::ErrorKind::kUsage,
                     "clients: got 3 with 4 images in all, expected as many for each");
}

TEST(ComputeUpdate, SharesStatisticsOnlyWhereTheyAreNew) {
  const auto refused = [](const nets::Network& network, nets::Mode mode) {
    core::expect_error(
        [&] {
          (void)compute_update(network, tiny::images(2), tiny::labels(2), {.mode = mode, .share_statistics = true});
        },
        core::ErrorKind::kUsage, "share_statistics: got " + network.architecture.spec.net);
  };
  refused(tiny::normed(), nets::Mode::kEvaluation);
  refused(tiny::network(tiny::spec()), nets::Mode::kTraining);
}

TEST(ComputeUpdate, SaysHowItWasComputed) {
  const nets::Network network = tiny::network(tiny::spec());
  const Update update = compute_update(network, tiny::images(2), tiny::labels(2), {.mode = nets::Mode::kTraining});
  EXPECT_EQ(update.protocol.batch_size, 2);
  EXPECT_EQ(update.protocol.mode, nets::Mode::kTraining);
  EXPECT_EQ(update.model, nets::fingerprint(network));
}

TEST(ComputeUpdate, UsesTheStatisticsOfItsMode) {
  const nets::Network network = tiny::normed();
  const nets::TensorMap before = nets::converted(network.state, torch::kFloat32);
  const Tensor images = tiny::images(2), labels = tiny::labels(2);
  const Update evaluation = compute_update(network, images, labels);
  const Update training = compute_update(network, images, labels, {.mode = nets::Mode::kTraining});
  EXPECT_FALSE(tiny::same_bits(evaluation.gradient, training.gradient));
  EXPECT_TRUE(tiny::same_bits(network.state, before));
}

TEST(ComputeUpdate, DropsWhatTheClientDrops) {
  nets::Network network = tiny::network(tiny::spec("small_cnn", 16));
  network.state.at("classifier.fc3.weight") = core::normal(core::Stream(0, "test"), {tiny::kClasses, 200});
  const auto update = [&](std::optional<core::Stream> dropout) {
    return compute_update(network, tiny::images(1, 0, 16), tiny::labels(1), {.mode = nets::Mode::kTraining},
                          std::move(dropout))
        .gradient;
  };
  const auto first = update(core::Stream(0, "dropout"));
  EXPECT_TRUE(tiny::same_bits(first, update(core::Stream(0, "dropout"))));
  EXPECT_FALSE(tiny::same_bits(first, update(core::Stream(1, "dropout"))));
  EXPECT_FALSE(tiny::same_bits(first, update(std::nullopt)));
}

TEST(ComputeUpdate, RoundsAsTheClientsFloat32Does) {
  const Tensor image = tiny::images(1), label = torch::tensor({0});
  const auto residual = [&](float margin) {
    return compute_update(tiny::constant_logits({margin, 0}), image, label).gradient.at("fc.0.bias")[0].item<float>();
  };
  EXPECT_EQ(residual(16.7f), 0) << "past ln 2^24 the true class is rounded away";
  EXPECT_LT(residual(16.5f), 0);
}

TEST(GradientNorm, TakesAllTensorsTogether) {
  const Update update{
      .gradient = {{"a", torch::tensor({3.f})}, {"b", torch::tensor({0.f, 4.f})}}, .protocol = {}, .model = {}};
  EXPECT_EQ(gradient_norm(update), 5);
}

TEST(GradientNorm, DoesNotUnderflow) {
  const Update update{.gradient = {{"a", torch::full({4}, 1e-30)}}, .protocol = {}, .model = {}};
  EXPECT_NEAR(gradient_norm(update) / 2e-30, 1, 1e-6);
}

TEST(Next, IsTheServersStepOrTheClientsOwn) {
  const auto network = tiny::network(tiny::spec());
  const auto gradient = compute_update(network, tiny::images(2), tiny::labels(2));
  const auto change =
      compute_update(network, tiny::images(2), tiny::labels(2), {.local = {.epochs = 1, .learning_rate = 0.5}});
  const auto stepped = next(network, gradient, 0.5), followed = next(network, change, 7);
  for (const auto& [name, weights] : network.state) {
    EXPECT_TRUE(torch::allclose(stepped.state.at(name), weights - 0.5 * gradient.gradient.at(name), 0, 1e-7)) << name;
    EXPECT_TRUE(torch::allclose(followed.state.at(name), stepped.state.at(name), 0, 1e-6)) << name;
    EXPECT_FALSE(torch::equal(stepped.state.at(name), weights)) << name;
  }
  EXPECT_TRUE(tiny::same_bits(next(network, gradient, 0).state, network.state));
}

TEST(Next, TakesStatisticsThatAreShared) {
  const auto network = tiny::normed();
  for (const bool share : {false, true}) {
    const auto update = compute_update(network, tiny::images(2), tiny::labels(2),
                                       {.mode = nets::Mode::kTraining, .share_statistics = share});
    const auto moved = next(network, update, 0.1);
    EXPECT_TRUE(torch::equal(moved.state.at("bn.running_var"),
                             share ? update.statistics.at("bn.running_var") : network.state.at("bn.running_var")));
  }
}

struct SeveralRounds : testing::Test {
  // A round with a network of its own.
  static Observation round(std::uint64_t seed, const Protocol& protocol = {}, std::int64_t images = 2) {
    const auto network = tiny::network(tiny::spec(), seed);
    return {.network = network,
            .update = compute_update(network, tiny::images(images), tiny::labels(images), protocol),
            .labels = {},
            .id = static_cast<std::int64_t>(seed)};
  }
  static void refused(const std::vector<Observation>& rounds, const std::string& message) {
    core::expect_error([&] { (void)together(rounds); }, core::ErrorKind::kModel, message);
  }
};

TEST_F(SeveralRounds, AreTakenTogetherAndApart) {
  const std::vector<Observation> three = {round(3), round(1), round(2)};
  const auto all = together(three);
  EXPECT_EQ(all.further.size(), 2u);
  EXPECT_EQ(all.id, 3);
  EXPECT_THAT(describe(all), testing::EndsWith("and no labels, in each of 3 rounds"));
  const auto apart = rounds(all);
  ASSERT_EQ(apart.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(tiny::same_bits(apart[i].network.state, three[i].network.state));
    EXPECT_EQ(digest(apart[i].update), digest(three[i].update));
    EXPECT_EQ(apart[i].update.model, nets::fingerprint(apart[i].network));
    EXPECT_TRUE(apart[i].further.empty());
  }
  EXPECT_EQ(describe(together({three[0]})), describe(three[0]));
}

TEST_F(SeveralRounds, OfOneStepAreGradients) {
  const Protocol one_step{.local = {.epochs = 1, .learning_rate = 0.5}};
  const auto all = as_gradient(together({round(0, one_step), round(1, one_step)}));
  for (const auto& each : rounds(all)) {
    EXPECT_EQ(each.update.protocol, Protocol{.batch_size = 2});
    const auto expected = compute_update(each.network, tiny::images(2), tiny::labels(2));
    EXPECT_TRUE(torch::allclose(each.update.gradient.at("fc.0.bias"), expected.gradient.at("fc.0.bias"), 0, 1e-6));
  }
}

TEST_F(SeveralRounds, HaveTheLabelsOfAny) {
  auto labelled = round(1);
  labelled.labels = {1, 0};
  auto alike = round(2);
  alike.labels = {0, 1};  // in another order
  EXPECT_EQ(together({round(0), labelled, alike}).labels, labelled.labels);
  alike.labels = {1, 1};
  refused({round(0), labelled, alike}, "round 3: got other labels than before, expected those of the same images");
}

TEST_F(SeveralRounds, OfAnotherNetworkOrProtocolAreRefused) {
  const auto normed = tiny::normed();
  const Observation other_network{
      .network = normed, .update = compute_update(normed, tiny::images(2), tiny::labels(2)), .labels = {}};
  refused({round(0), round(1), other_network},
          "round 3: got another architecture (tiny), expected that of round 1 (lenet)");
  refused({round(0), round(1, {}, 1)},
          "round 2: got the float32 gradient of the mean cross-entropy over 1 image, computed in evaluation mode, "
          "expected as in round 1 the float32 gradient of the mean cross-entropy over 2 images");
  for (const Protocol& other : std::vector<Protocol>{{.clients = 2},
                                                     {.local = {.epochs = 2}},
                                                     {.mode = nets::Mode::kTraining},
                                                     {.arithmetic = Arithmetic::kFloat64},
                                                     {.mechanisms = {{.name = "bfloat16"}}}})
    refused({round(0), round(1, other)}, "round 2: got the ");
}

TEST_F(SeveralRounds, ThatAreTheSameUpdateAreRefused) {
  refused({round(0), round(1), round(1)}, "round 3: got the update of round 2 again, expected another one");
}

}  // namespace
}  // namespace pellucid::sharing
