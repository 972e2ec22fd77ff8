// Lines of a journal of cells: as they are, and with the checksum that makes them count.
#include "pellucid/core/file.h"
#include "pellucid/study/is_result.h"
#include "pellucid/study/store.h"

#include "tests/fuzz/fuzz.h"

namespace {

using pellucid::core::Json;
namespace study = pellucid::study;

void read(std::string_view line) {
  const auto read = study::read_journal_line(line);
  if (read.state != study::JournalLine::State::kWhole) return;
  (void)study::is_result(read.cell, read.result);
  // What was read is written again to the same bytes, but for spaces.
  const auto again = study::read_journal_line(study::journal_line(read.cell, read.result));
  if (again.state != study::JournalLine::State::kWhole || again.name != read.name || again.cell.dump() != read.cell.dump() ||
      again.result.dump() != read.result.dump())
    std::abort();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read(text);
  read("{\"journal\":2,\"sum\":\"" + pellucid::core::sha256(text).substr(0, 16) + "\"," + std::string(text));
  // The input as a result, with a name that is right.
  const Json result = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  for (const Json& cell : {Json{{"reading", 2}}, Json{{"network", 3}, {"training", "x"}}, Json{{"control", "positive"}}}) {
    if (!result.is_discarded()) (void)study::is_result(cell, result);
  }
  return 0;
}
