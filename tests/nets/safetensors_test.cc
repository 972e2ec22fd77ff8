#include "pellucid/nets/safetensors.h"

#include "pellucid/core/memory.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace pellucid::nets {
namespace {

using core::Bytes;
using core::ErrorKind;
using core::expect_error;

// A file with this header and this many bytes of data, which count up.
Bytes file_of(const std::string& text, std::size_t data = 0) {
  const std::uint64_t size = text.size();
  Bytes bytes(8 + size + data);
  std::memcpy(bytes.data(), &size, 8);
  const auto begin = std::copy(text.begin(), text.end(), bytes.begin() + 8);
  std::iota(begin, bytes.end(), std::uint8_t{0});
  return bytes;
}

std::string tensor(const std::string& name, const std::string& type, const std::string& shape,
                   const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, type, shape, offsets);
}

std::string header(const std::vector<std::string>& entries) { return fmt::format("{{{}}}", fmt::join(entries, ",")); }

void expect_refusal(const Bytes& bytes, const std::string& message) {
  expect_error([&] { (void)parse_safetensors(bytes, "x"); }, ErrorKind::kModel, message);
}

// The refusal of a header of one tensor "a".
void expect_refusal_of(const std::string& type, const std::string& shape, const std::string& offsets, std::size_t data,
                       const std::string& message) {
  expect_refusal(file_of(header({tensor("a", type, shape, offsets)}), data), "x: tensor \"a\": " + message);
}

TEST(ParseSafetensors, ReadsTheFormatsExample) {
  const auto content =
      parse_safetensors(file_of(header({tensor("a", "U8", "[2,3]", "[0,6]"), tensor("b", "I16", "[2]", "[6,10]"),
                                        R"("__metadata__":{"k":"v"}  )"}),
                                10),
                        "x");
  EXPECT_TRUE(torch::equal(content.tensors.at("a"), torch::tensor({{0, 1, 2}, {3, 4, 5}}, torch::kUInt8)));
  EXPECT_TRUE(torch::equal(content.tensors.at("b"), torch::tensor({0x0706, 0x0908}, torch::kInt16)));
  EXPECT_EQ(content.tensors.size(), 2);
  EXPECT_EQ(content.metadata, (std::map<std::string, std::string>{{"k", "v"}}));
}

TEST(ParseSafetensors, ReadsTensorsWithoutValues) {
  const auto content = parse_safetensors(
      file_of(header({tensor("a", "F32", "[0,1000000000000]", "[0,0]"), tensor("b", "F32", "[3,0]", "[0,0]")})), "x");
  EXPECT_EQ(content.tensors.at("a").sizes(), (std::vector<std::int64_t>{0, 1'000'000'000'000}));
  EXPECT_EQ(content.tensors.at("b").sizes(), (std::vector<std::int64_t>{3, 0}));
}

TEST(ParseSafetensors, RefusesAShortFile) {
  for (std::size_t size = 0; size < 8; ++size) {
    expect_refusal(Bytes(size), fmt::format("x: offset 0: got {} bytes, expected a header length of 8 bytes", size));
  }
}

TEST(ParseSafetensors, RefusesAHeaderLongerThanTheFile) {
  Bytes bytes = file_of("{}");
  bytes[0] = 3;
  expect_refusal(bytes, "x: offset 0: header length: got 3, expected at most 2");
  bytes[7] = 0xff;
  expect_refusal(bytes, "x: offset 0: header length: got 18374686479671623683, expected at most 2");
}

TEST(ParseSafetensors, RefusesAHeaderThatIsTooLong) {
  expect_refusal(file_of(std::string((16 << 20) + 1, ' ')), "header length: got 16777217, expected at most 16777216");
}

TEST(ParseSafetensors, RefusesFilesOfTorchSave) {
  expect_refusal({'P', 'K', 3, 4, 0, 0, 0, 0, 0},
                 "x: got a zip archive, as torch.save and numpy.savez write them, expected safetensors");
}

