#include "pellucid/core/tensor.h"

#include "pellucid/core/environment.h"

#include <dlfcn.h>
#include <gmock/gmock.h>

namespace pellucid::core {
namespace {

TEST(TensorUniform, DrawsTheStreamInRowMajorOrder) {
  const Tensor tensor = uniform({5, "tensor test"}, {2, 3}, -1, 1);
  EXPECT_EQ(tensor.sizes(), (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(tensor.scalar_type(), torch::kFloat32);
  Stream stream(5, "tensor test");
  for (const double x : to_doubles(tensor)) EXPECT_EQ(x, static_cast<float>(stream.uniform(-1, 1)));
}

TEST(TensorNormal, DrawsTheStreamInRowMajorOrder) {
  Stream stream(6, "tensor test");
  for (const double x : to_doubles(normal({6, "tensor test"}, {4}))) EXPECT_EQ(x, static_cast<float>(stream.normal()));
}

TEST(ToDoubles, ReadsViewsInRowMajorOrder) {
  const Tensor transposed = torch::tensor({{1, 2}, {3, 4}}, torch::kFloat32).t().requires_grad_();
  EXPECT_EQ(to_doubles(transposed), (std::vector<double>{1, 3, 2, 4}));
  EXPECT_EQ(to_doubles(torch::tensor({7}, torch::kInt64)), std::vector<double>{7});
}

TEST(Svd, GivesTheMatrixBack) {
  for (const bool full : {false, true}) {
    const Tensor matrix = normal(Stream(0, "svd"), {5, 3}).to(torch::kFloat64);
    const auto [left, values, right] = core::svd(matrix, full);
    EXPECT_EQ(left.size(1), full ? 5 : 3);
    EXPECT_TRUE(torch::allclose(torch::mm(left.slice(1, 0, 3) * values, right), matrix));
    EXPECT_TRUE(torch::allclose(singular_values(matrix), values));
  }
  EXPECT_THROW((void)core::svd(torch::full({3, 3}, NAN), false), c10::Error);
}

// PyTorch's wheels export an older std::filesystem: see cmake/Dependencies.cmake.
TEST(StandardLibrary, IsNotThatOfLibtorch) {
  const void* remove_all = dlsym(RTLD_DEFAULT, "_ZNSt10filesystem10remove_allERKNS_7__cxx114pathE");
  ASSERT_NE(remove_all, nullptr);
  Dl_info found{};
  ASSERT_NE(dladdr(remove_all, &found), 0);
  EXPECT_THAT(found.dli_fname, testing::Not(testing::HasSubstr("libtorch")));
}

TEST(Environment, NamesWhatAResultDependsOn) {
  const Json where = environment(2);
  for (const char* key : {"pellucid", "compiler", "libtorch", "processor", "date"}) {
    EXPECT_FALSE(where.at(key).get<std::string>().empty()) << key;
  }
  EXPECT_GE(where.at("cores").get<int>(), 1);
  EXPECT_EQ(where.at("pellucid"), version());
}

}  // namespace
}  // namespace pellucid::core
