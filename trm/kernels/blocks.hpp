// A block on one thread's chunk of puzzles, forward and backward: attention or a SwiGLU across positions, then a SwiGLU.
//
// Tokens are rows: (rows of the chunk, length, width), or (length, rows, width) where positions are mixed by a SwiGLU.
#pragma once
#include "gates.hpp"
#include "products.hpp"

// What a network is and how its work is cut. Mirrored field by field in `recursion.py`.
struct Sizes {
    int64_t batch, length, width, heads, inner, mix_inner;
    int64_t attended; // channels of all heads together: `width` where they divide it
    int64_t layers;     // blocks of all networks together
    int64_t chunk_rows; // puzzles that a thread takes through the whole recursion at a time
    int64_t slice;      // tokens at a time where a SwiGLU makes them wide
    int64_t threads;
    int64_t mixes_by_mlp, is_rotary;
    int64_t activation, is_normed; // of every gate
    int64_t reach;                 // tokens that the convolution of a SwiGLU over channels sees; 0: it has none
    float eps;
};

// A block's weights, as they are (outputs, inputs) and transposed (_t).
struct Weights {
    const float *mix_in, *mix_in_t, *mix_out, *mix_out_t, *gate_up, *gate_up_t, *down, *down_t;
    const float *conv, *conv_t, *conv_bias, *conv_bias_t; // null without a convolution
};

// Sums of one thread over its chunks; _t is (inputs, outputs).
struct Gradients {
    float *mix_in_t, *mix_out, *gate_up_t, *down; // with `mixes_by_mlp` mix_in and mix_out_t in the first two places
    float *conv_t, *conv_bias;
};

// What a block computes for a chunk. For a backward pass all of it is kept; else `mix`, `wide` hold what is under way.
struct Arrays {
    float *mix;    // queries, keys, values (tokens, 3 attended), turned and scaled; or gate and up of the mix, by slices
    float *mixed;  // (tokens, attended) attention's answer before the output product
    float *middle; // (tokens, width) after the first norm
    float *middle_scale;
    float *wide; // gate and up (tokens, 2 inner)
    float *out;  // (tokens, width) after the second norm
    float *out_scale;
};

// Buffers of one thread.
struct Scratch {
    float *gate_up, *hidden, *d_hidden; // a slice's wide arrays
    float *convolved;                   // one more, where there is a convolution
    float *turned_a, *turned_b;         // transposed slices and heads
    float *scores, *d_scores;
    float *d_mix, *d_mixed;
    float *columns, *more_columns;
};

constexpr int64_t QUERIES = 64; // rows of scores at a time

struct Block {
    const Sizes &sizes;
    const Weights &weights;
    const float *cos, *sin; // (length, head size / 2)
    int64_t rows;           // puzzles in the chunk

    int64_t tokens() const { return rows * sizes.length; }
    int64_t head_size() const { return sizes.attended / sizes.heads; }

    // arrays.out = norm(middle + swiglu(middle)), middle = norm(x + mix(x)); x and arrays.out may be one.
    void forward(const float *x, const Arrays &arrays, const Scratch &scratch, bool keeps) const {
        sizes.mixes_by_mlp ? mix_by_mlp(x, arrays, scratch, keeps) : attend(x, arrays, scratch);
        sizes.reach ? conv_swiglu(arrays, scratch, keeps) : swiglu(arrays, scratch, keeps);
    }

    // d: gradient of arrays.out, becomes that of x.
    void backward(const float *x, const Arrays &arrays, float *d, const Scratch &scratch, const Gradients &gradients) const {
        sizes.reach ? conv_swiglu_backward(arrays, d, scratch, gradients) : swiglu_backward(arrays, d, scratch, gradients);
        sizes.mixes_by_mlp ? mix_by_mlp_backward(x, arrays, d, scratch, gradients)
                           : attend_backward(x, arrays, d, scratch, gradients);
    }

