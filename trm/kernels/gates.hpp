// What a SwiGLU computes between its products, a few cached rows at a time: `trm/models/gates.py` written out.
#pragma once
#include "elementwise.hpp"
#include <type_traits>

// Mirrored in `recursion.py`.
enum Activation : int64_t { SILU, GELU, RELU, RELU2 };

struct Activated {
    float value, slope;
};

// The activation of a gate and its derivative; a slope that is not read is not computed. NaN stays NaN.
template <int64_t kind> INLINED Activated activated(float g) {
    if constexpr (kind == SILU) {
        const float s = sigmoid(g), silu = g * s;
        return {silu, s + silu * (1.0f - s)};
    } else if constexpr (kind == GELU) { // tanh(z) = 2 sigmoid(2 z) - 1
        constexpr float twice = 2 * 0.797884561f, cubic = 0.044715f;
        const float s = sigmoid(twice * (g + cubic * g * g * g)), gelu = g * s;
        return {gelu, s + gelu * (1.0f - s) * twice * (1.0f + 3 * cubic * g * g)};
    } else {
        const float relu = g < 0.0f ? 0.0f : g;
        if constexpr (kind == RELU2) return {relu * relu, 2 * relu};
        return {relu, g > 0.0f ? 1.0f : 0.0f};
    }
}

// Calls `work` with the kind as a constant, so that loops inside are made for each.
template <typename Work> inline void with_kind(int64_t kind, const Work &work) {
    switch (kind) {
    case GELU: return work(std::integral_constant<int64_t, GELU>{});
    case RELU: return work(std::integral_constant<int64_t, RELU>{});
    case RELU2: return work(std::integral_constant<int64_t, RELU2>{});
    default: return work(std::integral_constant<int64_t, SILU>{});
    }
}

// hidden = act(gate) * up over n values.
inline void gated(int64_t kind, const float *gate, const float *up, float *hidden, int64_t n) {
    with_kind(kind, [&](auto constant) {
        SIMD for (int64_t i = 0; i < n; i++) hidden[i] = activated<constant.value>(gate[i]).value * up[i];
    });
}

// Gradients of act(gate) * up, and its value again. d_hidden may be d_up.
inline void gated_backward(int64_t kind, const float *gate, const float *up, const float *d_hidden, float *d_gate, float *d_up,
                           float *hidden, int64_t n) {
    with_kind(kind, [&](auto constant) {
        SIMD for (int64_t i = 0; i < n; i++) {
            const Activated act = activated<constant.value>(gate[i]);
            const float u = up[i], d = d_hidden[i];
            hidden[i] = act.value * u;
            d_gate[i] = d * u * act.slope;
            d_up[i] = d * act.value;
        }
    });
}

// x = act(x), and d times its slope, over n values.
inline void activate_backward(int64_t kind, float *x, float *d, int64_t n) {
    with_kind(kind, [&](auto constant) {
        SIMD for (int64_t i = 0; i < n; i++) {
            const Activated act = activated<constant.value>(x[i]);
            x[i] = act.value;
            d[i] *= act.slope;
        }
    });
}

inline void activate(int64_t kind, float *x, int64_t n) {
    with_kind(kind, [&](auto constant) {
        SIMD for (int64_t i = 0; i < n; i++) x[i] = activated<constant.value>(x[i]).value;
    });
}

// hidden = gate * up over a row of n; gives 1 over its root mean square.
inline float product_row(const float *gate, const float *up, float *hidden, int64_t n, float eps) {
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; i++) {
        hidden[i] = gate[i] * up[i];
        squares += hidden[i] * hidden[i];
    }
    return 1.0f / std::sqrt(squares / n + eps);
}

// hidden = sigmoid(gate) * norm(gate * up) over a row.
inline void normed_row(const float *gate, const float *up, float *hidden, int64_t n, float eps) {
    const float scale = product_row(gate, up, hidden, n, eps);
    SIMD for (int64_t i = 0; i < n; i++) hidden[i] *= scale * sigmoid(gate[i]);
}

