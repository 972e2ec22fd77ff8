#include "pellucid/gradients/metrics.h"

#include "pellucid/core/file.h"
#include "pellucid/gradients/read_back.h"
#include "pellucid/nets/safetensors.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

#include <set>

namespace pellucid::gradients {
namespace {

using core::ErrorKind;

constexpr std::int64_t kScoredSide = 12;  // SSIM needs 11

Truth truth() { return {.images = tiny::images(2, 0, kScoredSide), .labels = torch::tensor({3, 0})}; }
nets::Network network() { return tiny::network(tiny::spec("lenet", kScoredSide)); }

TEST(Score, IsPerfectForTheTruth) {
  for (const Score& s : score(network(), truth().images, truth())) {
    EXPECT_EQ(s.values.at("psnr"), 100);
    EXPECT_EQ(s.values.at("mse"), 0);
    EXPECT_NEAR(s.values.at("ssim"), 1, 1e-12);
    EXPECT_EQ(s.values.at("fmse_logits"), 0);
    EXPECT_EQ(s.values.at("fmse_features"), 0);
  }
}

TEST(Score, MatchesEachReconstructionWithAnOriginal) {
  const auto scores = score(network(), truth().images.flip(0), truth());
  EXPECT_EQ(scores[0].original, 1);
  EXPECT_EQ(scores[1].original, 0);
  for (const Score& s : scores) {
    EXPECT_EQ(s.values.at("psnr"), 100);
    // Some processors round an image by its place in the batch.
    EXPECT_NEAR(s.values.at("fmse_logits"), 0, 1e-12) << "what the network sees is of the matched image too";
    EXPECT_NEAR(s.values.at("fmse_features"), 0, 1e-12);
  }
}

TEST(Score, LeavesOutSsimWhereItsWindowDoesNotFit) {
  const Truth small{.images = tiny::images(1), .labels = torch::tensor({0})};
  const auto s = score(tiny::network(tiny::spec()), small.images * 0.5, small).front();
  EXPECT_FALSE(s.values.contains("ssim"));
  EXPECT_GT(s.values.at("psnr"), 5);
  EXPECT_TRUE(to_json(s).at("ssim").is_null());
}

TEST(ReadBack, OfSmallImagesLacksSsimAlone) {
  const Truth small{.images = tiny::images(1), .labels = torch::tensor({1})};
  inversion::Attack options;
  options.iterations = 2;
  options.restarts = 1;
  const auto read = read_back(tiny::balanced_lenet(), small, 0, options).reading;
  EXPECT_EQ(read.status, record::Status::kOk);
  EXPECT_FALSE(read.score("ssim"));
  for (const char* key : {"psnr", "mse", "fmse_logits", "fmse_features", "oracle_psnr"})
    EXPECT_TRUE(read.score(key)) << key;
  EXPECT_EQ(read.more["label_read"], 1);
}

TEST(Score, IsOfEachImage) {
  const Truth half{.images = truth().images * 0.5, .labels = truth().labels};
  Tensor reconstruction = half.images.clone();
  reconstruction[1] += 0.1;
  const auto scores = score(network(), reconstruction, half);
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[0].values.at("mse"), 0);
  EXPECT_NEAR(scores[1].values.at("mse"), 0.01, 1e-6);
  EXPECT_NEAR(scores[1].values.at("psnr"), 20, 1e-3);
}

TEST(Score, ComparesWhatTheNetworkSees) {
  const auto net = network();
  const Tensor black = torch::zeros({2, 1, kScoredSide, kScoredSide});
  const auto scores = score(net, black, truth());
  const auto a = nets::evaluate(net.architecture, net.state, black);
  const auto b = nets::evaluate(net.architecture, net.state, truth().images);
  for (std::int64_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(scores[i].values.at("fmse_logits"), (a.logits[i] - b.logits[i]).square().mean().item<double>(), 1e-6);
    EXPECT_NEAR(scores[i].values.at("fmse_features"), (a.features[i] - b.features[i]).square().mean().item<double>(),
                1e-6);
    EXPECT_LT(scores[i].values.at("ssim"), 0.1);
  }
}

TEST(Score, AsksForTheOriginalAmongOthers) {
  const Truth one{.images = truth().images.slice(0, 0, 1), .labels = torch::tensor({3})};
  Tensor close = one.images.clone(), far = 1 - one.images;
  close[0][0][0][0] += 0.5;
  const auto identified = [&](const Tensor& reconstruction, const std::vector<Tensor>& others,
                              const std::vector<std::int64_t>& labels) {
    const auto values =
        score(network(), reconstruction, one, {.images = torch::cat(others), .labels = torch::tensor(labels)})
            .front()
            .values;
    return std::pair(values.at("identified"), values.at("identified_in_class"));
  };
  EXPECT_EQ(identified(one.images, {close, far}, {3, 0}), std::pair(100., 100.));
  EXPECT_EQ(identified(close, {close, far}, {0, 3}), std::pair(0., 100.)) << "closer to one of another class";
  EXPECT_EQ(identified(close, {close, far}, {3, 0}), std::pair(0., 0.));
  EXPECT_EQ(identified(one.images * 0.9, {one.images, far}, {3, 0}), std::pair(100., 100.)) << "the original itself";
  EXPECT_FALSE(score(network(), close, one).front().values.contains("identified"));
}

TEST(Score, IsJson) {
  const std::map<std::string, double> values = {{"psnr", 1.0}, {"mse", 2.0}, {"fmse_logits", 4.0}};
  const core::Json json = to_json(Score{.values = values});
  for (const auto& [key, value] : values) EXPECT_EQ(json.at(key), value) << key;
  EXPECT_TRUE(json.at("ssim").is_null()) << "what could not be taken";
}

// A metric is a row: what is listed, tested, shown and kept follows from it.
TEST(Metrics, AreDescribedEachOnce) {
  std::set<std::string> keys, labels;
  for (const auto& m : metrics()) {
    EXPECT_TRUE(keys.insert(m.key).second) << m.key;
    EXPECT_TRUE(labels.insert(m.label).second) << m.label;
    EXPECT_FALSE(m.summary.empty()) << m.key;
    EXPECT_FALSE(m.source.empty()) << m.key;
  }
  EXPECT_EQ(metrics().front().key, "psnr") << "the one that is tested";
  const auto s = score(network(), truth().images, truth()).front();
  for (const auto& [key, value] : s.values) EXPECT_TRUE(keys.contains(key)) << key;
  EXPECT_GT(s.values.size(), 4u);
  EXPECT_EQ(to_json(s).size(), s.values.size());
}

struct TruthFile : testing::Test {
  core::Folder folder;
  const std::filesystem::path path = folder / "truth.safetensors";
  const nets::Spec spec = tiny::spec("lenet", kScoredSide);

