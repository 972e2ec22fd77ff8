// What is promised, as values: the steps that a mechanism takes, and the guarantee that an accountant gives for them.
#pragma once

#include "pellucid/core/fields.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pellucid::privacy {

/// Equal steps of DP-SGD. A step takes each example on its own with probability `rate` (Poisson sampling), clips its
/// gradient to a norm C, and adds Gaussian noise of standard deviation noise * C to each value of the sum.
///
/// What a guarantee for them does not cover: batches of a fixed size and shuffled passes over the data, which is what
/// most loaders give; an example with several clipped contributions to a step; statistics shared across a batch; a
/// choice of settings or of a checkpoint that looks at private data; the accuracy of noise in floating point.
struct Phase {
  double rate = 1;         ///< in [0, 1]; 1 takes every example in each step
  double noise = 1;        ///< the noise multiplier, above 0
  std::int64_t steps = 1;  ///< from 1
};

using Phases = std::vector<Phase>;

/// Which data sets must be hard to tell apart.
enum class Adjacency {
  kAddOrRemove,  ///< one record more or less: what is added to a sum changes by at most its clipping norm
  kReplace,      ///< one record is another one: by twice that
};

/// (epsilon, delta)-differential privacy of `phases`, one after the other, each free to look at what came before.
struct Guarantee {
  double epsilon = 0;  ///< it holds for this one: an upper bound
  double lowest = 0;   ///< and for none below this one; 0 where the accountant does not say
  double delta = 0;
  Adjacency adjacency = Adjacency::kAddOrRemove;
  Phases phases = {};
  std::string accountant = "";  ///< who says so: "Renyi DP, order 3.9"
  std::string warning = "";     ///< what to know besides; may be empty
};

[[nodiscard]] std::string to_string(Adjacency adjacency);

/// Five digits, rounded up and down: what is printed of a bound holds too.
[[nodiscard]] std::string upper_text(double bound);
[[nodiscard]] std::string lower_text(double bound);

/// All of it in one sentence.
[[nodiscard]] std::string sentence(const Guarantee& guarantee);
[[nodiscard]] core::Json to_json(const Guarantee& guarantee);
[[nodiscard]] core::Json to_json(const Phases& phases);

/// All the phases' steps.
[[nodiscard]] double total_steps(const Phases& phases);

/// @throws Error(kUsage) if there are none.
/// @throws Error(kUsage) for a rate that is not in [0, 1].
/// @throws Error(kUsage) for noise that is not finite and above 0: without it nothing is guaranteed.
/// @throws Error(kUsage) for a number of steps that is not in 1 to 1e12.
void check(const Phases& phases);
/// @throws Error(kUsage) unless epsilon is finite and above 0.
void check_epsilon(double epsilon);
/// @throws Error(kUsage) unless delta is from 1e-100 and below 1.
void check_delta(double delta);

}  // namespace pellucid::privacy
