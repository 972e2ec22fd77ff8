#include "pellucid/inversion/isolate.h"

#include "pellucid/core/error.h"
#include "pellucid/core/random.h"
#include "pellucid/core/stop.h"
#include "pellucid/core/tensor.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace pellucid::inversion {
namespace {

constexpr double kArithmetic = 1e-13;   // our own rounding, over the largest singular value
constexpr double kVisible = 30;         // times the noise: a singular value of an image
constexpr double kZero = 10;            // standard deviations of noise that are taken for zero
constexpr double kDecided = 100;        // times that: a derivative that would not be
constexpr double kImage = 0.99;         // of the units agree: an input is an image's
constexpr double kNearly = 0.9;         // of the units agree: its column is better than the one it came from
constexpr double kMixed = 1e-3;         // standard deviation of the other images' part in an input
constexpr double kSame = 0.02;          // relative difference of an input found in two ways
constexpr double kBelow = 0.01;         // of its range, that an input may be below the least
constexpr double kIndependent = 1e-4;   // the least singular value of unit vectors that are
constexpr std::int64_t kExcess = 8;     // zeros beyond those that determine a vector
constexpr std::int64_t kSample = 400;   // rows that a linear program looks at
constexpr std::int64_t kGuesses = 200;  // for each linear program, up to
constexpr std::int64_t kGuessed = 20;   // dimensions: each more halves what they find
constexpr std::int64_t kBlock = 4096;   // guesses at a time
constexpr std::int64_t kStarts = 100;   // of a search
constexpr int kReweighted = 25;         // times, in a search
constexpr int kIdle = 5;                // rounds without another image, after which the search ends

// The scaled gradient, left diag(values) right^T, of rank r. Of an image, the scaled residual is left q and the scaled
// [h | 1] is right y, where the column q and the input y are r coordinates. The images' are dual bases:
// y_i diag(1 / values) q_k is 0 where i and k differ.
struct Space {
  std::int64_t rank = 0;
  Tensor left, values, right;      // (m, r), (r), (n, r), of m units and n entries of [h | 1]
  Tensor live;                     // (m): which units have a derivative in any image
  Tensor entries;                  // (n): which of the layer's inputs these are, those that are not zero throughout
  Tensor unit_scale, entry_scale;  // (m), (n)
  double noise = 0;                // standard deviation of an entry
  double gap = 0;                  // between the last singular value of an image and the next one
  Tensor responses;                // (m, r): their products with y are a positive multiple of W h + b
  Tensor above;                    // (n, r): theirs are one of h - least; undefined without a least
};

// Images, by their coordinates.
struct Pairs {
  Tensor columns, inputs;  // (k, r)
  [[nodiscard]] std::int64_t size() const { return columns.size(0); }
};

// What the columns are that go with inputs, if these are images'.
struct Match {
  Tensor columns;    // (k, r)
  Tensor agreement;  // (k): the share of the units that are as they should be
};

Tensor pick(const Tensor& t, const Tensor& mask) { return t.index_select(0, mask.nonzero().flatten()); }
Tensor unit(const Tensor& vectors) { return vectors / vectors.norm(2, 1, true); }
Tensor descending(const Tensor& t) { return std::get<1>(t.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true)); }

