// Lets a C kernel be an operation of an MLX graph on the CPU, as `mx.fast.metal_kernel` does on a GPU.
//
// `run(name, inputs, shapes, sizes)` returns lazy arrays; when they are evaluated, the kernel of that name runs on
// the stream they belong to. Gradients are declared in Python (`mx.custom_function`).

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <string>
#include <vector>

#include "kernels.h"
#include "linear.h"
#include "mlx/allocator.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"
#include "mlx/utils.h"

namespace nb = nanobind;
namespace mx = mlx::core;

// Attention is compiled for heads 8, 16 and 32 wide over windows of up to 16, 32 and 48 tokens.
#define ATTEND(W, V)                                                                  \
  {"attend_forward_" #W "_" #V, {attend_forward<W, V>}}, {                            \
    "attend_backward_" #W "_" #V, { attend_backward<W, V> }                           \
  }

// A kernel, and which input its first output may overwrite where nobody needs that input any more (-1: none).
struct Entry {
  kernel_t kernel;
  int over = -1;
};

static const std::map<std::string, Entry> KERNELS = {
    {"linear_forward", {linear_forward}},
    {"linear_backward", {linear_backward}},
    {"feed_forward", {feed_forward}},
    {"feed_backward", {feed_backward}},
    {"norm_forward", {norm_forward}},
    {"norm_backward", {norm_backward, 4}},
    ATTEND(8, 1),
    ATTEND(8, 2),
    ATTEND(8, 3),
    ATTEND(16, 1),
    ATTEND(16, 2),
    ATTEND(16, 3),
    ATTEND(32, 1),
    ATTEND(32, 2),
    ATTEND(32, 3),
};

// An input whose numbers do not lie in a row: a slice, a turned or a broadcast array.
struct Scattered {
  size_t input;
  mx::Shape shape;
  mx::Strides strides;
  size_t count;
};

static void gather(const float* from, const mx::Shape& shape, const mx::Strides& strides, size_t axis, float*& to) {
  if (axis == shape.size()) {
    *to++ = *from;
    return;
  }
  for (int i = 0; i < shape[axis]; i++) gather(from + i * strides[axis], shape, strides, axis + 1, to);
}

class Kernel : public mx::Primitive {
 public:
  Kernel(mx::Stream stream, Entry entry, std::vector<int64_t> sizes)
      : mx::Primitive(stream), entry_(entry), sizes_(std::move(sizes)) {}

  void eval_cpu(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    auto& encoder = mx::cpu::get_command_encoder(stream());
    std::vector<const float*> in;
    std::vector<float*> out;
    std::vector<Scattered> scattered;
    for (size_t i = 0; i < inputs.size(); i++) {
      const auto& a = inputs[i];
      encoder.set_input_array(a);
      in.push_back(a.data<float>());
      if (!a.flags().row_contiguous) scattered.push_back({i, a.shape(), a.strides(), a.size()});
    }
    for (size_t i = 0; i < outputs.size(); i++) {
      auto& a = outputs[i];
      if (i == 0 && entry_.over >= 0 && inputs[entry_.over].is_donatable() &&
          inputs[entry_.over].flags().row_contiguous) {
        a.copy_shared_buffer(inputs[entry_.over]);
      } else {
        a.set_data(mx::allocator::malloc(a.nbytes()));
      }
      encoder.set_output_array(a);
      out.push_back(a.data<float>());
    }
    encoder.dispatch([kernel = entry_.kernel, sizes = sizes_, in = std::move(in), out = std::move(out),
                      scattered = std::move(scattered)]() {
      std::vector<const float*> given = in;
      std::vector<std::vector<float>> gathered;
      for (const auto& s : scattered) {
        gathered.emplace_back(s.count);
        float* to = gathered.back().data();
        gather(in[s.input], s.shape, s.strides, 0, to);
        given[s.input] = gathered.back().data();
      }
      kernel(given.data(), out.data(), sizes.data());
    });
  }

  void eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) override {
    throw std::runtime_error("this kernel runs on the CPU only");
  }

  const char* name() const override { return "Kernel"; }

 private:
  Entry entry_;
  std::vector<int64_t> sizes_;
};

static std::vector<mx::array> run(const std::string& name, const std::vector<mx::array>& inputs,
                                  const std::vector<std::vector<int>>& shapes, const std::vector<int64_t>& sizes) {
  const auto stream = mx::to_stream({});
  for (const auto& a : inputs)
    if (a.dtype() != mx::float32) throw std::invalid_argument(name + ": wants float32");
  std::vector<mx::Shape> out_shapes;
  for (const auto& s : shapes) out_shapes.push_back(mx::Shape(s.begin(), s.end()));
  std::vector<mx::Dtype> types(shapes.size(), mx::float32);
  return mx::array::make_arrays(std::move(out_shapes), types,
                                std::make_shared<Kernel>(stream, KERNELS.at(name), sizes), inputs);
}

NB_MODULE(_mlx_rl_native, m) {
  nb::module_::import_("mlx.core");
  m.def("run", &run);
}
