#include "pellucid/core/device.h"

#include "pellucid/core/error.h"
#include "pellucid/core/processes.h"

#include <ATen/Context.h>
#include <torch/cuda.h>

#include <charconv>

namespace pellucid::core {

torch::Device device(const std::string& name) {
  if (name == "cpu") return torch::kCPU;
  std::int64_t number = local_rank().value_or(0);
  bool understood = name == "cuda";
  if (name.starts_with("cuda:")) {
    const char *begin = name.data() + 5, *end = name.data() + name.size();
    const auto [last, error] = std::from_chars(begin, end, number);
    understood = error == std::errc() && last == end && number >= 0;
  }
  if (!understood) throw Error(ErrorKind::kUsage, "--device: got \"{}\", expected cpu, cuda or cuda:N", name);
  const auto found = static_cast<std::int64_t>(torch::cuda::device_count());
  if (number >= found) {
    throw Error(ErrorKind::kUsage,
                "--device: got \"{}\", this libtorch finds {} CUDA device{} and needs number {}; use --device cpu{}",
                name, found, found == 1 ? "" : "s", number,
                found == 0 ? ", or build against a libtorch with CUDA" : "");
  }
  at::globalContext().setAllowTF32CuDNN(false);  // float32 is float32: TF32 goes by its name
  at::globalContext().setAllowTF32CuBLAS(false);
  return {torch::kCUDA, static_cast<torch::DeviceIndex>(number)};
}

}  // namespace pellucid::core
