// Images in folders: one subfolder per class.
#pragma once

#include "pellucid/data/dataset.h"

#include <filesystem>

namespace pellucid::data {

/// The PNG and JPEG images of a folder, all of one size and number of channels.
///
/// Each subfolder is a class; classes and, within a class, images come in the order of their names. A class's images
/// lie in one folder: its own, or one at any depth below it (class/images/x.png). Hidden files and files that are no
/// images are passed over, and so are links to folders below a class.
///
/// With train/ and test/ below `folder` the split's one is read (in any case; training/, and testing/, val/, valid/ or
/// validation/ where there is no test/); a folder without them is all training data. The classes of the test split are
/// those of train/, in their order, so that a label means the same in both, followed by those that only the test split
/// has; a class may have no image there.
///
/// Names that are not UTF-8, and control characters in them, are replaced as `core::printable` does.
/// @throws Error(kData) if there is no subfolder, a class has no image, its images lie in several folders, two classes
///     have one name, or the test split is asked of a folder without one.
/// @throws Error(kData) if an image is damaged, differs from the first in size or channels, or is of a format that is
///     known and not read.
/// @throws Error(kData) if the images need more than `core::memory_budget`.
/// @throws Error(kIo) if a folder or an image cannot be read.
[[nodiscard]] Dataset read_image_folder(const std::filesystem::path& folder, Split split);

}  // namespace pellucid::data
