#include "pellucid/core/recording.h"

#include <ATen/Context.h>
#ifdef PELLUCID_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif
#include <torch/cuda.h>

#include <utility>

namespace pellucid::core {

#ifdef PELLUCID_CUDA
namespace {
constexpr int kWarmUps = 2;  // calls that let the libraries choose their kernels and take their memory
}

struct Recording::State {
  torch::Device device;
  std::function<void()> work;
  std::optional<c10::cuda::CUDAStream> stream = {};  // a graph is recorded on a stream of its own
  std::unique_ptr<at::cuda::CUDAGraph> graph = {};
  int calls = 0;

  void call() {
    if (device.is_cpu()) return work();
    const c10::cuda::CUDAStreamGuard guard(*stream);
    if (calls++ < kWarmUps) return work();
    if (graph == nullptr) {
      stream->synchronize();
      c10::cuda::CUDACachingAllocator::emptyCache();  // what earlier recordings left cannot be given back while one is
                                                      // made
      graph = std::make_unique<at::cuda::CUDAGraph>();
      graph->capture_begin();
      try {
        work();
      } catch (...) {
        try {
          graph->capture_end();
        } catch (const std::exception&) {  // the first error says more
        }
        throw;
      }
      graph->capture_end();
    }
    graph->replay();
  }
};

Recording::Recording(const torch::Device& device, std::function<void()> work)
    : state_(std::make_unique<State>(State{.device = device, .work = std::move(work)})) {
  if (device.is_cpu()) return;
  synchronise(device);
  state_->stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index());
}
void Recording::wait() {
  if (state_->stream) state_->stream->synchronize();
}
#else
struct Recording::State {
  std::function<void()> work;
  void call() { work(); }
};

Recording::Recording(const torch::Device&, std::function<void()> work)
    : state_(std::make_unique<State>(State{.work = std::move(work)})) {}
void Recording::wait() {}
#endif

Recording::~Recording() = default;
void Recording::operator()() { state_->call(); }

void synchronise(const torch::Device& device) {
  if (device.is_cuda()) torch::cuda::synchronize(device.index());
}

Tf32::Tf32(const torch::Device& device, bool allowed) : cuda_(device.is_cuda()) {
  if (!cuda_) return;
  auto& context = at::globalContext();
  products_ = context.allowTF32CuBLAS();
  convolutions_ = context.allowTF32CuDNN();
  context.setAllowTF32CuBLAS(allowed);
  context.setAllowTF32CuDNN(allowed);
}
Tf32::~Tf32() {
  if (!cuda_) return;
  at::globalContext().setAllowTF32CuBLAS(products_);
  at::globalContext().setAllowTF32CuDNN(convolutions_);
}

}  // namespace pellucid::core
