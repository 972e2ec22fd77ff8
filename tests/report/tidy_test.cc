#include "pellucid/report/tidy.h"

#include "pellucid/core/events.h"
#include "pellucid/core/file.h"
#include "pellucid/core/sealed.h"
#include "pellucid/report/html.h"

#include "fixture.h"
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>

namespace pellucid::report {
namespace {

using core::Json;
using testing::HasSubstr;

// The first field behind the names in the CSV of a study whose first cell has this reason.
std::string as_reason(const std::string& text) {
  Json result = study();
  result["cells"][0]["reason"] = text;
  const std::string table = csv(open_study(result, kStudy));
  const auto begin = table.find(",ok,", table.find("\r\n")) + 4;
  return table.substr(begin, table.find(result["cells"][0]["psnr"].dump(), begin) - begin - 1);
}

TEST(Csv, LeavesNoFormulaInText) {
  for (const char* text : {"=1+1", "+1+1", "-1+1", "@SUM(A1)", "=HYPERLINK(1)", "＝1", "＋1", "－1", "＠a", "-", "=",
                           "-inf", "+nan", "-8/255", "--5"}) {
    EXPECT_EQ(as_reason(text), std::string("'") + text) << text;
  }
  EXPECT_EQ(as_reason("\t1"), "'\t1");
  EXPECT_EQ(as_reason("\r=1"), "\"'\r=1\"");
  EXPECT_EQ(as_reason("\n=1"), "\"'\n=1\"");
  EXPECT_EQ(as_reason("=\"a\",1"), "\"'=\"\"a\"\",1\"");
}

TEST(Csv, LeavesNumbersAndOtherTextAlone) {
  for (const char* text : {"-0.5", "+1", "-1e-3", "0.3", "8/255", "a=b", "1-2", "", "text"})
    EXPECT_EQ(as_reason(text), text);
}

std::string caption_of(const std::string& title) {
  Json result = study();
  result["title"] = title;
  const std::string table = latex(open_study(result, kStudy));
  const auto begin = table.find("\\caption{") + 9;
  return table.substr(begin, table.find(" Means and", begin) - begin);
}

TEST(Latex, CompilesEverywhere) {
  EXPECT_EQ(caption_of("Größe & ε"), "Gr\\\"{o}\\ss{}e \\& $\\varepsilon$");
  EXPECT_EQ(caption_of("ℓ∞ ≤ 8/255 × 10⁻³ → −1"), "$\\ell$$\\infty$ $\\le$ 8/255 $\\times$ 10$^-$$^3$ $\\to$ $-$1");
  EXPECT_EQ(caption_of("naïve Čapek Łódź, señor"), "na\\\"{\\i}ve \\v{C}apek \\L{}\\'{o}d\\'{z}, se\\~{n}or");
  EXPECT_EQ(caption_of("猫 😀"), "{[}U+732B{]} {[}U+1F600{]}");
  EXPECT_EQ(caption_of("[2] * x"), "{[}2{]} {*} x");
  EXPECT_EQ(caption_of(std::string("a\0b\x1b\x7f\nc", 7)), "a b   c");
  EXPECT_EQ(caption_of("“a” – ‘b’…"), "``a'' -- `b'\\ldots{}");
}

// Every character of the first planes: what comes out is ASCII, and its braces and its dollars are in pairs.
TEST(Latex, MakesSomethingOfEveryCharacter) {
  for (std::uint32_t c = 1; c < 0x20000; ++c) {
    if (0xD800 <= c && c < 0xE000) continue;
    std::string text;
    if (c < 0x80) {
      text = {static_cast<char>(c)};
    } else if (c < 0x800) {
      text = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    } else if (c < 0x10000) {
      text = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
              static_cast<char>(0x80 | (c & 0x3F))};
    } else {
      text = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
              static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
    }
    std::string latex = latex_text(text);
    ASSERT_TRUE(std::all_of(latex.begin(), latex.end(), [](char x) { return 32 <= x && x <= 126; })) << c << latex;
    int depth = 0, dollars = 0;
    for (std::size_t i = 0; i < latex.size(); ++i) {
      if (latex[i] == '\\') {
        ++i;
      } else {
        depth += (latex[i] == '{') - (latex[i] == '}');
        dollars += latex[i] == '$';
        ASSERT_EQ(std::string("#%&_^").find(dollars % 2 == 0 ? latex[i] : ' '), std::string::npos) << latex;
      }
    }
    ASSERT_EQ(depth, 0) << latex;
    ASSERT_EQ(dollars % 2, 0) << latex;
  }
}

TEST(Events, FollowFromTheResult) {
  const Json result = study();
  const auto file = event_file(open_study(result, kStudy), "events");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->content, event_file(open_study(result, kStudy), "events")->content);
  EXPECT_THAT(file->path.string(),
              testing::MatchesRegex("events/events.out.tfevents.1732406400.[0-9a-f]+.pellucid"));  // the result's date
  EXPECT_THAT(file->content, HasSubstr("psnr/mean/standard, residual"));
  Json grown = result;
  grown["groups"][0]["metrics"]["psnr"]["mean"]["value"] = 1.5;
  EXPECT_NE(event_file(open_study(grown, kStudy), "events")->path, file->path);
  grown["x"] = nullptr;
  EXPECT_FALSE(event_file(open_study(grown, kStudy), "events"));
}

