// What a study consists of: its trainings, what is read back from each, and one cell an image.
#pragma once

#include "pellucid/study/trained.h"

namespace pellucid::study {

/// What is read back from one network by one attack: a group with one training seed.
struct Block {
  std::size_t group = 0;
  std::size_t training = 0;  ///< index in `Parts::trainings`
  std::int64_t seed = 0;
};

struct Parts {
  std::vector<Training>
      trainings;              ///< each (training, checkpoint, what judges it) once, in the order of the groups
  std::vector<Block> blocks;  ///< one a (group, seed), the seed fastest
};

[[nodiscard]] Parts parts_of(const Study& study, Datasets& datasets);

/// "adversarial, seed 0": a block for the reader.
[[nodiscard]] std::string describe(const Study& study, const Block& block);

/// All that determines the results of a block's cells, but for the image: a cell's are these with its number in
/// `Datasets::all_test` as "image".
/// @param network of the block's training, as `measured` gives it.
[[nodiscard]] core::Json determinants(const Study& study, const Block& block, const core::Json& network,
                                      Datasets& datasets);

/// Computes a cell: reads image `image` of `Datasets::all_test` back from the network's update and scores it.
/// @return what `read_back` says, without the curve, with "label", "guess_psnr" (of the mean training image), "gain"
/// over it, and
///   "png" in base64 or null.
[[nodiscard]] core::Json read_cell(const nets::Network& network, const Settings& settings, std::int64_t image,
                                   Datasets& datasets);

}  // namespace pellucid::study
