// y = bend(x wᵀ + b + r) and its gradients, for tall x and small w: the weights stay in cache, rows go by once.
//
// A tile of M rows and 16·V columns lives in registers. B panels are packed: K rows of 16·V numbers, zeros past the
// last column. R rows, K inputs, N outputs; w is (N, K).

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vectors.h"

#ifdef __AVX512F__
constexpr int TALL = 6, BROAD = 4;
#else
constexpr int TALL = 6, BROAD = 1;
#endif
constexpr int64_t ROWS_AT_ONCE = 96;  // a chunk of rows that stays in cache between the parts of the backward pass

static inline int64_t vectors(int64_t columns) { return (columns + 15) / 16; }

static inline f16 load(const float* from) {
  f16 x;
  std::memcpy(&x, from, sizeof(x));
  return x;
}

// Store the first `columns` numbers of a row of V vectors.
template <int V>
static inline void store(const f16* row, float* to, int64_t columns) {
  if (columns >= 16 * V) {
    std::memcpy(to, row, sizeof(f16) * V);
  } else {
    std::memcpy(to, row, columns * sizeof(float));
  }
}

// c (M, 16·V) = a (M, K) · b (K, 16·V).
template <int M, int V>
static inline void multiply(const float* a, int64_t a_step, const f16* b, int64_t k, f16 (*c)[V]) {
  f16 sum[M][V] = {};
  for (int64_t i = 0; i < k; i++) {
    f16 row[V];
    for (int v = 0; v < V; v++) row[v] = b[i * V + v];
    for (int m = 0; m < M; m++)
      for (int v = 0; v < V; v++) sum[m][v] += a[m * a_step + i] * row[v];
  }
  for (int m = 0; m < M; m++)
    for (int v = 0; v < V; v++) c[m][v] = sum[m][v];
}

// What happens to a tile before it is stored; null pointers leave a part out.
struct Finish {
  const float* bias;
  const float* add;  // (R, N)
  bool relu;
};

template <int M, int V>
static inline void tile(const float* a, int64_t a_step, const f16* b, int64_t k, float* c, int64_t c_step,
                        int64_t columns, const f16* bias, const Finish& finish) {
  f16 made[M][V];
  multiply<M, V>(a, a_step, b, k, made);
  for (int m = 0; m < M; m++) {
    for (int v = 0; v < V; v++) made[m][v] += bias[v];
    if (finish.add) {
      f16 more[V] = {};
      if (columns >= 16 * V) {
        std::memcpy(more, finish.add + m * c_step, sizeof(more));
      } else {
        std::memcpy(more, finish.add + m * c_step, columns * sizeof(float));
      }
      for (int v = 0; v < V; v++) made[m][v] += more[v];
    }
    if (finish.relu)
      for (int v = 0; v < V; v++) made[m][v] = made[m][v] < 0.0f ? f16{} : made[m][v];  // NaN stays NaN
    store<V>(made[m], c + m * c_step, columns);
  }
}

template <int V>
static void panel(const float* a, int64_t a_step, const f16* b, int64_t rows, int64_t k, float* c, int64_t c_step,
                  int64_t columns, const Finish& finish) {
  int64_t i = 0;
  f16 bias[V] = {};
  if (finish.bias) std::memcpy(bias, finish.bias, std::min<int64_t>(columns, 16 * V) * sizeof(float));
  const auto at = [&](int64_t row) {
    return Finish{finish.bias, finish.add ? finish.add + row * c_step : nullptr, finish.relu};
  };
  for (; i + TALL <= rows; i += TALL)
    tile<TALL, V>(a + i * a_step, a_step, b, k, c + i * c_step, c_step, columns, bias, at(i));
  for (; i < rows; i++) tile<1, V>(a + i * a_step, a_step, b, k, c + i * c_step, c_step, columns, bias, at(i));
}

// c (R, N) = finish(a (R, K) · b), b packed.
static void product(const float* a, int64_t a_step, const std::vector<f16>& b, int64_t rows, int64_t k, float* c,
                    int64_t n, const Finish& finish) {
  const int64_t all = vectors(n);
  for (int64_t v = 0; v < all; v += BROAD) {
    const int64_t width = std::min<int64_t>(BROAD, all - v);
    const f16* from = b.data() + v * k;
    const Finish own{finish.bias ? finish.bias + 16 * v : nullptr, finish.add ? finish.add + 16 * v : nullptr,
                     finish.relu};
    float* to = c + 16 * v;
    const int64_t columns = n - 16 * v;
    switch (width) {
      case 1: panel<1>(a, a_step, from, rows, k, to, n, columns, own); break;
#ifdef __AVX512F__
      case 2: panel<2>(a, a_step, from, rows, k, to, n, columns, own); break;
      case 3: panel<3>(a, a_step, from, rows, k, to, n, columns, own); break;
      case 4: panel<4>(a, a_step, from, rows, k, to, n, columns, own); break;
#endif
    }
  }
}

