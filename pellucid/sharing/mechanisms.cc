#include "pellucid/sharing/mechanisms.h"

#include "pellucid/core/error.h"
#include "pellucid/core/fields.h"
#include "pellucid/core/tensor.h"
#include "pellucid/core/text.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace pellucid::sharing {
namespace {

using core::Error;
using core::ErrorKind;

void clip(nets::TensorMap& update, double norm, std::uint64_t /*seed*/) {
  double square = 0;
  for (const auto& [unused, tensor] : update) square += tensor.to(torch::kFloat64).square().sum().item<double>();
  const double factor = norm / std::sqrt(square);
  if (!(factor < 1)) return;
  for (auto& [unused, tensor] : update) tensor = tensor * factor;
}

void gaussian(nets::TensorMap& update, double deviation, std::uint64_t seed) {
  for (auto& [name, tensor] : update)
    tensor = tensor + deviation * core::normal(core::Stream(seed, "gaussian mechanism " + name), tensor.sizes());
}

template <torch::ScalarType type>
void cast(nets::TensorMap& update, double /*unused*/, std::uint64_t /*seed*/) {
  for (auto& [unused, tensor] : update) tensor = tensor.to(type).to(tensor.scalar_type());
}

// As NumPy's percentile: linear between two order statistics. What is below it is zeroed, what equals it is kept.
void percentile(nets::TensorMap& update, double share, std::uint64_t /*seed*/) {
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

void limit(nets::TensorMap& update, double range, std::uint64_t /*seed*/) {
  for (auto& [unused, tensor] : update) tensor = tensor.clamp(-range, range);
}

// The levels are 0 to 2^22, the least of them -range, and what is between two is rounded up with the probability that
// keeps the mean.
void secagg(nets::TensorMap& update, double range, std::uint64_t seed) {
  constexpr double kLevels = 1 << 22;
  for (auto& [name, tensor] : update) {
    const Tensor level = (tensor.to(torch::kFloat64).clamp(-range, range) + range) * (kLevels / (2 * range));
    const Tensor drawn = core::uniform(core::Stream(seed, "secagg mechanism " + name), tensor.sizes());
    tensor = ((level + drawn.to(torch::kFloat64)).floor() * (2 * range / kLevels) - range).to(tensor.scalar_type());
  }
}

}  // namespace

const std::vector<Mechanism>& mechanisms() {
  static const std::vector<Mechanism> rows = {
      {"clip", "scales the update so that its Euclidean norm, over all tensors together, is at most this",
       "Abadi et al. 2016, arXiv:1607.00133, algorithm 1", "norm", clip},
      // Floating-point noise: it measures the attack, and is not itself private (Mironov 2012).
      {"gaussian", "adds normal noise to every value", "Abadi et al. 2016, arXiv:1607.00133, algorithm 1",
       "standard deviation", gaussian},
      {"float16", "rounds every value to half precision", "IEEE 754-2008; what many transports send", "",
       cast<torch::kFloat16>},
      {"bfloat16", "rounds every value to a brain float", "What mixed-precision training sends", "",
       cast<torch::kBFloat16>},
      {"secagg", "clips every value and rounds it at random to one of 2^22 levels, as SecAgg+ sends it",
       "Flower's SecAgg+, whose default range is 8; Bell et al. 2020, ePrint 2020/704", "range to both sides", secagg},
      // Both: NVFlare's PercentilePrivacy(P, gamma), which takes the change of the weights by the step: its gamma times
      // the number of steps is the limit here. It leaves scalars alone, of which no network here has one.
      {"percentile", "zeroes every value whose magnitude is below this percentile of all of them",
       "Shokri and Shmatikov 2015, section 5; NVFlare's PercentilePrivacy, whose default is 10", "percent", percentile,
       100},
      {"limit", "limits every value to this, to both sides",
       "NVFlare's PercentilePrivacy, whose default is 0.01 a step of local training", "range to both sides", limit},
  };
  return rows;
}

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
        use.value > row->most) {
      throw Error(ErrorKind::kUsage, "mechanisms: got {}, expected \"{} X\" with X, the {}, above 0{}",
                  core::quoted(part), name, row->value,
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

void apply(const std::vector<MechanismUse>& uses, nets::TensorMap& update, std::uint64_t seed) {
  for (const auto& use : uses)
    std::ranges::find(mechanisms(), use.name, &Mechanism::name)->apply(update, use.value, seed);
}

}  // namespace pellucid::sharing
