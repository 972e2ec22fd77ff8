#include "pellucid/sharing/mechanisms.h"

#include "pellucid/core/error.h"
#include "pellucid/core/fields.h"
#include "pellucid/core/tensor.h"
#include "pellucid/core/text.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace pellucid::sharing {
namespace {

using core::Error;
using core::ErrorKind;

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

core::Stream stream_of(const Own& own, const char* mechanism, const std::string& tensor) {
  return {own.seed, fmt::format("{} mechanism {}", mechanism, tensor)};
}

Tensor uniform(const Own& own, const char* mechanism, const std::string& name, const Tensor& like) {
  return core::uniform(stream_of(own, mechanism, name), like.sizes()).to(torch::kFloat64);
}

// The values whose interval holds 0.
Tensor may_be_zero(const Preimage& known, const std::string& name) {
  return (known.low.at(name) <= 0).logical_and(known.high.at(name) >= 0);
}

void forget(Preimage& known, const std::string& name, const Tensor& which) {
  known.low.at(name).masked_fill_(which, -kUnbounded);
  known.high.at(name).masked_fill_(which, kUnbounded);
}

void clip(nets::TensorMap& update, double norm, const Own& /*own*/) {
  double square = 0;
  for (const auto& [unused, tensor] : update) square += tensor.to(torch::kFloat64).square().sum().item<double>();
  const double factor = norm / std::sqrt(square);
  if (!(factor < 1)) return;
  for (auto& [unused, tensor] : update) tensor = tensor * factor;
}

void undo_clip(Preimage& known, double /*norm*/, const nets::Architecture& /*architecture*/) { known.any_size = true; }

void gaussian(nets::TensorMap& update, double deviation, const Own& own) {
  for (auto& [name, tensor] : update)
    tensor = tensor + deviation * core::normal(stream_of(own, "gaussian", name), tensor.sizes());
}

void keep(Preimage& /*known*/, double /*unused*/, const nets::Architecture& /*architecture*/) {}

void laplace(nets::TensorMap& update, double scale, const Own& own) {
  for (auto& [name, tensor] : update) {
    const auto draw = [&own, &name = name,
                       &tensor = tensor](const char* which) {  // exponential; finite, for a uniform number is below 1
      const core::Stream part(own.seed, fmt::format("laplace mechanism {} {}", name, which));
      return -torch::log1p(-core::uniform(part, tensor.sizes()).to(torch::kFloat64));
    };
    tensor = tensor + (scale * (draw("above") - draw("below"))).to(tensor.scalar_type());
  }
}

template <torch::ScalarType type>
void cast(nets::TensorMap& update, double /*unused*/, const Own& /*own*/) {
  for (auto& [unused, tensor] : update) tensor = tensor.to(type).to(tensor.scalar_type());
}

// Half of the last place: relative to the value, but for those near 0.
template <torch::ScalarType type>
void undo_cast(Preimage& known, double /*unused*/, const nets::Architecture& /*architecture*/) {
  const double relative = type == torch::kFloat16 ? 0x1p-11 : 0x1p-8, least = type == torch::kFloat16 ? 0x1p-25 : 0;
  for (auto& [unused, low] : known.low) low = low - (low.abs() * relative).clamp_min(least);
  for (auto& [unused, high] : known.high) high = high + (high.abs() * relative).clamp_min(least);
}

// As NumPy's percentile: linear between two order statistics. What is below it is zeroed, what equals it is kept.
void percentile(nets::TensorMap& update, double share, const Own& /*own*/) {
  std::vector<Tensor> all;
  for (const auto& [unused, tensor] : update) all.push_back(tensor.abs().to(torch::kFloat64).flatten());
  const Tensor sizes = torch::cat(all);
  const double place = share / 100 * static_cast<double>(sizes.numel() - 1);
  const auto below = static_cast<std::int64_t>(place);
  const auto at = [&sizes](std::int64_t rank) { return std::get<0>(sizes.kthvalue(rank + 1)).item<double>(); };
  const double low = at(below), high = at(std::min(below + 1, sizes.numel() - 1));
  const double cutoff = low + (place - static_cast<double>(below)) * (high - low);
  for (auto& [unused, tensor] : update) tensor = tensor.masked_fill(tensor.abs().to(torch::kFloat64) < cutoff, 0);
}

void top_k(nets::TensorMap& update, double share, const Own& own) { percentile(update, 100 - share, own); }

// What was zeroed is no larger than the least of those that were certainly kept.
void undo_percentile(Preimage& known, double /*share*/, const nets::Architecture& /*architecture*/) {
  double least = kUnbounded;
  for (const auto& [name, low] : known.low) {
    const Tensor size = torch::maximum(low.abs(), known.high.at(name).abs());
    least = std::min(least, size.masked_fill(may_be_zero(known, name), kUnbounded).min().item<double>());
  }
  for (auto& [name, low] : known.low) {
    const Tensor zero = may_be_zero(known, name);
    Tensor& high = known.high.at(name);
    low = torch::where(zero, low.clamp_max(-least), low);
    high = torch::where(zero, high.clamp_min(least), high);
  }
  known.sparse = true;
  known.rounded = false;
}

void random_k(nets::TensorMap& update, double share, const Own& own) {
  for (auto& [name, tensor] : update) {
    const Tensor left = uniform(own, "random-k", name, tensor) >= share / 100;
    tensor = (tensor * (100 / share)).masked_fill(left, 0);
  }
}

void undo_random_k(Preimage& known, double share, const nets::Architecture& /*architecture*/) {
  for (auto& [name, low] : known.low) {
    const Tensor zero = may_be_zero(known, name);
    low.mul_(share / 100);
    known.high.at(name).mul_(share / 100);
    forget(known, name, zero);
  }
  known.sparse = true;
  known.rounded = false;
}

void limit(nets::TensorMap& update, double range, const Own& /*own*/) {
  for (auto& [unused, tensor] : update) tensor = tensor.clamp(-range, range);
}

void undo_limit(Preimage& known, double range, const nets::Architecture& /*architecture*/) {
  const double at = range * (1 - 1e-6);  // a float32 of the range lies beside it
  known.rounded = false;
  for (auto& [unused, low] : known.low) low.masked_fill_(low <= -at, -kUnbounded);
  for (auto& [unused, high] : known.high) high.masked_fill_(high >= at, kUnbounded);
}

// Each value lies between two levels, and is rounded to one of them with the probability that keeps the mean.
Tensor rounded(const Tensor& level, const Own& own, const char* mechanism, const std::string& name) {
  return (level + uniform(own, mechanism, name, level)).floor();
}

void widen(Preimage& known, const std::string& name, double step) {
  known.low.at(name).sub_(step);
  known.high.at(name).add_(step);
}

// The levels are 0 to 2^22, the least of them -range.
constexpr double kSecaggLevels = 1 << 22;

void secagg(nets::TensorMap& update, double range, const Own& own) {
  for (auto& [name, tensor] : update) {
    const Tensor level = (tensor.to(torch::kFloat64).clamp(-range, range) + range) * (kSecaggLevels / (2 * range));
    tensor = (rounded(level, own, "secagg", name) * (2 * range / kSecaggLevels) - range).to(tensor.scalar_type());
  }
}

void undo_secagg(Preimage& known, double range, const nets::Architecture& architecture) {
  undo_limit(known, range, architecture);
  for (const auto& [name, unused] : known.low) widen(known, name, 2 * range / kSecaggLevels);
}

double levels_of(double bits) { return std::exp2(bits - 1) - 1; }

void quantise(nets::TensorMap& update, double bits, const Own& own) {
  for (auto& [name, tensor] : update) {
    const Tensor exact = tensor.to(torch::kFloat64);
    const double step = exact.abs().max().item<double>() / levels_of(bits);
    if (step > 0) tensor = (rounded(exact / step, own, "quantise", name) * step).to(tensor.scalar_type());
  }
}

// The largest value of a tensor lies on its last level.
void undo_quantise(Preimage& known, double bits, const nets::Architecture& /*architecture*/) {
  known.rounded = true;
  for (const auto& [name, low] : known.low)
    widen(known, name, torch::maximum(low.abs(), known.high.at(name).abs()).max().item<double>() / levels_of(bits));
}

void sign(nets::TensorMap& update, double /*unused*/, const Own& /*own*/) {
  for (auto& [unused, tensor] : update) tensor = tensor.sign() * tensor.abs().mean();
}

void undo_sign(Preimage& known, double /*unused*/, const nets::Architecture& /*architecture*/) {
  for (auto& [name, low] : known.low) {
    Tensor& high = known.high.at(name);
    const Tensor above = low > 0, below = high < 0;
    known.rounded = false;
    low.masked_fill_(above, 0).masked_fill_(below, -kUnbounded);
    high.masked_fill_(above, kUnbounded).masked_fill_(below, 0);
  }
  known.any_size = true;
}

void drop_layers(nets::TensorMap& update, double share, const Own& own) {
  for (auto& [name, tensor] : update) {
    if (stream_of(own, "drop-layers", name).uniform() < share / 100) tensor = torch::zeros_like(tensor);
  }
}

void undo_drop_layers(Preimage& known, double /*share*/, const nets::Architecture& /*architecture*/) {
  for (const auto& [name, unused] : known.low) {
    const Tensor zero = may_be_zero(known, name);
    if (zero.all().item<bool>()) forget(known, name, zero);
  }
  known.sparse = true;
  known.rounded = false;
}

// The first linear layer, which Soteria defends.
const nets::Layer& defended(const nets::Architecture& architecture) {
  const auto& layers = architecture.layers;
  const auto linear = std::find_if(layers.begin(), layers.end(),
                                   [](const nets::Layer& l) { return std::holds_alternative<nets::Linear>(l.op); });
  if (linear != layers.end()) return *linear;
  throw Error(ErrorKind::kUsage,
              "mechanisms: soteria defends a linear layer (got {}, which has none); expected another",
              architecture.spec.net);
}

// Of each value that the layer takes, |d value / d image| over its size, summed over the images.
Tensor deviations(const nets::Network& network, const nets::Layer& layer, const Tensor& images) {
  const auto& layers = network.architecture.layers;
  const nets::Architecture before{.spec = network.architecture.spec,
                                  .layers = {layers.begin(), layers.begin() + layer.inputs.front() + 1}};
  const std::int64_t features = std::get<nets::Linear>(layer.op).in;
  constexpr std::int64_t kAtOnce = 128;
  const auto device = nets::device_of(network);
  Tensor sum = torch::zeros({features}, torch::kFloat64);
  for (std::int64_t image = 0; image < images.size(0); ++image) {
    const Tensor one = images.narrow(0, image, 1).to(device, torch::kFloat32);
    for (std::int64_t i = 0; i < features; i += kAtOnce) {
      const std::int64_t n = std::min(kAtOnce, features - i);
      const Tensor copies = one.expand({n, -1, -1, -1}).clone().requires_grad_(true);
      const Tensor values = nets::evaluate(before, network.state, copies).logits.flatten(1).narrow(1, i, n).diagonal();
      const Tensor derivative = torch::autograd::grad({values.sum()}, {copies}).front();
      sum.narrow(0, i, n).add_((derivative.flatten(1).norm(2, 1) / values.detach().abs()).to(torch::kCPU));
    }
  }
  return sum;
}

void soteria(nets::TensorMap& update, double share, const Own& own) {
  const nets::Layer& layer = defended(own.network->architecture);
  const Tensor each = deviations(*own.network, layer, own.images).nan_to_num(kUnbounded, kUnbounded);
  const auto pruned = static_cast<std::int64_t>(std::llround(share / 100 * static_cast<double>(each.numel())));
  const Tensor which = std::get<1>(each.sort()).narrow(0, 0, pruned);
  Tensor& weight = update.at(layer.name + ".weight");
  weight = weight.index_fill(1, which, 0);
}

// A column of zeros may also be of a value that was 0.
void undo_soteria(Preimage& known, double /*share*/, const nets::Architecture& architecture) {
  const std::string name = defended(architecture).name + ".weight";
  const Tensor zero = may_be_zero(known, name);
  forget(known, name, zero.all(0, true).expand_as(zero));
  known.sparse = true;
  known.rounded = false;
}

// Between the mechanisms before it and those behind it `apply` adds what earlier rounds left out.
void error_feedback(nets::TensorMap& /*update*/, double /*unused*/, const Own& /*own*/) {}

}  // namespace

