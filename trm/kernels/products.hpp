// Matrix products: those inside torch (oneDNN's, or the BLAS it was built with). Row-major throughout, one thread a call.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

// Either may be missing.
namespace at::native::cpublas {
__attribute__((weak)) void brgemm(int64_t M, int64_t N, int64_t K, int64_t lda, int64_t ldb, int64_t ldc, const bool adds,
                                  const float *A, const float *B, float *C, bool is_vnni);
}
extern "C" __attribute__((weak)) void sgemm_(const char *, const char *, const int *, const int *, const int *, const float *,
                                             const float *, const int *, const float *, const int *, const float *, float *,
                                             const int *);

enum class Products { none, blas, brgemm };

// What this build of torch has for this processor; some builds say by an exception that it is too old.
inline Products probe_products() {
    float a[1] = {2}, b[1] = {3}, c[1] = {0};
    try {
        if (at::native::cpublas::brgemm != nullptr) at::native::cpublas::brgemm(1, 1, 1, 1, 1, 1, false, a, b, c, false);
    } catch (...) {
    }
    if (c[0] == 6) return Products::brgemm;
    return sgemm_ != nullptr ? Products::blas : Products::none;
}

static Products products = Products::none; // of this library: an inline variable would be shared with others in the process

// Rows and columns of B at a time: a panel that stays in a core's cache while the rows of A go by.
constexpr int64_t PANEL = 256;

// Rows of B a multiple of 4 KB apart share the few lines of one set of the cache: for many rows of A a copy costs less.
inline bool is_crowded(int64_t m, int64_t k, int64_t ldb) { return ldb % 1024 == 0 && m >= 64 && k > 8; }

// The panel with its rows moved apart; `ld` becomes their distance.
inline const float *moved_apart(const float *panel, int64_t rows, int64_t columns, int64_t &ld) {
    constexpr int64_t APART = PANEL + 16;
    alignas(64) static thread_local float copy[PANEL * APART];
    for (int64_t i = 0; i < rows; i++) std::memcpy(copy + i * APART, panel + i * ld, columns * sizeof(float));
    ld = APART;
    return copy;
}

// C (m, n) = A (m, k) B (k, n), added to C if `adds`.
inline void product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                    int64_t ldc, bool adds = false) {
    if (products == Products::brgemm) {
        for (int64_t j = 0; j < n; j += PANEL)
            for (int64_t i = 0; i < k; i += PANEL) {
                const int64_t columns = std::min(PANEL, n - j), rows = std::min(PANEL, k - i);
                const float *panel = b + i * ldb + j;
                int64_t ld = ldb;
                if (is_crowded(m, k, ldb)) panel = moved_apart(panel, rows, columns, ld);
                at::native::cpublas::brgemm(m, columns, rows, lda, ld, ldc, adds || i > 0, a + i, panel, c + j, false);
            }
        return;
    }
    const int M = n, N = m, K = k, LDA = ldb, LDB = lda, LDC = ldc; // a row-major product is a column-major one of transposes
    const float one = 1, beta = adds;
    sgemm_("N", "N", &M, &N, &K, &one, b, &LDA, a, &LDB, &beta, c, &LDC);
}
