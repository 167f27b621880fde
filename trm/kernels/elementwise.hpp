// What happens between the products, a pass over a few cached rows each. Written for the compiler's vectoriser.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define SIMD _Pragma("omp simd")
#define INLINED inline __attribute__((always_inline)) // in a loop that has a call left in it nothing is vectorised

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else // what GCC had before
#define SHUFFLED(a, b, ...) __builtin_shuffle(a, b, decltype(a < b){__VA_ARGS__})
#endif

// e^x to about 1 ulp: 2^n times a polynomial of the remainder, |remainder| <= ln 2 / 2. NaN stays NaN.
INLINED float exponential(float x) {
    x = x < -87.3f ? -87.3f : x;
    x = x > 88.3f ? 88.3f : x;
    const float n = __builtin_rintf(x * 1.44269504f);
    const float r = __builtin_fmaf(n, -1.42860677e-6f, __builtin_fmaf(n, -0.693145752f, x));
    float p = 1.0f / 5040;
    p = __builtin_fmaf(p, r, 1.0f / 720);
    p = __builtin_fmaf(p, r, 1.0f / 120);
    p = __builtin_fmaf(p, r, 1.0f / 24);
    p = __builtin_fmaf(p, r, 1.0f / 6);
    p = __builtin_fmaf(p, r, 0.5f);
    p = __builtin_fmaf(p * r, r, r) + 1.0f;
    const int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    std::memcpy(&power, &bits, 4);
    return p * power;
}

INLINED float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

inline void add(const float *a, const float *b, float *sum, int64_t n) {
    SIMD for (int64_t i = 0; i < n; i++) sum[i] = a[i] + b[i];
}

// y = (x + y) over its root mean square, and the factor.
inline float normalise_row(const float *x, float *y, int64_t n, float eps) {
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; i++) {
        y[i] += x[i];
        squares += y[i] * y[i];
    }
    const float scale = 1.0f / std::sqrt(squares / n + eps);
    SIMD for (int64_t i = 0; i < n; i++) y[i] *= scale;
    return scale;
}

// Gradient before the norm from that after it, in place: scale * (d - y * mean(d * y)).
inline void unnormalise_row(float *d, const float *y, float scale, int64_t n) {
    float along = 0;
#pragma omp simd reduction(+ : along)
    for (int64_t i = 0; i < n; i++) along += d[i] * y[i];
    along /= n;
    SIMD for (int64_t i = 0; i < n; i++) d[i] = scale * (d[i] - y[i] * along);
}

// The same down the columns of (rows, n) matrices with leading dimension ld; `scale` (n).
inline void normalise_columns(const float *x, float *y, int64_t rows, int64_t n, int64_t ld, float *scale, float eps) {
    SIMD for (int64_t i = 0; i < n; i++) scale[i] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * ld;
        float *to = y + r * ld;
        SIMD for (int64_t i = 0; i < n; i++) {
            to[i] += from[i];
            scale[i] += to[i] * to[i];
        }
    }
    SIMD for (int64_t i = 0; i < n; i++) scale[i] = 1.0f / std::sqrt(scale[i] / rows + eps);
    for (int64_t r = 0; r < rows; r++) {
        float *to = y + r * ld;
        SIMD for (int64_t i = 0; i < n; i++) to[i] *= scale[i];
    }
}

inline void unnormalise_columns(float *d, const float *y, int64_t rows, int64_t n, int64_t ld, const float *scale, float *along) {
    SIMD for (int64_t i = 0; i < n; i++) along[i] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const float *dr = d + r * ld, *yr = y + r * ld;
        SIMD for (int64_t i = 0; i < n; i++) along[i] += dr[i] * yr[i];
    }
    SIMD for (int64_t i = 0; i < n; i++) along[i] /= rows;
    for (int64_t r = 0; r < rows; r++) {
        float *dr = d + r * ld;
        const float *yr = y + r * ld;
        SIMD for (int64_t i = 0; i < n; i++) dr[i] = scale[i] * (dr[i] - yr[i] * along[i]);
    }
}

constexpr int64_t LANES = 16;

inline int64_t padded(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

// Rows of scores are short and end anywhere, so they are taken by sixteen lanes, the last ones masked: in one register or in two
// halves, never in more than the processor has, for GCC compares such vectors a number at a time.
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias)); // by `using`, clang takes no alignment
#ifdef __AVX512F__
typedef float Lanes __attribute__((vector_size(64), aligned(4), may_alias));
using LaneInts = int32_t __attribute__((vector_size(64)));
constexpr Lanes LANE[] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
#else
typedef Eight Lanes;
using LaneInts = int32_t __attribute__((vector_size(32)));
constexpr Lanes LANE[] = {{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9, 10, 11, 12, 13, 14, 15}};
#endif
constexpr int64_t WIDTH = sizeof(Lanes) / sizeof(float), PARTS = LANES / WIDTH;

INLINED Lanes &part(float *x, int64_t i) { return *(Lanes *)(x + i * WIDTH); }
INLINED const Lanes &part(const float *x, int64_t i) { return *(const Lanes *)(x + i * WIDTH); }

