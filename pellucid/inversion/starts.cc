#include "pellucid/inversion/starts.h"

#include "pellucid/core/tensor.h"

namespace pellucid::inversion {
namespace {

constexpr double kGreyNoise = 0.01;  // so that restarts differ

using Shape = std::vector<std::int64_t>;

}  // namespace

const std::vector<Start>& starts() {
  static const std::vector<Start> rows = {
      {"normal", "standard normal in the network's normalised units",
       [](const core::Stream& stream, const Shape& shape, const Units&) { return core::normal(stream, shape); }},
      {"uniform", "uniform in [0, 1]",
       [](const core::Stream& stream, const Shape& shape, const Units& units) {
         return units.from_pixels(core::uniform(stream, shape));
       }},
      {"grey", "0.5 and normal noise of deviation 0.01",
       [](const core::Stream& stream, const Shape& shape, const Units& units) {
         return units.from_pixels(0.5 + kGreyNoise * core::normal(stream, shape));
       }},
      {"zero", "black",
       [](const core::Stream&, const Shape& shape, const Units& units) {
         return units.from_pixels(torch::zeros(shape));
       }},
  };
  return rows;
}

}  // namespace pellucid::inversion
