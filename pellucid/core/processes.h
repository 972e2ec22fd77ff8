// The processes that share one piece of work, started by torchrun, mpirun, srun or by hand.
#pragma once

#include "pellucid/core/torch.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pellucid::core {

/// One of several processes that run the same program on parts of the same work, or the only one.
///
/// All of them must make the same calls in the same order. Sums go over libtorch's c10d: Gloo between processors, NCCL
/// between CUDA devices where libtorch has it. A process that dies makes the others' next call fail.
class Processes {
 public:
  /// One process by itself.
  Processes() = default;

  /// What the environment says: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as torchrun sets them; or the rank and
  /// size of Open MPI (OMPI_COMM_WORLD_*), MPICH (PMI_*) or Slurm (SLURM_PROCID, SLURM_NTASKS; only inside a job step).
  /// Without any of them there is one process. MASTER_ADDR is 127.0.0.1 and MASTER_PORT 29500 where they are missing.
  /// @param device where this process computes: on CUDA, and if libtorch has NCCL, that is what sums.
  /// @throws Error(kUsage) if a variable is no number, or the rank is not below the size.
  /// @throws Error(kUsage) if there are several and this build has nothing that sums between them: neither Gloo nor,
  /// for CUDA, NCCL.
  /// @throws Error(kIo) if the processes do not find each other within five minutes.
  [[nodiscard]] static Processes from_environment(const torch::Device& device = torch::kCPU);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int count() const { return count_; }
  /// True in the one process that writes files and draws.
  [[nodiscard]] bool first() const { return rank_ == 0; }

  /// The sum over the processes, the same bits in each. Not differentiable.
  /// @throws Error(kIo) if another process is gone.
  [[nodiscard]] Tensor sum(const Tensor& tensor) const;
  /// The same for each of some tensors of one type, as one message.
  [[nodiscard]] std::vector<Tensor> sum(std::vector<Tensor> tensors) const;
  /// The same, differentiable: the gradient of a sum is the sum of the gradients.
  [[nodiscard]] Tensor differentiable_sum(const Tensor& tensor) const;

  /// Shares out work by name: true in the one process that asks first for it, and there again whenever it asks. Threads
  /// may share it.
  /// @throws Error(kIo) if the process that keeps the list is gone.
  [[nodiscard]] bool claim(const std::string& name) const;

  /// The range of `n` items that falls to this process: consecutive, as even as can be.
  struct Range {
    std::int64_t begin, end;
  };
  [[nodiscard]] Range share(std::int64_t n) const { return {n * rank_ / count_, n * (rank_ + 1) / count_}; }

 private:
  struct Group;
  int rank_ = 0, count_ = 1;
  torch::Device device_ = torch::kCPU;  // where sums are computed
  std::shared_ptr<Group> group_;
};

/// The number of this process among those of its machine, if a launcher says so: LOCAL_RANK of torchrun, or the local
/// rank of Open MPI, MPICH or Slurm.
/// @throws Error(kUsage) if it is no number.
[[nodiscard]] std::optional<int> local_rank();

}  // namespace pellucid::core