Space space_of(const LinearLayer& layer) {
  const auto joined = [](const Tensor& w, const Tensor& b) {
    return torch::cat({w.detach(), b.detach().unsqueeze(1)}, 1).to(torch::kCPU, torch::kFloat64);
  };
  const Tensor gradient = joined(layer.weight_gradient, layer.bias_gradient);
  Tensor scaled = gradient;
  Tensor rows = torch::ones({gradient.size(0), 1}, torch::kFloat64);
  Tensor columns = torch::ones({1, gradient.size(1)}, torch::kFloat64);
  for (int i = 0; i < 3; ++i) {
    for (const int along : {1, 0}) {
      Tensor& scale = along == 1 ? rows : columns;
      const Tensor size = scaled.square().mean(along, true).sqrt();
      scale = torch::where(size > 0, scale / size, torch::zeros_like(size));
      scaled = gradient * rows * columns;
    }
  }
  Space space;
  space.live = rows.flatten() > 0;
  space.entries = columns.flatten().nonzero().flatten();
  const auto m = space.live.sum().item<std::int64_t>(), n = space.entries.size(0);
  if (std::min(m, n) <= layer.batch || columns[0][-1].item<double>() == 0) return space;
  const auto kept = [&](const Tensor& t) { return t.index_select(1, space.entries); };
  space.unit_scale = torch::where(space.live, rows.flatten(), torch::ones({}, torch::kFloat64));
  space.entry_scale = columns.flatten().index_select(0, space.entries);

  const auto [left, values, right] = core::svd(kept(scaled), /*full=*/false);
  const double largest = values[0].item<double>();
  space.gap = (values[layer.batch - 1] / values[layer.batch]).item<double>();
  const double share = std::max(values[layer.batch].item<double>() / largest, kArithmetic);
  // Of a matrix of independent entries, the largest singular value is so many times their deviation.
  space.noise = share * largest / (std::sqrt(static_cast<double>(m)) + std::sqrt(static_cast<double>(n)));
  space.rank = (values.slice(0, 0, layer.batch) > kVisible * share * largest).sum().item<std::int64_t>();
  space.left = left.slice(1, 0, space.rank).contiguous();
  space.values = values.slice(0, 0, space.rank).contiguous();
  space.right = right.slice(0, 0, space.rank).t().contiguous();
  space.responses = torch::mm(kept(joined(layer.weight, layer.bias)) / space.entry_scale, space.right);
  if (layer.least) {
    const Tensor one = space.entry_scale.unsqueeze(1) / space.entry_scale[-1];
    space.above = space.right - *layer.least * one * space.right.slice(0, -1);
  }
  return space;
}

// How far from zero a row's product with each vector (k, r) is still taken for zero: (k).
Tensor tolerance(const Space& space, const Tensor& vectors) {
  return kZero * space.noise * (vectors / space.values).norm(2, 1);
}

// A basis (r, r - k) of what is orthogonal to these vectors (k, r).
Tensor orthogonal_to(const Tensor& vectors) {
  const auto k = vectors.size(0), r = vectors.size(1);
  if (k == 0) return torch::eye(r, torch::kFloat64);
  return std::get<2>(core::svd(vectors, /*full=*/true)).slice(0, k).t().contiguous();
}

// The unit vector on which these rows are smallest. @pre at least as many as they are long.
Tensor smallest(const Tensor& rows) { return std::get<2>(core::svd(rows, /*full=*/false))[-1]; }

// The first of each set of vectors that are alike but for their sign.
Tensor distinct(const Tensor& vectors, double cosine) {
  const Tensor alike = torch::mm(vectors, vectors.t()).abs() > cosine;
  Tensor kept = torch::zeros({vectors.size(0)}, torch::kBool);
  for (std::int64_t i = 0; i < vectors.size(0); ++i) kept[i] = !kept.logical_and(alike[i]).any().item<bool>();
  return pick(vectors, kept);
}

// Adds vectors in this order to those chosen, as long as all are independent and at most r. Returns which were added.
Tensor add_independent(Tensor& chosen, const Tensor& vectors, const Tensor& order) {
  std::vector<std::int64_t> added;
  for (std::int64_t j = 0; j < order.size(0) && chosen.size(0) < chosen.size(1); ++j) {
    const auto i = order[j].item<std::int64_t>();
    const Tensor more = torch::cat({chosen, vectors[i].unsqueeze(0)});
    if (core::singular_values(more).min().item<double>() < kIndependent) continue;
    chosen = more;
    added.push_back(i);
  }
  return torch::tensor(added, torch::kInt64);
}

Tensor drawn(const Tensor& rows, std::int64_t count, core::Stream& stream) {
  std::vector<std::int64_t> which;
  for (std::int64_t i = 0; i < count; ++i) which.push_back(static_cast<std::int64_t>(stream.below(rows.size(0))));
  return rows.index_select(0, torch::tensor(which));
}

