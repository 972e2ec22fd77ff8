#include "pellucid/data/image_file.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/data/samples.h"
#include <png.h>

#include <limits>

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;

void expect_refusal(const core::Bytes& content, const std::string& message) {
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

TEST(DecodeImage, LaysTransparencyOnBlack) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = 2;
  png.height = 1;
  png.format = PNG_FORMAT_RGBA;
  const core::Bytes pixels{200, 100, 50, 255, 200, 100, 50, 0};
  core::Bytes content(1000);
  png_alloc_size_t size = content.size();
  ASSERT_TRUE(png_image_write_to_memory(&png, content.data(), &size, 0, pixels.data(), 0, nullptr));
  content.resize(size);
  EXPECT_TRUE(
      torch::equal(decode_image(content, "x"), torch::tensor({200, 0, 100, 0, 50, 0}, torch::kUInt8).view({3, 1, 2})));
}

TEST(DecodeImage, RefusesWhatIsNoImage) {
  expect_refusal(bytes("GIF89a"), "x: byte 0: neither a PNG nor a JPEG image");
  expect_refusal({}, "x: byte 0: neither");
}

TEST(DecodeImage, RefusesATruncatedPng) {
  const core::Bytes content = encode_png(smooth_image(3, 9, 9));
  for (const std::size_t size : {4, 20, 40, 60}) {
    expect_refusal({content.begin(), content.begin() + static_cast<std::ptrdiff_t>(size)}, "x: damaged PNG: ");
  }
}

TEST(DecodeImage, RefusesADamagedPng) {
  core::Bytes content = encode_png(smooth_image(3, 9, 9));
  content[content.size() - 30] ^= 0xff;  // in the pixels
  expect_refusal(content, "x: damaged PNG: ");
}

TEST(DecodeImage, RefusesATruncatedJpeg) {
  const core::Bytes content = jpeg(smooth_image(3, 32, 32));
  for (const std::size_t size : {std::size_t{3}, std::size_t{30}, content.size() / 2, content.size() - 3}) {
    expect_refusal({content.begin(), content.begin() + static_cast<std::ptrdiff_t>(size)}, "x: damaged JPEG: ");
  }
}

TEST(DecodeImage, RefusesAPngOfTooManyPixels) {
  core::Bytes content = encode_png(smooth_image(1, 4, 4));
  content[17] = 1;  // width 2^16 + 4
  content[21] = 1;
  const auto checksum = crc32(0, content.data() + 12, 17);  // of the header chunk's type and data
  for (int i = 0; i < 4; ++i) content[29 + i] = static_cast<std::uint8_t>(checksum >> (24 - 8 * i));
  expect_refusal(content, "x: size, got 65540 x 65540 pixels, expected at most 16777216 in all");
}

TEST(DecodeImage, RefusesAJpegOfTooManyPixels) {
  core::Bytes content = jpeg(smooth_image(1, 8, 8));
  const core::Bytes frame{0xff, 0xc0, 0x00, 0x0b, 0x08};  // a baseline frame of one component
  const auto at = std::search(content.begin(), content.end(), frame.begin(), frame.end());
  ASSERT_NE(at, content.end());
  at[5] = at[7] = 0x80;  // height and width 2^15 + 8
  expect_refusal(content, "x: size, got 32776 x 32776 pixels");
}

TEST(DecodeImage, RefusesAJpegOfTooManyScans) {
  expect_refusal(jpeg(smooth_image(1, 8, 8), Scans::kMany), "x: damaged JPEG: more than 100 scans");
}

TEST(ReadImage, RefusesAMissingFile) {
  expect_error([] { (void)read_image("no/such.png"); }, ErrorKind::kIo, "no/such.png: cannot open");
}

}  // namespace
}  // namespace pellucid::data
