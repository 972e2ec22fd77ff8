#include "pellucid/inversion/reconstruct.h"

#include "pellucid/core/stop.h"
#include "pellucid/inversion/analytic.h"
#include "pellucid/inversion/double_backward.h"
#include "pellucid/inversion/optimise.h"
#include "pellucid/inversion/starts.h"

#include "tests/core/expect_error.h"
#include "tests/inversion/observed.h"

#include <algorithm>

namespace pellucid::inversion {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Attack short_run() {
  Attack options;
  options.iterations = 20;
  options.restarts = 3;
  return options;
}

Attack exactly(Attack attack) {
  attack.precision = Precision::kFloat64;
  return attack;
}

// What a restart begins with: the descent does not move.
Tensor start_of(const sharing::Observation& observation, const std::string& start, std::int64_t restart = 0) {
  auto options = short_run();
  options.iterations = 1;
  options.learning_rate = 0;
  options.start = start;
  return run_trial(observation, options, restart).images;
}

Trial trial(double matching_loss) {
  Trial result;
  result.matching_loss = matching_loss;
  return result;
}

TEST(LearningRate, FallsAtThePublishedIterations) {
  Attack options;
  options.learning_rate = 1;
  options.decay = Decay::kStep;
  options.iterations = 4800;
  const std::vector<std::pair<std::int64_t, double>> expected = {
      {0, 1}, {1798, 1}, {1799, 0.1}, {2998, 0.1}, {2999, 0.01}, {4202, 0.01}, {4203, 0.001}, {4799, 0.001}};
  for (const auto& [iteration, rate] : expected)
    EXPECT_NEAR(learning_rate(options, iteration) / rate, 1, 1e-12) << iteration;
  options.iterations = 24000;
  EXPECT_NEAR(learning_rate(options, 14998), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate(options, 14999), 0.01, 1e-12);
  options.decay = Decay::kNone;
  EXPECT_EQ(learning_rate(options, 23999), 1);
}

TEST(LearningRate, FallsAlongACosineToAThousandth) {
  Attack options;
  options.learning_rate = 2;
  options.iterations = 1000;
  options.decay = Decay::kCosine;
  EXPECT_NEAR(learning_rate(options, 0), 2 * 1.001, 1e-12);
  EXPECT_NEAR(learning_rate(options, 250), 2 * (0.5 + std::sqrt(0.125) + 1e-3), 1e-12);
  EXPECT_NEAR(learning_rate(options, 500), 2 * 0.501, 1e-12);
  EXPECT_NEAR(learning_rate(options, 1000), 2e-3, 1e-12);
}

TEST(LearningRate, RisesInALineFirst) {
  Attack options;
  options.learning_rate = 2;
  options.decay = Decay::kNone;
  options.warm_up = 4;
  for (const auto& [iteration, rate] : std::vector<std::pair<std::int64_t, double>>{{0, 0}, {1, 0.5}, {3, 1.5}, {4, 2}})
    EXPECT_EQ(learning_rate(options, iteration), rate) << iteration;
}

TEST(RunTrial, DependsOnObservationOptionsAndRestartAlone) {
  const auto observation = tiny::observed_lenet();
  auto options = short_run();
  const Trial first = run_trial(observation, options, 1);
  EXPECT_FALSE(torch::equal(run_trial(observation, options, 2).images, first.images));
  const Trial again = run_trial(observation, options, 1);
  EXPECT_TRUE(torch::equal(again.images, first.images));
  EXPECT_EQ(again.matching_loss, first.matching_loss);
  EXPECT_EQ(again.curve.matching_loss, first.curve.matching_loss);
  auto other = observation;
  other.id = 1;
  EXPECT_FALSE(torch::equal(run_trial(other, options, 1).images, first.images));
  options.seed = 1;
  EXPECT_FALSE(torch::equal(run_trial(observation, options, 1).images, first.images));
}

TEST(RunTrial, BeginsWhereItIsTold) {
  auto spec = tiny::spec();
  spec.mean = {0.4};
  spec.deviation = {0.2};
  const auto observation = tiny::observed(tiny::network(spec), tiny::images(1), torch::tensor({1}));
  const core::Stream stream(0, "inversion start 0", 5);
  EXPECT_TRUE(torch::equal(start_of(observation, "zero"), torch::zeros({1, 1, 8, 8})));
  const Tensor grey = core::normal(stream, {1, 1, 8, 8}) * 0.01 + 0.5;
  EXPECT_TRUE(torch::allclose(start_of(observation, "grey", 5), grey, 0, 1e-6));
  EXPECT_TRUE(torch::allclose(start_of(observation, "uniform", 5), core::uniform(stream, {1, 1, 8, 8}), 0, 1e-6));
  const Tensor normal = (core::normal(stream, {1, 1, 8, 8}) * 0.2 + 0.4).clamp(0, 1);
  EXPECT_TRUE(torch::allclose(start_of(observation, "normal", 5), normal, 0, 1e-6));
  EXPECT_TRUE(torch::allclose(start_of(observation, "mean"), torch::full({1, 1, 8, 8}, 0.4), 0, 1e-6));
  const Tensor tile = (core::normal(stream, {1, 1, 4, 4}) * 0.2 + 0.4).clamp(0, 1);
  EXPECT_TRUE(torch::allclose(start_of(observation, "patterned", 5), tile.repeat({1, 1, 2, 2}), 0, 1e-6));
}

TEST(Starts, AreOfAnyShape) {
  const Units units(nets::Spec{.net = "any", .input = {3, 7, 10}, .classes = 2});
  for (const auto& row : starts()) {
    const std::vector<std::int64_t> shape = {2, 3, 7, 10};
    const Tensor images = row.draw(core::Stream(0, "start"), shape, units);
    EXPECT_EQ(images.sizes(), shape) << row.name;
    EXPECT_EQ(torch::equal(images[0], images[1]), row.name == "zero" || row.name == "mean") << row.name;
  }
}

TEST(RunTrial, StepsInTheNetworksUnits) {
  auto spec = tiny::spec();
  spec.mean = {0.4};
  spec.deviation = {0.2};
  const auto observation = tiny::observed(tiny::network(spec), tiny::images(1), torch::tensor({1}));
  auto options = short_run();
  options.iterations = 1;
  options.decay = Decay::kNone;
  options.start = "zero";
  options.keep = Keep::kLast;
  options.terms["tv"] = 0;
  // Adam's first step is the learning rate, whatever the gradient: 0.1 deviations, or 0 where the box forbids it.
  const Tensor pixels = run_trial(observation, options, 0).images;
  const Tensor moved = pixels > 0.01;
  EXPECT_TRUE(moved.any().item<bool>());
  EXPECT_LT((pixels.masked_select(moved) - 0.02).abs().max().item<float>(), 1e-5f);
}

TEST(RunTrial, GivesImagesInThePixelsRangeAndTheirMatchingLoss) {
  const auto observation = tiny::observed_lenet();
  for (const auto keep : {Keep::kLast, Keep::kBest}) {
    auto options = short_run();
    options.keep = keep;
    const Trial result = run_trial(observation, options, 0);
    EXPECT_EQ(result.status, Status::kOk);
    EXPECT_EQ(result.images.sizes(), (std::vector<std::int64_t>{1, 1, 8, 8}));
    EXPECT_EQ(result.images.scalar_type(), torch::kFloat32);
    EXPECT_FALSE(result.images.requires_grad());
    EXPECT_TRUE(torch::equal(result.images, result.images.clamp(0, 1)));
    EXPECT_EQ(tiny::reference(observation, exactly(options), {1}).loss(result.images.to(torch::kFloat64)),
              result.matching_loss);
  }
}

TEST(RunTrial, KeepsTheBestOrTheLastIterate) {
  const auto observation = tiny::observed_lenet();
  auto options = short_run();
  options.terms = {};
  options.learning_rate = 1;  // far too much: the loss goes up and down
  options.decay = Decay::kNone;
  options.keep = Keep::kBest;
  const Trial best = run_trial(observation, options, 0);
  options.keep = Keep::kLast;
  const Trial last = run_trial(observation, options, 0);
  ASSERT_EQ(best.curve.matching_loss, last.curve.matching_loss);
  // The curve is the solver's, in float32.
  const auto lowest = *std::min_element(best.curve.matching_loss.begin(), best.curve.matching_loss.end());
  EXPECT_NEAR(best.matching_loss / lowest, 1, 1e-4);
  EXPECT_NEAR(last.matching_loss / last.curve.matching_loss.back(), 1, 1e-4);
  EXPECT_LT(best.matching_loss, last.matching_loss);
}

// A descent that may leave the box, and would rather.
TEST(RunTrial, ClampsAndEvaluatesWhatTheSolverGave) {
  const auto observation = tiny::observed_lenet();
  auto options = short_run();
  options.box = false;
  options.learning_rate = 3;
  options.keep = Keep::kLast;
  const Trial result = run_trial(observation, options, 0);
  EXPECT_TRUE(torch::equal(result.images, result.images.clamp(0, 1)));
  EXPECT_GT(result.images.eq(1).sum().item<std::int64_t>(), 0);  // there was something to clamp
  EXPECT_EQ(tiny::reference(observation, exactly(options), {1}).loss(result.images.to(torch::kFloat64)),
            result.matching_loss);
  const Tensor x = result.images;
  EXPECT_NEAR(
      result.prior / (1e-2 * (x.diff(1, 3).abs().mean() + x.diff(1, 2).abs().mean()) + 1e-3 * x.mean()).item<double>(),
      1, 1e-5);
}

TEST(RunTrial, StepsAsTheOptimiserSays) {
  const auto observation = tiny::observed_lenet();
  auto options = short_run();
  options.iterations = 1;
  options.optimiser = "sgd";
  options.sign = Sign::kNone;
  options.decay = Decay::kNone;
  options.learning_rate = 0.5;
  options.keep = Keep::kLast;
  options.terms = {};
  const Tensor start = start_of(observation, "grey");
  const Tensor gradient = tiny::reference(observation, options, {1})(start).gradient;
  EXPECT_LT(
      (run_trial(observation, options, 0).images - (start - 0.5 * gradient).clamp(0, 1)).abs().max().item<float>(),
      1e-5f);
}

// By hand, from double backward.
TEST(RunTrial, SoftensTheSignAlongTheWay) {
  const auto observation = tiny::observed_lenet();
  auto options = short_run();
  options.iterations = 4;
  options.optimiser = "sgd";
  options.sign = Sign::kSoft;
  options.decay = Decay::kNone;
  options.learning_rate = 0.02;
  options.keep = Keep::kLast;
  options.features = 3000;  // so that gradients are large, where the soft sign differs from the gradient
  options.terms = {};
  Tensor x = start_of(observation, "grey"), unsigned_x = x;
  const auto reference = tiny::reference(observation, options, {1});
  for (int i = 0; i < 4; ++i) {
    const double s = 1 - i / 4.0;
    x = (x - 0.02 * (s * reference(x).gradient).tanh() / s).clamp(0, 1);
    unsigned_x = (unsigned_x - 0.02 * reference(unsigned_x).gradient).clamp(0, 1);
  }
  const Tensor images = run_trial(observation, options, 0).images;
  EXPECT_LT((images - x).abs().max().item<float>(), 1e-4f);
  EXPECT_GT((images - unsigned_x).abs().max().item<float>(), 1e-3f);
}

TEST(RunTrial, AddsLangevinNoiseOfItsIterationAndRestartAlone) {
  const auto observation = tiny::observed_lenet();
  auto options = short_run();
  options.iterations = 3;
  options.optimiser = "sgd";
  options.sign = Sign::kNone;
  options.decay = Decay::kNone;
  options.learning_rate = 0.5;
  options.langevin = 0.1;
  options.keep = Keep::kLast;
  options.terms = {};
  const auto reference = tiny::reference(observation, options, {1});
  Tensor x = start_of(observation, "grey", 2);
  for (int i = 0; i < 3; ++i) {
    const Tensor noise = core::normal(core::Stream(0, fmt::format("inversion noise 0 {}", i), 2), x.sizes());
    x = (x - 0.5 * (reference(x).gradient + 0.5 * 0.1 * noise)).clamp(0, 1);
  }
  EXPECT_LT((run_trial(observation, options, 2).images - x).abs().max().item<float>(), 1e-5f);
  EXPECT_TRUE(torch::allclose(run_trials(observation, options, 0, 3)[2].images, x, 0, 1e-5)) << "in company";
}

TEST(RunTrial, SmoothsByTheTotalVariation) {
  const auto observation = tiny::observed_lenet();
  const auto variation = [&](double tv) {
    auto options = short_run();
    options.iterations = 60;
    options.terms["tv"] = tv;
    const Tensor x = run_trial(observation, options, 0).images;
    return (x.diff(1, 3).abs().mean() + x.diff(1, 2).abs().mean()).item<double>();
  };
  EXPECT_LT(variation(100), variation(0) / 4);
}

TEST(RunTrial, DarkensByTheMeanPixel) {
  const auto observation = tiny::observed_lenet();
  const auto brightness = [&](double l1) {
    auto options = short_run();
    options.iterations = 60;
    options.terms["l1"] = l1;
    return run_trial(observation, options, 0).images.mean().item<double>();
  };
  EXPECT_LT(brightness(100), 0.05);
  EXPECT_GT(brightness(0), 0.2);
}

TEST(RunTrial, SaysWhatComputedIt) {
  const auto observation = tiny::observed_lenet();
  auto options = short_run();
  EXPECT_EQ(run_trial(observation, options, 0).method, "engine, float32");
  options.method = Method::kDoubleBackward;
  EXPECT_EQ(run_trial(observation, options, 0).method, "double backward, float32");
  options.method = Method::kEngine;
  options.precision = Precision::kFloat64;
  EXPECT_EQ(run_trial(observation, options, 0).method, "double backward, float64: the engine has no float64");
  options.objective = Objective::kL1;
  EXPECT_EQ(run_trial(observation, options, 0).method, "double backward, float64: the engines have no l1");
  options.objective = Objective::kFisher;
  EXPECT_EQ(run_trial(observation, options, 0).method, "double backward, float64: the engines have no fisher");
}

TEST(RunTrial, FallsBackWhereTheEngineLacksALayer) {
  nets::Architecture net{.spec = tiny::spec("late"), .layers = {}};
  net.layers = {{nets::Conv{.in = 1, .out = 2, .kernel = 3, .padding = 1}, "conv", {nets::kNetworkInput}},
                {nets::Normalise{{0, 0}, {1, 1}}, "", {0}},
                {nets::Flatten{}, "", {1}},
                {nets::Linear{2 * tiny::kSide * tiny::kSide, tiny::kClasses}, "fc", {2}}};
  const nets::Network network{.architecture = net, .state = nets::initialise(net, 0)};
  const Trial result = run_trial(tiny::observed(network, tiny::images(1), torch::tensor({1})), short_run(), 0);
  EXPECT_EQ(result.status, Status::kOk);
  EXPECT_EQ(result.method, "double backward, float32: the network has a normalisation that is not the first layer");
}

TEST(RunTrial, MatchesTheFirstLinearLayersInput) {
  const auto observation = tiny::observed_lenet();
  const Tensor features =
      nets::evaluate(observation.network.architecture, observation.network.state, tiny::images(1)).features[0];
  EXPECT_LT((linear_input(observation.update, "fc.0") - features).abs().max().item<double>(), 1e-5);
  auto zero = observation.update;
  zero.gradient.at("fc.0.bias").zero_();
  core::expect_error([&] { (void)linear_input(zero, "fc.0"); }, core::ErrorKind::kModel,
                     "fc.0.bias is zero everywhere");
}

TEST(RunTrial, RecordsAboutAHundredPointsOfItsCurve) {
  const auto observation = tiny::observed_lenet();
  for (const std::int64_t iterations : {1, 100, 199, 250}) {
    auto options = short_run();
    options.iterations = iterations;
    const Curve curve = run_trial(observation, options, 0).curve;
    EXPECT_EQ(curve.iteration.size(), curve.matching_loss.size());
    EXPECT_EQ(curve.iteration.front(), 0);
    EXPECT_LE(curve.iteration.size(), 101u);
    EXPECT_GE(curve.iteration.size(), std::min<std::size_t>(iterations + 1, 50));
    EXPECT_TRUE(std::is_sorted(curve.iteration.begin(), curve.iteration.end()));
  }
}

TEST(RunTrial, ReportsDivergenceAndKeepsWhatCameBefore) {
  auto options = short_run();
  options.learning_rate = 1e37;  // the next image's logits are infinite
  options.box = false;
  options.start = "normal";
  const Trial result = run_trial(tiny::observed_lenet(), options, 0);
  EXPECT_EQ(result.status, Status::kDiverged);
  EXPECT_EQ(result.reason, "the matching loss or its gradient is not finite at iteration 1");
  EXPECT_TRUE(torch::equal(result.images, start_of(tiny::observed_lenet(), "normal")));
  EXPECT_TRUE(std::isfinite(result.matching_loss));
}

TEST(RunTrial, SaysWhereItDoesNotApply) {
  auto zero = tiny::observed_lenet();
  tiny::scale(zero.update, 0);
  auto batch = tiny::observed(tiny::balanced_lenet(), tiny::images(2), tiny::labels(2));
  const auto reason = [](const sharing::Observation& observation, const Attack& options) {
    const Trial result = run_trial(observation, options, 0);
    EXPECT_EQ(result.status, Status::kNotApplicable);
    EXPECT_FALSE(result.images.defined());
    EXPECT_TRUE(std::isnan(result.matching_loss));
    return result.reason;
  };
  EXPECT_THAT(reason(zero, short_run()), testing::HasSubstr("the observed gradient is zero everywhere"));
  auto one_label = preset("ig").attack;
  one_label.labels = "idlg";
  EXPECT_THAT(reason(batch, one_label), testing::HasSubstr("labels: idlg reads the label of one image"));
  batch.labels = {0, 1};
  EXPECT_THAT(reason(batch, short_run()), testing::HasSubstr("got a batch of 2, expected one image"));
}

TEST(Reconstruct, FindsTheLabelsWithTheImages) {
  auto attack = preset("dlg").attack;
  attack.iterations = 150;
  attack.restarts = 4;
  for (std::int64_t label = 0; label < tiny::kClasses; ++label) {
    auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(1), torch::tensor({label}));
    observation.labels = {(label + 1) % tiny::kClasses};  // it does not look at them
    for (const auto method : {Method::kEngine, Method::kTensor, Method::kDoubleBackward}) {
      if (method != Method::kEngine && label != 2) continue;
      attack.method = method;
      const auto found = reconstruct(observation, attack, {});
      const Trial& chosen = found.trials[found.chosen];
      EXPECT_EQ(chosen.labels, std::vector<std::int64_t>{label});
      EXPECT_GT(tiny::psnr(chosen.images, tiny::images(1)), 40) << chosen.method;
    }
  }
}

