// What a supervision step draws: `trm/models/keyed_draws.py` and `trm/models/recursive/noise.py`, bit for bit.
#pragma once
#include "blocks.hpp"

// Mirrored field by field in `recursion.py`.
struct Noise {
    const int64_t *keys;    // of each puzzle; null where nothing is drawn
    const float *quantiles; // 65536 of them
    int64_t first_dropout, most_layers, first_path; // numbers of draws: of call 0 and its first block, of the next call's, of call 0
    int64_t dropped_below;  // a channel is dropped where what is drawn of all int32 lies below
    float kept_scale;       // and else is multiplied by this
    float path_noise;       // standard deviation
    float relaxation;       // z = (1 - relaxation) z + relaxation f(...)

    bool drops() const { return keys && dropped_below > INT32_MIN; }
    bool relaxes() const { return relaxation != 1; }
    bool moves() const { return relaxes() || (keys && path_noise != 0); }
};

namespace {

// Place `counter` - 1 of the SplitMix64 that the key seeds.
INLINED uint64_t drawn(uint64_t key, uint64_t counter) {
    uint64_t state = key + counter * 0x9E3779B97F4A7C15u;
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9u;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EBu;
    return state ^ (state >> 31);
}

// Calls `change(channel's value, its word)` for every channel of a chunk's puzzles, `words` of them in 64 bits.
template <typename Word, typename Change>
void for_words(const Sizes &s, const Noise &noise, int64_t draw, int64_t first, int64_t rows, float *x, const Change &change) {
    constexpr int64_t words = 8 / sizeof(Word);
    const int64_t groups = (s.width + words - 1) / words;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = 0; l < s.length; l++) {
            float *at = x + (s.mixes_by_mlp ? l * rows + r : r * s.length + l) * s.width;
            const uint64_t before = ((uint64_t)draw << 40) + l * groups + 1;
            for (int64_t g = 0; g < groups; g++) {
                const uint64_t bits = drawn(noise.keys[first + r], before + g);
                for (int64_t w = 0; w < words && g * words + w < s.width; w++)
                    change(at[g * words + w], (Word)(bits >> (8 * sizeof(Word) * w)));
            }
        }
}

// Dropout of what a block of a call gave, or of its gradient.
void drop(const Sizes &s, const Noise &noise, int64_t call, int64_t layer, int64_t first, int64_t rows, float *x) {
    const int64_t draw = noise.first_dropout + call * noise.most_layers + layer;
    for_words<int32_t>(s, noise, draw, first, rows, x,
                       [&](float &value, int32_t word) { value = word < noise.dropped_below ? 0.0f : value * noise.kept_scale; });
}

// to = the latent after a call that said `said`; `to` may be `old`.
void move(const Sizes &s, const Noise &noise, int64_t call, int64_t first, int64_t rows, const float *old, const float *said, float *to) {
    const int64_t n = rows * s.length * s.width;
    const float share = noise.relaxation;
    if (noise.relaxes()) {
        SIMD for (int64_t i = 0; i < n; i++) to[i] = (1 - share) * old[i] + share * said[i];
    } else if (to != said)
        std::memcpy(to, said, n * sizeof(float));
    if (noise.keys && noise.path_noise != 0)
        for_words<int16_t>(s, noise, noise.first_path + call, first, rows, to,
                           [&](float &value, int16_t word) { value += noise.path_noise * noise.quantiles[word + 32768]; });
}

// A gradient of what `move` made: in place that of what was said, and that of what was there before.
void split(float *d, float *d_old, float share, int64_t n) {
    SIMD for (int64_t i = 0; i < n; i++) {
        d_old[i] = (1 - share) * d[i];
        d[i] *= share;
    }
}

} // namespace