const std::vector<Mechanism>& mechanisms() {
  static const std::vector<Mechanism> rows = {
      {"clip", "scales the update so that its Euclidean norm, over all tensors together, is at most this",
       "Abadi et al. 2016, arXiv:1607.00133, algorithm 1", "norm", clip, undo_clip},
      // Floating-point noise: it measures the attack, and is not itself private (Mironov 2012).
      {"gaussian", "adds normal noise to every value", "Abadi et al. 2016, arXiv:1607.00133, algorithm 1",
       "standard deviation", gaussian, keep},
      {"laplace", "adds Laplace noise to every value", "Dwork et al. 2006, Calibrating Noise to Sensitivity", "scale",
       laplace, keep},
      {"float16", "rounds every value to half precision", "IEEE 754-2008; what many transports send", "",
       cast<torch::kFloat16>, undo_cast<torch::kFloat16>},
      {"bfloat16", "rounds every value to a brain float", "What mixed-precision training sends", "",
       cast<torch::kBFloat16>, undo_cast<torch::kBFloat16>},
      {"secagg", "clips every value and rounds it at random to one of 2^22 levels, as SecAgg+ sends it",
       "Flower's SecAgg+, whose default range is 8; Bell et al. 2020, ePrint 2020/704", "range to both sides", secagg,
       undo_secagg},
      {"quantise",
       "rounds every value at random to one of 2^bits - 1 levels, up to the largest of its tensor to both sides",
       "Alistarh et al. 2017 (QSGD), arXiv:1610.02132, with the largest value for the norm, as Wen et al. 2017 "
       "(TernGrad), arXiv:1705.07878, whose levels are those of 2 bits",
       "bits", quantise, undo_quantise, 16, true},
      {"sign", "keeps one bit of every value, its sign, and the mean magnitude of each tensor",
       "Bernstein et al. 2018 (signSGD), arXiv:1802.04434; scaled as Karimireddy et al. 2019, arXiv:1901.09847", "",
       sign, undo_sign},
      // Both: NVFlare's PercentilePrivacy(P, gamma), which takes the change of the weights by the step: its gamma times
      // the number of steps is the limit here. It leaves scalars alone, of which no network here has one.
      {"percentile", "zeroes every value whose magnitude is below this percentile of all of them",
       "Shokri and Shmatikov 2015, section 5; NVFlare's PercentilePrivacy, whose default is 10", "percent", percentile,
       undo_percentile, 100},
      {"limit", "limits every value to this, to both sides",
       "NVFlare's PercentilePrivacy, whose default is 0.01 a step of local training", "range to both sides", limit,
       undo_limit},
      {"top-k", "keeps the values of largest magnitude, this share of all of them, and zeroes the others",
       "Aji and Heafield 2017, arXiv:1704.05021; Lin et al. 2018 (Deep Gradient Compression), arXiv:1712.01887",
       "percent", top_k, undo_percentile, 100},
      {"random-k", "keeps this share of the values, drawn at random and scaled up so that the mean stays",
       "Wangni et al. 2018, arXiv:1710.09854; Stich et al. 2018, arXiv:1809.07599", "percent", random_k, undo_random_k,
       100},
      {"drop-layers", "zeroes each tensor with this probability", "ours: a client that shares some of its layers",
       "percent", drop_layers, undo_drop_layers, 100},
      {"soteria",
       "zeroes the gradient of the first linear layer's weights at this share of the values that it takes, those that "
       "change least with the image for their size",
       "Sun et al. 2021 (Soteria), arXiv:2012.06043", "percent", soteria, undo_soteria, 100},
      {"error-feedback", "adds what the mechanisms behind it left out of the same client's earlier rounds",
       "Stich et al. 2018, arXiv:1809.07599; Karimireddy et al. 2019, arXiv:1901.09847", "", error_feedback, keep},
  };
  return rows;
}

