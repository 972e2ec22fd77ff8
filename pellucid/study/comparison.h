// Standard against robust: the same images read back from two models' gradients, paired by construction.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/data/dataset.h"
#include "pellucid/inversion/options.h"
#include "pellucid/nets/network.h"

#include <filesystem>

namespace pellucid::study {

/// A model under study.
struct Subject {
  std::string id;     ///< "standard", "adversarial": in file names
  std::string label;  ///< for the reader
  nets::Network network;
};

/// An attack under study.
struct Attack {
  std::string id;     ///< a preset's name
  std::string label;  ///< for the reader
  inversion::InversionOptions options;
};

/// The parts of a result file that a comparison makes; report/html.h draws them.
struct Comparison {
  core::Json attacks, images, reconstructions, summaries, paired, warnings;
  core::Json summary;    ///< a sentence for each attack but the first
  std::string headline;  ///< one sentence, of the first attack
};

/// Captures the update of each image alone from each model (evaluation mode, label not shared), runs each attack on it,
/// and scores what came out. Image i has the same start noise under every model and attack.
///
/// In the folder: `cells/NAME.json`, one for each (model, attack, image), and `images/*.png`. Finished cells are not run
/// again. Each result carries the attacker's choice (lowest matching loss) and, labelled so, the oracle's (best PSNR).
///
/// @param subjects two: the second is compared with the first.
/// @throws Error(kStopped) if a stop was asked for; finished cells stay.
[[nodiscard]] Comparison compare(const std::vector<Subject>& subjects, const std::vector<Attack>& attacks, const data::Dataset& images,
                                 const std::filesystem::path& folder, const core::Run& run);

/// How PSNR and the other scores are taken, for the reader.
/// @param intervals the sentence on what they are over.   @param mode "evaluation mode": how the clients evaluate their network.
[[nodiscard]] core::Json conventions(const std::string& intervals, const std::string& mode);

}  // namespace pellucid::study
