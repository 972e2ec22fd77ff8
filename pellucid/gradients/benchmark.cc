#include "pellucid/gradients/benchmark.h"

#include "pellucid/core/error.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/recording.h"
#include "pellucid/core/stop.h"
#include "pellucid/core/tensor.h"
#include "pellucid/inversion/double_backward.h"
#include "pellucid/inversion/engine/engine.h"
#include "pellucid/inversion/engine/peak.h"
#include "pellucid/inversion/engine/tensor_engine.h"
#include "pellucid/inversion/optimise.h"
#include "pellucid/inversion/terms.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/training/gradient.h"
#include "pellucid/training/optimiser.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <functional>
#include <sstream>

namespace pellucid::gradients {
namespace {

using core::Json;

double thread_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}
double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// One network's stream of work: what a core does over and over.
struct Stream {
  inversion::Problem problem;
  Tensor images;
  inversion::DoubleBackward reference;
  inversion::Engine engine;
  std::optional<inversion::Engine> mixed;
  std::vector<double> losses;

  Stream(const inversion::Problem& matched, const Tensor& trials, std::int64_t count)
      : problem(matched),
        images(trials),
        reference(problem, inversion::Precision::kFloat32),
        engine(problem, count, inversion::Precision::kFloat32),
        losses(count) {
    if (inversion::has_brain_floats()) mixed.emplace(problem, count, inversion::Precision::kMixed);
  }
  void by_double_backward() { (void)reference(images.narrow(0, 0, problem.protocol.batch_size)); }
  void by_engine() { (void)engine.evaluate(images, losses); }
  void by_mixed() { (void)mixed->evaluate(images, losses); }
};

struct Times {
  double reference, engine, mixed;  // milliseconds for one image and one iteration; mixed is 0 where there is none
};

// The median seconds of each candidate, taking turns; the first turn warms up.
std::vector<double> take_turns(const std::vector<std::function<void()>>& candidates, std::int64_t repeats,
                               const std::function<double()>& seconds) {
  std::vector<std::vector<double>> times(candidates.size());
  for (std::int64_t i = 0; i <= repeats; ++i) {
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      core::throw_if_stopped();
      const double begin = seconds();
      candidates[c]();
      if (i > 0) times[c].push_back(seconds() - begin);
    }
  }
  std::vector<double> medians;
  for (const auto& list : times) medians.push_back(median(list));
  return medians;
}

// @param macs of one trial's evaluation of the whole batch.
Json row(const std::string& net, const BenchmarkOptions& options, std::int64_t trials, int cores, double macs,
         const Times& times, std::size_t memory) {
  const bool has_mixed = times.mixed > 0;
  return {{"net", net},
          {"batch", options.batch},
          {"trials", trials},
          {"cores", cores},
          {"double_backward_ms", times.reference},
          {"engine_ms", times.engine},
          {"ratio", times.reference / times.engine},
          {"mixed_ms", has_mixed ? Json(times.mixed) : Json()},
          {"mixed_ratio", has_mixed ? Json(times.reference / times.mixed) : Json()},
          {"gflops", 2e-6 * macs / static_cast<double>(options.batch) / times.engine / cores},
          {"memory_bytes", memory}};
}

// "1,4" to its numbers.
std::vector<std::int64_t> numbers(const std::string& text) {
  std::vector<std::int64_t> list;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (error != std::errc() || end != part.data() + part.size() || number < 1 || number > 64)
      throw core::Error(core::ErrorKind::kUsage,
                        "trials: got \"{}\", expected numbers from 1 to 64 with commas between them", text);
    list.push_back(number);
  }
  if (list.empty())
    throw core::Error(core::ErrorKind::kUsage,
                      "trials: got none, expected numbers from 1 to 64 with commas between them");
  return list;
}

