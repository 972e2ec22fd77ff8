// Batches: which images are in them, and what is said of each.
#include "pellucid/gradients/datasets.h"
#include "pellucid/gradients/read_back.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/tiny.h"

namespace pellucid::gradients {
namespace {

TEST(Batch, HoldsItsImageFirstAndOthersOnce) {
  Datasets datasets;
  Settings s;
  s.data = "patterns";
  s.protocol.batch_size = 6;
  const auto batch = datasets.batch(s, 5);
  ASSERT_EQ(batch.images.size(0), 6);
  EXPECT_TRUE(torch::equal(batch.images[0], data::pixels(datasets.all_test(s), torch::tensor({5}))[0]));
  for (std::int64_t i = 0; i < 6; ++i) {
    for (std::int64_t j = 0; j < i; ++j) EXPECT_FALSE(torch::equal(batch.images[i], batch.images[j]));
  }
  EXPECT_TRUE(torch::equal(datasets.batch(s, 5).images, batch.images));
  s.protocol.batch_size = 3;  // a smaller one is a part of it, so that sizes are compared on the same company
  EXPECT_TRUE(torch::equal(datasets.batch(s, 5).images, batch.images.narrow(0, 0, 3)));
  EXPECT_TRUE(torch::equal(datasets.batch(s, 5).labels, batch.labels.narrow(0, 0, 3)));
}

TEST(Batch, OfMoreImagesThanThereAreIsRefused) {
  Datasets datasets;
  Settings s;
  s.data = "patterns";
  s.protocol.batch_size = 4096;
  const auto all = datasets.all_test(s).size();
  if (all >= 4096) GTEST_SKIP();
  core::expect_error([&] { (void)datasets.batch(s, 0); }, core::ErrorKind::kUsage, "client.batch_size: got 4096");
}

TEST(ReadBack, OfABatchIsOfItsFirstImage) {
  const Truth batch{.images = tiny::images(3), .labels = torch::tensor({0, 1, 2})};
  inversion::Attack attack = inversion::preset("ig").attack;
  attack.iterations = 30;
  const auto back = read_back(tiny::balanced_lenet(), batch, 0, attack, {.share_labels = true});
  EXPECT_EQ(back.reading.status, record::Status::kOk);
  const auto& each = back.reading.more["batch"];
  ASSERT_EQ(each.size(), 3u);
  std::set<std::int64_t> originals;
  for (const auto& row : each) {
    originals.insert(row["original"].get<std::int64_t>());
    if (row["original"] == 0) {
      EXPECT_EQ(row["psnr"], *back.reading.score("psnr"));
    }
  }
  EXPECT_EQ(originals.size(), 3u);
  const Tensor image = back.image.to(torch::kFloat64), original = batch.images[0].to(torch::kFloat64);
  const double error = (image - original).square().mean().item<double>();
  EXPECT_NEAR(*back.reading.score("mse"), error, 1e-12);
  EXPECT_GE(*back.reading.score("oracle_psnr"), *back.reading.score("psnr"));
}

TEST(ReadBack, OfABatchByAnAttackOnOneImageSaysWhyNot) {
  const Truth batch{.images = tiny::images(2), .labels = torch::tensor({0, 1})};
  auto attack = inversion::preset("ig").attack;
  attack.labels = "idlg";
  const auto read = read_back(tiny::balanced_lenet(), batch, 0, attack).reading;
  EXPECT_EQ(read.status, record::Status::kNotApplicable);
  EXPECT_EQ(read.reason.find("labels: idlg reads the label of one image"), 0u);
  EXPECT_FALSE(read.score("psnr"));
}

TEST(ReadBack, OfABatchCountsItsImagesAndLabels) {
  const Truth batch{.images = tiny::images(3), .labels = torch::tensor({2, 0, 2})};
  auto attack = inversion::preset("ig").attack;
  attack.iterations = 1;
  const auto read = read_back(tiny::balanced_lenet(), batch, 0, attack).reading;
  EXPECT_EQ(read.score("labels_right"), 100);
  EXPECT_EQ(read.score("above_20"), 0);
  EXPECT_FALSE(read.score("isolated")) << "this attack takes no batch apart";
  attack.labels = "shared";
  auto other = batch;
  other.labels = torch::tensor({1, 0, 1});
  const auto observation =
      sharing::Observation{.network = tiny::balanced_lenet(),
                           .update = sharing::compute_update(tiny::balanced_lenet(), batch.images, batch.labels, {}),
                           .labels = {0, 2, 2}};
  EXPECT_NEAR(*read_back(observation, other, attack).reading.score("labels_right"), 100.0 / 3, 1e-9);
}

TEST(ReadBack, DependsOnWhatTheClientDidToItsUpdate) {
  const Truth one{.images = tiny::images(1), .labels = torch::tensor({1})};
  inversion::Attack attack;
  attack.iterations = 40;
  attack.restarts = 1;
  const auto psnr = [&](const std::string& mechanisms) {
    return *read_back(tiny::balanced_lenet(), one, 0, attack,
                      {.protocol = {.mechanisms = sharing::parse_mechanisms(mechanisms)}})
                .reading.score("psnr");
  };
  EXPECT_NEAR(psnr("clip 0.001"), psnr(""), 0.5) << "a factor takes nothing away";
  EXPECT_LT(psnr("gaussian 1"), psnr("") - 5);
}

TEST(ReadBack, OfSeveralRoundsDrawsNoiseAndMovesTheNetworkInEach) {
  const Truth truth{.images = tiny::images(1), .labels = torch::tensor({1})};
  auto attack = inversion::preset("ig").attack;
  attack.iterations = 300;
  attack.terms["tv"] = 0;
  const sharing::Protocol noisy{.mechanisms = {{.name = "gaussian", .value = 0.02}}};
  const auto read = [&](std::int64_t rounds, double rate) {
    return read_back(tiny::balanced_lenet(), truth, 0, attack,
                     {.protocol = noisy, .share_labels = true, .rounds = rounds, .server_rate = rate})
        .reading;
  };
  const auto one = read(1, 0), still = read(4, 0), moved = read(4, 0.05);
  EXPECT_EQ(one.more["method"], "engine, float32");
  EXPECT_EQ(still.more["method"], "engine, float32; 4 rounds");
  EXPECT_GT(*still.score("psnr"), *one.score("psnr") + 2) << "the same noise in each round would bring nothing";
  EXPECT_GT(*moved.score("psnr"), *one.score("psnr") + 2);
  EXPECT_NE(moved.score("matching_loss"), still.score("matching_loss"));
}

TEST(Settings, OfOneRoundNameTheirCellsAsBefore) {
  Settings s;
  EXPECT_FALSE(client_of(s).contains("rounds"));
  s.server_rate = 1;
  EXPECT_FALSE(client_of(s).contains("server_rate")) << "there is no step";
  s.rounds = 4;
  EXPECT_EQ(client_of(s)["rounds"], 4);
  EXPECT_EQ(client_of(s)["server_rate"], 1);
  EXPECT_EQ(client(s).rounds, 4);
  EXPECT_EQ(client(s).server_rate, 1);
  EXPECT_EQ(settings(to_json(s)).rounds, 4);
  s.protocol.local.epochs = 2;
  EXPECT_FALSE(client_of(s).contains("server_rate")) << "the change of the weights is taken as it is";
}

TEST(Settings, ThatAskForNoBoundNameTheirCellsAsBefore) {
  Settings s;
  EXPECT_FALSE(client_of(s).contains("bound"));
  s.bound = true;
  EXPECT_EQ(client_of(s)["bound"], true);
  EXPECT_TRUE(settings(to_json(s)).bound);
}

TEST(ReadBack, SaysWhatNoiseLeavesWhereAsked) {
  const Truth truth{.images = tiny::images(2), .labels = torch::tensor({1, 2})};
  const auto network = tiny::balanced_lenet();
  auto attack = inversion::preset("ig").attack;
  attack.iterations = 2;
  attack.restarts = 1;
  Client client{.protocol = {.batch_size = 2, .mechanisms = {{"gaussian", 1e-3}}}, .share_labels = true};
  EXPECT_FALSE(read_back(network, truth, 0, attack, client).reading.score("unbiased_psnr"));
  client.bound = std::make_shared<sharing::Prior>(sharing::fitted_prior(tiny::images(100, 1), 1e-4));
  const auto read = read_back(network, truth, 0, attack, client).reading;
  const Tensor information =
      sharing::fisher_information(network, truth.images, truth.labels, client.protocol, /*which=*/0);
  EXPECT_EQ(read.score("unbiased_psnr"), sharing::psnr_of(sharing::unbiased_bound(information).error));
  EXPECT_EQ(read.score("linear_psnr"), sharing::psnr_of(sharing::linear_error(information, *client.bound)));
  EXPECT_FALSE(read.more.contains("bound"));
  EXPECT_TRUE(read.score("psnr"));

  const auto without = [&](const Client& other) {
    const auto reading = read_back(network, truth, 0, attack, other).reading;
    EXPECT_FALSE(reading.score("linear_psnr"));
    EXPECT_TRUE(reading.score("psnr")) << "the attack is scored all the same";
    return reading.more.at("bound").get<std::string>();
  };
  Client clean = client, again = client;
  clean.protocol.mechanisms = {};
  again.rounds = 2;
  EXPECT_THAT(without(clean), testing::HasSubstr("without noise there is no bound"));
  EXPECT_THAT(without(again), testing::HasSubstr("in one round"));
}

TEST(Truth, BelongsToAnyOfTheRounds) {
  std::vector<sharing::Observation> rounds;
  for (std::uint64_t seed = 0; seed < 2; ++seed) {
    const auto network = tiny::network(tiny::spec(), seed);
    rounds.push_back({.network = network,
                      .update = sharing::compute_update(network, tiny::images(1), tiny::labels(1)),
                      .labels = {}});
  }
  const auto both = sharing::together(rounds);
  Truth truth{.images = tiny::images(1), .labels = tiny::labels(1)};
  for (const auto& round : rounds) {
    truth.update = sharing::digest(round.update);
    EXPECT_NO_THROW(check_belongs(truth, both));
  }
  core::expect_error([&] { check_belongs(truth, rounds[0]); }, core::ErrorKind::kModel, "it belongs to the update");
}

}  // namespace
}  // namespace pellucid::gradients
