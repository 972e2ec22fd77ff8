#include "pellucid/inversion/engine/onednn.h"

#include <algorithm>

namespace pellucid::inversion {

dnnl::primitive_attr Onednn::attributes(bool sum) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (sum) {
    dnnl::post_ops operations;
    operations.append_sum(1);
    attributes.set_post_ops(operations);
  }
  return attributes;
}

dnnl::memory Onednn::scratchpad(const dnnl::memory::desc& description) {
  scratchpad_bytes_ = std::max(scratchpad_bytes_, description.get_size());
  return scratchpads_.emplace_back(description, engine_, nullptr);
}

void multiply(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
              const float* a, const float* b, float beta, float* c) {
  const auto status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a,
                                 transpose_a ? m : k, b, transpose_b ? k : n, beta, c, n);
  if (status != dnnl_success) throw dnnl::error(status, "matrix product");
}

}  // namespace pellucid::inversion
