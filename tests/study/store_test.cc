#include "pellucid/study/store.h"

#include "pellucid/core/config.h"
#include "pellucid/core/file.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"

#include <set>

namespace pellucid::study {
namespace {

using core::Json;

const Json kDeterminants = {{"model", "abc"}, {"settings", {{"tv", 0.1}, {"iterations", 5}}}, {"index", 0}};

TEST(CellName, ChangesWithAnyDeterminant) {
  std::set<std::string> names = {cell_name(kDeterminants)};
  for (const auto& [pointer, value] : std::vector<std::pair<std::string, Json>>{
           {"/model", "abd"}, {"/settings/tv", 0.1000001}, {"/settings/iterations", 6}, {"/index", 1}, {"/more", 0}}) {
    Json other = kDeterminants;
    other[Json::json_pointer(pointer)] = value;
    EXPECT_TRUE(names.insert(cell_name(other)).second) << pointer;
  }
}

TEST(CellName, NeverChangesForTheSame) { EXPECT_EQ(cell_name({{"a", 1}}), "015abd7f5cc57a2d"); }  // SHA-256 of {"a":1}

TEST(Cell, IsComputedOnce) {
  const core::Folder folder;
  int computed = 0;
  const auto compute = [&] { return ++computed, Json{{"psnr", 1.0 / 3}}; };
  const Json first = cell(folder.path(), kDeterminants, compute);
  EXPECT_EQ(cell(folder.path(), kDeterminants, compute), first);
  EXPECT_EQ(first["psnr"], 1.0 / 3);
  EXPECT_EQ(computed, 1);
  Json other = kDeterminants;
  other["index"] = 1;
  (void)cell(folder.path(), other, compute);
  EXPECT_EQ(computed, 2);
}

TEST(Cell, SaysInItsFileWhatDeterminesIt) {
  const core::Folder folder;
  (void)cell(folder.path(), kDeterminants, [] { return Json(5); });
  EXPECT_EQ(core::read_json(folder.path() / "cells" / (cell_name(kDeterminants) + ".json")),
            (Json{{"cell", kDeterminants}, {"result", 5}}));
}

TEST(Cell, IsAbsentWhereItsComputationFails) {
  const core::Folder folder;
  core::expect_error(
      [&] {
        (void)cell(folder.path(), kDeterminants, []() -> Json { throw core::Error(core::ErrorKind::kStopped, "why"); });
      },
      core::ErrorKind::kStopped, "why");
  EXPECT_EQ(cell(folder.path(), kDeterminants, [] { return Json(5); }), 5);
}

TEST(Cell, RefusesADamagedFile) {
  const core::Folder folder;
  core::write_file(folder.path() / "cells" / (cell_name(kDeterminants) + ".json"), std::string_view("{\"cell\": "));
  core::expect_error([&] { (void)cell(folder.path(), kDeterminants, [] { return Json(5); }); }, core::ErrorKind::kData,
                     "not JSON");
}

}  // namespace
}  // namespace pellucid::study
