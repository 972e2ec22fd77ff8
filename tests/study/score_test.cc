#include "pellucid/study/score.h"

#include "pellucid/core/file.h"
#include "pellucid/nets/safetensors.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

namespace pellucid::study {
namespace {

using core::ErrorKind;

constexpr std::int64_t kSide = 12;  // SSIM needs 11

Truth truth() { return {.images = tiny::images(2, 0, kSide), .labels = torch::tensor({3, 0})}; }
nets::Network network() { return tiny::network(tiny::spec("lenet", kSide)); }

TEST(Score, IsPerfectForTheTruth) {
  for (const Score& s : score(network(), truth().images, truth())) {
    EXPECT_EQ(s.psnr, 100);
    EXPECT_EQ(s.mse, 0);
    EXPECT_NEAR(s.ssim, 1, 1e-12);
    EXPECT_EQ(s.fmse_logits, 0);
    EXPECT_EQ(s.fmse_features, 0);
  }
}

TEST(Score, IsOfEachImageInTheOrderOfTheTruth) {
  const Truth half{.images = truth().images * 0.5, .labels = truth().labels};
  Tensor reconstruction = half.images.clone();
  reconstruction[1] += 0.1;
  const auto scores = score(network(), reconstruction, half);
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[0].mse, 0);
  EXPECT_NEAR(scores[1].mse, 0.01, 1e-6);
  EXPECT_NEAR(scores[1].psnr, 20, 1e-3);
}

TEST(Score, ComparesWhatTheNetworkSees) {
  const auto net = network();
  const Tensor black = torch::zeros({2, 1, kSide, kSide});
  const auto scores = score(net, black, truth());
  const auto a = nets::evaluate(net.architecture, net.state, black);
  const auto b = nets::evaluate(net.architecture, net.state, truth().images);
  for (std::int64_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(scores[i].fmse_logits, (a.logits[i] - b.logits[i]).square().mean().item<double>(), 1e-6);
    EXPECT_NEAR(scores[i].fmse_features, (a.features[i] - b.features[i]).square().mean().item<double>(), 1e-6);
    EXPECT_LT(scores[i].ssim, 0.1);
  }
}

TEST(Score, IsJson) {
  EXPECT_EQ(to_json(Score{.psnr = 1, .mse = 2, .ssim = 3, .fmse_logits = 4, .fmse_features = 5}),
            (core::Json{{"psnr", 1.0}, {"mse", 2.0}, {"ssim", 3.0}, {"fmse_logits", 4.0}, {"fmse_features", 5.0}}));
}

struct TruthFile : testing::Test {
  core::Folder folder;
  const std::filesystem::path path = folder / "truth.safetensors";
  const nets::Spec spec = tiny::spec("lenet", kSide);

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
}

TEST_F(TruthFile, RefusesWhatIsNoTruthOfTheNetwork) {
  const std::string message = "got no truth of lenet, expected float images [B, 1, 12, 12] and a label for each";
  const auto [images, labels] = truth();
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
  const auto [images, labels] = truth();
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
}  // namespace pellucid::study
