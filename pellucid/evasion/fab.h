// FAB: the nearest image on which the model errs, by steps to the linearised border between two classes.
#pragma once

#include "pellucid/evasion/ball.h"
#include "pellucid/evasion/objective.h"

namespace pellucid::evasion {

struct FabOptions {
  std::int64_t iterations = 100;
  std::int64_t targets = 9;  ///< classes aimed at, the likeliest first; no more than there are wrong ones
  double overshoot = 1.05;   ///< eta: how far past the border a step goes
  double pull = 0.1;         ///< alpha_max: the largest share of a step that starts at the image itself
  double backward = 0.9;     ///< beta: how far from the image the run goes on after it has crossed the border
};

[[nodiscard]] core::Fields fields(FabOptions& options);

/// The shortest way from x to the plane w . z = b within the box [0, 1], or, where the plane does not meet the box, to
/// the box's point nearest to it in value. Source: Croce and Hein 2020, arXiv:1907.02044, section 2.1; solved exactly
/// by sorting.
/// @param x, w (B, D).   @param b (B).   @return (B, D): what to add to x.
[[nodiscard]] Tensor step_to_plane(const Tensor& x, const Tensor& w, const Tensor& b, Norm norm);

/// One run of targeted FAB from the images: only the border between the label and the target is linearised.
/// Source: the same, algorithm 1, with the targeted form and the constants of its authors' later code: no final search,
/// and the run begins at the image. Nothing is random.
/// @param images (B, C, H, W) in [0, 1].   @param labels, targets (B) int64.
/// @return (B, C, H, W): the nearest points found at which the model errs, at any distance; the image where there is
/// none.
[[nodiscard]] Tensor fab(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& targets,
                         Norm norm, const FabOptions& options);

/// FAB-T: FAB towards the likeliest wrong classes one after the other; images that are broken are not aimed at the
/// next.
/// @return (B, C, H, W): for each image a point of its ball at which the model errs, or the image where none was found.
[[nodiscard]] Tensor fab_t(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                           const Ball& ball, const FabOptions& options);

}  // namespace pellucid::evasion