// Pack b (K, N) with b[i][j] = from[i · row_step + j · column_step] into panels.
static std::vector<f16> pack(const float* from, int64_t k, int64_t n, int64_t row_step, int64_t column_step) {
  const int64_t all = vectors(n);
  std::vector<f16> packed(all * k, f16{});
  for (int64_t v = 0; v < all; v += BROAD) {
    const int64_t width = std::min<int64_t>(BROAD, all - v), columns = std::min<int64_t>(16 * width, n - 16 * v);
    float* to = (float*)(packed.data() + v * k);
    for (int64_t i = 0; i < k; i++)
      for (int64_t j = 0; j < columns; j++)
        to[i * 16 * width + j] = from[i * row_step + (16 * v + j) * column_step];
  }
  return packed;
}

// in x (R, K), w (N, K), b (N), add (R, N); out y (R, N); size R, K, N, relu, 1 with b, 1 with add.
static void linear_forward(const float* const* in, float* const* out, const int64_t* size) {
  const int64_t rows = size[0], k = size[1], n = size[2];
  const std::vector<f16> b = pack(in[1], k, n, 1, k);
  product(in[0], k, b, rows, k, out[0], n, {size[4] ? in[2] : nullptr, size[5] ? in[3] : nullptr, size[3] != 0});
}

// to (N, 16·V) += gᵀ (N, R) · x (R, 16·V), tile by tile; g has rows of N numbers, x rows of `x_step`.
template <int M, int V>
static inline void outer(const float* g, int64_t n, const float* x, int64_t x_step, int64_t rows, float* to,
                         int64_t to_step) {
  f16 sum[M][V];
  for (int m = 0; m < M; m++)
    for (int v = 0; v < V; v++) sum[m][v] = load(to + m * to_step + 16 * v);
  for (int64_t i = 0; i < rows; i++) {
    f16 row[V];
    for (int v = 0; v < V; v++) row[v] = load(x + i * x_step + 16 * v);
    for (int m = 0; m < M; m++)
      for (int v = 0; v < V; v++) sum[m][v] += g[i * n + m] * row[v];
  }
  for (int m = 0; m < M; m++)
    for (int v = 0; v < V; v++) std::memcpy(to + m * to_step + 16 * v, &sum[m][v], sizeof(f16));
}

template <int V>
static void outer_panel(const float* g, int64_t n, const float* x, int64_t x_step, int64_t rows, float* to,
                        int64_t to_step) {
  int64_t j = 0;
  for (; j + TALL <= n; j += TALL) outer<TALL, V>(g + j, n, x, x_step, rows, to + j * to_step, to_step);
  for (; j < n; j++) outer<1, V>(g + j, n, x, x_step, rows, to + j * to_step, to_step);
}

// to (N, P) += gᵀ x for g (R, N) and x (R, P), P a multiple of 16.
static void outer_all(const float* g, int64_t n, const float* x, int64_t p, int64_t rows, float* to) {
  for (int64_t v = 0; v < p / 16; v += BROAD) {
    const int64_t at = 16 * v;
    switch (std::min<int64_t>(BROAD, p / 16 - v)) {
      case 1: outer_panel<1>(g, n, x + at, p, rows, to + at, p); break;
#ifdef __AVX512F__
      case 2: outer_panel<2>(g, n, x + at, p, rows, to + at, p); break;
      case 3: outer_panel<3>(g, n, x + at, p, rows, to + at, p); break;
      case 4: outer_panel<4>(g, n, x + at, p, rows, to + at, p); break;
#endif
    }
  }
}