// Time grew with the square of the entries once; a second suffices for this many a hundred times over.
TEST(ParseSafetensors, TakesTimeInProportionToTheHeader) {
  std::string many = "{";
  for (int i = 0; i < 400'000; ++i) many += fmt::format("\"{}\":{{}},", i);
  many.back() = '}';
  expect_refusal(file_of(many), "x: tensor \"0\": dtype is missing");
  many = R"({"__metadata__":{)";
  for (int i = 0; i < 131'072; ++i) many += fmt::format("\"{}\":\"\",", i);
  many += R"("last":""}})";
  expect_refusal(file_of(many), "x: offset 8: header: \"__metadata__\": got more than 131072 names");
  std::vector<std::string> entries;
  for (int i = 0; i <= 131'072; ++i) entries.push_back(tensor(std::to_string(i), "U8", "[0]", "[0,0]"));
  expect_refusal(file_of(header(entries)), "x: offset 8: header: got more than 131072 tensors");
  entries.pop_back();
  EXPECT_EQ(parse_safetensors(file_of(header(entries)), "x").tensors.size(), 131'072u);
}

TEST(ParseSafetensors, RefusesMoreDimensionsThanAnyTensorHas) {
  std::string shape = "[1";
  for (int i = 0; i < 64; ++i) shape += ",1";
  expect_refusal_of("U8", shape + "]", "[0,1]", 1, "\"shape\": got more than 64 values");
}

TEST(ParseSafetensors, RefusesAHeaderThatIsNotJson) {
  expect_refusal(file_of(std::string("{}\0", 3)), "x: offset 8: the header of 3 bytes is not JSON");
  for (const char* text : {"", "{", "{}x", R"({"a":})", "{\"\xff\":1}"}) {
    expect_refusal(file_of(text), fmt::format("x: offset 8: the header of {} bytes is not JSON", std::strlen(text)));
  }
}

TEST(ParseSafetensors, RefusesAHeaderThatIsNoObject) {
  expect_refusal(file_of("[]"), "x: offset 8: header: got array, expected an object");
}

TEST(ParseSafetensors, RefusesADeepHeader) {
  expect_refusal(file_of(R"({"a":{"shape":[[1]]}})"), "x: offset 8: header: got more than 3 levels");
  const std::string deep(1'000'000, '[');
  expect_refusal(file_of(R"({"a":{"dtype":)" + deep), "x: offset 8: header: got more than 3 levels");
}

TEST(ParseSafetensors, RefusesANameThatOccursTwice) {
  expect_refusal(file_of(header({tensor("a", "U8", "[1]", "[0,1]"), tensor("a", "U8", "[1]", "[0,1]")}), 1),
                 "x: tensor \"a\": the name occurs twice");
  expect_refusal(file_of(R"({"a":{"dtype":"U8","dtype":"U8"}})"), "x: tensor \"a\": \"dtype\" occurs twice");
  expect_refusal(file_of(R"({"__metadata__":{},"__metadata__":{}})"), "\"__metadata__\": the name occurs twice");
}

TEST(ParseSafetensors, RefusesATensorThatIsNoObject) {
  expect_refusal(file_of(R"({"a":[]})"), "x: tensor \"a\": got array, expected an object");
}

TEST(ParseSafetensors, RefusesAMissingKey) {
  expect_refusal(file_of(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1), "x: tensor \"a\": dtype is missing");
  expect_refusal(file_of(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1), "x: tensor \"a\": shape is missing");
  expect_refusal(file_of(R"({"a":{"dtype":"U8","shape":[1]}})", 1), "x: tensor \"a\": data_offsets is missing");
}

TEST(ParseSafetensors, RefusesAnUnknownType) {
  expect_refusal_of("F8_E4M3", "[1]", "[0,1]", 1, "dtype: got \"F8_E4M3\", expected F64, F32, F16, BF16, I64");
  expect_refusal(file_of(R"({"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}})", 1), "dtype: got 8, expected");
}

TEST(ParseSafetensors, RefusesABadShape) {
  expect_refusal_of("U8", "4", "[0,4]", 4, "shape: got 4, expected a list");
  for (const char* shape : {"[-1]", "[1.0]", "[null]", "[\"4\"]"}) {
    expect_refusal_of("U8", shape, "[0,4]", 4, fmt::format("shape: got {}, expected whole numbers from 0", shape));
  }
}

TEST(ParseSafetensors, RefusesAShapeThatOverflows) {
  for (const char* shape : {"[1099511627777]", "[18446744073709551615]", "[4294967296,4294967296]",
                            "[6442450941,6442450945,0]", "[0,1048576,1048577]"}) {
    expect_refusal_of("U8", shape, "[0,0]", 0,
                      fmt::format("shape: got {}, expected at most 1099511627776 values", shape));
  }
}

TEST(ParseSafetensors, RefusesBadOffsets) {
  for (const char* offsets : {"4", "[0]", "[0,4,4]", "[-4,0]", "[0,4.0]"}) {
    expect_refusal_of("U8", "[4]", offsets, 4,
                      fmt::format("data_offsets: got {}, expected two whole numbers", offsets));
  }
  for (const char* offsets : {"[0,3]", "[0,5]", "[4,0]", "[18446744073709551615,3]"}) {
    expect_refusal_of("U8", "[4]", offsets, 5, fmt::format("data_offsets: got {}, expected 4 bytes", offsets));
  }
}

TEST(ParseSafetensors, RefusesAHole) {
  expect_refusal_of("U8", "[4]", "[1,5]", 5, "begins at byte 1 of the data, expected 0");
  expect_refusal(file_of(header({tensor("a", "U8", "[1]", "[0,1]"), tensor("b", "U8", "[1]", "[2,3]")}), 3),
                 "x: tensor \"b\": begins at byte 2 of the data, expected 1");
}

TEST(ParseSafetensors, RefusesAnOverlap) {
  expect_refusal(file_of(header({tensor("a", "U8", "[2]", "[0,2]"), tensor("b", "U8", "[2]", "[1,3]")}), 3),
                 "x: tensor \"b\": begins at byte 1 of the data, expected 2");
}

TEST(ParseSafetensors, RefusesATruncatedFileBeforeItReservesMemory) {
  expect_refusal_of("U8", "[4]", "[0,4]", 3, "ends at byte 4 of the data, expected at most 3: the file is truncated");
  expect_refusal_of("F64", "[1099511627776]", "[0,8796093022208]", 8,
                    "ends at byte 8796093022208 of the data, expected at most 8");
}

TEST(ParseSafetensors, RefusesTrailingBytes) {
  const std::string text = header({tensor("a", "U8", "[4]", "[0,4]")});
  expect_refusal(file_of(text, 6),
                 fmt::format("x: offset {}: got 2 more bytes, expected the end of the file", 8 + text.size() + 4));
}

TEST(ParseSafetensors, RefusesMetadataThatAreNotText) {
  expect_refusal(file_of(R"({"__metadata__":[]})"), "x: __metadata__: got array, expected an object");
  expect_refusal(file_of(R"({"__metadata__":{"k":1}})"), "x: __metadata__: \"k\": got number, expected text");
}

TEST(ParseSafetensors, NamesWhatItRefusesInOneShortLine) {
  expect_refusal(file_of("{\"a\\n\xc3\xa4\\u001b[2J\":1}"), "x: tensor \"a\\n\xc3\xa4\\x1b[2J\": got number");
  const std::string name(1000, 'n');
  expect_refusal(file_of("{\"" + name + "\":1}"), "x: tensor \"" + name.substr(0, 80) + "...\": got number");
}

TEST(ReadSafetensors, RefusesAMissingFile) {
  expect_error([] { (void)read_safetensors("no/such/file"); }, ErrorKind::kIo, "no/such/file");
}

TEST(ReadSafetensors, ReadsAFile) {
  const core::Folder folder;
  core::write_file(folder / "a", file_of(header({tensor("a", "U8", "[1]", "[0,1]")}), 1));
  EXPECT_EQ(read_safetensors(folder / "a").tensors.at("a").item<int>(), 0);
  core::write_file(folder / "a", file_of("{}", 1));
  expect_error([&] { (void)read_safetensors(folder / "a"); }, ErrorKind::kModel,
               (folder / "a").string() + ": offset 10: got 1 more");
}

TEST(SafeTensorsFile, ReadsATensorAtATime) {
  const core::Folder folder;
  core::write_file(folder / "a", file_of(header({tensor("a", "U8", "[2]", "[1,3]"), tensor("b", "U8", "[1]", "[0,1]"),
                                                 R"("__metadata__":{"k":"v"})"}),
                                         3));
  const SafeTensorsFile file(folder / "a");
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"k", "v"}}));
  EXPECT_EQ(file.tensors().at("a").shape, (std::vector<std::int64_t>{2}));
  EXPECT_TRUE(torch::equal(file.read("a"), torch::tensor({1, 2}, torch::kUInt8)));
  EXPECT_TRUE(torch::equal(file.read("b"), torch::tensor({0}, torch::kUInt8)));
}

