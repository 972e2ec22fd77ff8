#include "pellucid/data/image_file.h"

#include "pellucid/core/memory.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/samples.h"
#include <png.h>

#include <limits>

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;

void expect_no_image(const core::Bytes& content, const std::string& message) {
  expect_error([&] { (void)decode_image(content, "x"); }, ErrorKind::kData, message);
}

TEST(EncodePng, RoundTripsBytes) {
  for (const int channels : {1, 3}) {
    const Tensor image = smooth_image(channels, 5, 7);
    EXPECT_TRUE(torch::equal(decode_image(encode_png(image), "x"), image)) << channels;
  }
}

TEST(EncodePng, RoundTripsAViewThatIsNotContiguous) {
  const Tensor image = smooth_image(3, 5, 7).transpose(1, 2);
  EXPECT_TRUE(torch::equal(decode_image(encode_png(image), "x"), image));
}

TEST(EncodePng, ClampsAndRoundsFloats) {
  const Tensor image = torch::tensor({-1., 0., 100.4 / 255, 100.6 / 255, 2., std::numeric_limits<double>::quiet_NaN()});
  EXPECT_TRUE(torch::equal(decode_image(encode_png(image.view({1, 2, 3})), "x").flatten(),
                           torch::tensor({0, 0, 100, 101, 255, 0}, torch::kUInt8)));
}

TEST(EncodePng, RefusesOtherShapesAndTypes) {
  for (const Tensor& wrong : {torch::zeros({2, 4, 4}), torch::zeros({4, 4}), torch::zeros({1, 0, 4}),
                              torch::zeros({1, 4, 4}, torch::kInt64)}) {
    expect_error([&] { (void)encode_png(wrong); }, ErrorKind::kInternal, "expected uint8 or floats of shape");
  }
}

TEST(DecodeImage, ReadsJpeg) {
  for (const Scans scans : {Scans::kOne, Scans::kUsual}) {
    for (const int channels : {1, 3}) {
      const Tensor image = smooth_image(channels, 16, 20);
      const Tensor got = decode_image(jpeg(image, scans), "x");
      ASSERT_EQ(got.sizes(), image.sizes());
      EXPECT_LE((got.to(torch::kInt32) - image.to(torch::kInt32)).abs().max().item<int>(), 4);
    }
  }
}