  private:
    void turn(float *query_key, float sign, float query_factor) const {
        const int64_t size = head_size(), half = size / 2, attended = sizes.attended;
        for (int64_t t = 0; t < tokens(); t++) {
            const int64_t position = t % sizes.length;
            float *row = query_key + t * 3 * attended;
            if (!sizes.is_rotary) {
                scale_row(row, query_factor, attended);
                continue;
            }
            for (int64_t h = 0; h < 2 * sizes.heads; h++)
                rotate_head(row + h * size, cos + position * half, sin + position * half, half,
                            h < sizes.heads ? query_factor : 1.0f, sign);
        }
    }

    float query_factor() const { return 1.0f / std::sqrt((float)head_size()); }

    void attend(const float *x, const Arrays &arrays, const Scratch &scratch) const {
        const int64_t width = sizes.width, length = sizes.length, attended = sizes.attended, wide = 3 * attended;
        const int64_t size = head_size(), ld = padded(length);
        product(tokens(), wide, width, x, width, weights.mix_in_t, wide, arrays.mix, wide);
        turn(arrays.mix, 1.0f, query_factor());
        for (int64_t r = 0; r < rows; r++)
            for (int64_t h = 0; h < sizes.heads; h++) {
                const float *query = arrays.mix + r * length * wide + h * size, *key = query + attended, *value = key + attended;
                transpose(length, size, key, wide, scratch.turned_a, ld);
                for (int64_t from = 0; from < length; from += QUERIES) {
                    const int64_t count = std::min(QUERIES, length - from);
                    float *answer = arrays.mixed + (r * length + from) * attended + h * size;
                    product(count, length, size, query + from * wide, wide, scratch.turned_a, ld, scratch.scores, ld);
                    for (int64_t i = 0; i < count; i++) scratch.columns[i] = softmax_row(scratch.scores + i * ld, length);
                    product(count, size, length, scratch.scores, ld, value, wide, answer, attended);
                    for (int64_t i = 0; i < count; i++) scale_row(answer + i * attended, scratch.columns[i], size);
                }
            }
        product(tokens(), width, attended, arrays.mixed, attended, weights.mix_out_t, width, arrays.middle, width);
        for (int64_t t = 0; t < tokens(); t++)
            arrays.middle_scale[t] = normalise_row(x + t * width, arrays.middle + t * width, width, sizes.eps);
    }