TEST(SafeTensorsFile, AsksForMemoryBeforeItReads) {
  const core::Folder folder;
  core::write_file(folder / "a",
                   write_safetensors({.tensors = {{"a", torch::zeros({1000})}, {"b", torch::zeros({1000})}}}));
  core::set_memory_budget(5000);
  EXPECT_EQ(SafeTensorsFile(folder / "a").read("a").numel(), 1000);
  expect_error([&] { (void)read_safetensors(folder / "a"); }, ErrorKind::kData,
               "needs 7.81 KiB of memory, and 4.88 KiB are allowed");
  core::set_memory_budget(3000);
  expect_error([&] { (void)SafeTensorsFile(folder / "a").read("a"); }, ErrorKind::kData,
               "tensor \"a\": needs 3.91 KiB");
  core::set_memory_budget(0);
}

// A sparse file: terabytes by its size, nothing on the disk.
TEST(SafeTensorsFile, DoesNotReadWhatTheHeaderDoesNotName) {
  const core::Folder folder;
  core::write_file(folder / "a", file_of(header({tensor("a", "U8", "[4]", "[0,4]")}), 4));
  std::filesystem::resize_file(folder / "a", std::uintmax_t{1} << 40);
  expect_error([&] { SafeTensorsFile(folder / "a"); }, ErrorKind::kModel, "more bytes, expected the end of the file");
  core::write_file(folder / "a", file_of(header({tensor("a", "U8", "[1099511627776]", "[0,1099511627776]")})));
  std::filesystem::resize_file(folder / "a", std::filesystem::file_size(folder / "a") + (std::uintmax_t{1} << 40));
  EXPECT_EQ(SafeTensorsFile(folder / "a").tensors().at("a").end, std::uint64_t{1} << 40);
  expect_error([&] { (void)read_safetensors(folder / "a"); }, ErrorKind::kData, "needs 1.02e+03 GiB of memory");
}