// "a,b" to its names; an unknown one fails before anything is timed.
std::vector<std::string> split(const std::string& nets) {
  std::vector<std::string> names;
  std::istringstream list(nets);
  for (std::string name; std::getline(list, name, ',');) {
    (void)nets::build({.net = name, .input = {3, 32, 32}});
    names.push_back(name);
  }
  return names;
}

nets::Spec spec_for(const std::string& net) { return nets::usual_spec(net); }

Tensor noise(const nets::Architecture& architecture, const char* purpose, std::int64_t count) {
  const auto& input = architecture.spec.input;
  return core::uniform(core::Stream(0, purpose), {count, input[0], input[1], input[2]});
}

// What an attack matches: the gradient of a batch of noise in an untrained network.
inversion::Problem untrained(const std::string& net, std::int64_t batch, const char* attack = "ig") {
  nets::Network network{.architecture = nets::build(spec_for(net)), .state = {}};
  network.state = nets::initialise(network.architecture, 0);
  for (auto& [name, tensor] : network.state) {  // the layers that are born as zero would leave nothing to compute
    const bool zero = tensor.is_floating_point() && tensor.dim() > 1 && tensor.abs().max().item<float>() == 0;
    if (zero) tensor = core::normal(core::Stream(0, name), tensor.sizes()) * 0.1;
  }
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < batch; ++i) labels.push_back(i % network.architecture.spec.classes);
  const auto update =
      sharing::compute_update(network, noise(network.architecture, "benchmark truth", batch), torch::tensor(labels));
  return inversion::make_problem({.network = network, .update = update, .labels = labels},
                                 inversion::preset(attack).attack, labels);
}

void measure(const std::string& net, const BenchmarkOptions& options, std::int64_t trials, int threads, Json& rows) {
  const auto problem = untrained(net, options.batch);
  const auto& architecture = problem.architecture;
  const Tensor images = noise(architecture, "benchmark trials", trials * options.batch);

  std::vector<std::unique_ptr<Stream>> streams(threads);
  core::parallel_for(threads, threads,
                     [&](std::int64_t s) { streams[s] = std::make_unique<Stream>(problem, images, trials); });
  const bool has_mixed = streams.front()->mixed.has_value();
  auto candidates = [&](auto run_each) {
    std::vector<std::function<void()>> list = {[=] { run_each(&Stream::by_double_backward); },
                                               [=] { run_each(&Stream::by_engine); }};
    if (has_mixed) list.push_back([=] { run_each(&Stream::by_mixed); });
    return list;
  };
  auto milliseconds = [&](const std::vector<double>& seconds, int cores) {
    const double one = 1e3 / static_cast<double>(options.batch) / cores, packed = one / static_cast<double>(trials);
    return Times{seconds[0] * one, seconds[1] * packed, has_mixed ? seconds[2] * packed : 0};
  };
  using Work = void (Stream::*)();
  const auto macs = static_cast<double>(streams.front()->engine.macs()) / static_cast<double>(trials);
  const auto memory = streams.front()->engine.memory();
  std::vector<double> alone;
  core::parallel_for(1, 1, [&](std::int64_t) {  // libtorch's own threading is off inside
    alone =
        take_turns(candidates([&](Work work) { (streams.front().get()->*work)(); }), options.repeats, thread_seconds);
  });
  rows.push_back(row(net, options, trials, 1, macs, milliseconds(alone, 1), memory));
  if (threads == 1) return;
  const auto together =
      take_turns(candidates([&](Work work) {
                   core::parallel_for(threads, threads, [&](std::int64_t s) { (streams[s].get()->*work)(); });
                 }),
                 options.repeats, clock_seconds);
  rows.push_back(row(net, options, trials, threads, macs, milliseconds(together, threads), memory));
}