// Unit vectors q on which many of these rows (m, r) nearly vanish: the least sum |row q| with the sum of two rows held
// at 1, by iteratively reweighted least squares.
Tensor sparse(const Tensor& rows, core::Stream& stream) {
  const auto r = rows.size(1);
  if (r == 1) return torch::ones({1, 1}, torch::kFloat64);
  const Tensor sample = rows.size(0) > kSample ? drawn(rows, kSample, stream) : rows;
  const Tensor held = drawn(sample, 2 * kStarts, stream).view({kStarts, 2, r}).sum(1).unsqueeze(2);
  const Tensor outer = (sample.unsqueeze(2) * sample.unsqueeze(1)).view({-1, r * r});
  const Tensor eye = torch::eye(r, torch::kFloat64);
  Tensor vectors, weights = torch::ones({kStarts, sample.size(0)}, torch::kFloat64);
  double epsilon = 1;
  for (int i = 0; i < kReweighted; ++i, epsilon *= 0.7) {
    core::throw_if_stopped();
    const Tensor gram = torch::mm(weights, outer).view({-1, r, r});
    const Tensor trace = gram.diagonal(0, 1, 2).sum(1).view({-1, 1, 1});
    const Tensor factor = std::get<0>(torch::linalg_cholesky_ex(gram + 1e-14 * trace * eye));
    vectors = unit(at::cholesky_solve(held, factor).squeeze(2));
    const Tensor values = torch::mm(vectors, sample.t()).abs();
    weights = (values.square() + (epsilon * values.mean(1, true)).square()).rsqrt();
  }
  return distinct(pick(vectors, vectors.isfinite().all(1)), 1 - 1e-6);
}

// Those unit vectors q, each orthogonal to r - 1 random rows, on which the most others nearly vanish.
Tensor guessed(const Tensor& rows, core::Stream& stream) {
  const auto r = rows.size(1);
  Tensor best = torch::empty({0, r}, torch::kFloat64), best_zeros = torch::empty({0}, torch::kInt64);
  Tensor last = torch::zeros({r, 1}, torch::kFloat64);
  last[-1] = 1;
  for (std::int64_t done = 0; done < kStarts * kGuesses; done += kBlock) {
    core::throw_if_stopped();
    const auto [factors, pivots, failed] = torch::linalg_lu_factor_ex(drawn(rows, kBlock * r, stream).view({-1, r, r}));
    const Tensor vectors = unit(torch::linalg_lu_solve(factors, pivots, last.expand({kBlock, r, 1})).squeeze(2));
    const Tensor values = torch::mm(vectors, rows.t()).abs();
    const Tensor zeros = (values < 1e-3 * values.mean(1, true)).sum(1);  // of what is not finite, none is
    best = torch::cat({best, vectors});
    best_zeros = torch::cat({best_zeros, zeros});
    const Tensor order = descending(best_zeros).slice(0, 0, kStarts);
    best = best.index_select(0, order);
    best_zeros = best_zeros.index_select(0, order);
  }
  return best;
}

// Vectors (k, r) within a basis, each fitted to those rows that it leaves at zero, which are chosen more and more
// strictly; without those that have too few.
Tensor search(const Space& space, const Tensor& rows, const Tensor& basis, bool guess, core::Stream& stream) {
  const Tensor inside = torch::mm(rows, basis);
  Tensor start = sparse(inside, stream);
  if (guess && basis.size(1) <= kGuessed) start = torch::cat({start, guessed(inside, stream)});
  Tensor found = torch::mm(distinct(pick(start, start.isfinite().all(1)), 1 - 1e-6), basis.t());
  Tensor enough = torch::ones({found.size(0)}, torch::kBool);
  for (std::int64_t i = 0; i < found.size(0); ++i) {
    for (const double share : {1e-4, 1e-6, 0.0, 0.0}) {
      const Tensor values = torch::mv(rows, found[i]).abs();
      const Tensor bound = torch::maximum(tolerance(space, found.slice(0, i, i + 1)), share * values.max());
      const Tensor zeros = pick(inside, values < bound);
      enough[i] = zeros.size(0) >= basis.size(1) + kExcess;
      if (zeros.size(0) < basis.size(1)) break;
      found[i] = torch::mv(basis, smallest(zeros));
    }
  }
  return pick(found, enough);
}

// Of y and -y, that of a positive last coordinate of [h | 1].
Tensor oriented(const Space& space, const Tensor& inputs) {
  return torch::where((torch::mv(inputs, space.right[-1]) < 0).unsqueeze(1), -inputs, inputs);
}

// The inputs that go with a basis of columns.
Tensor dual(const Space& space, const Tensor& columns) {
  return oriented(space, unit(torch::linalg_pinv(columns).t() * space.values));
}