INLINED Lanes exponential(Lanes x) {
    x = x < -87.3f ? Lanes{} - 87.3f : x;
    const Lanes n = (x * 1.44269504f + 12582912.0f) - 12582912.0f; // rounds to the nearest integer
    const Lanes r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    Lanes p = r * (1.0f / 5040) + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    return p * (Lanes)((__builtin_convertvector(n, LaneInts) + 127) << 23);
}

// All sixteen lanes joined, in halves and halves again.
template <typename Join> INLINED float across(const Lanes *x, const Join &join) {
    const Eight *halves = (const Eight *)x;
    Eight y = join(halves[0], halves[1]);
    y = join(y, SHUFFLED(y, y, 4, 5, 6, 7, 0, 1, 2, 3));
    y = join(y, SHUFFLED(y, y, 2, 3, 0, 1, 6, 7, 4, 5));
    y = join(y, SHUFFLED(y, y, 1, 0, 3, 2, 5, 4, 7, 6));
    return y[0];
}

INLINED float sum_across(const Lanes *x) {
    return across(x, [](Eight a, Eight b) { return a + b; });
}

// Row of n scores -> exponentials less the greatest, zero in its padding; gives 1 / their sum.
inline float softmax_row(float *s, int64_t n) {
    const int64_t last = padded(n) - LANES;
    const float left = n - last;
    float *end = s + last;
    Lanes most[PARTS], sum[PARTS] = {};
    for (int64_t i = 0; i < PARTS; i++) most[i] = LANE[i] < left ? part(end, i) : Lanes{} + s[0];
    for (float *at = s; at < end; at += LANES)
        for (int64_t i = 0; i < PARTS; i++) most[i] = part(at, i) > most[i] ? part(at, i) : most[i];
    const float greatest = across(most, [](Eight a, Eight b) { return a > b ? a : b; });
    for (float *at = s; at < end; at += LANES)
        for (int64_t i = 0; i < PARTS; i++) sum[i] += part(at, i) = exponential(part(at, i) - greatest);
    for (int64_t i = 0; i < PARTS; i++)
        sum[i] += part(end, i) = LANE[i] < left ? exponential(part(end, i) - greatest) : Lanes{};
    return 1.0f / sum_across(sum);
}

// From a row of n probabilities (padding zero) and the gradient of each: that of the scores, in place.
inline void softmax_row_backward(const float *p, float *d, int64_t n) {
    const int64_t last = padded(n) - LANES;
    Lanes sum[PARTS] = {};
    for (int64_t i = 0; i < PARTS; i++) part(d + last, i) = LANE[i] < (float)(n - last) ? part(d + last, i) : Lanes{};
    for (int64_t j = 0; j < n; j += LANES)
        for (int64_t i = 0; i < PARTS; i++) sum[i] += part(p + j, i) * part(d + j, i);
    const float along = sum_across(sum);
    for (int64_t j = 0; j < n; j += LANES)
        for (int64_t i = 0; i < PARTS; i++) part(d + j, i) = part(p + j, i) * (part(d + j, i) - along);
}

inline void scale_row(float *x, float factor, int64_t n) {
    SIMD for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

// Channels j and j + half of a head turned by the position's angle, times `factor`; backwards with `sign` -1.
inline void rotate_head(float *x, const float *cos, const float *sin, int64_t half, float factor, float sign) {
    SIMD for (int64_t j = 0; j < half; j++) {
        const float a = x[j], b = x[j + half], c = factor * cos[j], s = factor * sign * sin[j];
        x[j] = a * c - b * s;
        x[j + half] = b * c + a * s;
    }
}

// The same for eight rows and columns, in registers.
inline void transpose_eight(const float *from, int64_t ld_from, float *to, int64_t ld_to) {
    Eight row[8], pair[8], four[8];
    for (int i = 0; i < 8; i++) row[i] = *(const Eight *)(from + i * ld_from);
    for (int i = 0; i < 8; i += 2) {
        pair[i] = SHUFFLED(row[i], row[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        pair[i + 1] = SHUFFLED(row[i], row[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            four[i + 2 * j] = SHUFFLED(pair[i + j], pair[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            four[i + 2 * j + 1] = SHUFFLED(pair[i + j], pair[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int j = 0; j < 4; j++) {
        *(Eight *)(to + j * ld_to) = SHUFFLED(four[j], four[j + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(Eight *)(to + (j + 4) * ld_to) = SHUFFLED(four[j], four[j + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

// to (columns, rows) = from (rows, columns) transposed.
inline void transpose(int64_t rows, int64_t columns, const float *from, int64_t ld_from, float *to, int64_t ld_to) {
    for (int64_t r = 0; r < rows; r += 8)
        for (int64_t c = 0; c < columns; c += 8) {
            if (r + 8 <= rows && c + 8 <= columns) {
                transpose_eight(from + r * ld_from + c, ld_from, to + c * ld_to + r, ld_to);
                continue;
            }
            const int64_t last_r = r + 8 < rows ? r + 8 : rows, last_c = c + 8 < columns ? c + 8 : columns;
            for (int64_t j = c; j < last_c; j++)
                for (int64_t i = r; i < last_r; i++) to[j * ld_to + i] = from[i * ld_from + j];
        }
}
