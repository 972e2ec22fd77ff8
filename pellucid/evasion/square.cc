#include "pellucid/evasion/square.h"

#include "pellucid/core/random.h"

#include <algorithm>
#include <cmath>

namespace pellucid::evasion {
namespace {

// The part of an image (C, H, W) under a square.
Tensor window(const Tensor& image, std::int64_t row, std::int64_t column, std::int64_t side) {
  return image.narrow(1, row, side).narrow(2, column, side);
}

Tensor signs(core::Stream& stream, at::IntArrayRef shape, const Tensor& like) {
  Tensor tensor = torch::empty(shape, torch::kFloat32);
  auto* values = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) values[i] = stream.below(2) == 0 ? -1.f : 1.f;
  return tensor.to(like.options());
}

std::int64_t square_side(const Tensor& image, double share) {
  const std::int64_t height = image.size(1), width = image.size(2);
  const auto side = std::llround(std::sqrt(share * static_cast<double>(height * width)));
  return std::clamp<std::int64_t>(side, 1, std::min(height, width));
}

Tensor norm_per_channel(const Tensor& image) { return image.square().sum({1, 2}, /*keepdim=*/true).sqrt(); }

// The pseudo-Gaussian of equation 2 of the paper: two halves, one up and one down, of rings that fall off from a
// centre.
Tensor patch(core::Stream& stream, std::int64_t side, const Tensor& like) {
  Tensor values = torch::zeros({side, side}, torch::kFloat64);
  auto at = values.accessor<double, 2>();
  const std::int64_t half = side / 2;
  for (std::int64_t r = 0; r < side; ++r) {
    const std::int64_t rows = r < half ? half : side - half, row = r < half ? r : r - half;
    for (std::int64_t c = 0; c < side; ++c) {
      const auto ring = std::max(std::abs(row - rows / 2), std::abs(c - half));
      for (std::int64_t j = ring + 1; j <= half + 1; ++j) at[r][c] += 1 / static_cast<double>(j * j);
    }
  }
  values.slice(0, 0, half).div_(values.slice(0, 0, half).norm().clamp_min(kTiny));
  values.slice(0, half).div_(-values.slice(0, half).norm().clamp_min(kTiny));
  values = values / values.norm();
  return (stream.below(2) == 0 ? values : values.t()).to(like.options());
}

struct Linf {
  double epsilon;

  Tensor start(const Tensor& image, core::Stream& stream) const {
    return (image + epsilon * signs(stream, {image.size(0), 1, image.size(2)}, image)).clamp(0, 1);
  }
  // Moving a pixel of the ball's surface by +-2 epsilon and taking it back into the ball sets it to +-epsilon.
  Tensor propose(const Tensor& image, const Tensor& best, double share, core::Stream& stream) const {
    const auto side = square_side(image, share);
    const auto row = static_cast<std::int64_t>(stream.below(image.size(1) - side + 1));
    const auto column = static_cast<std::int64_t>(stream.below(image.size(2) - side + 1));
    Tensor next = best.clone();
    window(next, row, column, side)
        .copy_((window(image, row, column, side) + epsilon * signs(stream, {image.size(0), 1, 1}, image)).clamp(0, 1));
    return next;
  }
};

struct L2 {
  double epsilon;