// How many iterations of how many restarts a second a device does: the whole descent, by the difference of two lengths
// of it.
void measure_on(const torch::Device& device, const std::string& net, const char* attack,
                const BenchmarkOptions& options, std::int64_t count, Json& rows) {
  using inversion::Precision;
  const auto problem = untrained(net, options.batch, attack);
  const auto& architecture = problem.architecture;
  const auto there = [&](torch::ScalarType type) { return torch::TensorOptions(device).dtype(type); };
  const Tensor images = noise(architecture, "benchmark trials", count * options.batch).to(device);
  const core::Tf32 strictly(device, false);
  const auto reference = [&](Precision precision, torch::ScalarType type) {
    return inversion::DoubleBackward(inversion::on(problem, device),
                                     precision)(images.narrow(0, 0, options.batch).to(type))
        .gradient.to(torch::kFloat64);
  };
  const Tensor exact = reference(Precision::kFloat64, torch::kFloat64),
               single = reference(Precision::kFloat32, torch::kFloat32);
  const auto error = [&](const Tensor& gradient, const Tensor& from) {
    return ((gradient - from).norm() / from.norm()).item<double>();
  };
  const inversion::Units units(architecture.spec, there(torch::kFloat32));
  const auto seconds = [&](const inversion::Matching& matching, std::int64_t trials, std::int64_t iterations) {
    inversion::Attack descent = inversion::preset(attack).attack;
    descent.iterations = iterations;
    const auto preferred = inversion::prior(descent, problem, units);
    std::vector<inversion::Trial> results(trials);
    core::synchronise(device);
    const double begin = clock_seconds();
    inversion::descend(matching, preferred, units, {.z = images.narrow(0, 0, trials * options.batch)}, descent,
                       results);
    core::synchronise(device);
    return clock_seconds() - begin;
  };
  const auto add = [&](const char* name, const inversion::Matching& matching, const Tensor& gradient,
                       std::int64_t trials, std::int64_t iterations) {
    std::vector<double> times;
    (void)seconds(matching, trials, 3);
    for (std::int64_t i = 0; i < options.repeats; ++i) {
      core::throw_if_stopped();
      times.push_back((seconds(matching, trials, 4 + iterations) - seconds(matching, trials, 4)) /
                      static_cast<double>(iterations));
    }
    const auto [least, most] = std::minmax_element(times.begin(), times.end());
    rows.push_back({{"net", net},
                    {"batch", options.batch},
                    {"device", device.str()},
                    {"attack", attack},
                    {"method", name},
                    {"restarts", trials},
                    {"ms_per_iteration", 1e3 * median(times)},
                    {"ms_least", 1e3 * *least},
                    {"ms_most", 1e3 * *most},
                    {"n", options.repeats},
                    {"iterations", iterations},
                    {"trial_iterations_per_s", static_cast<double>(trials) / median(times)},
                    {"error_to_float64", error(gradient, exact)},
                    {"error_to_double_backward", error(gradient, single)}});
  };
  const auto matching =
      std::make_shared<inversion::DoubleBackward>(inversion::on(problem, device), Precision::kFloat32);
  add("double backward, float32",
      {.method = {},
       .at =
           [=](const Tensor& pixels, const Tensor& labels) {
             const auto matched = (*matching)(pixels, labels);
             return inversion::Evaluated{torch::tensor({matched.matching_loss}, torch::kFloat64).to(device),
                                         matched.gradient};
           },
       .reads_back = true},
      single, 1, 20);
  std::vector<std::pair<const char*, Precision>> precisions = {{"tensor engine, float32", Precision::kFloat32},
                                                               {"tensor engine, mixed", Precision::kMixed}};
  if (device.is_cuda()) precisions.insert(precisions.begin() + 1, {"tensor engine, tf32", Precision::kTf32});
  for (const auto& [name, precision] : precisions) {
    const auto engine = std::make_shared<inversion::TensorEngine>(problem, count, precision, device);
    const Tensor gradient = engine->evaluate(images).gradient.narrow(0, 0, options.batch).to(torch::kFloat64);
    add(name,
        {.method = {},
         .at = [=](const Tensor& pixels, const Tensor& labels) { return engine->evaluate(pixels, labels); }},
        gradient, count, 60);
  }
}

