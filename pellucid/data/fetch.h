// Gets published data sets over the network: resumed, checked against known hashes, and only then put in place.
#pragma once

#include "pellucid/core/progress.h"
#include "pellucid/data/sources.h"

#include <filesystem>
#include <string>

namespace pellucid::data {

/// Fetches the data set called `name` into a folder below `data_dir`, or below the first of `search_folders` if that is
/// empty. Files that are there are left alone.
/// @param base_url a mirror to fetch from instead of the usual place; empty: the usual place.
/// @returns the data set's folder.
/// @throws Error(kUsage) if there is nothing to fetch under that name, naming the nearest.
/// @throws Error(kUsage) if no folder is given and none is known (no $PELLUCID_DATA, no home folder).
/// @throws Error(...) as the other `fetch`.
std::filesystem::path fetch(const std::string& name, const std::filesystem::path& data_dir,
                            const core::ProgressSink& progress, const std::string& base_url = "");

/// The same for a source of one's own.
/// @throws Error(kData), Error(kIo) and Error(kStopped) as `download`.
/// @throws Error(kData) if an archive is damaged or lacks a file.
std::filesystem::path fetch(const Source& source, const std::filesystem::path& data_dir,
                            const core::ProgressSink& progress);

/// Fetches one file by HTTPS (or any scheme of libcurl) to `target`: into `target`.part, going on from where a part
/// that is there ends, and renamed once its SHA-256 is right.
/// @throws Error(kIo) if the transfer fails; the part stays and the same call goes on from there.
/// @throws Error(kData) if the hash is wrong, naming both; the part is deleted.
/// @throws Error(kStopped) if a stop was asked for; the part stays.
void download(const std::string& url, const std::string& sha256, const std::filesystem::path& target,
              const core::ProgressSink& progress);

}  // namespace pellucid::data