  void expect_refusal(const std::map<std::string, Tensor>& tensors, const std::string& message) {
    core::write_file(path, nets::write_safetensors({.tensors = tensors}));
    core::expect_error([&] { (void)load_truth(path, spec); }, ErrorKind::kModel, message);
  }
};

TEST_F(TruthFile, ComesBackToTheBit) {
  save_truth(truth(), path);
  const Truth got = load_truth(path, spec);
  EXPECT_TRUE(torch::equal(got.images, truth().images));
  EXPECT_TRUE(torch::equal(got.labels, truth().labels));
  EXPECT_EQ(got.update, "");
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0600)) << "for its owner alone";
  Truth of_update = truth();
  of_update.update = "abc";
  save_truth(of_update, path);
  EXPECT_EQ(load_truth(path, spec).update, "abc");
}

TEST_F(TruthFile, ThatWasDamagedIsRefused) {
  save_truth(truth(), path);
  const auto whole = core::read_file(path);
  core::Stream stream(0, "damage");
  for (int i = 0; i < 200; ++i) {
    auto damaged = whole;
    damaged[stream.below(whole.size())] ^= static_cast<std::uint8_t>(1 << stream.below(8));
    core::expect_error([&] { (void)load_truth(nets::SafeTensorsFile(damaged, "t"), spec); }, ErrorKind::kModel, "t: ");
    damaged.resize(stream.below(whole.size()));
    core::expect_error([&] { (void)load_truth(nets::SafeTensorsFile(damaged, "t"), spec); }, ErrorKind::kModel, "t: ");
  }
}