  [[nodiscard]] Tensor on_surface(const Tensor& image, const Tensor& delta) const {
    return (image + epsilon * delta / delta.norm().clamp_min(kTiny)).clamp(0, 1);
  }
  Tensor start(const Tensor& image, core::Stream& stream) const {
    const std::int64_t side = std::max<std::int64_t>(image.size(1) / 5, 1);
    Tensor delta = torch::zeros_like(image);
    for (std::int64_t row = 0; row + side <= image.size(1); row += side) {
      for (std::int64_t column = 0; column + side <= image.size(2); column += side) {
        window(delta, row, column, side)
            .copy_(patch(stream, side, image) * signs(stream, {image.size(0), 1, 1}, image));
      }
    }
    return on_surface(image, delta);
  }
  Tensor propose(const Tensor& image, const Tensor& best, double share, core::Stream& stream) const {
    const std::int64_t most = std::min(image.size(1), image.size(2));
    const auto side = std::min<std::int64_t>(std::max<std::int64_t>(square_side(image, share), 3) | 1, most);  // odd
    const auto place = [&](std::int64_t size) { return static_cast<std::int64_t>(stream.below(size - side + 1)); };
    const auto row = place(image.size(1)), column = place(image.size(2)), from_row = place(image.size(1)),
               from_column = place(image.size(2));
    Tensor delta = best - image;
    Tensor mask = torch::zeros_like(image);
    window(mask, row, column, side).fill_(1);
    window(mask, from_row, from_column, side).fill_(1);
    const double unused = std::max(epsilon * epsilon - delta.square().sum().item<double>(), 0.0);
    const Tensor budget =
        (norm_per_channel(delta * mask).square() + unused / static_cast<double>(image.size(0))).sqrt();
    const Tensor old = window(delta, row, column, side);
    Tensor fresh = patch(stream, side, image) * signs(stream, {image.size(0), 1, 1}, image) +
                   old / (norm_per_channel(old) + kTiny);
    fresh = fresh / (norm_per_channel(fresh) + kTiny) * budget;
    window(delta, from_row, from_column, side).zero_();
    window(delta, row, column, side).copy_(fresh);
    return on_surface(image, delta);
  }
};

template <typename Search>
Tensor random_search(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                     const SquareOptions& options, std::uint64_t seed, const Search& search) {
  const torch::NoGradGuard no_gradient;
  std::vector<core::Stream> streams;
  std::vector<Tensor> best;
  std::vector<std::int64_t> standing;  // rows in the batch
  for (std::int64_t i = 0; i < images.size(0); ++i) {
    streams.emplace_back(seed, "square", ids[i].item<std::int64_t>());
    best.push_back(search.start(images[i], streams.back()));
    standing.push_back(i);
  }
  std::vector<Tensor> proposals = best;
  std::vector<double> margin(standing.size(), std::numeric_limits<double>::infinity());
  for (std::int64_t query = 0; query < options.queries && !standing.empty(); ++query) {
    const Tensor rows = torch::tensor(standing, torch::kInt64);
    const Tensor logits = model(torch::stack(proposals)), wanted = labels.index_select(0, rows);
    const Tensor now = margins(logits, wanted).to(torch::kFloat64).contiguous(),
                 wrong = errs(logits, wanted).contiguous();
    std::vector<std::int64_t> next_standing;
    std::vector<Tensor> next_proposals;
    for (std::size_t k = 0; k < standing.size(); ++k) {
      const std::int64_t i = standing[k];
      const bool broken = wrong.data_ptr<bool>()[k];
      if (broken || now.data_ptr<double>()[k] < margin[i]) {
        best[i] = proposals[k];
        margin[i] = now.data_ptr<double>()[k];
      }
      if (broken) continue;
      next_standing.push_back(i);
      next_proposals.push_back(search.propose(images[i], best[i], square_share(options.p, query), streams[i]));
    }
    standing = std::move(next_standing);
    proposals = std::move(next_proposals);
  }
  return torch::stack(best);
}

}  // namespace

core::Fields fields(SquareOptions& o) {
  return {
      core::field("queries", o.queries, "evaluations of each image", 1, 10000000),
      core::field("p", o.p, "the share of the image that the first squares cover", 0, 1),
  };
}

double square_share(double p, std::int64_t query) {
  for (const std::int64_t after : {10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000}) {
    if (query > after) p /= 2;
  }
  return p;
}

Tensor square(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids, const Ball& ball,
              const SquareOptions& options, std::uint64_t seed) {
  const double epsilon = ball.epsilon.value;
  const Tensor found = ball.norm == Norm::kLinf
                           ? random_search(model, images, labels, ids, options, seed, Linf{epsilon})
                           : random_search(model, images, labels, ids, options, seed, L2{epsilon});
  return project(found, images, ball);
}

}  // namespace pellucid::evasion