namespace {

// @pre there is one, which reading them checks.
const Mechanism& row_of(const MechanismUse& use) {
  return *std::ranges::find(mechanisms(), use.name, &Mechanism::name);
}

}  // namespace

std::string to_string(const std::vector<MechanismUse>& uses) {
  std::vector<std::string> each;
  for (const auto& use : uses) each.push_back(use.value == 0 ? use.name : fmt::format("{} {}", use.name, use.value));
  return fmt::format("{}", fmt::join(each, ", "));
}

std::vector<MechanismUse> parse_mechanisms(const std::string& text) {
  std::vector<MechanismUse> uses;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    std::istringstream words(part);
    std::string name, number, more;
    words >> name >> number >> more;
    std::vector<std::string> known;
    for (const auto& row : mechanisms()) known.push_back(row.name);
    const auto row = std::ranges::find(mechanisms(), name, &Mechanism::name);
    if (row == mechanisms().end()) {
      throw Error(ErrorKind::kUsage, "mechanisms: got {}, expected {}{}", core::quoted(name), core::join_choices(known),
                  core::suggestion(name, known));
    }
    MechanismUse use{.name = name};
    if (row->value.empty()) {
      if (!number.empty())
        throw Error(ErrorKind::kUsage, "mechanisms: got {}, expected {} alone", core::quoted(part), name);
      uses.push_back(use);
      continue;
    }
    auto value = core::field("value", use.value, "", 0);
    if (number.empty() || !more.empty() || !value.set_text(number) || !std::isfinite(use.value) || use.value <= 0 ||
        use.value > row->most || (row->whole && (use.value < 2 || use.value != std::floor(use.value)))) {
      throw Error(ErrorKind::kUsage, "mechanisms: got {}, expected \"{} X\" with X, the {}, {}{}", core::quoted(part),
                  name, row->value, row->whole ? "a whole number of 2 or more" : "above 0",
                  std::isfinite(row->most) ? fmt::format(" and at most {}", row->most) : "");
    }
    uses.push_back(use);
  }
  return uses;
}

