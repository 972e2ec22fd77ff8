#include "pellucid/gradients/datasets.h"

#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/text.h"
#include "pellucid/data/catalog.h"
#include "pellucid/nets/weights.h"

#include <algorithm>

namespace pellucid::gradients {

using core::Error;
using core::ErrorKind;
using core::Json;

sharing::Prior public_prior(const data::Dataset& train) {
  const auto some = data::sample(train, std::min<std::int64_t>(train.size(), 10'000), 0);
  return sharing::fitted_prior(data::pixels(some, torch::arange(some.size())), 1e-4);
}

nets::Network load_given(const Settings& s) {
  try {
    return nets::load_network(s.weights, {.net = s.net});
  } catch (Error& error) {
    throw error.add_context("model.weights");
  }
}

// @pre the mutex is held.
const data::Dataset& Datasets::whole(const Settings& s, data::Split split) {
  const auto key = fmt::format("{} {} {}", s.data, s.data_dir, data::to_string(split));
  if (const auto found = sets_.find(key); found != sets_.end()) return found->second;
  auto set = data::load(s.data, split, s.data_dir);
  if (split == data::Split::kTest) set = data::relabelled(std::move(set), whole(s, data::Split::kTrain).classes);
  return sets_.emplace(key, std::move(set)).first->second;
}

const data::Dataset& Datasets::load(const Settings& s, data::Split split, std::int64_t most) {
  const std::lock_guard guard(mutex_);
  const auto& all = whole(s, split);
  if (most <= 0 || most >= all.size()) return all;
  const auto key = fmt::format("{} {} {} {}", s.data, s.data_dir, data::to_string(split), most);
  const auto found = sets_.find(key);
  return found != sets_.end() ? found->second : sets_.emplace(key, data::sample(all, most, 0)).first->second;
}

const data::Dataset& Datasets::train(const Settings& s) { return load(s, data::Split::kTrain, s.train_images); }
const data::Dataset& Datasets::test(const Settings& s) { return load(s, data::Split::kTest, s.test_images); }
const data::Dataset& Datasets::all_test(const Settings& s) { return load(s, data::Split::kTest, 0); }

std::int64_t Datasets::drawn(const Settings& s, std::int64_t place) {
  const auto& set = all_test(s);
  if (place < 0 || place >= set.size()) {
    throw Error(ErrorKind::kUsage,
                "first_image and images: got image {} of the order, expected 0 to {}: {} has {} test images here",
                place, set.size() - 1, core::printable(set.name), set.size());
  }
  const std::lock_guard guard(mutex_);
  Tensor& order = orders_[s.data + " " + s.data_dir];
  if (!order.defined()) order = data::sample_order(set, 0);
  return order.data_ptr<std::int64_t>()[place];
}

Truth Datasets::batch(const Settings& s, std::int64_t image) {
  const auto& set = all_test(s);
  const auto size = s.protocol.batch_size;
  if (size > set.size()) {
    throw Error(ErrorKind::kUsage, "client.batch_size: got {}, expected at most {}: the test images of {}", size,
                set.size(), core::printable(set.name));
  }
  std::vector<std::int64_t> members = {image};
  core::Stream stream(0, "client batch", static_cast<std::uint64_t>(image));
  while (static_cast<std::int64_t>(members.size()) < size) {
    const auto other = static_cast<std::int64_t>(stream.below(static_cast<std::uint64_t>(set.size())));
    if (std::find(members.begin(), members.end(), other) == members.end()) members.push_back(other);
  }
  const Tensor at = torch::tensor(members);
  return {.images = data::pixels(set, at), .labels = data::labels(set, at)};
}

const Truth& Datasets::others(const Settings& s) {
  constexpr std::int64_t kOthers = 999;
  const auto& set = all_test(s);
  const std::lock_guard guard(mutex_);
  Truth& others = others_[s.data + " " + s.data_dir];
  if (!others.images.defined() && set.size() > kOthers) {
    const Tensor last = data::sample_order(set, 0).slice(0, -kOthers);
    others = {.images = data::pixels(set, last), .labels = data::labels(set, last)};
  }
  return others;
}

const Tensor& Datasets::mean_image(const Settings& s) {
  const auto& set = train(s);
  const std::lock_guard guard(mutex_);
  Tensor& mean = means_[fmt::format("{} {} {}", s.data, s.data_dir, s.train_images)];
  if (!mean.defined()) {
    Tensor sum = torch::zeros(set.images.sizes().slice(1), torch::kFloat64);
    for (const auto& part : set.images.split(4096)) sum += part.to(torch::kFloat64).sum(0);
    mean = (sum / (255.0 * static_cast<double>(set.size()))).to(torch::kFloat32).unsqueeze(0);
  }
  return mean;
}

std::shared_ptr<const sharing::Prior> Datasets::prior(const Settings& s) {
  const auto& set = train(s);
  const std::lock_guard guard(mutex_);
  auto& prior = priors_[fmt::format("{} {} {}", s.data, s.data_dir, s.train_images)];
  if (!prior) prior = std::make_shared<sharing::Prior>(public_prior(set));
  return prior;
}

const std::string& Datasets::identity(const Settings& s) {
  const std::lock_guard guard(identity_mutex_);
  std::string& identity = identities_[s.data + " " + s.data_dir];
  if (identity.empty()) identity = identify(s);
  return identity;
}

std::string Datasets::identify(const Settings& s) {
  const auto known = data::list(s.data_dir);
  if (std::any_of(known.begin(), known.end(), [&](const auto& f) { return f.name == s.data; })) return s.data;
  Json all = Json::array();
  for (const auto split : {data::Split::kTrain, data::Split::kTest}) {
    const auto& set = load(s, split, 0);
    const Tensor images = set.images.contiguous(), labels = set.labels.contiguous();
    all.push_back({set.classes,
                   core::sha256(std::span(images.data_ptr<std::uint8_t>(), static_cast<std::size_t>(images.numel()))),
                   core::sha256(std::span(static_cast<const std::uint8_t*>(labels.data_ptr()), labels.nbytes()))});
  }
  return s.data + " " + core::sha256(all.dump(-1, ' ', false, Json::error_handler_t::replace));
}

const std::string& Datasets::given(const Settings& s) {
  const std::lock_guard guard(identity_mutex_);
  std::string& fingerprint = given_[s.net + " " + s.weights];
  if (fingerprint.empty() && !s.weights.empty()) fingerprint = nets::fingerprint(load_given(s));
  return fingerprint;
}

}  // namespace pellucid::gradients