// A PNG file: its header's fields, chunks that come before the pixels, and the pixels as PNG stores rows, without
// filters.
struct Chunk {
  std::string kind;
  core::Bytes body;
};
core::Bytes png(std::uint32_t width, std::uint32_t height, int depth, int colour, const core::Bytes& pixels,
                const std::vector<Chunk>& more = {}, bool interlaced = false) {
  const auto number = [](std::uint32_t n) {
    return core::Bytes{std::uint8_t(n >> 24), std::uint8_t(n >> 16), std::uint8_t(n >> 8), std::uint8_t(n)};
  };
  core::Bytes content{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  const auto add = [&](const core::Bytes& part) { content.insert(content.end(), part.begin(), part.end()); };
  const auto chunk = [&](const std::string& kind, const core::Bytes& body) {
    add(number(static_cast<std::uint32_t>(body.size())));
    const std::size_t at = content.size();
    add(bytes(kind));
    add(body);
    add(number(static_cast<std::uint32_t>(crc32(0, content.data() + at, static_cast<uInt>(content.size() - at)))));
  };
  core::Bytes header = number(width), rows, packed;
  for (const std::uint8_t byte : number(height)) header.push_back(byte);
  for (const int byte : {depth, colour, 0, 0, interlaced ? 1 : 0}) header.push_back(static_cast<std::uint8_t>(byte));
  for (std::size_t at = 0; at < pixels.size(); ++at) {
    if (at % (pixels.size() / height) == 0) rows.push_back(0);
    rows.push_back(pixels[at]);
  }
  packed.resize(compressBound(rows.size()));
  uLongf size = packed.size();
  compress(packed.data(), &size, rows.data(), rows.size());
  packed.resize(size);
  chunk("IHDR", header);
  for (const Chunk& one : more) chunk(one.kind, one.body);
  chunk("IDAT", packed);
  chunk("IEND", {});
  return content;
}

void expect_values(const core::Bytes& content, const std::vector<int>& values) {
  const Tensor image = decode_image(content, "x").flatten();
  EXPECT_EQ(std::vector<int>(image.data_ptr<std::uint8_t>(), image.data_ptr<std::uint8_t>() + image.numel()), values);
}

const Chunk kLinear{"gAMA", {0, 1, 0x86, 0xa0}};  // a gamma of 1
const Chunk kSrgb{"sRGB", {0}};

TEST(DecodePng, TakesTheUpperByteOf16Bits) {
  for (const std::vector<Chunk>& more : {std::vector<Chunk>{}, {kLinear}, {kSrgb}}) {
    expect_values(png(4, 1, 16, 0, {128, 0, 0, 255, 255, 255, 1, 255}, more), {128, 0, 255, 1});
    expect_values(png(1, 1, 16, 2, {200, 1, 100, 2, 50, 3}, more), {200, 100, 50});
  }
}

TEST(DecodePng, DoesNotApplyGamma) {
  for (const std::vector<Chunk>& more : {std::vector<Chunk>{}, {kLinear}, {kSrgb}}) {
    expect_values(png(3, 1, 8, 0, {0, 128, 255}, more), {0, 128, 255});
    expect_values(png(1, 1, 8, 2, {10, 128, 250}, more), {10, 128, 250});
  }
}

TEST(DecodePng, LaysTransparencyOnBlackByValue) {
  for (const std::vector<Chunk>& more : {std::vector<Chunk>{}, {kLinear}, {kSrgb}}) {
    expect_values(png(4, 1, 8, 4, {200, 128, 200, 0, 200, 255, 1, 128}, more), {100, 0, 200, 1});
    expect_values(png(2, 1, 8, 6, {200, 100, 50, 255, 200, 100, 50, 128}, more), {200, 100, 100, 50, 50, 25});
    expect_values(png(1, 1, 16, 4, {200, 0, 128, 0}, more), {100});
  }
  expect_values(png(2, 1, 8, 0, {7, 9}, {{"tRNS", {0, 7}}}), {0, 9});  // one colour that is transparent
  expect_values(png(2, 1, 16, 0, {7, 1, 7, 2}, {{"tRNS", {7, 1}}}), {0, 7});
}

TEST(DecodePng, ReadsPalettesFewBitsAndInterlacedImages) {
  expect_values(png(2, 1, 4, 3, {0x10}, {{"PLTE", {1, 2, 3, 40, 50, 60}}}), {40, 1, 50, 2, 60, 3});
  expect_values(png(2, 1, 4, 3, {0x10}, {{"PLTE", {1, 2, 3, 40, 50, 60}}, {"tRNS", {255, 128}}}),
                {20, 1, 25, 2, 30, 3});
  expect_values(png(4, 1, 1, 0, {0xA0}), {255, 0, 255, 0});
  expect_values(png(2, 1, 2, 0, {0x60}), {85, 170});
  expect_values(png(1, 2, 8, 0, {1, 2}, {}, /*interlaced=*/true), {1, 2});
}

TEST(DecodeJpeg, ReadsCmykAsAdobeWritesIt) {
  const Tensor inks = torch::tensor({200, 100, 0, 128}, torch::kUInt8).view({4, 1, 1}).expand({4, 8, 8});
  const Tensor got = decode_image(jpeg(inks), "x");
  ASSERT_EQ(got.sizes(), (std::vector<std::int64_t>{3, 8, 8}));
  EXPECT_NEAR(got[0][4][4].item<int>(), 100, 2);
  EXPECT_NEAR(got[1][4][4].item<int>(), 50, 2);
  EXPECT_NEAR(got[2][4][4].item<int>(), 0, 2);
}

TEST(DecodeJpeg, DoesNotTurnAnImageByItsExifData) {  // as torchvision: orientation 6 is a quarter turn
  core::Bytes content = jpeg(smooth_image(3, 8, 16));
  const core::Bytes exif{0xff, 0xe1, 0, 34,   'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, '*', 0, 0, 0, 8,
                         0,    1,    1, 0x12, 0,   3,   0,   0,   0, 1, 0,   6,   0, 0,   0, 0, 0, 0};
  content.insert(content.begin() + 2, exif.begin(), exif.end());
  EXPECT_TRUE(torch::equal(decode_image(content, "x"), decode_image(jpeg(smooth_image(3, 8, 16)), "x")));
}

TEST(DecodeImage, RefusesWhatIsNoImage) {
  expect_no_image(bytes("GIF89a"), "x: byte 0: neither a PNG nor a JPEG image");
  expect_no_image({}, "x: byte 0: neither");
}

TEST(DecodeImage, NamesWhatElseItIs) {
  expect_no_image(bytes("GIF89a"), "but GIF; convert it");
  expect_no_image(bytes("RIFF    WEBPVP8 "), "but WebP; convert it");
  expect_no_image(bytes("RIFF8"), "neither a PNG nor a JPEG image");
  expect_no_image(bytes("BM    "), "but BMP; convert it");
  expect_no_image({'I', 'I', '*', 0}, "but TIFF; convert it");
  expect_no_image(bytes("version https://git-lfs.github.com/spec/v1"), "get it with `git lfs pull`");
}

TEST(DecodeImage, RefusesAnotherShapeBeforeItUnpacks) {
  core::Bytes content = encode_png(smooth_image(3, 9, 8));
  content.resize(60);  // truncated, which is not come to
  expect_error(
      [&] {
        (void)decode_image(content, "x", {1, 9, 8});
      },
      ErrorKind::kData,
      "x: got 8 x 9 pixels of 3 channels, expected 8 x 9 pixels of 1 channels as the other images have");
  expect_error(
      [&] {
        (void)decode_image(jpeg(smooth_image(3, 9, 8)), "x", {3, 9, 7});
      },
      ErrorKind::kData, "expected 7 x 9 pixels of 3 channels");
  EXPECT_EQ(decode_image(jpeg(smooth_image(3, 9, 8)), "x", {3, 9, 8}).numel(), 216);
}

TEST(DecodeImage, KeepsToTheMemoryBudget) {
  core::set_memory_budget(1000);
  expect_no_image(encode_png(smooth_image(3, 20, 20)), "x: 20 x 20 pixels of 3 channels: needs 2.34 KiB of memory");
  expect_no_image(jpeg(smooth_image(1, 20, 20), Scans::kUsual),
                  "x: 20 x 20 pixels of 1 channels: needs 1.17 KiB of memory");
  core::set_memory_budget(0);
}

TEST(DecodeImage, RefusesATruncatedPng) {
  const core::Bytes content = encode_png(smooth_image(3, 9, 9));
  for (const std::size_t size : {4, 20, 40, 60}) {
    expect_no_image({content.begin(), content.begin() + static_cast<std::ptrdiff_t>(size)}, "x: damaged PNG: ");
  }
}

TEST(DecodeImage, RefusesADamagedPng) {
  core::Bytes content = encode_png(smooth_image(3, 9, 9));
  content[content.size() - 30] ^= 0xff;  // in the pixels
  expect_no_image(content, "x: damaged PNG: ");
}

TEST(DecodeImage, RefusesATruncatedJpeg) {
  const core::Bytes content = jpeg(smooth_image(3, 32, 32));
  for (const std::size_t size : {std::size_t{3}, std::size_t{30}, content.size() / 2, content.size() - 3}) {
    expect_no_image({content.begin(), content.begin() + static_cast<std::ptrdiff_t>(size)}, "x: damaged JPEG: ");
  }
}

TEST(DecodeImage, RefusesAPngOfTooManyPixels) {
  core::Bytes content = encode_png(smooth_image(1, 4, 4));
  content[17] = 1;  // width 2^16 + 4
  content[21] = 1;
  const auto checksum = crc32(0, content.data() + 12, 17);  // of the header chunk's type and data
  for (int i = 0; i < 4; ++i) content[29 + i] = static_cast<std::uint8_t>(checksum >> (24 - 8 * i));
  expect_no_image(content, "x: size, got 65540 x 65540 pixels, expected at most 16777216 in all");
}

TEST(DecodeImage, RefusesAJpegOfTooManyPixels) {
  core::Bytes content = jpeg(smooth_image(1, 8, 8));
  const core::Bytes frame{0xff, 0xc0, 0x00, 0x0b, 0x08};  // a baseline frame of one component
  const auto at = std::search(content.begin(), content.end(), frame.begin(), frame.end());
  ASSERT_NE(at, content.end());
  at[5] = at[7] = 0x80;  // height and width 2^15 + 8
  expect_no_image(content, "x: size, got 32776 x 32776 pixels");
}

TEST(DecodeImage, RefusesAJpegOfTooManyScans) {
  expect_no_image(jpeg(smooth_image(1, 8, 8), Scans::kMany), "x: damaged JPEG: more than 100 scans");
}

TEST(ReadImage, LooksAtTheHeadOfALargeFileAlone) {
  const core::Folder folder;
  for (const bool png_head : {true, false}) {
    core::write_file(folder / "x", png_head ? encode_png(smooth_image(1, 4, 4)) : bytes("no image"));
    std::filesystem::resize_file(folder / "x", std::uintmax_t{7} << 30);  // sparse
    expect_error([&] { (void)read_image(folder / "x"); }, ErrorKind::kData,
                 png_head ? "x: size, got 7 GiB, expected at most 64 MiB of an image"
                          : "x: byte 0: neither a PNG nor a JPEG image");
  }
}

TEST(ReadImage, RefusesAMissingFile) {
  expect_error([] { (void)read_image("no/such.png"); }, ErrorKind::kIo, "no/such.png: cannot open");
}

}  // namespace
}  // namespace pellucid::data
