#include "pellucid/evasion/accuracy.h"

#include "pellucid/core/stop.h"
#include "pellucid/evasion/fit.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/tiny.h"

namespace pellucid::evasion {
namespace {

constexpr std::int64_t kImages = 600;  // three batches, the last one shorter

// What the network answers most of the time, so that it is mostly right.
data::Dataset mostly_right(const nets::Network& network, std::int64_t n) {
  data::Dataset set = tiny::noise(n);
  set.labels = nets::logits(network, data::pixels(set, torch::arange(n))).argmax(1);
  set.labels.slice(0, 0, n, 10).add_(1).remainder_(tiny::kClasses);
  return set;
}

PgdOptions only_noise() {
  return {.epsilon = core::Number("0.4"), .step = core::Number("0"), .iterations = 0, .random_start = true};
}

// Image by image: the definition of accuracy under attack.
std::int64_t count_one_by_one(const nets::Network& network, const data::Dataset& set, const PgdOptions& options,
                              std::uint64_t seed) {
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < set.size(); ++i) {
    const Tensor id = torch::tensor({i}), image = data::pixels(set, id), label = data::labels(set, id);
    const Tensor noise = start_noise(seed, "evasion start", id, image.sizes().slice(1));
    const Tensor attacked = pgd(network, image, label, options, noise);
    correct += torch::equal(nets::logits(network, image).argmax(1), label) &&
               torch::equal(nets::logits(network, attacked).argmax(1), label);
  }
  return correct;
}

TEST(Accuracy, IsAProportionWithItsInterval) {
  const Accuracy accuracy{.correct = 3, .n = 4};
  EXPECT_EQ(accuracy.interval().value, 0.75);
  EXPECT_LT(accuracy.interval().low, 0.3);
  const core::Json json = to_json(accuracy);
  EXPECT_EQ(json["value"], 0.75);
  EXPECT_EQ(json["low"], accuracy.interval().low);
  EXPECT_EQ(json["high"], accuracy.interval().high);
  EXPECT_EQ(json["correct"], 3);
  EXPECT_EQ(json["n"], 4);
}

TEST(NaturalAccuracy, CountsEveryImageOnce) {
  const nets::Network network = tiny::balanced_lenet();
  const auto accuracy = natural_accuracy(network, mostly_right(network, kImages));
  EXPECT_EQ(accuracy.n, kImages);
  EXPECT_EQ(accuracy.correct, kImages * 9 / 10);
}

TEST(RobustAccuracy, DoesNotDependOnTheBatches) {
  const nets::Network network = tiny::balanced_lenet();
  const auto set = mostly_right(network, kImages);
  std::set<std::int64_t> counts;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const auto accuracy = robust_accuracy(network, set, only_noise(), seed);
    EXPECT_EQ(accuracy.n, kImages);
    EXPECT_EQ(accuracy.correct, count_one_by_one(network, set, only_noise(), seed)) << seed;
    counts.insert(accuracy.correct);
  }
  EXPECT_GT(counts.size(), 1u) << "the seed must matter, else the test tests nothing";
}

TEST(RobustAccuracy, FallsUnderAttack) {
  const nets::Network network = tiny::balanced_lenet();
  const auto set = mostly_right(network, 50);
  const PgdOptions attack{.epsilon = core::Number("0.3"), .step = core::Number("0.1"), .iterations = 5};
  EXPECT_EQ(robust_accuracy(network, set, attack, 0).correct, count_one_by_one(network, set, attack, 0));
  EXPECT_LT(robust_accuracy(network, set, attack, 0).correct, natural_accuracy(network, set).correct / 2);
}

TEST(RobustAccuracy, CountsAnImageThatWasWrongBeforeAsWrong) {
  const nets::Network network = tiny::balanced_lenet();
  auto set = tiny::noise(100);
  const Tensor images = data::pixels(set, torch::arange(100));
  set.labels = (nets::logits(network, images).argmax(1) + 1).remainder(tiny::kClasses);
  const Tensor noise = start_noise(0, "evasion start", torch::arange(100), images.sizes().slice(1));
  const Tensor attacked = pgd(network, images, set.labels, only_noise(), noise);
  ASSERT_TRUE((nets::logits(network, attacked).argmax(1) == set.labels).any().item<bool>()) << "put right by the noise";
  EXPECT_EQ(robust_accuracy(network, set, only_noise(), 0).correct, 0);
}

