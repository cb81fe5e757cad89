// Fused single-thread kernels for MLX on the CPU: each reads its rows once and keeps what it needs in cache.
//
// Every kernel has the same signature: pointers to its inputs, pointers to its outputs, and its sizes. Arrays are
// float32 and row-contiguous. Sums run in a fixed order, so the same input always gives the same bits.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "vectors.h"

typedef void (*kernel_t)(const float* const* in, float* const* out, const int64_t* size);

constexpr int64_t WIDEST = 1024;   // columns of a row kept on the stack

template <int N>
static inline f16 turned_by(f16 x) {
  const i16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return __builtin_shuffle(x, (lane + N) & 15);
}

static inline float largest(f16 x) {
  f16 y = turned_by<8>(x);
  x = x > y ? x : y;
  y = turned_by<4>(x);
  x = x > y ? x : y;
  y = turned_by<2>(x);
  x = x > y ? x : y;
  y = turned_by<1>(x);
  return x[0] > y[0] ? x[0] : y[0];
}

static inline float total(f16 x) {
  x += turned_by<8>(x);
  x += turned_by<4>(x);
  x += turned_by<2>(x);
  return x[0] + x[1];
}

// exp(x) for x <= 0, error below 2 units in the last place; the bits of n build 2^n. Below −80 it is exactly zero:
// a weight of 1e-35 changes nothing, and products of such numbers (denormals) would cost a hundred times more.
static inline f16 exp_negative(f16 x) {
  const f16 lowest = f16{} - 80.0f, given = x;
  x = x < lowest ? lowest : x;
  const f16 shifted = x * 1.44269504f + 12582912.0f;  // rounds x·log2(e) to a whole number in the low bits
  const f16 n = shifted - 12582912.0f;
  const f16 r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  f16 p = f16{} + 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return given < lowest ? f16{} : p * (f16)(((i16)shifted - 0x4B400000 + 127) << 23);
}

// y = bend(normalise(x) · w + b), row by row.
// in x (R, D), w b (D); out y (R, D), stats (R, 2) mean and 1/sd; size R, D, 1 for ReLU.
static void norm_forward(const float* const* in, float* const* out, const int64_t* size) {
  const int64_t rows = size[0], d = size[1], relu = size[2];
  const float *w = in[1], *b = in[2];
  const float floor = relu ? 0.0f : -INFINITY;
  float t[WIDEST];
  for (int64_t i = 0; i < rows; i++) {
    const float* x = in[0] + i * d;
    float* y = out[0] + i * d;
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < d; j++) sum += x[j];
    const float mean = sum / d;
#pragma omp simd reduction(+ : squares)
    for (int64_t j = 0; j < d; j++) {
      t[j] = x[j] - mean;
      squares += t[j] * t[j];
    }
    const float over_sd = 1.0f / std::sqrt(squares / d + 1e-5f);
#pragma omp simd
    for (int64_t j = 0; j < d; j++) {
      const float z = t[j] * over_sd * w[j] + b[j];
      y[j] = floor > z ? floor : z;  // in this order NaN stays NaN
    }
    out[1][2 * i] = mean;
    out[1][2 * i + 1] = over_sd;
  }
}

// in x w y stats dy more; out dx (R, D) with `more` (R, D) added where given, dw db (D); size R, D, ReLU, 1 with more.
static void norm_backward(const float* const* in, float* const* out, const int64_t* size) {
  const int64_t rows = size[0], d = size[1], relu = size[2], with_more = size[3];
  const float* w = in[1];
  const float closed = relu ? 0.0f : 1.0f;  // what passes where y <= 0; times, not chosen: NaN in dy stays NaN
  float *dw = out[1], *db = out[2];
  float hat[WIDEST], g[WIDEST];
  std::memset(dw, 0, d * sizeof(float));
  std::memset(db, 0, d * sizeof(float));
  for (int64_t i = 0; i < rows; i++) {
    const float *x = in[0] + i * d, *y = in[2] + i * d, *dy = in[4] + i * d, *more = in[5] + i * d;
    const float mean = in[3][2 * i], over_sd = in[3][2 * i + 1];
    float* dx = out[0] + i * d;
    float along = 0, sum = 0;
#pragma omp simd reduction(+ : sum, along)
    for (int64_t j = 0; j < d; j++) {
      const float through = (y[j] > 0.0f ? 1.0f : closed) * dy[j];
      hat[j] = (x[j] - mean) * over_sd;
      db[j] += through;
      dw[j] += through * hat[j];
      g[j] = through * w[j];
      sum += g[j];
      along += g[j] * hat[j];
    }
    sum /= d;
    along /= d;
    if (with_more) {
#pragma omp simd
      for (int64_t j = 0; j < d; j++) dx[j] = over_sd * (g[j] - sum - hat[j] * along) + more[j];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < d; j++) dx[j] = over_sd * (g[j] - sum - hat[j] * along);
    }
  }
}