TEST(RunTrial, DescendsToTheLabelsOfEachTrialAlone) {
  auto attack = preset("dlg").attack;
  attack.iterations = 20;
  const auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(2), torch::tensor({0, 2}));
  const auto together = run_trials(observation, attack, 0, 3);
  for (std::int64_t t = 0; t < 3; ++t) {
    const Trial alone = run_trial(observation, attack, t);
    EXPECT_TRUE(torch::allclose(together[t].images, alone.images, 0, 1e-3)) << t;
    EXPECT_EQ(together[t].labels, alone.labels);
    EXPECT_EQ(alone.labels.size(), 2u);
  }
}

TEST(RunTrial, BeginsAtLabelsOfTheRestart) {
  auto attack = preset("dlg").attack;
  attack.iterations = 1;
  attack.start = "zero";
  const auto observation = tiny::observed_lenet();
  const auto reference = tiny::reference(observation, attack, {0});
  for (std::uint64_t t = 0; t < 2; ++t) {
    const Tensor labels = core::normal(core::Stream(0, "inversion labels 0", t), {1, tiny::kClasses}).softmax(1);
    const double expected = reference(torch::zeros({1, 1, 8, 8}), labels).matching_loss;
    EXPECT_NEAR(run_trial(observation, attack, t).curve.matching_loss.front() / expected, 1, 1e-4);
  }
}