// One step of adversarial training as it is written with libtorch and nothing else.
struct PlainTraining {
  nets::Leaves leaves;
  const nets::Architecture& architecture;
  const training::Batch& batch;
  const training::TrainingOptions& options;
  training::OptimiserState optimiser = {};

  Tensor loss(const Tensor& images, nets::Mode mode) const {
    return at::cross_entropy_loss(nets::evaluate(architecture, leaves.state, images, mode).logits, batch.labels);
  }
  void operator()(bool images_only) {
    const double epsilon = options.attack.epsilon.value, step_size = options.attack.step_size();
    Tensor x = batch.images;
    if (options.method == training::Method::kAdversarial) {
      x = (x + torch::empty_like(x).uniform_(-epsilon, epsilon)).clamp(0, 1);
      for (std::int64_t i = 0; i < options.attack.iterations; ++i) {
        x = x.detach().requires_grad_(true);
        Tensor gradient;
        if (images_only) {
          gradient = torch::autograd::grad({loss(x, nets::Mode::kEvaluation)}, {x})[0];
        } else {
          loss(x, nets::Mode::kEvaluation).backward();
          gradient = x.grad();
        }
        const torch::NoGradGuard no_gradient;
        x = x + step_size * gradient.sign();
        x = torch::min(torch::max(x, batch.images - epsilon), batch.images + epsilon).clamp(0, 1);
      }
    }
    const auto gradients = torch::autograd::grad({loss(x.detach(), nets::Mode::kTraining)}, leaves.parameters);
    training::step(options, 1e-3, leaves.parameters, gradients, optimiser);
  }
};

struct Mode {
  const char* name;
  std::int64_t iterations;  // of the inner attack; 0: standard training
};

Json time_training(const std::string& net, const Mode& mode, const TrainingBenchmarkOptions& options,
                   const core::Run& run) {
  const torch::Device device(run.device);
  const auto architecture = nets::build(spec_for(net));
  training::TrainingOptions ours;
  ours.method = mode.iterations > 0 ? training::Method::kAdversarial : training::Method::kStandard;
  ours.optimiser = training::Optimiser::kSgd;
  ours.attack.epsilon = core::Number("8/255");
  ours.attack.step = core::Number("2/255");
  ours.attack.iterations = mode.iterations;
  training::TrainingOptions mixed = ours;
  mixed.precision = training::Precision::kMixed;
  const training::Batch batch{.images = noise(architecture, "benchmark truth", options.batch).to(device),
                              .labels = torch::arange(options.batch).remainder(architecture.spec.classes).to(device),
                              .ids = torch::arange(options.batch),
                              .part = {}};
  auto model = training::initial_model(architecture, ours);
  model.network = nets::on(std::move(model.network), device);
  training::OptimiserState optimiser;
  auto step = [&](const training::TrainingOptions& with) {
    auto found = training::gradient(model, batch, training::inner_attack(model.network, batch, with), with, {});
    training::step(with, 1e-3, training::parameters(model).tensors, found.parameters, optimiser);
  };
  PlainTraining plain{nets::with_gradients(model.network), architecture, batch, ours};
  const auto seconds = take_turns(
      {[&] { plain(false); }, [&] { plain(true); }, [&] { step(ours); }, [&] { step(mixed); }}, options.repeats, [&] {
        core::synchronise(device);
        return clock_seconds();
      });
  auto rate = [&](int i) { return static_cast<double>(options.batch) / seconds[i]; };
  return {{"net", net},
          {"batch", options.batch},
          {"cores", run.threads},
          {"device", run.device},
          {"mode", mode.name},
          {"plain", rate(0)},
          {"plain_images_only", rate(1)},
          {"float32", rate(2)},
          {"mixed", rate(3)},
          {"ratio", seconds[0] / seconds[2]},
          {"mixed_ratio", seconds[0] / seconds[3]},
          {"mixed_ratio_images_only", seconds[1] / seconds[3]}};
}

}  // namespace