core::Field mechanisms_field(std::string name, std::vector<MechanismUse>& value, const std::string& help) {
  std::vector<std::string> known, with_values;
  for (const auto& row : mechanisms()) {
    known.push_back(row.name);
    with_values.push_back(row.value.empty() ? row.name : fmt::format("{} ({})", row.name, row.value));
  }
  auto set_text = [&value](const std::string& text) {
    try {
      value = parse_mechanisms(text);
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  return {.name = std::move(name),
          .help = fmt::format("{}, in order: {}", help, fmt::join(with_values, ", ")),
          .expected = fmt::format("a list such as \"clip 1, gaussian 0.01\", of {}", core::join_choices(known)),
          .metavar = "\"NAME X, ...\"",
          .get = [&value] { return core::Json(to_string(value)); },
          .set = [set_text](const core::Json& json) { return json.is_string() && set_text(json.get<std::string>()); },
          .set_text = set_text};
}

void apply(const std::vector<MechanismUse>& uses, nets::TensorMap& update, const Own& own, nets::TensorMap* memory) {
  nets::TensorMap whole;  // what the mechanisms behind error feedback begin with
  for (const auto& use : uses) {
    row_of(use).apply(update, use.value, own);
    if (use.name != "error-feedback" || memory == nullptr) continue;
    for (const auto& [name, left] : *memory) update.at(name) = update.at(name) + left;
    whole = update;
  }
  for (const auto& [name, tensor] : whole) (*memory)[name] = tensor - update.at(name);
}

Preimage preimage(const std::vector<MechanismUse>& uses, const nets::TensorMap& shared,
                  const nets::Architecture& architecture) {
  Preimage known;
  for (const auto& [name, tensor] : shared) {
    known.low[name] = tensor.to(torch::kFloat64, /*non_blocking=*/false, /*copy=*/true);
    known.high[name] = known.low.at(name).clone();
  }
  for (auto use = uses.rbegin(); use != uses.rend(); ++use) row_of(*use).undo(known, use->value, architecture);
  return known;
}

}  // namespace pellucid::sharing