TEST(RunTrial, RefusesJointLabelsWithoutALoss) {
  for (const char* name : {"surrogate", "analytic"}) {
    auto other = preset(name).attack;
    other.labels = kJointLabels;
    EXPECT_THROW(check_applies(tiny::observed_lenet(), other), core::Error) << name;
  }
  auto attack = short_run();
  attack.labels = kJointLabels;
  EXPECT_EQ(run_trial(tiny::observed_lenet(), attack, 0).reason,
            "labels: joint are found through the loss (got the functional residual); expected functional = loss");
}

// Untrained and convolutional, with ReLUs.
nets::Network small_convolutional() {
  nets::Architecture net{.spec = tiny::spec("convolutional"), .layers = {}};
  net.layers = {{nets::Conv{.in = 1, .out = 8, .kernel = 3, .padding = 1}, "one", {nets::kNetworkInput}},
                {nets::Relu{}, "", {0}},
                {nets::Conv{.in = 8, .out = 8, .kernel = 3, .padding = 1}, "two", {1}},
                {nets::Relu{}, "", {2}},
                {nets::Flatten{}, "", {3}},
                {nets::Linear{8 * tiny::kSide * tiny::kSide, tiny::kClasses}, "three", {4}}};
  return {.architecture = net, .state = nets::initialise(net, 0)};
}