// Of an image with this input, the column is the vector that vanishes where the image's units are off, and only there.
Match match(const Space& space, const Tensor& inputs) {
  Match found{.columns = torch::zeros_like(inputs), .agreement = torch::zeros({inputs.size(0)}, torch::kFloat64)};
  for (std::int64_t i = 0; i < inputs.size(0); ++i) {
    const Tensor off = torch::mv(space.responses, inputs[i]) <= 0, rows = pick(space.left, off.logical_and(space.live));
    if (space.rank > 1 && rows.size(0) < space.rank + kExcess) continue;
    const Tensor column = space.rank == 1 ? torch::ones_like(inputs[i]) : smallest(rows);
    const Tensor values = torch::mv(space.left, column).abs(), bound = tolerance(space, column.unsqueeze(0));
    const Tensor zero = values <= bound, residuals = pick(values / space.unit_scale, zero.logical_not());
    if (residuals.size(0) == 0) continue;
    const Tensor decided = off.logical_or(residuals.median() * space.unit_scale > kDecided * bound);
    found.columns[i] = column;
    found.agreement[i] = (zero == off).logical_and(decided).sum().to(torch::kFloat64) / decided.sum();
  }
  return found;
}

// Adds those of these inputs that are images' to the known ones.
Match add_images(const Space& space, Pairs& known, const Tensor& inputs) {
  const Match found = match(space, inputs);
  const Tensor order = descending(found.agreement);
  const Tensor images = pick(order, found.agreement.index_select(0, order) >= kImage);
  const Tensor added = add_independent(known.columns, found.columns, images);
  known.inputs = torch::cat({known.inputs, inputs.index_select(0, added)});
  return found;
}

// The most images that are found by taking candidates with the most zeros for columns.
Pairs by_columns(const Space& space, const Pairs& known, const Tensor& candidates) {
  const Tensor none = torch::empty({0, space.rank}, torch::kFloat64);
  const Tensor zero = torch::mm(candidates, space.left.t()).abs() <= tolerance(space, candidates).unsqueeze(1);
  Tensor columns = known.columns;
  add_independent(columns, candidates, descending(zero.sum(1)));
  Pairs best = known;
  for (int i = 0; i < 5; ++i) {
    columns = torch::cat({columns, orthogonal_to(columns).t()});
    Pairs found{.columns = none, .inputs = none};
    const Match by_input = add_images(space, found, dual(space, columns));
    if (found.size() > best.size()) best = found;
    const Tensor better = torch::where((by_input.agreement > kNearly).unsqueeze(1), by_input.columns, columns);
    columns = none;
    add_independent(columns, better, descending(by_input.agreement));
  }
  return best;
}

// The standard deviation of what rounding has mixed of other images into each input: (k).
Tensor mixed(const Space& space, const Tensor& inputs) {
  const Tensor duals = inputs / torch::mv(inputs, space.right[-1]).unsqueeze(1) / space.values;
  Tensor variance = torch::zeros({inputs.size(0)}, torch::kFloat64);
  for (std::int64_t i = 0; i < inputs.size(0); ++i) {
    const Tensor rows = pick(space.left, torch::mv(space.responses, inputs[i]) <= 0);
    if (space.rank == 1 || rows.size(0) < space.rank) continue;
    const auto [left, values, right] = core::svd(rows, /*full=*/false);
    const Tensor noise = space.noise * (right[-1] / space.values).norm() / torch::dot(duals[i], right[-1]);
    const Tensor along = torch::mm(duals, right.slice(0, 0, -1).t());
    variance += (noise * along / values.slice(0, 0, -1)).square().sum(1);
  }
  return variance.sqrt();
}

// h of each input: (k, in).
Tensor inputs_of(const Space& space, const Tensor& inputs, std::int64_t in) {
  const Tensor rows = torch::mm(inputs, space.right.t()) / space.entry_scale;
  Tensor all = torch::zeros({inputs.size(0), in + 1}, torch::kFloat64);
  return all.index_copy_(1, space.entries, rows / rows.slice(1, -1)).slice(1, 0, -1);
}

// The derivatives of the loss by z of each image, 0 where rounding took them: (k, out).
Tensor residuals_of(const Space& space, const Pairs& known) {
  const Tensor scale = space.entry_scale[-1] / torch::mv(known.inputs, space.right[-1]);
  const Tensor product = (known.inputs / space.values * known.columns).sum(1);
  const Tensor values = torch::mm(known.columns, space.left.t());
  const Tensor on = torch::mm(known.inputs, space.responses.t()) > 0;
  const Tensor kept = on.logical_and(values.abs() > tolerance(space, known.columns).unsqueeze(1));
  return values * kept / space.unit_scale / (scale * product).unsqueeze(1);
}

