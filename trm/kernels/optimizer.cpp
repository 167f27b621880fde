// AdamATan2 in one pass over memory, float32.
#include "elementwise.hpp"
#include "threads.hpp"

#include <algorithm>

namespace {

// Arctangent of |m| / d for d >= 0, with the sign of m; 0 of 0 / 0. Within 2 ulp: a polynomial for quotients up to tan(pi/8).
inline float arctangent(float m, float d) {
    const float a = std::fabs(m), least = std::min(a, d), most = std::max(a, d);
    const float q = most > 0 ? least / most : most; // NaN stays NaN
    const bool is_steep = q > 0.414213562f;
    const float x = is_steep ? (q - 1.0f) / (q + 1.0f) : q, z = x * x;
    float p = 8.05374449538e-2f;
    p = __builtin_fmaf(p, z, -1.38776856032e-1f);
    p = __builtin_fmaf(p, z, 1.99777106478e-1f);
    p = __builtin_fmaf(p, z, -3.33329491539e-1f);
    float angle = __builtin_fmaf(p * z, x, x) + (is_steep ? 0.785398163397f : 0.0f);
    angle = a > d ? 1.57079632679f - angle : angle;
    return std::copysign(angle, m);
}

} // namespace

extern "C" {

struct Rates {
    float decay; // 1 - lr * weight_decay
    float beta1, share1; // share: 1 - beta, which a beta near 1 no longer gives in float32
    float beta2, share2;
    float root; // 1 / sqrt(1 - beta2^t)
    float rate; // lr / (1 - beta1^t)
};

// One update of n values.
void trm_adam_atan2(int64_t n, const Rates *rates, float *weight, const float *gradient, float *first, float *second,
                    int64_t threads) {
    const Rates r = *rates;
    constexpr int64_t PART = 1 << 14;
    if (n <= 4 * PART) threads = 1;
    in_threads(threads, [&](int64_t thread) {
        for (int64_t from = thread * PART; from < n; from += threads * PART) {
            const int64_t to = std::min(n, from + PART);
            SIMD for (int64_t i = from; i < to; i++) {
                const float g = gradient[i];
                const float m = first[i] * r.beta1 + r.share1 * g;
                const float v = second[i] * r.beta2 + r.share2 * g * g;
                const float w = weight[i] * r.decay - r.rate * arctangent(m, std::sqrt(v) * r.root);
                first[i] = m;
                second[i] = v;
                weight[i] = w;
            }
        }
    });
}
}
