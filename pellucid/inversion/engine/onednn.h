// What the matching engine takes from oneDNN: primitives that are made once and called often, and a matrix product.
#pragma once

#include <dnnl.hpp>

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace pellucid::inversion {

/// What a primitive computes, for an engine: its arguments as oneDNN lists them for that operation. Up to version 2
/// that took two steps.
template <typename Primitive, typename... Arguments>
typename Primitive::primitive_desc described(const dnnl::engine& engine, const dnnl::primitive_attr& attributes,
                                             const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, arguments..., attributes};
#else
  return {typename Primitive::desc(arguments...), attributes, engine};
#endif
}
/// The same for a backward primitive, of the forward one described by `forward`.
template <typename Primitive, typename Forward, typename... Arguments>
typename Primitive::primitive_desc described_after(const Forward& forward, const dnnl::engine& engine,
                                                   const dnnl::primitive_attr& attributes,
                                                   const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, arguments..., forward, attributes};
#else
  return {typename Primitive::desc(arguments...), attributes, engine, forward};
#endif
}

/// A primitive with its arguments.
struct Call {
  dnnl::primitive primitive;
  std::unordered_map<int, dnnl::memory> arguments;
};

/// oneDNN's engine, one stream, and a scratchpad that all primitives share: they run one after the other.
class Onednn {
 public:
  Onednn() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {}

  [[nodiscard]] const dnnl::engine& engine() const { return engine_; }
  /// The attributes every primitive is made with. `sum`: it adds to its result.
  [[nodiscard]] static dnnl::primitive_attr attributes(bool sum = false);
  /// Completes a primitive's arguments.
  template <typename Primitive, typename Description>
  Call call(const Description& description, std::unordered_map<int, dnnl::memory> arguments) {
    arguments[DNNL_ARG_SCRATCHPAD] = scratchpad(description.scratchpad_desc());
    return {Primitive(description), std::move(arguments)};
  }
  /// Gives the scratchpad its memory, once every primitive is made. @param take allocates so many bytes.
  template <typename Take>
  void bind_scratchpad(Take take) {
    void* memory = take(scratchpad_bytes_);
    for (auto& view : scratchpads_) view.set_data_handle(memory);
  }
  void run(const Call& call) { call.primitive.execute(stream_, call.arguments); }

  [[nodiscard]] dnnl::memory view(const dnnl::memory::desc& description, void* data) const {
    return {description, engine_, data};
  }

 private:
  dnnl::memory scratchpad(const dnnl::memory::desc& description);

  dnnl::engine engine_;
  dnnl::stream stream_;
  std::vector<dnnl::memory> scratchpads_;
  std::size_t scratchpad_bytes_ = 0;
};

/// C = alpha op(A) op(B) + beta C, row by row: op(A) is m x k, op(B) k x n, C m x n, all without gaps.
void multiply(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
              const float* a, const float* b, float beta, float* c);

}  // namespace pellucid::inversion
