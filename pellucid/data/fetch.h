// Gets published data sets over the network: resumed, checked against known hashes, and only then put in place.
#pragma once

#include "pellucid/core/progress.h"
#include "pellucid/data/sources.h"

#include <filesystem>
#include <string>

namespace pellucid::data {

/// How long a transfer that hardly moves is waited for.
struct Patience {
  std::int64_t bytes = 1'000;  ///< a second, on average, are enough
  std::int64_t seconds = 30;   ///< with fewer before it is given up, at least 1
};

/// Fetches the data set called `name` into a folder below `data_folder(data_dir)`. Files that are there are left alone.
/// @param base_url a mirror to fetch from instead of the usual place; empty: the usual place.
/// @returns the data set's folder.
/// @throws Error(kUsage) if there is nothing to fetch under that name, naming the nearest.
/// @throws Error(kUsage) if no folder is given and none is known (no $PELLUCID_DATA, no home folder).
/// @throws Error(...) as the other `fetch`.
std::filesystem::path fetch(const std::string& name, const std::filesystem::path& data_dir,
                            const core::ProgressSink& progress, const std::string& base_url = "");

/// The same for a source of one's own, into its first folder below `data_dir`.
/// @throws Error(kData), Error(kIo) and Error(kStopped) as `download`.
/// @throws Error(kData) if an archive is damaged or lacks a file.
std::filesystem::path fetch(const Source& source, const std::filesystem::path& data_dir,
                            const core::ProgressSink& progress);

/// Fetches one file by HTTPS (or any scheme of libcurl) to `target`: into `target`.part, going on from where a part
/// that is there ends, and renamed once its SHA-256 is right. A part that turns out not to be the beginning of this
/// file, or that the server does not go on from, is fetched anew.
/// @param content what the file is known to be.
/// @throws Error(kIo) if the transfer fails, ends early, or is slower than `patience`; the part stays and the same call
///     goes on from there.
/// @throws Error(kIo) if another process is fetching it.
/// @throws Error(kData) if the server sends more than the file holds, or something else (naming both hashes); the part
///     is deleted.
/// @throws Error(kStopped) if a stop was asked for; the part stays.
void download(const std::string& url, const Download& content, const std::filesystem::path& target,
              const core::ProgressSink& progress, const Patience& patience = {});

}  // namespace pellucid::data