struct Checksum : testing::Test {
  core::Folder folder;
  const std::filesystem::path path = folder / "a";
  const SafeTensors content{.tensors = {{"a", torch::arange(6).view({2, 3})}, {"b", torch::ones({2})}},
                            .metadata = {{"k", "v\xff"}, {"z", ""}}};

  // The file again, its header written as `dump` does, with a change.
  template <typename Dump>
  void rewrite(Dump dump, std::size_t change_at = 0) const {
    const auto bytes = core::read_file(path);
    std::uint64_t size = 0;
    std::memcpy(&size, bytes.data(), 8);
    const std::string text =
        dump(nlohmann::json::parse(bytes.begin() + 8, bytes.begin() + 8 + static_cast<std::ptrdiff_t>(size)));
    Bytes again(8);
    size = text.size();
    std::memcpy(again.data(), &size, 8);
    again.insert(again.end(), text.begin(), text.end());
    again.insert(again.end(), bytes.end() - 56, bytes.end());
    if (change_at > 0) again[again.size() - change_at] ^= 1;
    core::write_file(path, again);
  }
};

TEST_F(Checksum, IsTakenAndNotShown) {
  save_safetensors(content, path);
  const auto again = read_safetensors(path);
  EXPECT_TRUE(torch::equal(again.tensors.at("a"), content.tensors.at("a")));
  EXPECT_EQ(again.metadata, (std::map<std::string, std::string>{{"k", "v\xef\xbf\xbd"}, {"z", ""}}));
  EXPECT_GT(core::read_file(path).size(), write_safetensors(content).size());
  EXPECT_EQ(write_safetensors(again), write_safetensors(content));
}

TEST_F(Checksum, FindsEachDamagedBit) {
  save_safetensors(content, path);
  const auto whole = core::read_file(path);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto damaged = whole;
      damaged[at] ^= static_cast<std::uint8_t>(1 << bit);
      SCOPED_TRACE(fmt::format("byte {} bit {}", at, bit));
      expect_error([&] { (void)parse_safetensors(damaged, "x"); }, ErrorKind::kModel, "x: ");
    }
    expect_error([&] { (void)parse_safetensors(std::span(whole).first(at), "x"); }, ErrorKind::kModel, "x: ");
  }
}

