// Work that a device repeats: recorded once as a CUDA graph, so that it is launched as one.
#pragma once

#include "pellucid/core/torch.h"

#include <functional>
#include <memory>

namespace pellucid::core {

/// Calls a function over and over. On a CUDA device the first two calls run as they are, the third is recorded as a
/// CUDA graph, and from then on the graph runs; elsewhere, or where libtorch was built without CUDA, every call is the
/// function's own.
///
/// What is recorded must be the same work each time: operations on tensors of this device, the ones that outlive a call
/// changed in place, nothing read back, nothing copied from the host. Its results are then the same bits as without
/// recording.
class Recording {
 public:
  Recording(const torch::Device& device, std::function<void()> work);
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// Asks for one more call; on a device it may not be done on return.
  void operator()();
  /// Waits until every call is done.
  void wait();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Waits until the device has done all that was asked of it. Nothing on the cpu.
void synchronise(const torch::Device& device);

/// While it lives, products of float32 matrices on a CUDA device may round their factors to TF32's 10 bits, or may not,
/// whatever was set before. One thread at a time; nothing on the cpu.
class Tf32 {
 public:
  Tf32(const torch::Device& device, bool allowed);
  ~Tf32();
  Tf32(const Tf32&) = delete;
  Tf32& operator=(const Tf32&) = delete;

 private:
  bool cuda_, products_ = false, convolutions_ = false;
};

}  // namespace pellucid::core
