// The page's sections, top to bottom: each turns a part of the result into HTML.
#pragma once

#include "pellucid/report/comparison.h"
#include "pellucid/report/page.h"

#include <functional>
#include <string>

namespace pellucid::report {

/// Title, the answer in large type with the interval it rests on, and the warnings.
[[nodiscard]] std::string headline_section(const Comparison& c);
/// A card for each model: accuracy on clean and attacked images, and how well the main attack reads its images back.
[[nodiscard]] std::string key_figures_section(const Comparison& c);
/// Original and reconstructions side by side, a gallery for each attack.
/// @throws Error(kData) for an image file that is missing, outside the run folder or not a PNG.
[[nodiscard]] std::string gallery_section(const Comparison& c);
/// Metric by model with intervals, and the paired differences.
[[nodiscard]] std::string results_section(const Comparison& c);
/// Every reconstruction with the numbers that explain it.
[[nodiscard]] std::string every_image_section(const Comparison& c);
/// The charts.
[[nodiscard]] std::string figures_section(const Comparison& c);
/// Data, settings and environment, folded away.
[[nodiscard]] std::string settings_section(const Comparison& c);

/// Tabs with one panel for each attack.
[[nodiscard]] std::string attack_tabs(const Comparison& c, const std::string& group,
                                      const std::function<std::string(std::size_t attack)>& panel);

}  // namespace pellucid::report
