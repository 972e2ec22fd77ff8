// Every preset on every kind of observation: it runs, or says why it does not.
#include "pellucid/inversion/best.h"
#include "pellucid/inversion/disaggregate.h"
#include "pellucid/inversion/imprint.h"
#include "pellucid/inversion/layer_inputs.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/inversion/threat_model.h"

#include "tests/inversion/observed.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::inversion {
namespace {

struct Kind {
  std::string name;
  sharing::Observation observation;
};

// A network whose first layer is linear.
nets::Network perceptron() {
  nets::Architecture net{.spec = tiny::spec("perceptron"), .layers = {}};
  net.layers = {{nets::Flatten{}, "", {nets::kNetworkInput}},
                {nets::Linear{tiny::kSide * tiny::kSide, 6}, "one", {0}},
                {nets::Sigmoid{}, "", {1}},
                {nets::Linear{6, tiny::kClasses}, "two", {2}}};
  return {.architecture = net, .state = nets::initialise(net, 0)};
}

std::vector<Kind> kinds() {
  const auto lenet = tiny::balanced_lenet();
  auto batch = tiny::observed(lenet, tiny::images(2), tiny::labels(2));
  auto labelled = batch;
  labelled.labels = {0, 1};
  auto shared = tiny::observed_lenet();
  shared.labels = {1};
  const auto trained = [&](const sharing::LocalTraining& local) {
    return sharing::Observation{
        .network = lenet,
        .update = sharing::compute_update(lenet, tiny::images(2), tiny::labels(2), {.local = local}),
        .labels = {0, 1}};
  };
  const auto planted = imprinted(lenet, {0, 0.45, 0.5, 0.55});
  return {{"a batch of two from a network with a layer of bins",
           tiny::observed(planted, tiny::images(2), torch::tensor({0, 1}))},
          {"the change of weights by one step", trained({.epochs = 1})},
          {"the change of weights by four steps", trained({.epochs = 2, .step_images = 1})},
          {"one image", tiny::observed_lenet()},
          {"one image with its label", shared},
          {"one image of a perceptron", tiny::observed(perceptron(), tiny::images(1), torch::tensor({1}))},
          {"a batch of two", batch},
          {"a batch of three of a perceptron with ReLU",
           tiny::observed(tiny::rectified(200), tiny::images(3), torch::tensor({0, 2, 0}))},
          {"a batch of two with its labels", labelled},
          {"a batch of two in training mode",
           tiny::observed(tiny::normed(), tiny::images(2), torch::tensor({0, 2}), nets::Mode::kTraining)}};
}

TEST(Conformance, EveryPresetRunsOnEveryObservationOrSaysWhyNot) {
  std::set<std::string> ran;
  for (const auto& preset : presets()) {
    for (const auto& kind : kinds()) {
      SCOPED_TRACE(preset.name + " on " + kind.name);
      Attack attack = preset.attack;
      attack.iterations = 3;
      attack.restarts = 2;
      const auto found = reconstruct(kind.observation, attack, {});
      ASSERT_EQ(found.trials.size(), 2u);
      const Trial& trial = found.trials[found.chosen];
      if (trial.status == Status::kNotApplicable) {
        EXPECT_THAT(trial.reason, testing::AnyOf(testing::HasSubstr("expected"), testing::HasSubstr("; use "),
                                                 testing::HasSubstr("; take ")))
            << "says what would";
        EXPECT_THROW(check_applies(kind.observation, attack), core::Error);
        continue;
      }
      ran.insert(preset.name);
      EXPECT_NO_THROW(check_applies(kind.observation, attack));
      EXPECT_EQ(trial.status, Status::kOk);
      EXPECT_EQ(trial.images.size(0), kind.observation.update.protocol.batch_size);
      EXPECT_TRUE(torch::equal(trial.images, trial.images.clamp(0, 1)));
      attack.precision = Precision::kFloat64;
      const auto& row = solver(attack);
      if (!finds_labels(attack)) {
        EXPECT_EQ(trial.labels, infer_labels(kind.observation, attack.labels));
      }
      const auto seen = sharing::as_gradient(kind.observation);
      const auto problem = row.judged(seen, attack, trial.labels);
      EXPECT_EQ(trial.matching_loss, DoubleBackward(problem, attack.precision).loss(trial.images.to(torch::kFloat64)));
      attack.precision = preset.attack.precision;
      const auto again = reconstruct(kind.observation, attack, {.threads = 2});
      const Tensor images = again.trials[again.chosen].images;
      // Some processors round a trial by its company (docs/engine.md), which the gradient's sign alone does not show.
      EXPECT_TRUE(attack.sign == Sign::kHard ? torch::equal(images, trial.images)
                                             : torch::allclose(images, trial.images, 0, 1e-3));
    }
  }
  EXPECT_EQ(ran.size(), presets().size());  // each applies to something here
}

std::string least(const std::string& preset_name, const std::string& kind, const std::string& term = "tv") {
  Attack attack = preset(preset_name).attack;
  attack.terms[term] = 1;
  const auto all = kinds();
  return threat_model(std::ranges::find(all, kind, &Kind::name)->observation, attack)->name;
}

TEST(ThreatModel, IsTheFirstThatHasWhatTheAttackUses) {
  EXPECT_EQ(least("ig", "a batch of two"), "B");
  EXPECT_EQ(least("unrolled", "the change of weights by four steps"), "C");
  EXPECT_EQ(least("best", "the change of weights by four steps"), "C");
  EXPECT_EQ(least("ig", "a batch of two in training mode", "batch_norm"), "E");
  EXPECT_EQ(least("imprint", "a batch of two from a network with a layer of bins"), "G");
}

TEST(ThreatModel, RefusesAnAttackThatUsesMore) {
  const auto status = [](const std::string& name) {
    Attack attack = preset("imprint").attack;
    attack.threat_model = name;
    const auto all = kinds();
    const auto& observation = all.front().observation;
    const auto trial = run_trial(observation, attack, 0);
    if (trial.status != Status::kNotApplicable) return std::string("ok");
    EXPECT_THROW(check_applies(observation, attack), core::Error);
    return trial.reason;
  };
  EXPECT_EQ(status("any"), "ok");
  EXPECT_EQ(status("G"), "ok");
  EXPECT_EQ(status("H"), "ok");
  EXPECT_THAT(status("B"), testing::HasSubstr("threat model B (informed eavesdropper): the attack uses data like the "
                                              "clients', expected G (data-enhanced manipulator)"));
  EXPECT_THAT(status("E"), testing::HasSubstr("the attack uses a changed network"));
}

TEST(Conformance, EveryRowHasASummary) {
  for (const auto& row : solvers()) EXPECT_FALSE(row.summary.empty() || row.source.empty()) << row.name;
}

double worst_psnr_from(const std::string& name, const sharing::LocalTraining& local) {
  const auto lenet = tiny::balanced_lenet();
  const auto observation =
      sharing::Observation{.network = lenet,
                           .update = sharing::compute_update(lenet, tiny::images(2), tiny::labels(2), {.local = local}),
                           .labels = {0, 1}};
  Attack attack = preset(name).attack;
  attack.iterations = 300;
  attack.terms["tv"] = 0;
  const auto found = reconstruct(observation, attack, {});
  const Tensor images = found.trials[found.chosen].images;
  return std::min(tiny::psnr(images[0], tiny::images(2)[0]), tiny::psnr(images[1], tiny::images(2)[1]));
}

TEST(LocalTraining, IsReadStepByStep) {
  EXPECT_GT(worst_psnr_from("unrolled", {.epochs = 2, .step_images = 1, .learning_rate = 0.1}), 25);
}

// A network between stands for steps that are small; it cannot follow ones that are large.
TEST(LocalTraining, IsReadAtANetworkBetween) {
  EXPECT_GT(worst_psnr_from("surrogate", {.epochs = 3, .learning_rate = 0.01}), 25);
}

// Where the client's gradients were taken on average.
TEST(LocalTraining, IsReadAtTheMeanOfItsSteps) {
  const auto lenet = tiny::balanced_lenet();
  const auto share = [&](const sharing::LocalTraining& local, std::int64_t restart) {
    const sharing::Observation observation{
        .network = lenet,
        .update = sharing::compute_update(lenet, tiny::images(2), tiny::labels(2), {.local = local}),
        .labels = {0, 1}};
    Attack attack = preset("surrogate").attack;
    attack.iterations = 1;
    return run_trial(observation, attack, restart).method;
  };
  EXPECT_THAT(share({.epochs = 2}, 0), testing::HasSubstr("at 25 % of the way"));
  EXPECT_THAT(share({.epochs = 5}, 0), testing::HasSubstr("at 40 % of the way"));
  EXPECT_THAT(share({.epochs = 5}, 1), testing::HasSubstr("at 20 % of the way"));
  EXPECT_THAT(share({.epochs = 5}, 2), testing::HasSubstr("at 60 % of the way"));
  EXPECT_THAT(share({.epochs = 5, .hidden = true}, 0), testing::HasSubstr("at 50 % of the way"));
}

// The direction of the gradient at a network between does not depend on the rate.
TEST(LocalTraining, IsReadWithoutItsSchedule) {
  const auto lenet = tiny::balanced_lenet();
  const sharing::LocalTraining local = {.epochs = 3, .learning_rate = 0.01, .hidden = true};
  EXPECT_GT(worst_psnr_from("surrogate", local), 25);
  const sharing::Observation observation{
      .network = lenet,
      .update = sharing::compute_update(lenet, tiny::images(2), tiny::labels(2), {.local = local}),
      .labels = {}};
  const auto refused = [&](const char* name, Objective objective, const char* why) {
    Attack attack = preset(name).attack;
    attack.objective = objective;
    const auto trial = run_trial(observation, attack, 0);
    EXPECT_EQ(trial.status, Status::kNotApplicable);
    EXPECT_THAT(trial.reason, testing::HasSubstr(why));
  };
  refused("surrogate", Objective::kL2, "objective: got l2 with an unknown learning rate, expected cosine or angular");
  refused("surrogate", Objective::kL1, "objective: got l1 with an unknown learning rate");
  refused("surrogate", Objective::kFisher, "objective: got fisher with an unknown learning rate");
  refused("surrogate", Objective::kCosine, "ilrg needs the learning rate of local training, which is hidden");
  auto labelled = observation;
  labelled.labels = {0, 1};
  EXPECT_THAT(run_trial(labelled, preset("unrolled").attack, 0).reason, testing::HasSubstr("use surrogate"));
}

TEST(Disaggregate, FindsEveryImageOfABatchAndItsLabel) {
  const auto labels = torch::tensor({0, 2, 0});
  const auto trial =
      run_trial(tiny::observed(tiny::rectified(200), tiny::images(3), labels), preset("disaggregate").attack, 0);
  ASSERT_EQ(trial.status, Status::kOk) << trial.reason;
  EXPECT_THAT(trial.isolated, testing::Each(true));
  for (std::int64_t i = 0; i < 3; ++i) {
    double best = 0;
    for (std::int64_t k = 0; k < 3; ++k) {
      const double psnr = tiny::psnr(trial.images[i], tiny::images(3)[k]);
      if (psnr > 100) {
        EXPECT_EQ(trial.labels[static_cast<std::size_t>(i)], labels[k].item<std::int64_t>());
      }
      best = std::max(best, psnr);
    }
    EXPECT_GT(best, 100) << i;
  }
  EXPECT_LT(trial.matching_loss, 1e-10);
}

TEST(Disaggregate, DescendsWhereNothingIsIsolated) {
  auto noisy = tiny::observed(tiny::rectified(200), tiny::images(3), torch::tensor({0, 2, 0}));
  sharing::apply({{"gaussian", 0.1}}, noisy.update.gradient, {.seed = 0});
  const auto trial = run_trial(noisy, preset("disaggregate").attack, 0);
  EXPECT_EQ(trial.status, Status::kOk) << trial.reason;
  EXPECT_THAT(trial.isolated, testing::AllOf(testing::SizeIs(3), testing::Each(false)));
  EXPECT_THAT(trial.method, testing::HasSubstr("0 of 3 images isolated"));
  EXPECT_EQ(trial.labels.size(), 3u);
}

// Where the network is so sure that p rounds to 1, the label's derivative is 0, and noise alone is below it.
TEST(Disaggregate, ReadsTheLabelOfAConfidentImageToo) {
  const auto network = tiny::rectified(200);
  const auto part = [&](const char* name) { return network.state.at(name).to(torch::kFloat64); };
  const Tensor inputs = tiny::images(2).flatten(1).to(torch::kFloat64);
  const Tensor z = torch::addmm(part("one.bias"), inputs, part("one.weight").t());
  const Tensor logits = torch::addmm(part("two.bias"), z.relu(), part("two.weight").t());
  Tensor derivatives = logits.softmax(1);
  const auto predicted = logits[1].argmax().item<std::int64_t>(), other = (logits[0].argmin()).item<std::int64_t>();
  derivatives[0][other] -= 1;
  derivatives[1][predicted] = 0;
  derivatives[1][logits[1].argmin()] = -1e-6;
  const auto found = at_logits(network, 1, inputs, torch::mm(derivatives, part("two.weight")) * (z > 0));
  EXPECT_TRUE(torch::allclose(found.residuals, derivatives));
  EXPECT_TRUE(torch::equal(found.labels, torch::tensor({other, predicted})));
}

TEST(Disaggregate, SaysWhatItCannotTakeApart) {
  const auto refused = [](const sharing::Observation& observation, const char* why) {
    const auto trial = run_trial(observation, preset("disaggregate").attack, 0);
    EXPECT_EQ(trial.status, Status::kNotApplicable);
    EXPECT_THAT(trial.reason, testing::HasSubstr(why));
  };
  refused(tiny::observed_lenet(), "has no linear layer before a ReLU; use ig");
  auto many = tiny::observed(tiny::rectified(200), tiny::images(2), torch::tensor({0, 1}));
  many.update.protocol.batch_size = 200;
  refused(many, "a batch of 200 images, expected fewer than 65, the inputs of one");
}

std::vector<std::string> parts(const sharing::Observation& observation) {
  std::vector<std::string> names;
  for (const auto& part : parts_of_best(observation, preset("best").attack))
    names.push_back(fmt::format("{} {}", part.solver, part.functional == Functional::kResidual ? "residual" : "loss"));
  return names;
}

TEST(Best, RunsWhatApplies) {
  using testing::ElementsAre;
  const auto of = [](const std::string& name) {
    const auto all = kinds();
    return parts(std::ranges::find(all, name, &Kind::name)->observation);
  };
  EXPECT_THAT(of("one image"), ElementsAre("r-gap residual", "optimise residual", "optimise residual"));
  EXPECT_THAT(of("one image of a perceptron"), ElementsAre("analytic residual"));
  EXPECT_THAT(of("a batch of two"), ElementsAre("cpa residual", "optimise loss"));
  EXPECT_THAT(of("a batch of three of a perceptron with ReLU"),
              ElementsAre("disaggregate residual", "cpa residual", "optimise loss"));
  EXPECT_THAT(of("the change of weights by four steps"), ElementsAre("surrogate loss", "optimise loss"));
}

// What a short trial cannot see: a descent that is ahead at first, and in the end is not.
TEST(Best, LeavesOutWhatReadsLittleOffWhereItHasTime) {
  nets::Network narrow = tiny::normed();  // its linear layer takes more values than the image has
  const auto names = [](const nets::Network& network, std::int64_t iterations) {
    Attack attack = preset("best").attack;
    attack.iterations = iterations;
    attack.mechanisms = Mechanisms::kKnown;
    std::vector<std::string> list;
    for (const auto& part : parts_of_best(tiny::observed(network, tiny::images(1), torch::tensor({1})), attack)) {
      EXPECT_EQ(part.mechanisms, Mechanisms::kKnown);
      list.push_back(to_string(part.objective));
    }
    return list;
  };
  EXPECT_EQ(names(narrow, 600), (std::vector<std::string>{"l2", "cosine"}));
  auto& layers = narrow.architecture.layers;
  layers[2].op = nets::GlobalAveragePool{};
  layers[4].op = nets::Linear{4, tiny::kClasses};
  narrow.state.at("fc.weight") = narrow.state.at("fc.weight").slice(1, 0, 4).contiguous();
  EXPECT_EQ(names(narrow, 600), (std::vector<std::string>{"cosine"}));
  EXPECT_EQ(names(narrow, 599), (std::vector<std::string>{"l2", "cosine"}));
}

// The true class is rounded away, so that the loss's own gradient would choose the wrong one.
TEST(Best, GoesOnWithTheBetterOfTwoAttacks) {
  auto network = tiny::balanced_lenet();
  for (auto& layer : network.architecture.layers) {
    if (std::holds_alternative<nets::Sigmoid>(layer.op)) layer.op = nets::Gelu{};  // which r-gap cannot invert
  }
  const Tensor logits = nets::logits(network, tiny::images(1))[0], top = std::get<0>(logits.topk(2));
  network = tiny::sharpened(network, 18 / (top[0] - top[1]).item<double>());
  const auto observation = tiny::observed(network, tiny::images(1), logits.argmax().view({1}));
  Attack attack = preset("best").attack;
  attack.iterations = 300;
  attack.restarts = 2;
  const auto found = reconstruct(observation, attack, {});
  EXPECT_GT(tiny::psnr(found.trials[found.chosen].images, tiny::images(1)), 15) << "noise, which the prior blurs";
  EXPECT_GT(found.trials[0].prior, 0) << "of the attack that was chosen";
  const auto loss_of = [&](const Attack& part) {
    const Trial trial = run_trial(observation, part, 0);
    const DoubleBackward common(judged_by_best(observation, attack, trial.labels), Precision::kFloat64);
    return common.loss(trial.images.to(torch::kFloat64));
  };
  auto parts = parts_of_best(observation, attack);
  for (auto& part : parts) part.iterations = 10;
  Attack ahead = loss_of(parts[0]) < loss_of(parts[1]) ? parts[0] : parts[1];
  ahead.iterations = 290;
  EXPECT_TRUE(torch::equal(found.trials[0].images, run_trial(observation, ahead, 0).images));
}

// Images of different brightness, of which two share a bin.
TEST(Imprint, ReadsTheImagesThatAreAloneInABin) {
  Tensor images = tiny::images(4) * 0.2;
  for (std::int64_t i = 0; i < 4; ++i) images[i] += 0.2 * static_cast<double>(i);
  images[3] = images[2].flip({1}) + 1e-3;  // as bright
  auto lenet = tiny::balanced_lenet();
  for (const bool normalised : {false, true}) {
    if (normalised) {
      auto& [spec, layers] = lenet.architecture;
      spec.mean = {0.4};
      spec.deviation = {0.2};
      for (auto& layer : layers) layer.inputs[0] += 1;
      layers.insert(layers.begin(), {nets::Normalise{{0.4}, {0.2}}, "", {nets::kNetworkInput}});
    }
    const auto network = imprinted(lenet, {0, 0.2, 0.4, 0.6, 0.8});
    EXPECT_LT((nets::logits(network, images) - nets::logits(lenet, images)).abs().max().item<double>(), 0.05)
        << "it answers nearly as before";
    const auto trial = run_trial(tiny::observed(network, images, tiny::labels(4)), preset("imprint").attack, 0);
    ASSERT_EQ(trial.status, Status::kOk) << trial.reason;
    EXPECT_THAT(trial.method, testing::ContainsRegex("[23] of 5 bins hold an image"));
    for (std::int64_t i = 0; i < 2; ++i) {
      double closest = 0;
      for (std::int64_t k = 0; k < 4; ++k) closest = std::max(closest, tiny::psnr(trial.images[k], images[i]));
      EXPECT_GT(closest, 60) << i;
    }
  }
  EXPECT_THROW((void)imprinted(lenet, {0.5, 0.2}), core::Error);
  EXPECT_THROW((void)imprinted(imprinted(lenet, {0, 0.5}), {0, 0.5}), core::Error) << "twice";
}

TEST(Analytic, FindsTheInputOfALinearLayerExactly) {
  auto network = perceptron();
  network.architecture.spec.mean = {0.4};
  network.architecture.spec.deviation = {0.2};
  auto& layers = network.architecture.layers;
  for (auto& layer : layers) layer.inputs[0] += 1;
  layers.insert(layers.begin(), {nets::Normalise{{0.4}, {0.2}}, "", {nets::kNetworkInput}});
  const auto trial =
      run_trial(tiny::observed(network, tiny::images(1), torch::tensor({1})), preset("analytic").attack, 0);
  EXPECT_EQ(trial.status, Status::kOk);
  EXPECT_GT(tiny::psnr(trial.images, tiny::images(1)), 100);
  EXPECT_LT(trial.matching_loss, 1e-10);
}

}  // namespace
}  // namespace pellucid::inversion
