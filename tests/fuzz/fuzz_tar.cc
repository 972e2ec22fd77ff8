// Tar archives, plain and gzip.
#include "pellucid/data/tar.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pellucid;
  return read_or_refuse(core::ErrorKind::kData, [&] {
    data::TarReader archive({data, size}, "input");
    for (bool read = true; archive.next(); read = !read) {
      if (read && archive.content().size() > data::kMaxArchive) std::abort();
    }
  });
}
