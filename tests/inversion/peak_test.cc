#include "pellucid/inversion/engine/peak.h"

#include "pellucid/inversion/engine/engine.h"
#include "pellucid/nets/zoo.h"

#include "tests/inversion/observed.h"
#include <gtest/gtest.h>

#include <ctime>

namespace pellucid::inversion {
namespace {

double thread_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::int64_t macs(const nets::Network& network, std::int64_t trials) {
  const auto& input = network.architecture.spec.input;
  const auto observation = tiny::observed(network, torch::rand({1, input[0], input[1], input[2]}), torch::tensor({0}));
  return Engine(make_problem(observation, preset("ig").attack, {0}), trials, Precision::kFloat32).macs();
}

// A linear layer from 4 to 3 values, one image: six products, and the Gram matrices of one position each.
TEST(Macs, AreCountedByHand) {
  nets::Architecture linear{.spec = {.net = "linear", .input = {1, 2, 2}, .classes = 3}, .layers = {}};
  linear.layers = {{.op = nets::Flatten{}, .name = "flatten", .inputs = {nets::kNetworkInput}},
                   {.op = nets::Linear{4, 3}, .name = "fc", .inputs = {0}}};
  const nets::Network network{.architecture = linear, .state = nets::initialise(linear, 0)};
  EXPECT_EQ(macs(network, 1), 6 * 4 * 3 + 2 * (4 + 3));
  EXPECT_EQ(macs(network, 3), 3 * macs(network, 1));
}

// No layer takes more than seven products of its size but for small Gram matrices, nor fewer than the four of the
// sweeps with its weight where nothing is padding.
TEST(Macs, AreBetweenFourAndEightProducts) {
  const auto architecture = nets::build({.net = "small_cnn", .input = {1, 28, 28}});
  const nets::Network network{.architecture = architecture, .state = nets::initialise(architecture, 1)};
  const auto one = nets::count_macs(architecture);
  EXPECT_GT(macs(network, 1), 4 * one);
  EXPECT_LT(macs(network, 1), 8 * one);
}

TEST(Peak, IsARateThatSomethingReaches) {
  const double peak = measure_peak(thread_seconds);
  EXPECT_GT(peak, 1e8);
  EXPECT_LT(peak, 1e13);
}

}  // namespace
}  // namespace pellucid::inversion
