// The learned prior: an autoencoder as a term.
#include "pellucid/core/adam.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/inversion/terms.h"
#include "pellucid/nets/autoencoder.h"
#include "pellucid/nets/weights.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/inversion/observed.h"
#include <gmock/gmock.h>

#include <algorithm>

namespace pellucid::inversion {
namespace {

using core::ErrorKind;

constexpr std::int64_t kPixels = tiny::kSide * tiny::kSide;

nets::Network untrained_autoencoder(std::uint64_t seed = 0) {
  return tiny::network({.net = "autoencoder", .input = {1, tiny::kSide, tiny::kSide}, .classes = kPixels}, seed);
}

// A bright spot somewhere, (n, 1, 8, 8).
Tensor spots(std::int64_t n, std::uint64_t seed) {
  const Tensor centre = core::uniform(core::Stream(seed, "spots"), {n, 2}, 1.5, 5.5);
  const Tensor place = torch::arange(tiny::kSide).to(torch::kFloat32);
  const Tensor dy = place.view({1, tiny::kSide, 1}) - centre.select(1, 0).view({n, 1, 1});
  const Tensor dx = place.view({1, 1, tiny::kSide}) - centre.select(1, 1).view({n, 1, 1});
  return (0.1 + 0.8 * (-(dx.square() + dy.square()) / 3).exp()).unsqueeze(1);
}

// What has learnt to give spots back.
nets::Network of_spots() {
  nets::Network network = untrained_autoencoder();
  const Tensor images = spots(256, 1);
  nets::Leaves leaves = nets::with_gradients(network);
  std::vector<Tensor> first, second;
  for (const auto& parameter : leaves.parameters) {
    first.push_back(torch::zeros_like(parameter));
    second.push_back(torch::zeros_like(parameter));
  }
  for (std::int64_t step = 1; step <= 300; ++step) {
    const Tensor outputs = nets::evaluate(network.architecture, leaves.state, images).logits;
    const auto gradients =
        torch::autograd::grad({nets::reconstruction_errors(outputs, images).mean()}, leaves.parameters);
    const torch::NoGradGuard in_place;
    for (std::size_t i = 0; i < gradients.size(); ++i)
      core::adam_step(leaves.parameters[i], gradients[i], first[i], second[i], step, 2e-3);
  }
  network.state = nets::converted(leaves.state, torch::kFloat32);
  return network;
}

Attack by_prior(const std::filesystem::path& file, double weight) {
  Attack attack = preset("ig").attack;
  attack.terms = {{"anomaly", weight}};
  attack.prior = file.string();
  return attack;
}

struct AnomalyTerm : testing::Test {
  std::filesystem::path save(const nets::Network& network, const std::string& name) const {
    nets::save_network(network, folder / name);
    return folder / name;
  }

