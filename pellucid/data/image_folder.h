// Images in folders: one subfolder per class.
#pragma once

#include "pellucid/data/dataset.h"

#include <filesystem>

namespace pellucid::data {

/// The PNG and JPEG images of a folder, all of one size and number of channels.
///
/// Each subfolder is a class; classes and, within a class, images come in the order of their names. Hidden files and
/// files with other endings are passed over. With train/ and test/ below `folder` the split's one is read; a folder
/// without them is all training data.
/// @throws Error(kData) if there is no subfolder, a class has no image, or the test split is asked of a folder
///     without test/.
/// @throws Error(kData) if an image is damaged, or differs from the first in size or channels.
/// @throws Error(kIo) if a folder or an image cannot be read.
[[nodiscard]] Dataset read_image_folder(const std::filesystem::path& folder, Split split);

}  // namespace pellucid::data
