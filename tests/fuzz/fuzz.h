// What every fuzz target shares: an input is read, or refused with an error of the right kind.
#pragma once

#include "pellucid/core/error.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

/// libFuzzer's entry point, which each target defines.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace pellucid {

/// Runs `read`, which may refuse its input with an error of `kind` and one line; anything else ends the process.
template <typename Read>
int read_or_refuse(core::ErrorKind kind, Read read) {
  try {
    read();
  } catch (const core::Error& error) {
    if (error.kind() != kind || std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}

}  // namespace pellucid