// in x (R, K), w (N, K), y (R, N), dy (R, N); out dx (R, K), dw (N, K), db (N); size R, K, N, relu, 1 with dx.
static void linear_backward(const float* const* in, float* const* out, const int64_t* size) {
  const int64_t rows = size[0], k = size[1], n = size[2], padded = 16 * vectors(k);
  const bool relu = size[3] != 0, with_dx = size[4] != 0;
  const std::vector<f16> b = with_dx ? pack(in[1], n, k, k, 1) : std::vector<f16>();
  std::vector<float> dw(n * padded, 0.0f), gated(relu ? ROWS_AT_ONCE * n : 0), wide(k == padded ? 0 : ROWS_AT_ONCE * padded);
  float* db = out[2];
  std::memset(db, 0, n * sizeof(float));
  for (int64_t start = 0; start < rows; start += ROWS_AT_ONCE) {
    const int64_t some = std::min(ROWS_AT_ONCE, rows - start);
    const float *g = in[3] + start * n, *x = in[0] + start * k;
    for (int64_t i = 0; i < some; i++) {
      const float *row = g + i * n, *y = in[2] + (start + i) * n;
      if (relu) {
        float* through = gated.data() + i * n;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
          through[j] = (y[j] > 0.0f ? 1.0f : 0.0f) * row[j];
          db[j] += through[j];
        }
      } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) db[j] += row[j];
      }
    }
    if (relu) g = gated.data();
    if (k != padded) {
      for (int64_t i = 0; i < some; i++) std::memcpy(wide.data() + i * padded, x + i * k, k * sizeof(float));
      x = wide.data();
    }
    outer_all(g, n, x, padded, some, dw.data());
    if (with_dx) product(g, n, b, some, n, out[0] + start * k, k, {nullptr, nullptr, false});
  }
  for (int64_t j = 0; j < n; j++) std::memcpy(out[1] + j * k, dw.data() + j * padded, k * sizeof(float));
}

// y = relu(x w1ᵀ + b1) w2ᵀ + b2 + add, chunk by chunk, so that the wide middle never leaves the cache.
// in x (R, D), w1 (H, D), b1 (H), w2 (D, H), b2 (D), add (R, D); out y (R, D); size R, D, H.
static void feed_forward(const float* const* in, float* const* out, const int64_t* size) {
  const int64_t rows = size[0], d = size[1], hidden = size[2];
  const std::vector<f16> up = pack(in[1], d, hidden, 1, d), down = pack(in[3], hidden, d, 1, hidden);
  std::vector<float> middle(ROWS_AT_ONCE * hidden);
  for (int64_t start = 0; start < rows; start += ROWS_AT_ONCE) {
    const int64_t some = std::min(ROWS_AT_ONCE, rows - start), at = start * d;
    product(in[0] + at, d, up, some, d, middle.data(), hidden, {in[2], nullptr, true});
    product(middle.data(), hidden, down, some, hidden, out[0] + at, d, {in[4], in[5] + at, false});
  }
}

// The middle is computed again: one more product, in cache, against a wide array written and read twice.
// in x w1 b1 w2 dy; out dx (R, D), dw1 (H, D), db1 (H), dw2 (D, H), db2 (D); size as above; D a multiple of 16.
static void feed_backward(const float* const* in, float* const* out, const int64_t* size) {
  const int64_t rows = size[0], d = size[1], hidden = size[2];
  const std::vector<f16> up = pack(in[1], d, hidden, 1, d), back_down = pack(in[3], d, hidden, hidden, 1),
                         back_up = pack(in[1], hidden, d, d, 1);
  std::vector<float> middle(ROWS_AT_ONCE * hidden), g(ROWS_AT_ONCE * hidden);
  float *db1 = out[2], *db2 = out[4];
  std::memset(out[1], 0, hidden * d * sizeof(float));
  std::memset(out[3], 0, d * hidden * sizeof(float));
  std::memset(db1, 0, hidden * sizeof(float));
  std::memset(db2, 0, d * sizeof(float));
  for (int64_t start = 0; start < rows; start += ROWS_AT_ONCE) {
    const int64_t some = std::min(ROWS_AT_ONCE, rows - start);
    const float *x = in[0] + start * d, *dy = in[4] + start * d;
    product(x, d, up, some, d, middle.data(), hidden, {in[2], nullptr, true});
    outer_all(dy, d, middle.data(), hidden, some, out[3]);
    product(dy, d, back_down, some, d, g.data(), hidden, {nullptr, nullptr, false});
    for (int64_t i = 0; i < some; i++) {
      const float* open = middle.data() + i * hidden;
      float* through = g.data() + i * hidden;
#pragma omp simd
      for (int64_t j = 0; j < hidden; j++) {
        through[j] = (open[j] > 0.0f ? 1.0f : 0.0f) * through[j];
        db1[j] += through[j];
      }
#pragma omp simd
      for (int64_t j = 0; j < d; j++) db2[j] += dy[i * d + j];
    }
    outer_all(g.data(), hidden, x, d, some, out[1]);
    product(g.data(), hidden, back_up, some, hidden, out[0] + start * d, d, {nullptr, nullptr, false});
  }
}
