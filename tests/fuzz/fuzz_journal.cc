// Lines of a journal of cells: as they are, and with the checksum that makes them count.
#include "pellucid/core/file.h"
#include "pellucid/gradients/is_measured.h"
#include "pellucid/record/reading.h"
#include "pellucid/record/store.h"

#include "tests/fuzz/fuzz.h"

namespace {

using pellucid::core::Json;
namespace record = pellucid::record;

// What may be taken up as a result.
void check(const Json& result) {
  (void)pellucid::gradients::is_measured(result);
  const auto reading = record::reading(result);
  if (reading && !record::reading(record::to_json(*reading))) std::abort();
}

void read(std::string_view line) {
  const auto read = record::read_journal_line(line);
  if (read.state != record::JournalLine::State::kWhole) return;
  check(read.result);
  // What was read is written again to the same bytes, but for spaces.
  const auto again = record::read_journal_line(record::journal_line(read.cell, read.result));
  if (again.state != record::JournalLine::State::kWhole || again.name != read.name ||
      again.cell.dump() != read.cell.dump() || again.result.dump() != read.result.dump())
    std::abort();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read(text);
  read("{\"journal\":2,\"sum\":\"" + pellucid::core::sha256(text).substr(0, 16) + "\"," + std::string(text));
  // The input as a result.
  const Json result = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!result.is_discarded()) check(result);
  return 0;
}