// What each published attack must win: a smooth image, from an untrained network. (The colour total variation of
// ig-modern is far too strong for the cosine of a lenet.)
TEST(Reconstruct, ReadsASmoothImageByEachPublishedDescent) {
  const Tensor place = torch::arange(tiny::kSide) - 3.2;
  const Tensor blob = 0.1 + 0.8 * (-(place.square().unsqueeze(1) + place.square()) / 8).exp().view({1, 1, 8, 8});
  const nets::Network lenet = tiny::balanced_lenet(), convolutional = small_convolutional();
  const std::vector<std::tuple<const char*, const nets::Network*, double>> cases = {{"dlg", &lenet, 40},
                                                                                    {"idlg", &lenet, 40},
                                                                                    {"ig", &lenet, 30},
                                                                                    {"ig-modern", &convolutional, 18},
                                                                                    {"see-through", &lenet, 25}};
  EXPECT_LT(tiny::psnr(blob.mean().expand_as(blob), blob), 14) << "what a guess has";
  for (const auto& [name, network, least] : cases) {
    auto attack = preset(name).attack;
    attack.iterations = 300;
    attack.restarts = 2;
    const auto found = reconstruct(tiny::observed(*network, blob, torch::tensor({1})), attack, {});
    EXPECT_GT(tiny::psnr(found.trials[found.chosen].images, blob), least) << name;
  }
}