void require(const LinearLayer& layer) {
  const auto shape = layer.weight.sizes();
  const bool fits = shape.size() == 2 && layer.weight_gradient.sizes() == shape &&
                    layer.bias.sizes() == at::IntArrayRef{shape[0]} &&
                    layer.bias_gradient.sizes() == layer.bias.sizes();
  if (!fits)
    throw core::Error(core::ErrorKind::kInternal, "linear layer: the shapes of weight, bias and gradients do not fit");
  for (const Tensor& t : {layer.weight, layer.bias, layer.weight_gradient, layer.bias_gradient}) {
    if (!t.isfinite().all().item<bool>())
      throw core::Error(core::ErrorKind::kInternal, "linear layer: got an infinite weight or derivative");
  }
  if (layer.batch < 1)
    throw core::Error(core::ErrorKind::kInternal, "linear layer: got a batch of {}, expected at least one",
                      layer.batch);
}

}  // namespace

Visible visible(const LinearLayer& layer) {
  require(layer);
  const Space space = space_of(layer);
  return {.images = space.rank, .gap = space.gap};
}

Isolated isolate(const LinearLayer& layer, std::uint64_t seed) {
  require(layer);
  const auto in = layer.weight.size(1), out = layer.weight.size(0);
  const Space space = space_of(layer);
  const auto r = space.rank;
  Isolated result{.inputs = torch::empty({0, in}, torch::kFloat64),
                  .residuals = torch::empty({0, out}, torch::kFloat64),
                  .visible = r};
  const Tensor none = torch::empty({0, r}, torch::kFloat64);
  Pairs known{.columns = none, .inputs = none};
  Tensor candidates = none;
  int idle = 0;
  for (std::uint64_t round = 0; known.size() < r && idle < kIdle; ++round) {
    core::Stream stream(seed, "isolate", round);
    const auto before = known.size();
    if (space.above.defined()) {
      const Tensor basis = orthogonal_to(known.columns / space.values);
      add_images(space, known, oriented(space, search(space, space.above, basis, /*guess=*/false, stream)));
    }
    if (!layer.least || known.size() == 0) {
      const Tensor basis = orthogonal_to(known.inputs / space.values);
      const Tensor more = search(space, pick(space.left, space.live), basis, /*guess=*/true, stream);
      candidates = distinct(torch::cat({candidates, more}), 1 - 1e-7);
      const Pairs found = by_columns(space, known, candidates);
      // Inputs that follow from columns are right where all columns are.
      if (!layer.least || found.size() >= r - 1) known = found;
    }
    idle = known.size() > before ? 0 : idle + 1;
  }
  if (known.size() == 0) return result;

  // One that is missing follows from the others, and then all inputs from all columns.
  const Tensor first = known.inputs;
  const bool complete = known.size() >= r - 1;
  if (complete) {
    known.columns = torch::cat({known.columns, orthogonal_to(known.inputs / space.values).t()});
    const Match by_input = match(space, dual(space, known.columns));
    const Tensor better = (by_input.agreement > kNearly).unsqueeze(1);
    known.columns = torch::where(better, by_input.columns, known.columns);
    known.inputs = dual(space, known.columns);
  }
  const Tensor inputs = inputs_of(space, known.inputs, in), residuals = residuals_of(space, known);
  const Tensor agree = match(space, known.inputs).agreement == 1;
  Tensor isolated = agree.logical_and(mixed(space, known.inputs) < kMixed);
  // A column that is wrong spoils others' inputs, unless these follow from their own zeros as well.
  if (!complete || !agree.all().item<bool>()) {
    if (!layer.least) return result;
    const auto k = first.size(0);
    const Tensor apart = (inputs_of(space, first, in) - inputs.slice(0, 0, k)).norm(2, 1);
    isolated = isolated.slice(0, 0, k).logical_and(apart < kSame * inputs.slice(0, 0, k).norm(2, 1));
  }
  if (layer.least) {
    const Tensor lowest = inputs.amin(1) - *layer.least, highest = inputs.amax(1) - *layer.least;
    isolated = isolated.logical_and((lowest > -kBelow * highest).slice(0, 0, isolated.size(0)));
  }
  const Tensor order = descending(residuals.norm(2, 1).slice(0, 0, isolated.size(0)));
  const Tensor which = pick(order, isolated.index_select(0, order));
  result.inputs = inputs.index_select(0, which);
  result.residuals = residuals.index_select(0, which);
  return result;
}

}  // namespace pellucid::inversion
