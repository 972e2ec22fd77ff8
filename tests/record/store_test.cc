#include "pellucid/record/store.h"

#include "pellucid/core/file.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/stop.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

namespace pellucid::record {
namespace {

using core::Json;

const Json kDeterminants = {{"model", "abc"}, {"settings", {{"tv", 0.1}, {"iterations", 5}}}, {"index", 0}};

Json number(int i) { return {{"index", i}}; }

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

TEST(Store, ComputesACellOnce) {
  const core::Folder folder;
  int computed = 0;
  const auto compute = [&] { return ++computed, Json{{"psnr", 1.0 / 3}}; };
  {
    Store store(folder.path());
    const Json first = store.cell(kDeterminants, compute);
    EXPECT_EQ(first["psnr"], 1.0 / 3);
    EXPECT_EQ(store.cell(kDeterminants, compute), first);
  }
  Store later(folder.path());
  EXPECT_EQ(later.cell(kDeterminants, compute)["psnr"], 1.0 / 3) << "to the bit";
  EXPECT_EQ(computed, 1);
  (void)later.cell(number(1), compute);
  EXPECT_EQ(computed, 2);
}

TEST(Store, GivesTheSameAtOnceAndLater) {
  const core::Folder folder;
  Store store(folder.path());
  EXPECT_TRUE(store.cell(kDeterminants,
                         [] {
                           return Json{{"loss", std::numeric_limits<double>::quiet_NaN()}};
                         })["loss"]
                  .is_null());
}

TEST(Store, SaysInItsFileWhatDeterminesACell) {
  const core::Folder folder;
  (void)Store(folder.path()).cell(kDeterminants, [] { return Json(5); });
  const std::string text = core::read_text(folder.path() / "cells.jsonl");
  EXPECT_EQ(text, journal_line(kDeterminants, 5) + "\n");
  const Json line = Json::parse(text);
  EXPECT_EQ(line["journal"], 2);
  EXPECT_EQ(line["name"], cell_name(kDeterminants));
  EXPECT_EQ(line["cell"], kDeterminants);
  EXPECT_EQ(line["result"], 5);
}

using State = JournalLine::State;

TEST(JournalLine, IsReadAsItWasWritten) {
  const auto line = read_journal_line(journal_line(kDeterminants, {{"psnr", 1.0 / 3}}));
  EXPECT_EQ(line.state, State::kWhole);
  EXPECT_EQ(line.name, cell_name(kDeterminants));
  EXPECT_EQ(line.cell, kDeterminants);
  EXPECT_EQ(line.result, (Json{{"psnr", 1.0 / 3}}));
}

TEST(JournalLine, NoFlippedBitAndNoCutPasses) {
  const std::string whole = journal_line(number(3), {{"status", "ok"}, {"psnr", 21.5}});
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string line = whole;
      line[i] = static_cast<char>(line[i] ^ (1 << bit));
      EXPECT_NE(read_journal_line(line).state, State::kWhole) << line;
    }
    EXPECT_NE(read_journal_line(whole.substr(0, i)).state, State::kWhole) << i;
  }
}

// A line with the right checksum and another content: what a faulty program, not a faulty disk, would leave.
std::string resealed(const std::string& rest) {
  return fmt::format(R"({{"journal":2,"sum":"{}",{})", core::sha256(rest).substr(0, 16), rest);
}