TEST(RunTrial, ReadsABatchWhoseLabelsWereShared) {
  auto batch = tiny::observed(tiny::balanced_lenet(), tiny::images(2), tiny::labels(2));
  batch.labels = {0, 1};
  auto options = preset("ig").attack;
  options.iterations = 3;
  const Trial result = run_trial(batch, options, 0);
  EXPECT_EQ(result.status, Status::kOk);
  EXPECT_EQ(result.images.size(0), 2);
}

TEST(RunTrial, StopsBetweenIterations) {
  core::request_stop();
  core::expect_error([] { (void)run_trial(tiny::observed_lenet(), short_run(), 0); }, core::ErrorKind::kStopped,
                     "stopped");
  core::request_stop(false);
}

TEST(Choose, TakesTheLowestMatchingLoss) {
  EXPECT_EQ(choose({trial(3), trial(1), trial(2)}).chosen, 1u);
  EXPECT_EQ(choose({trial(1), trial(1)}).chosen, 0u);
}

TEST(Choose, TakesATrialWithoutAResultOnlyWhereAllAre) {
  EXPECT_EQ(choose({trial(kNan), trial(5), trial(kNan), trial(4)}).chosen, 3u);
  EXPECT_EQ(choose({trial(4), trial(kNan)}).chosen, 0u);
  EXPECT_EQ(choose({trial(kNan), trial(kNan)}).chosen, 0u);
}

