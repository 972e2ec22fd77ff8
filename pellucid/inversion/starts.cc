#include "pellucid/inversion/starts.h"

#include "pellucid/core/tensor.h"

namespace pellucid::inversion {
namespace {

constexpr double kGreyNoise = 0.01;  // so that restarts differ
constexpr std::int64_t kTile = 4;

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
      {"mean", "the mean that the network subtracts, or black",
       [](const core::Stream&, const Shape& shape, const Units&) { return torch::zeros(shape); }},
      // As the preset modern of Geiping's breaching, whose tiles are 4 x 4 too.
      {"patterned", "a standard normal tile of 4 x 4 in the normalised units, repeated; each image has its own",
       [](const core::Stream& stream, const Shape& shape, const Units&) {
         const auto tiles = [](std::int64_t size) { return (size + kTile - 1) / kTile; };
         return core::normal(stream, {shape[0], shape[1], kTile, kTile})
             .repeat({1, 1, tiles(shape[2]), tiles(shape[3])})
             .slice(2, 0, shape[2])
             .slice(3, 0, shape[3]);
       }},
  };
  return rows;
}

}  // namespace pellucid::inversion