// A network whose logits are not numbers on some of the images.
nets::Network overflowing() {
  nets::Network net = tiny::constant_logits({1, 0, 0, 0});
  net.state.at("fc.0.weight")
      .fill_(3e38f);  // the features are in (0, 1): their sum overflows, and infinities have no order
  return net;
}

TEST(AccuracyOfEitherKind, TakesNoLogitThatIsNoNumberForAnAnswer) {
  auto set = tiny::noise(30);
  set.labels.zero_();  // what argmax makes of it
  const auto natural = natural_accuracy(overflowing(), set),
             robust = robust_accuracy(overflowing(), set, only_noise(), 0);
  for (const auto& accuracy : {natural, robust}) {
    EXPECT_EQ(accuracy.correct, 0);
    EXPECT_EQ(accuracy.undefined, 30);
    EXPECT_EQ(to_json(accuracy)["undefined"], 30);
  }
  EXPECT_FALSE(to_json(natural_accuracy(tiny::balanced_lenet(), set)).contains("undefined"));
}

TEST(CommonestClass, IsWhatAlwaysAnsweringItIsRightOn) {
  auto set = tiny::noise(20);
  set.labels.fill_(2);
  set.labels[0] = 1;
  const auto common = commonest_class(set);
  EXPECT_EQ(common.name, "c");
  EXPECT_EQ(common.accuracy.correct, 19);
  EXPECT_EQ(common.accuracy.n, 20);
}

TEST(Fitted, MatchesLabelsByNameAndRefusesWhatDoesNotFit) {
  nets::Network net = tiny::balanced_lenet();
  net.classes = {"d", "c", "b", "a"};
  EXPECT_TRUE(torch::equal(fitted(tiny::noise(8), net).labels, 3 - tiny::noise(8).labels));
  net.classes = {"a", "b", "x", "d"};
  core::expect_error([&] { (void)fitted(tiny::noise(8), net); }, core::ErrorKind::kData, "class \"c\"");
  core::expect_error([&] { (void)fitted(tiny::noise(8, 0, 9), net); }, core::ErrorKind::kData,
                     "got images of 1 x 9 x 9, expected 1 x 8 x 8");
  net.classes = {};
  EXPECT_TRUE(torch::equal(fitted(tiny::noise(8), net).labels, tiny::noise(8).labels)) << "by place";
  core::expect_error(
      [&] {
        (void)fitted(tiny::noise(8), tiny::constant_logits({0, 1, 2}));
      },
      core::ErrorKind::kData, "class \"d\" is number 3, expected numbers below 3");
}

TEST(RobustAccuracy, ReportsItsProgress) {
  std::vector<core::Progress> reports;
  const core::Run run{.progress = [&](const core::Progress& p) { reports.push_back(p); }, .label = "standard"};
  (void)robust_accuracy(tiny::balanced_lenet(), tiny::noise(kImages), only_noise(), 0, run);
  ASSERT_EQ(reports.size(), 4u);
  EXPECT_EQ(reports[1].task, "standard: accuracy under PGD-0");
  EXPECT_EQ(reports[1].done, 250);
  EXPECT_EQ(reports[1].total, kImages);
  EXPECT_EQ(reports.back().done, kImages);
}

TEST(AccuracyOfEitherKind, StopsBetweenBatches) {
  const nets::Network network = tiny::balanced_lenet();
  const auto set = tiny::noise(kImages);
  std::int64_t done = -1;
  const core::Run run{.progress = [&](const core::Progress& p) {
    done = p.done;
    core::request_stop(p.done >= 250);
  }};
  core::expect_error([&] { (void)natural_accuracy(network, set, run); }, core::ErrorKind::kStopped, "stopped");
  EXPECT_EQ(done, 250);
  core::request_stop(false);
  core::expect_error([&] { (void)robust_accuracy(network, set, only_noise(), 0, run); }, core::ErrorKind::kStopped,
                     "stopped");
  EXPECT_EQ(done, 250);
  core::request_stop(false);
}

}  // namespace
}  // namespace pellucid::evasion