TEST(Reconstruct, GivesTheSameBitsOnAnyNumberOfThreads) {
  const auto observation = tiny::observed_lenet();
  std::vector<core::Progress> reports;
  const auto one =
      reconstruct(observation, short_run(), {.progress = [&](const core::Progress& p) { reports.push_back(p); }});
  const auto two = reconstruct(observation, short_run(), {.threads = 2});
  ASSERT_EQ(one.trials.size(), 3u);
  ASSERT_EQ(two.trials.size(), 3u);
  EXPECT_EQ(one.chosen, two.chosen);
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(torch::equal(one.trials[i].images, two.trials[i].images)) << i;
    EXPECT_TRUE(torch::equal(one.trials[i].images, run_trial(observation, short_run(), i).images)) << i;
    EXPECT_LE(one.trials[one.chosen].matching_loss, one.trials[i].matching_loss);
  }
  ASSERT_FALSE(reports.empty());
  EXPECT_EQ(reports.back().done, 3);
  EXPECT_EQ(reports.back().total, 3);
}

TEST(Status, HasAName) {
  EXPECT_EQ(to_string(Status::kOk), "ok");
  EXPECT_EQ(to_string(Status::kDiverged), "diverged");
  EXPECT_EQ(to_string(Status::kNotApplicable), "not_applicable");
}

}  // namespace
}  // namespace pellucid::inversion