TEST(JournalLine, OfTheWrongFormDoesNotCount) {
  const auto name = cell_name(number(0));
  EXPECT_EQ(read_journal_line(resealed(fmt::format(R"("name":"{}","cell":{{"index":0}},"result":5}})", name))).state,
            State::kWhole);
  for (const std::string& rest : {
           fmt::format(R"("name":"{}","cell":{{"index":1}},"result":5}})", name),  // another cell's name
           fmt::format(R"("name":"{}","cell":{{"index":0}}}})", name),
           fmt::format(R"("name":"{}","cell":{{"index":0}},"result":5,"more":1}})", name),
           fmt::format(R"("name":"{}","cell":{{"index":0}},"result":5)", name),
           std::string(R"("name":null,"cell":{"index":0},"result":5})"),
           std::string(R"("name":7,"cell":{"index":0},"result":5})"),
           std::string(R"("cell":{"index":0},"result":5})"),
           std::string(R"("name":"","cell":)") + std::string(100'000, '[') + std::string(100'000, ']') +
               R"(,"result":5})",
           std::string("}"),
           std::string(),
       }) {
    EXPECT_EQ(read_journal_line(resealed(rest)).state, State::kDamaged) << rest.substr(0, 100);
  }
}

TEST(JournalLine, OfAnotherVersionIsKnownAsSuch) {
  EXPECT_EQ(read_journal_line(R"({"name":"015abd7f5cc57a2d","cell":{"a":1},"result":5})").state, State::kOther);
  EXPECT_EQ(read_journal_line(R"({"journal":3,"what":"ever"})").state, State::kOther);
  EXPECT_EQ(read_journal_line("progress 3/5").state, State::kDamaged);
}

TEST(Store, LeavesOutWhatIsDamagedAndSaysSo) {
  const core::Folder folder;
  for (int i = 0; i < 3; ++i) (void)Store(folder.path()).cell(number(i), [&] { return Json(i); });
  const auto path = folder.path() / "cells.jsonl";
  std::string text = core::read_text(path);
  text[text.find('\n') + 60] ^= 1;
  core::write_file(path, R"({"name":"015abd7f5cc57a2d","cell":{"a":1},"result":5})"
                         "\n" +
                             text);
  Store store(folder.path());
  EXPECT_THAT(
      store.take_notes(),
      testing::ElementsAre(testing::EndsWith("cells.jsonl: 1 of 4 lines is damaged (the first is line 3) and is left "
                                             "out: what they held is computed again where it is needed"),
                           testing::HasSubstr("1 of 4 lines is of another version of Pellucid")));
  EXPECT_TRUE(store.take_notes().empty()) << "once";
  EXPECT_FALSE(store.find(cell_name(number(1))));
  EXPECT_EQ(store.cell(number(1), [] { return Json(1); }), 1);
  EXPECT_EQ(store.find(cell_name(number(2))), Json(2));
  EXPECT_EQ(Store(folder.path()).find(cell_name(number(1))), Json(1));
}

TEST(Store, LeavesOutWhatIsNoResultOfSuchACell) {
  const core::Folder folder;
  (void)Store(folder.path()).cell(number(0), [] { return Json("text"); });
  (void)Store(folder.path()).cell(number(1), [] { return Json(1); });
  Store store(folder.path(), {}, false, [](const Json&, const Json& result) { return result.is_number(); });
  EXPECT_THAT(store.take_notes(), testing::ElementsAre(testing::HasSubstr("1 of 2 lines is no result of such a cell")));
  EXPECT_EQ(store.cell(number(0), [] { return Json(0); }), 0);
  EXPECT_EQ(store.cell(number(1), [] { return Json(7); }), 1);
}

TEST(Store, RefusesAFileWithoutLines) {
  const core::Folder folder;
  core::write_file(folder.path() / "cells.jsonl", "");
  std::filesystem::resize_file(folder.path() / "cells.jsonl", std::uint64_t{300} << 20);  // sparse
  core::expect_error([&] { Store store(folder.path()); }, core::ErrorKind::kData, "got a line of more than 64 MiB");
  core::set_memory_budget(std::uint64_t{100} << 20);
  core::expect_error([&] { Store store(folder.path()); }, core::ErrorKind::kData, "needs 300 MiB of memory");
  core::set_memory_budget(0);
}

TEST(Store, WhatIsNotUtf8IsReplaced) {
  const core::Folder folder;
  const Json cell = {{"data", "caf\xe9"}};
  EXPECT_EQ(cell_name(cell), cell_name({{"data", "caf\xef\xbf\xbd"}}));
  EXPECT_EQ(Store(folder.path()).cell(cell, [] { return Json("\xff"); }), "\xef\xbf\xbd");
  EXPECT_TRUE(Store(folder.path()).find(cell_name(cell)));
}

TEST(Store, LacksACellWhoseComputationFails) {
  const core::Folder folder;
  Store store(folder.path());
  core::expect_error(
      [&] { (void)store.cell(kDeterminants, []() -> Json { throw core::Error(core::ErrorKind::kStopped, "why"); }); },
      core::ErrorKind::kStopped, "why");
  EXPECT_EQ(store.cell(kDeterminants, [] { return Json(5); }), 5);
}

TEST(Store, TakesATornLineForNone) {
  const core::Folder folder;
  for (int i = 0; i < 2; ++i) (void)Store(folder.path()).cell(number(i), [] { return Json(5); });
  const auto path = folder.path() / "cells.jsonl";
  const std::string whole = core::read_text(path);
  const std::size_t first = whole.find('\n'),
                    second = whole.size() - 1;  // where the lines end: their line breaks may be missing
  for (std::size_t size = 0; size < whole.size(); ++size) {
    core::write_file(path, whole.substr(0, size));
    {
      Store store(folder.path());
      EXPECT_EQ(store.find(cell_name(number(0))).has_value(), size >= first) << size;
      EXPECT_EQ(store.find(cell_name(number(1))).has_value(), size >= second) << size;
      const bool torn = (0 < size && size < first) || (first + 1 < size && size < second);
      EXPECT_EQ(store.take_notes().size(), torn ? 1u : 0u) << size;
      (void)store.cell(number(2), [] { return Json(7); });
    }
    Store later(folder.path());
    EXPECT_EQ(later.find(cell_name(number(2))), Json(7)) << "written after a torn line of " << size;
  }
}

TEST(Store, ThreadsShareIt) {
  const core::Folder folder;
  Store store(folder.path());
  core::parallel_for(200, 4,
                     [&](std::int64_t i) { (void)store.cell(number(static_cast<int>(i)), [&] { return Json(i); }); });
  Store later(folder.path());
  for (int i = 0; i < 200; ++i) EXPECT_EQ(later.find(cell_name(number(i))), Json(i));
}

// Two processes, each through all cells: what one holds the other leaves, and both end with all of them.
TEST(Store, ProcessesShareItAndComputeNothingTwice) {
  const core::Folder folder;
  constexpr int kCells = 60;
  const auto work = [&] {
    Store store(folder.path());
    for (int i = 0; i < kCells; ++i) {
      (void)store.try_cell(number(i), [&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        return Json(getpid());
      });
    }
    for (int i = 0; i < kCells; ++i) (void)store.cell(number(i), [&] { return Json(0); });
  };
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  work();
  int status = 1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  const std::string text = core::read_text(folder.path() / "cells.jsonl");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), kCells);
  Store store(folder.path());
  int ours = 0;
  for (int i = 0; i < kCells; ++i) ours += *store.find(cell_name(number(i))) == getpid();
  EXPECT_GT(ours, 5);
  EXPECT_LT(ours, kCells - 5);
}

