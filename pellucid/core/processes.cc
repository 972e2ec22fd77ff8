#include "pellucid/core/processes.h"

#include "pellucid/core/error.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/version.h>
#if TORCH_VERSION_MAJOR >= 2
#include <torch/csrc/distributed/c10d/Backend.hpp>
#endif
// PyTorch's wheels say that they have Gloo and NCCL and bring the headers of neither.
#if defined(USE_C10D_GLOO) && __has_include(<gloo/config.h>)
#define PELLUCID_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#if defined(USE_C10D_NCCL) && __has_include(<nccl.h>)
#define PELLUCID_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>

namespace pellucid::core {
namespace {

using namespace std::chrono_literals;

// c10d's groups derive from Backend since libtorch 2, from ProcessGroup before.
#if TORCH_VERSION_MAJOR >= 2
using Backend = c10d::Backend;
#else
using Backend = c10d::ProcessGroup;
#endif

constexpr auto kMeeting = 5min;  // to find each other
constexpr auto kWork = 24h;      // for the others to arrive at a sum: one of them may be measuring

std::optional<int> number(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  const std::string_view view = text;
  int value = -1;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (error != std::errc() || end != view.data() + view.size() || value < 0) {
    throw Error(ErrorKind::kUsage, "${}: got \"{}\", expected a whole number from 0", name, view);
  }
  return value;
}

struct Place {
  int rank = 0, count = 1;
};

// The first launcher whose variables are set.
Place place() {
  struct Names {
    const char *rank, *count;
  };
  for (const Names names : {Names{"RANK", "WORLD_SIZE"}, Names{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                            Names{"PMI_RANK", "PMI_SIZE"}, Names{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}}) {
    const auto rank = number(names.rank), count = number(names.count);
    if (!rank || !count) continue;
    if (*rank >= *count)
      throw Error(ErrorKind::kUsage, "${}: got {}, expected less than ${} = {}", names.rank, *rank, names.count,
                  *count);
    return {*rank, *count};
  }
  return {};
}

c10::intrusive_ptr<Backend> connect([[maybe_unused]] const c10::intrusive_ptr<c10d::Store>& store,
                                    [[maybe_unused]] Place at, [[maybe_unused]] const torch::Device& device) {
#ifdef PELLUCID_NCCL
  if (device.is_cuda()) {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = kWork;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, at.rank, at.count, options);
  }
#endif
#ifdef PELLUCID_GLOO
  auto options = c10d::ProcessGroupGloo::Options::create();
  options->timeout = kWork;
  options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, at.rank, at.count, options);
#else
  throw Error(ErrorKind::kUsage, "got {} processes, expected one: this build has no Gloo{}", at.count,
              device.is_cuda() ? " and no NCCL" : "");
#endif
}

}  // namespace

struct Processes::Group {
  c10::intrusive_ptr<Backend> backend;
  c10::intrusive_ptr<c10d::Store> store;
  std::mutex mutex = {};
  std::map<std::string, bool> claims = {};  // what was answered

  void sum_in_place(Tensor& tensor) const {
    std::vector<Tensor> tensors = {tensor};
    try {
      backend->allreduce(tensors)->wait();
    } catch (const std::exception& error) {
      throw Error(ErrorKind::kIo, "another process of this run is gone: {}", error.what());
    }
  }
};

namespace {

struct DifferentiableSum : torch::autograd::Function<DifferentiableSum> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& tensor, const Processes* processes) {
    context->saved_data["processes"] = reinterpret_cast<std::int64_t>(processes);
    return processes->sum(tensor);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto* processes = reinterpret_cast<const Processes*>(context->saved_data["processes"].toInt());
    return {processes->sum(gradients[0]), Tensor()};
  }
};

}  // namespace

Processes Processes::from_environment(const torch::Device& device) {
  const Place at = place();
  Processes processes;
  if (at.count == 1) return processes;
  processes.rank_ = at.rank;
  processes.count_ = at.count;
#ifdef PELLUCID_NCCL
  processes.device_ = device;
#endif
  const char* given = std::getenv("MASTER_ADDR");
  const std::string address = given != nullptr ? given : "127.0.0.1";
  const int port = number("MASTER_PORT").value_or(c10d::TCPStoreOptions::kDefaultPort);
  try {
    // torchrun keeps a store of its own at this address, and says so.
    const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(port);
    options.isServer = at.rank == 0 && !(agent != nullptr && std::string_view(agent) == "True");
    options.numWorkers = at.count;
    options.waitWorkers = false;
    options.timeout = kMeeting;
    c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(address, options);
    // torchrun's store outlives the processes that it starts again: what the last ones wrote there is not theirs.
    if (const auto restart = number("TORCHELASTIC_RESTART_COUNT")) {
      store = c10::make_intrusive<c10d::PrefixStore>(fmt::format("restart {}", *restart), store);
    }
    processes.group_ = std::make_shared<Group>();
    processes.group_->backend = connect(store, at, device);
    processes.group_->store = store;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorKind::kIo,
                "process {} of {}: the others are not to be reached at {}:{} ($MASTER_ADDR, $MASTER_PORT): {}", at.rank,
                at.count, address, port, error.what());
  }
  return processes;
}

Tensor Processes::sum(const Tensor& tensor) const {
  if (count_ == 1) return tensor;
  Tensor total = tensor.detach().to(device_, /*non_blocking=*/false, /*copy=*/true).contiguous();
  group_->sum_in_place(total);
  return total.to(tensor.device());
}

std::vector<Tensor> Processes::sum(std::vector<Tensor> tensors) const {
  if (count_ == 1 || tensors.empty()) return tensors;
  std::vector<Tensor> flat;
  for (const auto& tensor : tensors) flat.push_back(tensor.detach().reshape({-1}));
  const Tensor total = sum(torch::cat(flat));
  std::int64_t begin = 0;
  for (auto& tensor : tensors) {
    const auto values = tensor.numel();
    tensor = total.narrow(0, begin, values).view(tensor.sizes());
    begin += values;
  }
  return tensors;
}

bool Processes::claim(const std::string& name) const {
  if (count_ == 1) return true;
  const std::lock_guard guard(group_->mutex);
  const auto known = group_->claims.find(name);
  if (known != group_->claims.end()) return known->second;
  try {
    return group_->claims[name] = group_->store->add("claim/" + name, 1) == 1;
  } catch (const std::exception& error) {
    throw Error(ErrorKind::kIo, "the first process of this run is gone: {}", error.what());
  }
}

std::optional<int> local_rank() {
  for (const char* name : {"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}) {
    if (const auto rank = number(name)) return rank;
  }
  return std::nullopt;
}

Tensor Processes::differentiable_sum(const Tensor& tensor) const {
  return count_ == 1 ? tensor : DifferentiableSum::apply(tensor, this);
}

}  // namespace pellucid::core
