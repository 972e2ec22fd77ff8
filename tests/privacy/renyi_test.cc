#include "pellucid/privacy/renyi.h"

#include "pellucid/privacy/discrete_gaussian.h"

#include "tests/core/expect_error.h"
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

namespace pellucid::privacy {
namespace {

using core::ErrorKind;

// The source's two signed series, in long double; `absolute` adds the terms' sizes, as Google's dp_accounting does.
double by_signed_series(double rate, double noise, double order, bool absolute = false) {
  const long double q = rate, s = noise, a = order, root = std::sqrt(2.0L) * s;
  const long double z0 = s * s * std::log(1 / q - 1) + 0.5L;
  long double sum = 0, binomial = 1;
  for (int i = 0; i < 140; ++i) {
    const long double j = a - i, c = absolute ? std::abs(binomial) : binomial;
    const long double t0 = std::exp(i * std::log(q) + j * std::log(1 - q) + (i * i - i) / (2 * s * s));
    const long double t1 = std::exp(j * std::log(q) + i * std::log(1 - q) + (j * j - j) / (2 * s * s));
    const long double term = c * (t0 * std::erfc((i - z0) / root) + t1 * std::erfc((z0 - j) / root)) / 2;
    if (!std::isfinite(term)) break;  // past what a long double holds, the terms have long vanished
    sum += term;
    binomial *= j / (i + 1);
  }
  return static_cast<double>(std::log(sum) / (a - 1));
}

TEST(RenyiDivergence, IsWhatFiftyDigitsGive) {
  struct Row {
    double rate, noise, order, value;
  };
  for (const auto& row :
       {Row{.01, 2.5, 1.5, 1.300141794376079e-5}, Row{.01, 2.5, 2.5, 2.170836113836249e-5},
        Row{.01, 2.5, 5, 4.361513124615761e-5}, Row{.04, 1.5, 3.9, 1.833202199583858e-3},
        Row{.0025, 1.3, 19, 5.037726614862881e-5}, Row{.001, 1, 13, 1.220375664755585e-5},
        Row{1e-4, 1, 1.5, 1.28853739076733e-8}, Row{1e-3, 1, 2, 1.718280352214515e-6},
        Row{.01, 10, 20, 1.006826311202261e-5}, Row{.1, 100, 20.5, 1.025221459388118e-5},
        Row{.2, .5, 8, 14.16064238579276}, Row{.5, 1, 10, 4.229973710754078}, Row{.02, .6, 4.3, .8984186064123186},
        // In long double, with steps of 0.1, 0.02 and 0.005. A series cut short gives .15613047424.
        Row{.5, 1, 1.1, .156130475685493}}) {
    EXPECT_NEAR(renyi_divergence(row.rate, row.noise, row.order) / row.value, 1, 1e-12) << row.value;
  }
}

TEST(RenyiDivergence, IsTheSignedSeries) {
  for (const double q : {1e-3, 0.01}) {
    for (const double s : {1.5, 3.0, 5.0}) {
      for (const double order : {1.3, 2.5, 7.7})
        EXPECT_NEAR(renyi_divergence(q, s, order) / by_signed_series(q, s, order), 1, 1e-10) << q << s << order;
    }
  }
}

// dp_accounting's own test has these: 50 steps at q = 0.01, s = 2.5.
TEST(RenyiDivergence, IsBelowWhatGooglesAccountantGives) {
  EXPECT_NEAR(50 * by_signed_series(.01, 2.5, 1.5, true), 6.70579741e-4, 1e-12);
  EXPECT_NEAR(50 * by_signed_series(.01, 2.5, 2.5, true), 1.08548710e-3, 1e-11);
  EXPECT_NEAR(50 * renyi_divergence(.01, 2.5, 1.5), 6.50070897e-4, 1e-12);
  EXPECT_NEAR(50 * renyi_divergence(.01, 2.5, 2.5), 1.08541806e-3, 1e-11);
  EXPECT_NEAR(50 * renyi_divergence(.01, 2.5, 5), 2.18075656e-3, 1e-11);
  EXPECT_NEAR(50 * renyi_divergence(.01, 2.5, 50), 2.38460375e-2, 1e-10);
  EXPECT_NEAR(50 * renyi_divergence(.01, 2.5, 100), 1.67416308e+2, 1e-6);
}

TEST(RenyiDivergence, IsContinuousFromWholeOrdersToOthers) {
  for (const double order : {2.0, 5.0, 30.0, 256.0}) {
    const double whole = renyi_divergence(.02, 1.2, order);
    EXPECT_NEAR(renyi_divergence(.02, 1.2, order * (1 + 1e-9)) / whole, 1, 1e-6) << order;
  }
}

TEST(RenyiDivergence, OfNoSamplingIsTheGaussians) {
  EXPECT_DOUBLE_EQ(renyi_divergence(1, 2, 6), 0.75);
  EXPECT_NEAR(renyi_divergence(1 - 1e-12, 2, 6.5), 6.5 / 8, 1e-9);
  EXPECT_EQ(renyi_divergence(0, 2, 6.5), 0);
}

TEST(RenyiDivergence, WithMuchNoiseKeepsItsDigits) {
  // To first order in 1 / s^2: order q^2 / 2 s^2.
  EXPECT_NEAR(renyi_divergence(.1, 1e6, 1.5) / (1.5 * .01 / 2e12), 1, 1e-9);
  EXPECT_NEAR(renyi_divergence(.5, 1e6, 12) / (12 * .25 / 2e12), 1, 1e-9);
  EXPECT_NEAR(renyi_divergence(1e-9, 1, 1.5) / (1.5 * 1e-18 * std::expm1(1) / 2), 1, 1e-6);
}

TEST(RenyiDivergence, WithLittleNoiseDoesNotOverflow) {
  // One term is left: q^a e^((a^2 - a) / 2 s^2).
  const double a = 10.5, s = 0.01;
  EXPECT_NEAR(renyi_divergence(.1, s, a), (a * std::log(.1) + (a * a - a) / (2 * s * s)) / (a - 1), 1e-6);
}

RC_GTEST_PROP(RenyiDivergence, GrowsWithOrderAndRateAndFallsWithNoise, ()) {
  const double q = *rc::gen::inRange(1, 90) / 100.0, s = *rc::gen::inRange(3, 60) / 10.0;
  const double order = 1 + *rc::gen::inRange(1, 300) / 10.0;
  const double at = renyi_divergence(q, s, order);
  RC_ASSERT(renyi_divergence(q, s, order + 0.1) > at);
  RC_ASSERT(renyi_divergence(q + 0.01, s, order) > at);
  RC_ASSERT(renyi_divergence(q, s + 0.01, order) < at);
  RC_ASSERT(at > 0 && at < order / (2 * s * s));
}

struct Published {
  double rate, noise;
  std::int64_t steps;
  double delta, epsilon, order;
};

TEST(RenyiEpsilon, IsWhatIsPublished) {
  for (const auto& row :
       {Published{.04, 1.5, 2250, 1e-5, 7.329111171484, 3.9},
        Published{150 / 60000., 1.3, 6000, 1e-5, 0.7242234026109595, 19},
        Published{100 / 100000., 1.0, 30000, 1e-7, 1.4154988495444842, 13},
        Published{256 / 60000., 1.1, 14063, 1e-5, 2.596655528681, 8.1},
        Published{256 / 60000., 1.3, 3516, 1e-5, 0.9545639531461, 17},
        Published{256 / 60000., 0.7, 10547, 1e-5, 6.318383965048, 3.8},
        Published{.01, 1, 1000, 1e-5, 2.101365271648, 7.8}, Published{.01, 2, 1000, 1e-5, 0.6861853363944, 24},
        Published{.1, 4, 100, 1e-5, 1.081702400857, 16}, Published{.05, 1.5, 1000, 1e-6, 6.667814390523, 4.7},
        Published{.2, 3, 100, 1e-6, 3.639665103265, 7.2}, Published{512 / 60000., 1.23, 4680, 1e-5, 2.5787723558, 8.1},
        Published{1024 / 50000., 1.54, 1440, 1e-5, 2.585396787, 8.0}}) {
    const auto found = renyi_epsilon({{row.rate, row.noise, row.steps}}, row.delta);
    EXPECT_NEAR(found.value / row.epsilon, 1, 1e-9) << row.epsilon;
    EXPECT_NEAR(found.order, row.order, 1e-9) << row.epsilon;
    EXPECT_FALSE(found.at_end);
  }
}

// tf-privacy's orders begin at 1.25, and 10 epochs of 1024 of 1e8 are 976562.5 steps, of which it takes 976563.
TEST(RenyiEpsilon, IsTensorFlowPrivacysWithItsOrders) {
  const std::vector<double> orders = {1.25, 1.5, 1.75, 2, 2.25};
  const auto found = renyi_epsilon({{1024 / 1e8, 0.1, 976563}}, 1e-7, Conversion::kTight, orders);
  EXPECT_NEAR(found.value / 5907982.31139840, 1, 1e-9);
  EXPECT_EQ(found.order, 1.25);
  EXPECT_TRUE(found.at_end);
  EXPECT_LT(renyi_epsilon({{1024 / 1e8, 0.1, 976563}}, 1e-7).value, 8000);  // a smaller order gives a thousandth
}

TEST(RenyiEpsilon, WithFineOrdersIsOneForItsCalibratedNoise) {
  std::vector<double> orders;
  for (int i = 110; i < 4000; ++i) orders.push_back(i / 100.0);
  const auto found = renyi_epsilon({{1, 4.530877117, 1}}, 1e-6, Conversion::kTight, orders);
  EXPECT_NEAR(found.value, 1.000000025, 1e-9);
  EXPECT_NEAR(found.order, 21.98, 1e-9);
}

TEST(RenyiEpsilon, OfTheOldBoundIsWhatWasPublishedBefore) {
  const auto old = [](double q, double s, std::int64_t steps) {
    return renyi_epsilon({{q, s, steps}}, 1e-5, Conversion::kOld);
  };
  EXPECT_NEAR(old(256 / 60000., 1.1, 14063).value, 3.008381046834, 1e-11);
  EXPECT_NEAR(old(256 / 60000., 1.1, 14063).order, 8.8, 1e-9);
  EXPECT_NEAR(old(256 / 60000., 1.3, 3516).value, 1.192264408966, 1e-11);
  EXPECT_NEAR(old(256 / 60000., 0.7, 10547).value, 7.100551709861, 1e-11);
}

// tf-privacy's example: 1.2 epochs, noise 0.7, 120 batches of a hundredth, once with twice the sensitivity. Where it
// samples, it adds up the series' absolute values.
TEST(RenyiEpsilon, IsTensorFlowPrivacysExampleButForItsSeries) {
  EXPECT_NEAR(renyi_epsilon({{1, 0.7, 2}}, 1e-5).value, 10.8602036, 1e-7);
  EXPECT_NEAR(renyi_epsilon({{1, 0.35, 2}}, 1e-5).value, 26.2880374, 1e-7);
  std::vector<double> divergences;
  for (const double order : default_orders())
    divergences.push_back(120 * (order < 11 ? by_signed_series(.01, 0.7, order, true) : 1e9));
  EXPECT_NEAR(to_epsilon(default_orders(), divergences, 1e-5).value, 3.2392676, 1e-7);
  EXPECT_NEAR(renyi_epsilon({{.01, 0.7, 120}}, 1e-5).value, 3.2391922, 1e-7);
}

TEST(RenyiEpsilon, AddsUpPhases) {
  const Phases two = {{.04, 1.5, 1000}, {.04, 1.5, 1250}};
  EXPECT_NEAR(renyi_epsilon(two, 1e-5).value, renyi_epsilon({{.04, 1.5, 2250}}, 1e-5).value, 1e-12);
  const Phases mixed = {{.04, 1.5, 1000}, {.01, 0.9, 500}};
  const double r = 1000 * renyi_divergence(.04, 1.5, 5) + 500 * renyi_divergence(.01, 0.9, 5);
  const std::vector<double> order = {5};
  EXPECT_NEAR(renyi_epsilon(mixed, 1e-5, Conversion::kOld, order).value, r - std::log(1e-5) / 4, 1e-12);
}

RC_GTEST_PROP(RenyiEpsilon, FallsWithNoiseAndDeltaAndGrowsWithSteps, ()) {
  const double q = *rc::gen::inRange(1, 100) / 100.0, s = *rc::gen::inRange(8, 40) / 10.0;
  const auto steps = *rc::gen::inRange<std::int64_t>(1, 2000);
  const std::vector<double> orders = {1.5, 2.7, 5, 9.3, 20, 64};
  const auto epsilon = [&](double rate, double noise, std::int64_t n, double delta) {
    return renyi_epsilon({{rate, noise, n}}, delta, Conversion::kTight, orders).value;
  };
  const double at = epsilon(q, s, steps, 1e-5);
  RC_ASSERT(epsilon(q, s + 0.1, steps, 1e-5) <= at);
  RC_ASSERT(epsilon(q, s, steps + 1, 1e-5) >= at);
  RC_ASSERT(epsilon(q, s, steps, 1e-6) > at);
  RC_ASSERT(renyi_epsilon({{q, s, steps}}, 1e-5, Conversion::kOld, orders).value >= at);
}

TEST(RenyiEpsilon, SaysIfTheOrderLiesAtTheEnd) {
  EXPECT_TRUE(renyi_epsilon({{.01, 1000, 10}}, 1e-5).at_end);
  EXPECT_THAT(renyi_guarantee({{.01, 1000, 10}}, 1e-5).warning, testing::HasSubstr("at the end of those tried"));
  EXPECT_EQ(renyi_guarantee({{.04, 1.5, 2250}}, 1e-5).warning, "");
  EXPECT_EQ(renyi_guarantee({{.04, 1.5, 2250}}, 1e-5).accountant, "Renyi DP, order 3.9");
}

TEST(RenyiDelta, UndoesEpsilon) {
  const Phases phases = {{.04, 1.5, 2250}};
  const auto epsilon = renyi_epsilon(phases, 1e-5);
  const auto delta = renyi_delta(phases, epsilon.value);
  EXPECT_NEAR(delta.value / 1e-5, 1, 1e-9);
  EXPECT_EQ(delta.order, epsilon.order);
  EXPECT_EQ(renyi_delta({{1, 0.1, 100}}, 0).value, 1);
}

TEST(Orders, AreOpacusAndLargerOnes) {
  const auto& orders = default_orders();
  EXPECT_EQ(orders.size(), 99u + 53u + 4u);
  EXPECT_EQ(orders.front(), 1.1);
  EXPECT_EQ(orders[98], 10.9);
  EXPECT_EQ(orders[99], 11);
  EXPECT_EQ(orders.back(), 1024);
}

TEST(Renyi, RefusesWhatIsOutOfRange) {
  const Phases fine = {{.04, 1.5, 10}};
  expect_error([] { return renyi_divergence(1.5, 1, 2); }, ErrorKind::kUsage, "rate: got 1.5, expected");
  expect_error([] { return renyi_divergence(.5, 0, 2); }, ErrorKind::kUsage, "noise: got 0, expected");
  for (const double order : {1.0, 0.5, std::numeric_limits<double>::infinity(), std::nan("")})
    expect_error([=] { return renyi_divergence(.5, 1, order); }, ErrorKind::kUsage, "expected a number above 1");
  expect_error([&] { return renyi_epsilon(fine, 0); }, ErrorKind::kUsage, "delta: got 0, expected");
  expect_error([&] { return renyi_epsilon({}, 1e-5); }, ErrorKind::kUsage, "phases: got none");
  const std::vector<double> none, one = {2}, two = {2, 3}, low = {1};
  expect_error([&] { return renyi_epsilon(fine, 1e-5, Conversion::kTight, none); }, ErrorKind::kUsage,
               "orders: got none");
  expect_error([&] { return to_epsilon(low, one, 1e-5); }, ErrorKind::kUsage, "order: got 1");
  expect_error([&] { return to_epsilon(two, one, 1e-5); }, ErrorKind::kInternal, "divergences: got 1, expected 2");
  expect_error([&] { return to_epsilon(one, one, 2); }, ErrorKind::kUsage, "delta: got 2");
  expect_error([&] { return renyi_delta(fine, -1); }, ErrorKind::kUsage, "epsilon: got -1");
}

}  // namespace
}  // namespace pellucid::privacy