struct Outputs : testing::Test {
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "pellucid-tidy-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
    write(study());
    write_report(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  void write(const Json& result) const {
    core::write_file(folder / "result.json", core::to_text(core::sealed(result)));
  }
  [[nodiscard]] std::vector<std::string> events() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "events"))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  std::filesystem::path folder;
};

TEST_F(Outputs, AreWrittenWhereTheyAreMissingOrOfAnotherResult) {
  for (const char* name : {"report.html", "results.csv", "table.tex"}) {
    const std::string content = core::read_text(folder / name);
    for (const std::string& other :
         {std::string(), content + " ", content.substr(1), std::string(content.size(), 'x')}) {
      core::write_file(folder / name, other);
      std::filesystem::last_write_time(folder / name,
                                       std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
      write_report(folder);
      EXPECT_EQ(core::read_text(folder / name), content) << name;
    }
    std::filesystem::remove(folder / name);
    write_report(folder);
    EXPECT_EQ(core::read_text(folder / name), content) << name;
  }
}

TEST_F(Outputs, ThatStandAreLeftAlone) {
  const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1000);
  for (const char* name : {"report.html", "results.csv", "table.tex"})
    std::filesystem::last_write_time(folder / name, long_ago);
  write_report(folder);
  for (const char* name : {"report.html", "results.csv", "table.tex"})
    EXPECT_EQ(std::filesystem::last_write_time(folder / name), long_ago) << name;
}

TEST_F(Outputs, OfAGrownStudyHaveItsEventsAlone) {
  const auto before = events();
  ASSERT_EQ(before.size(), 1u);
  core::write_file(folder / "events" / "events.out.tfevents.1.somebody", "else's");
  Json grown = study();
  grown["groups"][0]["metrics"]["psnr"]["mean"]["value"] = 1.5;
  write(grown);
  write_report(folder);
  const auto after = events();
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(std::count(after.begin(), after.end(), before[0]), 0);
  EXPECT_EQ(std::count(after.begin(), after.end(), "events.out.tfevents.1.somebody"), 1) << "only ours are removed";
}

TEST_F(Outputs, OfADamagedResultAreRefused) {
  std::string text = core::read_text(folder / "result.json");
  text[text.find("0.9674")] = '1';
  core::write_file(folder / "result.json", text);
  EXPECT_THAT(data_error([&] { write_report(folder); }),
              HasSubstr("result.json: checksum: the file is not as it was written"));
}

}  // namespace
}  // namespace pellucid::report
