#include "pellucid/inversion/inspect.h"

#include "tests/inversion/observed.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::inversion {
namespace {

std::string lacks(const Inspection& found, const std::string& preset) {
  return std::ranges::find(found.attacks, preset, &InspectedAttack::preset)->lacks;
}

InspectedLabels labels(const Inspection& found, const std::string& strategy) {
  return *std::ranges::find(found.labels, strategy, &InspectedLabels::strategy);
}

TEST(Inspect, SaysWhatABatchShows) {
  const auto observation = tiny::observed(tiny::rectified(100), tiny::images(5), torch::tensor({0, 2, 2, 3, 2}));
  const auto found = inspect(observation);
  ASSERT_EQ(found.layers.size(), 2u);
  EXPECT_EQ(found.layers[0].name, "one");
  EXPECT_EQ(found.layers[0].bound, 64);
  EXPECT_EQ(found.layers[0].images, 5);
  EXPECT_GT(found.layers[0].gap, 1e3);
  EXPECT_EQ(found.layers[1].bound, 4) << "smaller than the batch";
  EXPECT_EQ(found.layers[1].gap, 0);
  EXPECT_THAT(labels(found, "shared").lacks, testing::HasSubstr("not shared"));
  EXPECT_THAT(labels(found, "idlg").lacks, testing::HasSubstr("one image"));
  EXPECT_THAT(labels(found, "ilrg").labels, testing::ElementsAre(0, 2, 2, 2, 3));
  EXPECT_EQ(lacks(found, "disaggregate"), "");
  EXPECT_EQ(lacks(found, "ig"), "");
  EXPECT_THAT(lacks(found, "residual"), testing::HasSubstr("got a batch of 5"));
  EXPECT_THAT(lacks(found, "surrogate"), testing::HasSubstr("got a gradient"));
  EXPECT_EQ(std::ranges::find(found.attacks, "ig", &InspectedAttack::preset)->threat_model, "B");
  EXPECT_EQ(std::ranges::find(found.attacks, "residual", &InspectedAttack::preset)->threat_model, "");
  EXPECT_THAT(found.update, testing::IsEmpty());
  EXPECT_THAT(found.network, testing::IsEmpty());
  double squares = 0;
  for (const auto& p : found.parameters) squares += p.norm * p.norm;
  EXPECT_NEAR(std::sqrt(squares), found.norm, 1e-12);
  EXPECT_EQ(found.parameters.size(), 4u);
  EXPECT_GT(found.parameters[0].norm, 0);
}

TEST(Inspect, CountsImagesAboveTheRoundingOfTheUpdate) {
  auto observation = tiny::observed(tiny::rectified(100), tiny::images(5), torch::tensor({0, 2, 2, 3, 2}));
  const auto exact = inspect(observation).layers[0];
  sharing::apply({{"bfloat16", 0}}, observation.update.gradient, {.seed = 0});
  const auto rounded = inspect(observation).layers[0];
  EXPECT_LT(rounded.gap, exact.gap / 100);
  sharing::apply({{"gaussian", 0.1}}, observation.update.gradient, {.seed = 0});
  EXPECT_LT(inspect(observation).layers[0].images, 5) << "noise that buries them";
}

TEST(Inspect, CountsAStepOfLocalTrainingAsTheGradientItIs) {
  sharing::Observation observation{.network = tiny::rectified(100),
                                   .update = sharing::compute_update(tiny::rectified(100), tiny::images(3),
                                                                     tiny::labels(3), {.local = {.epochs = 1}}),
                                   .labels = {}};
  const auto one = inspect(observation);
  EXPECT_EQ(lacks(one, "disaggregate"), "");
  EXPECT_EQ(one.layers[0].images, 3);
  observation.update.protocol.local.epochs = 2;
  const auto two = inspect(observation);
  EXPECT_THAT(lacks(two, "disaggregate"), testing::HasSubstr("local training"));
  EXPECT_EQ(lacks(two, "surrogate"), "");
}

TEST(Inspect, WarnsOfANetworkThatIsNotHonest) {
  auto planted = tiny::rectified(100);
  Tensor& weight = planted.state.at("one.weight");
  weight = weight[0].expand_as(weight).clone();
  planted.state.at("one.bias") = torch::linspace(-1, 0, 100);
  const auto rows = inspect(tiny::observed(planted, tiny::images(1), tiny::labels(1)));
  ASSERT_EQ(rows.network.size(), 1u);
  EXPECT_EQ(rows.network[0].code, "equal-rows");
  EXPECT_THAT(rows.network[0].sentence, testing::HasSubstr("all 100 rows of one are alike"));
  auto emptied = tiny::rectified(100);
  emptied.state.at("one.weight").slice(0, 0, 80).zero_();
  const auto zeros = inspect(tiny::observed(emptied, tiny::images(1), tiny::labels(1)));
  ASSERT_EQ(zeros.network.size(), 1u);
  EXPECT_THAT(zeros.network[0].sentence, testing::HasSubstr("80 % of the weights of one are exactly 0, as where"));
}

}  // namespace
}  // namespace pellucid::inversion