// Queries that share one pass over keys and values; their sums fit the registers.
#ifdef __AVX512F__
constexpr int TOGETHER = 5;
#else
constexpr int TOGETHER = 2;
#endif

// Copy one head of (L, D) tokens, times `scale`, as (W, 16·V), padded with zeros.
template <int W, int V>
static inline void turn(const float* tokens, int64_t length, int64_t d, float scale, f16 (*turned)[V]) {
  std::memset(turned, 0, sizeof(f16) * W * V);
  for (int64_t j = 0; j < length; j++)
    for (int e = 0; e < W; e++) ((float*)turned[e])[j] = tokens[j * d + e] * scale;
}

// Scores of M queries against all keys, (M, V) vectors, with the bias; past the last token a score is −1e30.
template <int W, int V, int M>
static inline void scores(const f16 (*keys)[V], const float* q, const f16* bias, int64_t d, f16 (*score)[V]) {
  for (int m = 0; m < M; m++)
    for (int v = 0; v < V; v++) score[m][v] = bias[v];
  for (int e = 0; e < W; e++)
    for (int m = 0; m < M; m++)
      for (int v = 0; v < V; v++) score[m][v] += q[m * d + e] * keys[e][v];
}

// Attention of Q queries over L <= 16·V tokens, heads of width W, M queries at a time. The weights are not kept:
// the backward pass computes them again from `norms`, two numbers per query, which costs less than memory does.
template <int W, int V, int M>
static inline void attend_some(const f16 (*keys)[V], const float* values, int64_t kv_step, const float* q,
                               const f16* bias, float* mixed, float* norms, int64_t length, int64_t d) {
  typedef float row_t __attribute__((vector_size(W * 4), aligned(4), may_alias));
  f16 score[M][V];
  scores<W, V, M>(keys, q, bias, d, score);
  float share[M];
  for (int m = 0; m < M; m++) {
    f16 tops = score[m][0], totals = {};
    for (int v = 1; v < V; v++) tops = tops > score[m][v] ? tops : score[m][v];
    const float top = largest(tops);
    for (int v = 0; v < V; v++) {
      score[m][v] = exp_negative(score[m][v] - top);
      totals += score[m][v];
    }
    share[m] = 1.0f / total(totals);
    norms[2 * m] = top;
    norms[2 * m + 1] = share[m];
  }
  row_t sum[M] = {};
  for (int64_t j = 0; j < length; j++) {
    const row_t row = *(const row_t*)(values + j * kv_step);
    for (int m = 0; m < M; m++) sum[m] += ((const float*)score[m])[j] * row;
  }
  for (int m = 0; m < M; m++) *(row_t*)(mixed + m * d) = sum[m] * share[m];
}

// in q (B, Q, D), kv (B, L, 2D) keys then values, bias (B, L) added to every score; out mixed (B, Q, D),
// norms (B, H, Q, 2); size B, Q, L, D, H.
template <int W, int V>
static void attend_forward(const float* const* in, float* const* out, const int64_t* size) {
  const int64_t n = size[0], queries = size[1], length = size[2], d = size[3], heads = size[4];
  const float scale = 1.0f / std::sqrt((float)W);
  f16 keys[W][V], bias[V];
  for (int64_t i = 0; i < n; i++) {
    for (int v = 0; v < V; v++) bias[v] = f16{} - 1e30f;
    std::memcpy(bias, in[2] + i * length, length * sizeof(float));
    for (int64_t h = 0; h < heads; h++) {
      const float *from = in[1] + i * length * 2 * d + h * W, *values = from + d;
      turn<W, V>(from, length, 2 * d, scale, keys);
      int64_t a = 0;
      const auto at = [&](int64_t query) { return (i * queries + query) * d + h * W; };
      const auto norms = [&](int64_t query) { return out[1] + 2 * ((i * heads + h) * queries + query); };
      for (; a + TOGETHER <= queries; a += TOGETHER)
        attend_some<W, V, TOGETHER>(keys, values, 2 * d, in[0] + at(a), bias, out[0] + at(a), norms(a), length, d);
      for (; a < queries; a++)
        attend_some<W, V, 1>(keys, values, 2 * d, in[0] + at(a), bias, out[0] + at(a), norms(a), length, d);
    }
  }
}