core::Fields fields(TrainingBenchmarkOptions& o) {
  return {core::field("nets", o.nets, "networks to time, by name, with commas between them"),
          core::field("batch", o.batch, "images in a step", 1, 4096),
          core::field("repeats", o.repeats, "how often each candidate runs; the median is reported", 1, 100'000)};
}

Json benchmark_training(const TrainingBenchmarkOptions& options, const core::Run& run) {
  constexpr Mode kModes[] = {{"standard", 0}, {"one step", 1}, {"PGD-10", 10}};
  Json rows = Json::array();
  const auto names = split(options.nets);
  for (const auto& net : names) {
    for (const auto& mode : kModes) {
      run.report({.task = "bench",
                  .done = static_cast<std::int64_t>(rows.size()),
                  .total = static_cast<std::int64_t>(3 * names.size()),
                  .unit = "modes",
                  .note = fmt::format("{}, {}", net, mode.name)});
      rows.push_back(time_training(net, mode, options, run));
    }
  }
  return {{"rows", rows}};
}

core::Fields fields(BenchmarkOptions& o) {
  return {core::field("nets", o.nets, "networks to time, by name, with commas between them"),
          core::field("batch", o.batch, "images in the client's batch", 1, 4096),
          core::field("trials", o.trials,
                      "restarts side by side in one engine: numbers with commas between them, a row each"),
          core::field("tensor", o.tensor, "on the CPU: time the tensor engine instead, as on a CUDA device"),
          core::field("repeats", o.repeats, "how often each candidate runs; the median is reported", 1, 100'000)};
}

Json benchmark_engine(const BenchmarkOptions& options, const core::Run& run) {
  const auto names = split(options.nets);
  const auto trials = numbers(options.trials);
  const torch::Device device(run.device);
  if (!device.is_cpu() || options.tensor) {
    Json rows = Json::array();
    for (const auto& net : names) {
      for (const auto count : trials) {
        if (options.batch == 1) measure_on(device, net, "residual", options, count, rows);
        measure_on(device, net, "ig", options, count, rows);
      }
    }
    return {{"rows", rows}};
  }
  double peak = 0;
  core::parallel_for(1, 1, [&](std::int64_t) { peak = 1e-9 * inversion::measure_peak(thread_seconds); });
  Json rows = Json::array();
  for (std::size_t i = 0; i < names.size(); ++i) {
    run.report({.task = "bench",
                .done = static_cast<std::int64_t>(i),
                .total = static_cast<std::int64_t>(names.size()),
                .unit = "networks",
                .note = names[i]});
    for (const auto count : trials) measure(names[i], options, count, run.threads, rows);
  }
  for (const auto& row : rows) peak = std::max(peak, row["gflops"].get<double>());
  for (auto& row : rows) row["of_peak"] = row["gflops"].get<double>() / peak;
  return {{"peak_gflops", peak}, {"rows", rows}};
}

std::optional<MixedError> measure_mixed() {
  if (!inversion::has_brain_floats()) return std::nullopt;
  const auto problem = untrained("preact_resnet18", 1);
  const Tensor images = noise(problem.architecture, "benchmark trials", 1);
  std::vector<double> losses(1);
  auto gradient = [&](inversion::Precision precision) {
    return inversion::Engine(problem, 1, precision).evaluate(images, losses).to(torch::kFloat64);
  };
  const Tensor exact = gradient(inversion::Precision::kFloat32), mixed = gradient(inversion::Precision::kMixed);
  return MixedError{.relative = ((mixed - exact).norm() / exact.norm()).item<double>(),
                    .cosine = ((mixed * exact).sum() / (mixed.norm() * exact.norm())).item<double>()};
}

}  // namespace pellucid::gradients