TEST(Store, TheLockOfAProcessThatWasKilledEndsWithIt) {
  const core::Folder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    Store store(folder.path());
    (void)store.cell(number(0), [&] {
      (void)!write(ready[1], "x", 1);
      pause();
      return Json();
    });
    _exit(0);
  }
  char x;
  ASSERT_EQ(read(ready[0], &x, 1), 1);
  Store store(folder.path());
  EXPECT_FALSE(store.try_cell(number(0), [] { return Json(5); })) << "the other process is at it";
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(store.try_cell(number(0), [] { return Json(5); }), Json(5));
}

TEST(Store, WaitingForAnotherEndsWithAStop) {
  const core::Folder folder;
  Store store(folder.path()), other(folder.path());
  EXPECT_TRUE(other.exclusively(cell_name(number(0)), [&] {
    core::request_stop();
    core::expect_error([&] { (void)store.cell(number(0), [] { return Json(5); }); }, core::ErrorKind::kStopped, "stop");
    core::request_stop(false);
  }));
}

TEST(Store, AsksWhoWasFirst) {
  const core::Folder folder;
  Store store(folder.path(), {.first_to_ask = [](const std::string& name) { return name != cell_name(number(0)); }});
  EXPECT_FALSE(store.try_cell(number(0), [] { return Json(5); }));
  EXPECT_TRUE(store.try_cell(number(1), [] { return Json(5); }));
}

TEST(Store, ThreadsOfOneProcessComputeNothingTwice) {
  const core::Folder folder;
  Store store(folder.path());
  std::atomic<int> computed = 0;
  core::parallel_for(8, 4, [&](std::int64_t) {
    (void)store.cell(number(0), [&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return Json(++computed);
    });
  });
  EXPECT_EQ(computed, 1);
}

// A launcher's processes may not see one another's locks: none writes where another does.
TEST(Store, ALauncherSProcessesWriteFilesOfTheirOwn) {
  const core::Folder folder;
  Store zero(folder.path()), one(folder.path(), {.apart = true});
  (void)zero.cell(number(0), [] { return Json(0); });
  (void)one.cell(number(1), [] { return Json(1); });
  EXPECT_FALSE(zero.find(cell_name(number(1))));
  zero.refresh();
  one.refresh();
  EXPECT_EQ(zero.find(cell_name(number(1))), Json(1));
  EXPECT_EQ(one.find(cell_name(number(0))), Json(0));
  const std::string text = core::read_text(folder.path() / "cells.jsonl");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(Store(folder.path(), {}, /*read_only=*/true).find(cell_name(number(1))), Json(1));
}

TEST(Store, SaysWhereItCannotWrite) {
  core::expect_error([] { Store("/proc/nowhere"); }, core::ErrorKind::kIo, "/proc/nowhere");
}

}  // namespace
}  // namespace pellucid::record