template <int W, int V, int M>
static inline void attend_back_some(const f16 (*turned_keys)[V], const f16 (*turned_values)[V], const float* keys,
                                    int64_t kv_step, const float* q, const f16* bias, const float* norms,
                                    const float* g, float* dq, float (*dk)[W], float (*dv)[W], int64_t length,
                                    int64_t d) {
  typedef float row_t __attribute__((vector_size(W * 4), aligned(4), may_alias));
  const float scale = 1.0f / std::sqrt((float)W);
  f16 p[M][V], ds[M][V] = {};
  scores<W, V, M>(turned_keys, q, bias, d, p);
  for (int e = 0; e < W; e++)
    for (int m = 0; m < M; m++)
      for (int v = 0; v < V; v++) ds[m][v] += g[m * d + e] * turned_values[e][v];
  for (int m = 0; m < M; m++) {
    f16 products = {};
    for (int v = 0; v < V; v++) {
      p[m][v] = exp_negative(p[m][v] - norms[2 * m]) * norms[2 * m + 1];
      products += p[m][v] * ds[m][v];
    }
    const float along = total(products);
    for (int v = 0; v < V; v++) ds[m][v] = p[m][v] * (ds[m][v] - along) * scale;
  }
  row_t sum[M] = {}, q_row[M], g_row[M];
  for (int m = 0; m < M; m++) {
    q_row[m] = *(const row_t*)(q + m * d);
    g_row[m] = *(const row_t*)(g + m * d);
  }
  for (int64_t j = 0; j < length; j++) {
    const row_t key = *(const row_t*)(keys + j * kv_step);
    row_t to_key = *(row_t*)dk[j], to_value = *(row_t*)dv[j];
    for (int m = 0; m < M; m++) {
      const float s = ((const float*)ds[m])[j];
      sum[m] += s * key;
      to_key += s * q_row[m];
      to_value += ((const float*)p[m])[j] * g_row[m];
    }
    *(row_t*)dk[j] = to_key;
    *(row_t*)dv[j] = to_value;
  }
  for (int m = 0; m < M; m++) *(row_t*)(dq + m * d) = sum[m];
}

// in q kv bias norms dmixed; out dq (B, Q, D), dkv (B, L, 2D); size as above.
template <int W, int V>
static void attend_backward(const float* const* in, float* const* out, const int64_t* size) {
  const int64_t n = size[0], queries = size[1], length = size[2], d = size[3], heads = size[4];
  const float scale = 1.0f / std::sqrt((float)W);
  f16 keys[W][V], values[W][V], bias[V];
  alignas(64) float dk[16 * V][W], dv[16 * V][W];
  for (int64_t i = 0; i < n; i++) {
    for (int v = 0; v < V; v++) bias[v] = f16{} - 1e30f;
    std::memcpy(bias, in[2] + i * length, length * sizeof(float));
    for (int64_t h = 0; h < heads; h++) {
      const float* from = in[1] + i * length * 2 * d + h * W;
      turn<W, V>(from, length, 2 * d, scale, keys);
      turn<W, V>(from + d, length, 2 * d, 1.0f, values);
      std::memset(dk, 0, sizeof(dk));
      std::memset(dv, 0, sizeof(dv));
      int64_t a = 0;
      const auto at = [&](int64_t query) { return (i * queries + query) * d + h * W; };
      const auto norms = [&](int64_t query) { return in[3] + 2 * ((i * heads + h) * queries + query); };
      for (; a + TOGETHER <= queries; a += TOGETHER)
        attend_back_some<W, V, TOGETHER>(keys, values, from, 2 * d, in[0] + at(a), bias, norms(a), in[4] + at(a),
                                  out[0] + at(a), dk, dv, length, d);
      for (; a < queries; a++)
        attend_back_some<W, V, 1>(keys, values, from, 2 * d, in[0] + at(a), bias, norms(a), in[4] + at(a),
                                  out[0] + at(a), dk, dv, length, d);
      for (int64_t j = 0; j < length; j++) {
        float* to = out[1] + (i * length + j) * 2 * d + h * W;
        std::memcpy(to, dk[j], sizeof(dk[j]));
        std::memcpy(to + d, dv[j], sizeof(dv[j]));
      }
    }
  }
}