TEST_F(Checksum, HoldsForTheSameContentInAnotherOrder) {
  save_safetensors(content, path);
  const auto backwards =
      [](const nlohmann::json& header) {  // as the library of the format writes it: no spaces, any order
        nlohmann::ordered_json again;
        for (auto entry = header.rbegin(); entry != header.rend(); ++entry) again[entry.key()] = *entry;
        auto text = again.dump();
        text.resize((text.size() + 7) / 8 * 8, ' ');
        return text;
      };
  rewrite(backwards);
  EXPECT_EQ(read_safetensors(path).tensors.size(), 2u);
  rewrite(backwards, /*change_at=*/1);
  expect_error([&] { (void)read_safetensors(path); }, ErrorKind::kModel,
               "the content is not what its checksum says: the file is damaged; if it was changed on purpose, take "
               "\"pellucid.checksum\" out");
}

TEST_F(Checksum, DoesNotJudgeWhatAnotherProgramWroteAnew) {
  save_safetensors(content, path);
  const auto spaced = [](const nlohmann::json& header) { return header.dump(1); };
  rewrite(spaced, /*change_at=*/1);
  EXPECT_EQ(read_safetensors(path).metadata.size(), 2u);
}

class WriteSafetensors : public testing::TestWithParam<torch::ScalarType> {};

TEST_P(WriteSafetensors, RoundTripsTheType) {
  const Tensor values = torch::tensor({{0, 1, 1}, {1, 0, 100}}).to(GetParam());
  const SafeTensors content{
      .tensors = {{"scalar", values[1][2]}, {"empty", values.slice(0, 0, 0)}, {"values", values}, {"view", values.t()}},
      .metadata = {{"k\n", "v\xc3\xa4"}}};
  const SafeTensors again = parse_safetensors(write_safetensors(content), "x");
  EXPECT_EQ(again.metadata, content.metadata);
  ASSERT_EQ(again.tensors.size(), content.tensors.size());
  for (const auto& [name, tensor] : content.tensors) {
    EXPECT_EQ(again.tensors.at(name).scalar_type(), GetParam()) << name;
    EXPECT_EQ(again.tensors.at(name).sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(torch::equal(again.tensors.at(name), tensor)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, WriteSafetensors,
                         testing::Values(torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16,
                                         torch::kInt64, torch::kInt32, torch::kInt16, torch::kInt8, torch::kUInt8,
                                         torch::kBool),
                         [](const auto& test) { return std::string(torch::toString(test.param)); });

TEST(WriteSafetensors, KeepsEveryBit) {
  const Tensor values = torch::tensor({-0.0, 5e-324, std::nan("")}, torch::kFloat64);
  const Tensor again = parse_safetensors(write_safetensors({.tensors = {{"a", values}}}), "x").tensors.at("a");
  EXPECT_EQ(std::memcmp(again.data_ptr(), values.data_ptr(), 24), 0);
}

TEST(WriteSafetensors, GivesEqualBytesForEqualContent) {
  SafeTensors a, b;
  a.tensors["x"] = torch::arange(4);
  a.tensors["y"] = torch::ones({2});
  b.tensors["y"] = torch::ones({2}).requires_grad_();
  b.tensors["x"] = torch::stack({torch::arange(4), torch::arange(4)}, 1).select(1, 0);
  EXPECT_EQ(write_safetensors(a), write_safetensors(b));
  b.metadata["k"] = "v";
  EXPECT_NE(write_safetensors(a), write_safetensors(b));
}

TEST(WriteSafetensors, BeginsTheDataAtAMultipleOf8) {
  for (const char* name : {"a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "abcdefgh"}) {
    const Bytes bytes = write_safetensors({.tensors = {{name, torch::ones({1}, torch::kUInt8)}}});
    EXPECT_EQ((bytes.size() - 1) % 8, 0) << name;
    EXPECT_EQ(bytes[0] % 8, 0) << name;
  }
}

TEST(WriteSafetensors, ReplacesTextThatIsNotUtf8) {
  const SafeTensors again = parse_safetensors(write_safetensors({.tensors = {}, .metadata = {{"k", "a\xff"}}}), "x");
  EXPECT_EQ(again.metadata.at("k"), "a\xef\xbf\xbd");
}

TEST(WriteSafetensors, RefusesATypeThatTheFormatLacks) {
  expect_error(
      [] {
        (void)write_safetensors({.tensors = {{"a", torch::ones({1}, torch::kComplexFloat)}}});
      },
      ErrorKind::kInternal, "tensor \"a\" has a type that safetensors lacks");
}

}  // namespace
}  // namespace pellucid::nets