// Its gradients, and its value again. d_hidden may be d_up.
inline void normed_row_backward(const float *gate, const float *up, const float *d_hidden, float *d_gate, float *d_up, float *hidden,
                                int64_t n, float eps) {
    const float scale = product_row(gate, up, hidden, n, eps);
    float along = 0;
#pragma omp simd reduction(+ : along)
    for (int64_t i = 0; i < n; i++) {
        hidden[i] *= scale;
        d_gate[i] = sigmoid(gate[i]); // for now
        along += d_hidden[i] * d_gate[i] * hidden[i];
    }
    along /= n;
    SIMD for (int64_t i = 0; i < n; i++) {
        const float s = d_gate[i], normed = hidden[i], d = d_hidden[i], d_product = scale * (d * s - normed * along);
        d_gate[i] = d_product * up[i] + d * normed * s * (1.0f - s);
        d_up[i] = d_product * gate[i];
        hidden[i] = s * normed;
    }
}

// The same down the columns of (rows, n) matrices; `scale` (n) becomes 1 over the root mean squares.
inline void product_columns(const float *gate, const float *up, float *hidden, int64_t rows, int64_t n, float *scale, float eps) {
    SIMD for (int64_t i = 0; i < n; i++) scale[i] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const float *g = gate + r * n, *u = up + r * n;
        float *h = hidden + r * n;
        SIMD for (int64_t i = 0; i < n; i++) {
            h[i] = g[i] * u[i];
            scale[i] += h[i] * h[i];
        }
    }
    SIMD for (int64_t i = 0; i < n; i++) scale[i] = 1.0f / std::sqrt(scale[i] / rows + eps);
}

inline void normed_columns(const float *gate, const float *up, float *hidden, int64_t rows, int64_t n, float *scale, float eps) {
    product_columns(gate, up, hidden, rows, n, scale, eps);
    for (int64_t r = 0; r < rows; r++) {
        const float *g = gate + r * n;
        float *h = hidden + r * n;
        SIMD for (int64_t i = 0; i < n; i++) h[i] *= scale[i] * sigmoid(g[i]);
    }
}

// `scale` and `along` (n) are room for sums.
inline void normed_columns_backward(const float *gate, const float *up, const float *d_hidden, float *d_gate, float *d_up,
                                    float *hidden, int64_t rows, int64_t n, float *scale, float *along, float eps) {
    product_columns(gate, up, hidden, rows, n, scale, eps);
    SIMD for (int64_t i = 0; i < n; i++) along[i] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const float *g = gate + r * n, *d = d_hidden + r * n;
        float *h = hidden + r * n, *s = d_gate + r * n;
        SIMD for (int64_t i = 0; i < n; i++) {
            h[i] *= scale[i];
            s[i] = sigmoid(g[i]); // for now
            along[i] += d[i] * s[i] * h[i];
        }
    }
    SIMD for (int64_t i = 0; i < n; i++) along[i] /= rows;
    for (int64_t r = 0; r < rows; r++) {
        const float *g = gate + r * n, *u = up + r * n, *dr = d_hidden + r * n;
        float *h = hidden + r * n, *dg = d_gate + r * n, *du = d_up + r * n;
        SIMD for (int64_t i = 0; i < n; i++) {
            const float s = dg[i], normed = h[i], d = dr[i], d_product = scale[i] * (d * s - normed * along[i]);
            dg[i] = d_product * u[i] + d * normed * s * (1.0f - s);
            du[i] = d_product * g[i];
            h[i] = s * normed;
        }
    }
}

// to += a * b over n values.
inline void add_product(const float *a, const float *b, float *to, int64_t n) {
    SIMD for (int64_t i = 0; i < n; i++) to[i] += a[i] * b[i];
}