    void attend_backward(const float *x, const Arrays &arrays, float *d, const Scratch &scratch, const Gradients &sums) const {
        const int64_t width = sizes.width, attended = sizes.attended, wide = 3 * attended, n = tokens();
        for (int64_t t = 0; t < n; t++)
            unnormalise_row(d + t * width, arrays.middle + t * width, arrays.middle_scale[t], width);
        transpose(n, width, d, width, scratch.turned_a, n);
        product(width, attended, n, scratch.turned_a, n, arrays.mixed, attended, sums.mix_out, attended, true);
        product(n, attended, width, d, width, weights.mix_out, attended, scratch.d_mixed, attended);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t h = 0; h < sizes.heads; h++) head_backward(r, h, arrays, scratch);
        turn(scratch.d_mix, -1.0f, query_factor());
        transpose(n, width, x, width, scratch.turned_a, n);
        product(width, wide, n, scratch.turned_a, n, scratch.d_mix, wide, sums.mix_in_t, wide, true);
        product(n, width, wide, scratch.d_mix, wide, weights.mix_in, width, d, width, true);
    }

    // Gradients of one head's queries, keys and values of one puzzle; the scores are computed again.
    void head_backward(int64_t r, int64_t h, const Arrays &arrays, const Scratch &scratch) const {
        const int64_t attended = sizes.attended, length = sizes.length, wide = 3 * attended;
        const int64_t size = head_size(), ld = padded(length);
        const int64_t first = r * length * wide + h * size;
        const float *query = arrays.mix + first, *key = query + attended, *value = key + attended;
        float *d_query = scratch.d_mix + first, *d_key = d_query + attended, *d_value = d_key + attended;
        float *key_t = scratch.turned_a, *value_t = key_t + size * ld, *p_t = scratch.turned_b, *d_t = p_t + ld * QUERIES;
        transpose(length, size, key, wide, key_t, ld);
        transpose(length, size, value, wide, value_t, ld);
        for (int64_t from = 0; from < length; from += QUERIES) {
            const int64_t count = std::min(QUERIES, length - from);
            const float *d_answer = scratch.d_mixed + (r * length + from) * attended + h * size;
            product(count, length, size, query + from * wide, wide, key_t, ld, scratch.scores, ld);
            product(count, length, size, d_answer, attended, value_t, ld, scratch.d_scores, ld);
            for (int64_t i = 0; i < count; i++) {
                float *p = scratch.scores + i * ld, *dp = scratch.d_scores + i * ld;
                scale_row(p, softmax_row(p, length), length);
                softmax_row_backward(p, dp, length);
            }
            transpose(count, length, scratch.scores, ld, p_t, QUERIES);
            transpose(count, length, scratch.d_scores, ld, d_t, QUERIES);
            product(count, size, length, scratch.d_scores, ld, key, wide, d_query + from * wide, wide);
            product(length, size, count, d_t, QUERIES, query + from * wide, wide, d_key, wide, from > 0);
            product(length, size, count, p_t, QUERIES, d_answer, attended, d_value, wide, from > 0);
        }
    }

    void swiglu(const Arrays &arrays, const Scratch &scratch, bool keeps) const {
        const int64_t width = sizes.width, inner = sizes.inner, wide = 2 * inner;
        for (int64_t from = 0; from < tokens(); from += sizes.slice) {
            const int64_t count = std::min(sizes.slice, tokens() - from);
            const float *x = arrays.middle + from * width;
            float *y = arrays.out + from * width, *gate_up = keeps ? arrays.wide + from * wide : scratch.gate_up;
            product(count, wide, width, x, width, weights.gate_up_t, wide, gate_up, wide);
            for (int64_t t = 0; t < count; t++)
                gate(gate_up + t * wide, gate_up + t * wide + inner, scratch.hidden + t * inner, inner);
            product(count, width, inner, scratch.hidden, inner, weights.down_t, width, y, width);
            for (int64_t t = 0; t < count; t++)
                arrays.out_scale[from + t] = normalise_row(x + t * width, y + t * width, width, sizes.eps);
        }
    }

    void swiglu_backward(const Arrays &arrays, float *d, const Scratch &scratch, const Gradients &sums) const {
        const int64_t width = sizes.width, inner = sizes.inner, wide = 2 * inner;
        for (int64_t from = 0; from < tokens(); from += sizes.slice) {
            const int64_t count = std::min(sizes.slice, tokens() - from);
            const float *x = arrays.middle + from * width, *y = arrays.out + from * width, *gate_up = arrays.wide + from * wide;
            float *ds = d + from * width, *d_gate_up = scratch.gate_up;
            for (int64_t t = 0; t < count; t++)
                unnormalise_row(ds + t * width, y + t * width, arrays.out_scale[from + t], width);
            transpose(count, width, ds, width, scratch.turned_a, count);
            transpose(count, width, x, width, scratch.turned_b, count);
            product(count, inner, width, ds, width, weights.down, inner, scratch.d_hidden, inner);
            for (int64_t t = 0; t < count; t++) {
                const float *gate = gate_up + t * wide;
                float *d_gate = d_gate_up + t * wide;
                gate_backward(gate, gate + inner, scratch.d_hidden + t * inner, d_gate, d_gate + inner, scratch.hidden + t * inner,
                              inner);
            }
            product(width, inner, count, scratch.turned_a, count, scratch.hidden, inner, sums.down, inner, true);
            product(width, wide, count, scratch.turned_b, count, d_gate_up, wide, sums.gate_up_t, wide, true);
            product(count, width, wide, d_gate_up, wide, weights.gate_up, width, ds, width, true);
        }
    }

    // The gate of one token, over its hidden channels.
    void gate(const float *gate, const float *up, float *hidden, int64_t n) const {
        sizes.is_normed ? normed_row(gate, up, hidden, n, sizes.eps) : gated(sizes.activation, gate, up, hidden, n);
    }
    void gate_backward(const float *gate, const float *up, const float *d_hidden, float *d_gate, float *d_up, float *hidden,
                       int64_t n) const {
        sizes.is_normed ? normed_row_backward(gate, up, d_hidden, d_gate, d_up, hidden, n, sizes.eps)
                        : gated_backward(sizes.activation, gate, up, d_hidden, d_gate, d_up, hidden, n);
    }

    // Calls `work(token seen, token that sees it, offset in the kernel)` for every pair of tokens of one puzzle.
    template <typename Work> void for_seen(const Work &work) const {
        const int64_t length = sizes.length, apart = sizes.mixes_by_mlp ? rows : 1;
        for (int64_t t = 0; t < tokens(); t++) {
            const int64_t position = sizes.mixes_by_mlp ? t / rows : t % length;
            for (int64_t j = 0; j < sizes.reach; j++) {
                const int64_t way = j - sizes.reach / 2;
                if (position + way >= 0 && position + way < length) work(t + way * apart, t, j);
            }
        }
    }

    // convolved = the kernels over hidden, both (tokens, inner).
    void convolve(const float *hidden, float *convolved) const {
        const int64_t inner = sizes.inner;
        for (int64_t t = 0; t < tokens(); t++) std::memcpy(convolved + t * inner, weights.conv_bias, inner * sizeof(float));
        for_seen([&](int64_t seen, int64_t t, int64_t j) {
            add_product(hidden + seen * inner, weights.conv_t + j * inner, convolved + t * inner, inner);
        });
    }

    // A whole chunk at a time, for tokens see each other: arrays.out = norm(middle + down act(conv(gated middle))).
    void conv_swiglu(const Arrays &arrays, const Scratch &scratch, bool keeps) const {
        const int64_t width = sizes.width, inner = sizes.inner, wide = 2 * inner, n = tokens();
        const float *x = arrays.middle;
        float *gate_up = keeps ? arrays.wide : scratch.gate_up;
        product(n, wide, width, x, width, weights.gate_up_t, wide, gate_up, wide);
        for (int64_t t = 0; t < n; t++)
            gate(gate_up + t * wide, gate_up + t * wide + inner, scratch.hidden + t * inner, inner);
        convolve(scratch.hidden, scratch.convolved);
        activate(sizes.activation, scratch.convolved, n * inner);
        product(n, width, inner, scratch.convolved, inner, weights.down_t, width, arrays.out, width);
        for (int64_t t = 0; t < n; t++)
            arrays.out_scale[t] = normalise_row(x + t * width, arrays.out + t * width, width, sizes.eps);
    }

    void conv_swiglu_backward(const Arrays &arrays, float *d, const Scratch &scratch, const Gradients &sums) const {
        const int64_t width = sizes.width, inner = sizes.inner, wide = 2 * inner, n = tokens();
        float *hidden = scratch.hidden, *convolved = scratch.convolved, *d_hidden = scratch.d_hidden, *d_gate_up = scratch.gate_up;
        for (int64_t t = 0; t < n; t++) {
            const float *gates = arrays.wide + t * wide;
            unnormalise_row(d + t * width, arrays.out + t * width, arrays.out_scale[t], width);
            gate(gates, gates + inner, hidden + t * inner, inner);
        }
        convolve(hidden, convolved);
        product(n, inner, width, d, width, weights.down, inner, d_hidden, inner);
        activate_backward(sizes.activation, convolved, d_hidden, n * inner);
        transpose(n, width, d, width, scratch.turned_a, n);
        product(width, inner, n, scratch.turned_a, n, convolved, inner, sums.down, inner, true);
        std::memset(convolved, 0, n * inner * sizeof(float)); // from here on the gradient of hidden
        for (int64_t t = 0; t < n; t++) add(sums.conv_bias, d_hidden + t * inner, sums.conv_bias, inner);
        for_seen([&](int64_t seen, int64_t t, int64_t j) {
            add_product(hidden + seen * inner, d_hidden + t * inner, sums.conv_t + j * inner, inner);
            add_product(weights.conv_t + j * inner, d_hidden + t * inner, convolved + seen * inner, inner);
        });
        for (int64_t t = 0; t < n; t++) {
            const float *gates = arrays.wide + t * wide;
            float *d_gate = d_gate_up + t * wide;
            gate_backward(gates, gates + inner, convolved + t * inner, d_gate, d_gate + inner, hidden + t * inner, inner);
        }
        transpose(n, width, arrays.middle, width, scratch.turned_b, n);
        product(width, wide, n, scratch.turned_b, n, d_gate_up, wide, sums.gate_up_t, wide, true);
        product(n, width, wide, d_gate_up, wide, weights.gate_up, width, d, width, true);
    }

    // Positions mixed by a SwiGLU: the same down the columns of (length, rows * width), a slice of columns at a time.
    void mix_by_mlp(const float *x, const Arrays &arrays, const Scratch &scratch, bool keeps) const {
        const int64_t length = sizes.length, inner = sizes.mix_inner, ld = rows * sizes.width;
        for (int64_t from = 0; from < ld; from += sizes.slice) {
            const int64_t count = std::min(sizes.slice, ld - from);
            float *gate_up = keeps ? arrays.mix + from * 2 * inner : scratch.gate_up;
            product(2 * inner, count, length, weights.mix_in, length, x + from, ld, gate_up, count);
            if (sizes.is_normed)
                normed_columns(gate_up, gate_up + inner * count, scratch.hidden, inner, count, scratch.columns, sizes.eps);
            else
                gated(sizes.activation, gate_up, gate_up + inner * count, scratch.hidden, inner * count);
            product(length, count, inner, weights.mix_out, inner, scratch.hidden, count, arrays.middle + from, ld);
            normalise_columns(x + from, arrays.middle + from, length, count, ld, arrays.middle_scale + from, sizes.eps);
        }
    }

    void mix_by_mlp_backward(const float *x, const Arrays &arrays, float *d, const Scratch &scratch, const Gradients &sums) const {
        const int64_t length = sizes.length, inner = sizes.mix_inner, ld = rows * sizes.width;
        for (int64_t from = 0; from < ld; from += sizes.slice) {
            const int64_t count = std::min(sizes.slice, ld - from), half = inner * count;
            const float *gate_up = arrays.mix + from * 2 * inner;
            float *ds = d + from, *d_gate_up = scratch.gate_up;
            unnormalise_columns(ds, arrays.middle + from, length, count, ld, arrays.middle_scale + from, scratch.columns);
            transpose(length, count, ds, ld, scratch.turned_a, length);
            transpose(length, count, x + from, ld, scratch.turned_b, length);
            product(inner, count, length, weights.mix_out_t, length, ds, ld, scratch.d_hidden, count);
            if (sizes.is_normed)
                normed_columns_backward(gate_up, gate_up + half, scratch.d_hidden, d_gate_up, d_gate_up + half, scratch.hidden, inner,
                                        count, scratch.columns, scratch.more_columns, sizes.eps);
            else
                gated_backward(sizes.activation, gate_up, gate_up + half, scratch.d_hidden, d_gate_up, d_gate_up + half,
                               scratch.hidden, half);
            product(inner, length, count, scratch.hidden, count, scratch.turned_a, length, sums.mix_out, length, true);
            product(2 * inner, length, count, d_gate_up, count, scratch.turned_b, length, sums.mix_in_t, length, true);
            product(length, count, 2 * inner, weights.mix_in_t, 2 * inner, d_gate_up, count, ds, ld, true);
        }
    }
};
