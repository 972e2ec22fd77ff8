#include "pellucid/training/augment.h"

namespace pellucid::training {

Tensor augment(const Tensor& images, const Tensor& ids, const TrainingOptions& options) {
  const std::int64_t padding = options.crop_padding;
  if (images.size(0) == 0 || (padding == 0 && !options.flip)) return images;
  const Tensor padded = torch::constant_pad_nd(images, {padding, padding, padding, padding});
  std::vector<Tensor> rows;
  for (std::int64_t i = 0; i < images.size(0); ++i) {
    core::Stream stream(options.seed, "augment", ids[i].item<std::int64_t>());
    const auto top = static_cast<std::int64_t>(stream.below(2 * padding + 1));
    const auto left = static_cast<std::int64_t>(stream.below(2 * padding + 1));
    Tensor row = padded[i].narrow(1, top, images.size(2)).narrow(2, left, images.size(3));
    if (options.flip && stream.below(2) == 1) row = row.flip({2});
    rows.push_back(row);
  }
  return torch::stack(rows);
}

}  // namespace pellucid::training