  core::Folder folder;
};

TEST_F(AnomalyTerm, IsTheMeanSquaredDistanceFromWhatTheAutoencoderGives) {
  const auto network = untrained_autoencoder();
  auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(2), tiny::labels(2));
  observation.labels = {0, 1};
  const auto problem = make_problem(observation, by_prior(save(network, "a.safetensors"), 0.5), {0, 1});
  nets::Spec spec = tiny::spec();
  spec.mean = {0.4};
  spec.deviation = {0.2};
  const Units units(spec, torch::kFloat64);
  const Tensor pixels = tiny::images(4, 1).to(torch::kFloat64);  // two trials of two images
  Tensor x = pixels.flatten(1);
  for (const std::string layer : {"encoder.0", "encoder.2", "decoder.0", "decoder.2"}) {
    const auto entry = [&](const char* part) { return network.state.at(layer + part).to(torch::kFloat64); };
    x = x.matmul(entry(".weight").t()) + entry(".bias");
    if (layer.ends_with(".0")) x = x.clamp_min(0);
  }
  const Tensor expected = 0.5 * (x - pixels.flatten(1)).square().view({2, -1}).mean(1);
  const auto row = std::ranges::find(terms(), "anomaly", &TermEntry::name);
  const auto found = evaluate(row->make(problem, units, 0.5),
                              {.trials = 2, .pixels = pixels, .standardised = units.from_pixels(pixels)});
  EXPECT_TRUE(torch::allclose(found.losses, expected, 1e-12, 0));
  EXPECT_EQ(found.gradient.scalar_type(), torch::kFloat64);
}

// In float64, of the image as it came out.
TEST_F(AnomalyTerm, IsJudgedAgain) {
  const auto network = untrained_autoencoder();
  Attack attack = by_prior(save(network, "a.safetensors"), 0.3);
  attack.iterations = 5;
  const auto trial = run_trial(tiny::observed_lenet(), attack, 0);
  ASSERT_EQ(trial.status, Status::kOk) << trial.reason;
  const Tensor x = trial.images.to(torch::kFloat64);
  const auto state = nets::converted(network.state, torch::kFloat64);
  const Tensor errors = nets::reconstruction_errors(nets::evaluate(network.architecture, state, x).logits, x);
  EXPECT_NEAR(trial.prior, 0.3 * errors.item<double>(), 1e-14);
}

TEST_F(AnomalyTerm, UsesDataLikeTheClients) {
  const auto observation = tiny::observed_lenet();
  Attack attack = by_prior(save(untrained_autoencoder(), "a.safetensors"), 0.3);
  attack.iterations = 1;
  EXPECT_EQ(threat_model(observation, attack)->name, "D");
  attack.threat_model = "D";
  EXPECT_EQ(run_trial(observation, attack, 0).status, Status::kOk);
  attack.threat_model = "C";
  const auto trial = run_trial(observation, attack, 0);
  EXPECT_EQ(trial.status, Status::kNotApplicable);
  EXPECT_THAT(trial.reason, testing::HasSubstr("threat model C (parameter-aware eavesdropper): the attack uses data "
                                               "like the clients', expected D (data-enhanced eavesdropper)"));
}

TEST_F(AnomalyTerm, RefusesAPriorThatItCannotUse) {
  const auto observation = tiny::observed_lenet();
  const auto refused = [&](const std::filesystem::path& file, double weight, ErrorKind kind,
                           const std::string& message) {
    core::expect_error([&] { check_applies(observation, by_prior(file, weight)); }, kind, message);
  };
  refused("", 0.3, ErrorKind::kUsage,
          "attack: anomaly: got 0.3 without a prior, expected the weight file of an autoencoder as attack.prior");
  const auto good = save(untrained_autoencoder(), "a.safetensors");
  EXPECT_NO_THROW(check_applies(observation, by_prior(good, 0.3)));
  refused(good, 0, ErrorKind::kUsage, "with anomaly = 0, expected a weight: nothing would look at it");
  refused(save(tiny::network({.net = "autoencoder", .input = {1, 8, 9}, .classes = 72}), "b.safetensors"), 0.3,
          ErrorKind::kUsage, "got an autoencoder of 1 x 8 x 9 images, expected 1 x 8 x 8, as the client's");
  refused(save(tiny::balanced_lenet(), "c.safetensors"), 0.3, ErrorKind::kUsage,
          "attack: prior: lenet: outputs: got [4], expected [64], one for each value of a 1 x 8 x 8 image");
  refused(folder / "none.safetensors", 0.3, ErrorKind::kIo, "attack: prior");
  core::expect_error([&] { (void)determinants(by_prior(folder / "none.safetensors", 0.3)); }, ErrorKind::kIo,
                     "none.safetensors");
}

TEST_F(AnomalyTerm, CountsByTheAutoencoderAndNotByItsFile) {
  const auto of = [&](const nets::Network& network, const char* name) {
    return determinants(by_prior(save(network, name), 0.3));
  };
  const auto one = of(untrained_autoencoder(), "a.safetensors");
  EXPECT_EQ(one, of(untrained_autoencoder(), "b.safetensors"));
  EXPECT_NE(one, of(untrained_autoencoder(1), "c.safetensors"));
  EXPECT_EQ(one.at("prior"), nets::fingerprint(untrained_autoencoder()));
}

// Of a noisy gradient the image that fits best is noisy too; the autoencoder knows what spots look like.
TEST_F(AnomalyTerm, ReadsThroughNoise) {
  const auto file = save(of_spots(), "spots.safetensors");
  const Tensor truth = spots(1, 2);
  auto observation = tiny::observed(tiny::balanced_lenet(), truth, torch::tensor({1}));
  std::uint64_t i = 0;
  for (auto& [name, tensor] : observation.update.gradient)
    tensor = tensor + 0.3 * tensor.abs().mean() * core::normal(core::Stream(0, "noise", i++), tensor.sizes());
  const auto psnr = [&](Attack attack) {
    attack.iterations = 300;
    return tiny::psnr(run_trial(observation, attack, 0).images, truth);
  };
  const double learnt = psnr(by_prior(file, 1));
  EXPECT_GT(learnt, 28);
  for (const double tv : {0.0, 1e-2, 1e-1}) {
    Attack other = preset("ig").attack;
    other.terms = {{"tv", tv}};
    EXPECT_LT(psnr(other), learnt - 5) << tv;
  }
}

}  // namespace
}  // namespace pellucid::inversion
