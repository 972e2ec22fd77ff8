// The fixture run folder, and what a piece of work threw.
#pragma once

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace pellucid::report {

inline const std::filesystem::path kStudy = PELLUCID_STUDY_FIXTURE;

inline core::Json study() { return core::read_json(kStudy / "result.json"); }

inline std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

/// The message of the kData error that `work` throws; a failed test if it throws none.
template <typename Work>
std::string data_error(Work work) {
  try {
    work();
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::kData) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace pellucid::report
