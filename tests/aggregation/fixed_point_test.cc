#include "pellucid/aggregation/fixed_point.h"

#include "pellucid/core/random.h"

#include "tests/core/expect_error.h"

#include <cmath>
#include <limits>

namespace pellucid::aggregation {
namespace {

TEST(FixedPoint, CannotOverflow) {
  for (std::uint32_t clients = 2; clients <= kMostClients; ++clients) {
    const FixedPoint code{.range = 1, .clients = clients};
    EXPECT_LE(std::uint64_t{clients} * 2 * code.levels(), 0xFFFFFFFFU) << clients;
    EXPECT_GT(std::uint64_t{clients} * 2 * (code.levels() + 1), 0xFFFFFFFFU) << clients;  // and none is wasted
  }
}

TEST(FixedPoint, TheLargestSumIsExact) {
  for (const std::uint32_t clients : {2U, 16U, 255U, 256U}) {
    const FixedPoint code{.range = 0.3, .clients = clients};
    std::int64_t clipped = 0;
    const auto high = encode(code, std::vector<double>{0.3, 0, -0.3, 1e300, -1e300}, clipped);
    EXPECT_EQ(clipped, 2);
    EXPECT_EQ(high, (std::vector<std::uint32_t>{2 * code.levels(), code.levels(), 0, 2 * code.levels(), 0}));
    std::vector<std::uint32_t> sums(high.size());
    for (std::uint32_t i = 0; i < clients; ++i) {
      for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += high[k];
    }
    const std::vector<double> mean = decode_mean(code, sums, clients);
    EXPECT_THAT(mean, testing::ElementsAre(testing::DoubleEq(0.3), 0, testing::DoubleEq(-0.3), testing::DoubleEq(0.3),
                                           testing::DoubleEq(-0.3)));
  }
}

TEST(FixedPoint, IsWithinHalfAStep) {
  core::Stream stream(1, "values");
  for (const std::uint32_t clients : {2U, 16U, 200U}) {
    const FixedPoint code{.range = 8, .clients = clients};
    EXPECT_LE(code.step() / 2, 8.0 * clients / (4294967295.0 - 2.0 * clients));
    std::vector<double> values;
    for (int i = 0; i < 10'000; ++i) values.push_back(stream.uniform(-8, 8));
    std::int64_t clipped = 0;
    std::vector<std::uint32_t> codes = encode(code, values, clipped);
    const auto one = decode_mean(code, codes, 1);
    double worst = 0;
    for (std::size_t i = 0; i < values.size(); ++i) worst = std::max(worst, std::abs(one[i] - values[i]));
    EXPECT_LE(worst, code.step() / 2 + 8 * 0x1p-50);
    EXPECT_GT(worst, 0.45 * code.step());  // and the bound is tight
    EXPECT_EQ(clipped, 0);
  }
  EXPECT_LT((FixedPoint{.range = 1, .clients = 16}.step() / 2), std::pow(2, -27.9));
}

TEST(FixedPoint, TheMeanIsOfThoseThatTookPart) {
  const FixedPoint code{.range = 1, .clients = 10};
  std::int64_t clipped = 0;
  auto codes = encode(code, std::vector<double>{0.5, -1, 0}, clipped);
  for (auto& c : codes) c *= 3;
  EXPECT_THAT(decode_mean(code, codes, 3), testing::ElementsAre(testing::DoubleNear(0.5, code.step()), -1, 0));
}

TEST(FixedPoint, RefusesWhatDoesNotFit) {
  using core::ErrorKind;
  std::int64_t clipped = 0;
  const FixedPoint code{.range = 1, .clients = 2};
  for (const double x : {std::nan(""), std::numeric_limits<double>::infinity()})
    expect_error([&] { return encode(code, std::vector<double>{x}, clipped); }, ErrorKind::kModel, "expected finite");
  expect_error([&] { return decode_mean(code, std::vector<std::uint32_t>{2 * code.levels() + 1}, 1); }, ErrorKind::kIo,
               "a client did not keep to the protocol");
  const auto refused = [](double range, std::uint32_t clients, const char* what) {
    expect_error([=] { return check(FixedPoint{.range = range, .clients = clients}), 0; }, ErrorKind::kUsage, what);
  };
  refused(0, 2, "range: got 0");
  refused(std::numeric_limits<double>::infinity(), 2, "range: got inf");
  refused(std::nan(""), 2, "range: got nan");
  refused(1, 1, "clients: got 1, expected 2 to 256");
  refused(1, 257, "clients: got 257");
}

}  // namespace
}  // namespace pellucid::aggregation