TEST_F(TruthFile, RefusesAnotherSchema) {
  core::write_file(path, nets::write_safetensors({.tensors = {{"images", truth().images}, {"labels", truth().labels}},
                                                  .metadata = {{"schema", "x"}}}));
  core::expect_error([&] { (void)load_truth(path, spec); }, ErrorKind::kModel,
                     "schema: got x, expected pellucid.truth/1");
}

TEST(CheckBelongs, TakesTheTruthOfThisUpdateAlone) {
  const auto of = [](const Truth& t, std::vector<std::int64_t> labels) {
    return sharing::Observation{.network = network(),
                                .update = sharing::compute_update(network(), t.images, t.labels),
                                .labels = std::move(labels)};
  };
  const auto refused = [](const Truth& t, const sharing::Observation& observation, const std::string& message) {
    core::expect_error([&] { check_belongs(t, observation); }, ErrorKind::kModel,
                       "the truth is not this update's: " + message);
  };
  Truth both = truth();
  const auto observation = of(both, {});
  check_belongs(both, observation);  // a truth that does not say of which update it is
  both.update = sharing::digest(observation.update);
  check_belongs(both, observation);
  check_belongs(both, of(both, {0, 3}));  // shared in whatever order

  refused({.images = both.images.slice(0, 0, 1), .labels = both.labels.slice(0, 0, 1)}, observation,
          "got 1 image, the update is of 2");
  refused({.images = tiny::images(3, 0, kScoredSide), .labels = tiny::labels(3)}, observation,
          "got 3 images, the update is of 2");
  refused({.images = both.images, .labels = torch::tensor({0, 2})}, of(both, {3, 0}),
          "its labels are not those that were shared");
  Truth other{.images = tiny::images(2, 1, kScoredSide), .labels = both.labels};
  other.update = sharing::digest(of(other, {}).update);
  refused(other, observation,
          "it belongs to the update " + other.update.substr(0, 12) + ", this is " + both.update.substr(0, 12));
}

TEST_F(TruthFile, RefusesWhatIsNoTruthOfTheNetwork) {
  const std::string message = "got no truth of lenet, expected float images [B, 1, 12, 12] and a label for each";
  const Tensor images = truth().images, labels = truth().labels;
  expect_refusal({{"images", images}}, message);
  expect_refusal({{"labels", labels}}, message);
  expect_refusal({{"images", tiny::images(2)}, {"labels", labels}}, message);
  expect_refusal({{"images", images[0]}, {"labels", labels}}, message);
  expect_refusal({{"images", images}, {"labels", labels.slice(0, 0, 1)}}, message);
  expect_refusal({{"images", images.to(torch::kFloat64)}, {"labels", labels}}, message);
  expect_refusal({{"images", images}, {"labels", labels.to(torch::kInt32)}}, message);
}

TEST_F(TruthFile, RefusesValuesOutOfRange) {
  const std::string message = "got pixels outside [0, 1] or labels outside 0 to 3";
  const Tensor images = truth().images, labels = truth().labels;
  expect_refusal({{"images", images + 1}, {"labels", labels}}, message);
  expect_refusal({{"images", images - 1}, {"labels", labels}}, message);
  expect_refusal({{"images", images * NAN}, {"labels", labels}}, message);
  expect_refusal({{"images", images}, {"labels", labels + 1}}, message);
  expect_refusal({{"images", images}, {"labels", labels - 1}}, message);
}

TEST_F(TruthFile, SaysWhenItCannotBeReadOrWritten) {
  core::expect_error([&] { (void)load_truth(path, spec); }, ErrorKind::kIo, "truth.safetensors");
  core::write_file(path, std::string_view("a file"));
  core::expect_error([&] { save_truth(truth(), path / "below"); }, ErrorKind::kIo, "cannot make the folder");
}

}  // namespace
}  // namespace pellucid::gradients
