// A supervision step's recursion (arXiv 2510.04871, Figure 3), forward and backward, float32.
//
// Puzzles never look at each other, so a thread takes a chunk of them through all cycles while they stay in its cache.
#include "blocks.hpp"
#include "threads.hpp"

#include <vector>

namespace {

int64_t mix_floats(const Sizes &s) { return s.mixes_by_mlp ? 2 * s.mix_inner * s.width : 3 * s.width * s.length; }
int64_t latent_floats(const Sizes &s) { return s.length * s.width; }
int64_t mixed_floats(const Sizes &s) { return s.mixes_by_mlp ? 0 : latent_floats(s); }
int64_t scale_floats(const Sizes &s) { return s.mixes_by_mlp ? std::max(s.width, s.length) : s.length; }

// Floats kept for a backward pass, for a puzzle: of a block, and of a call of the network (its input first).
int64_t block_floats(const Sizes &s) {
    return mix_floats(s) + mixed_floats(s) + 2 * latent_floats(s) + 2 * scale_floats(s) + 2 * s.inner * s.length;
}
int64_t call_floats(const Sizes &s) { return latent_floats(s) + s.layers * block_floats(s); }
int64_t row_floats(const Sizes &s) { return (s.L_cycles + 1) * call_floats(s); }

struct Cursor {
    float *at;
    float *take(int64_t floats) {
        float *taken = at;
        at += padded(floats);
        return taken;
    }
};

// A chunk's buffers while no gradient is wanted.
struct Working {
    Arrays arrays;
    float *z_H, *z_L, *injection, *question, *d;
};

int64_t lay_out(const Sizes &s, float *base, Scratch &scratch, Working &working) {
    const int64_t rows = s.chunk_rows, tokens = rows * s.length, ld = padded(s.length);
    const int64_t wide = s.slice * std::max(s.inner, s.mix_inner), latent = tokens * s.width;
    const int64_t turned = std::max({latent, s.slice * s.width, s.slice * s.length, 2 * ld * std::max(QUERIES, s.width)});
    Cursor cursor{base};
    scratch.gate_up = cursor.take(2 * wide);
    scratch.hidden = cursor.take(wide);
    scratch.d_hidden = cursor.take(wide);
    scratch.turned_a = cursor.take(turned);
    scratch.turned_b = cursor.take(turned);
    scratch.scores = cursor.take(QUERIES * ld);
    scratch.d_scores = cursor.take(QUERIES * ld);
    scratch.d_mix = cursor.take(3 * latent);
    scratch.d_mixed = cursor.take(latent);
    scratch.columns = cursor.take(std::max(QUERIES, s.slice));
    working.arrays.mix = cursor.take(3 * latent);
    working.arrays.mixed = cursor.take(latent);
    working.arrays.middle = cursor.take(latent);
    working.arrays.middle_scale = cursor.take(rows * scale_floats(s));
    working.arrays.out_scale = cursor.take(rows * scale_floats(s));
    for (float **buffer : {&working.z_H, &working.z_L, &working.injection, &working.question, &working.d})
        *buffer = cursor.take(latent);
    return cursor.at - base;
}

// Arrays of a kept call's block; `x` of the next block is `out` of this.
Arrays kept_block(const Sizes &s, float *block, int64_t rows) {
    Cursor cursor{block};
    auto take = [&](int64_t floats) {
        float *taken = cursor.at;
        cursor.at += rows * floats;
        return taken;
    };
    Arrays arrays;
    arrays.mix = take(mix_floats(s));
    arrays.mixed = take(mixed_floats(s));
    arrays.middle = take(latent_floats(s));
    arrays.out = take(latent_floats(s));
    arrays.middle_scale = take(scale_floats(s));
    arrays.out_scale = take(scale_floats(s));
    arrays.wide = take(2 * s.inner * s.length);
    return arrays;
}

struct Network {
    const Sizes &s;
    const Weights *weights;
    const float *cos, *sin;

    Block block(int64_t layer, int64_t rows) const { return {s, weights[layer], cos, sin, rows}; }

    // f applied in place.
    void apply(float *x, int64_t rows, Working &working, const Scratch &scratch) const {
        working.arrays.out = x;
        for (int64_t i = 0; i < s.layers; i++) block(i, rows).forward(x, working.arrays, scratch, false);
    }

    // f applied to the head of `call`, everything kept behind it; where the answer lies.
    float *apply_keeping(float *call, int64_t rows, Working &working, const Scratch &scratch) const {
        float *x = call;
        for (int64_t i = 0; i < s.layers; i++) {
            Arrays arrays = kept_block(s, call + rows * (latent_floats(s) + i * block_floats(s)), rows);
            block(i, rows).forward(x, arrays, scratch, true);
            x = arrays.out;
        }
        return x;
    }

    // d: gradient of f's answer, becomes that of what f was applied to.
    void backward(float *call, int64_t rows, float *d, const Scratch &scratch, const Gradients *sums) const {
        for (int64_t i = s.layers - 1; i >= 0; i--) {
            float *at = call + rows * (latent_floats(s) + i * block_floats(s));
            const float *x = i ? kept_block(s, at - rows * block_floats(s), rows).out : call;
            block(i, rows).backward(x, kept_block(s, at, rows), d, scratch, sums[i]);
        }
    }
};

// Puzzles `first`.. of (batch, length, width) in the order that blocks work in, and back.
void load(const Sizes &s, const float *from, int64_t first, int64_t rows, float *to) {
    from += first * latent_floats(s);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = 0; l < s.length; l++)
            std::memcpy(to + (s.mixes_by_mlp ? l * rows + r : r * s.length + l) * s.width, from + (r * s.length + l) * s.width,
                        s.width * sizeof(float));
}
void store(const Sizes &s, const float *from, int64_t first, int64_t rows, float *to) {
    to += first * latent_floats(s);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t l = 0; l < s.length; l++)
            std::memcpy(to + (r * s.length + l) * s.width, from + (s.mixes_by_mlp ? l * rows + r : r * s.length + l) * s.width,
                        s.width * sizeof(float));
}

// Runs `work(first row, rows, thread)` for every chunk, each always for the same thread, so that sums have one order.
template <typename Work> void for_chunks(const Sizes &s, const Work &work) {
    const int64_t chunks = (s.batch + s.chunk_rows - 1) / s.chunk_rows;
    in_threads(s.threads, [&](int64_t thread) {
        for (int64_t chunk = thread * chunks / s.threads; chunk < (thread + 1) * chunks / s.threads; chunk++) {
            const int64_t first = chunk * s.chunk_rows;
            work(first, std::min(s.chunk_rows, s.batch - first), thread);
        }
    });
}

struct WeightSize {
    int64_t rows, columns; // as it is: (outputs, inputs)
    bool is_turned;        // whether its sums are (inputs, outputs)
};
std::vector<WeightSize> weight_sizes(const Sizes &s) {
    if (s.mixes_by_mlp)
        return {{2 * s.mix_inner, s.length, false}, {s.length, s.mix_inner, true}, {2 * s.inner, s.width, true}, {s.width, s.inner, false}};
    return {{3 * s.width, s.width, true}, {s.width, s.width, false}, {2 * s.inner, s.width, true}, {s.width, s.inner, false}};
}
int64_t sums_floats(const Sizes &s) {
    int64_t floats = 0;
    for (const WeightSize &size : weight_sizes(s)) floats += padded(size.rows * size.columns);
    return s.layers * floats;
}

// gradients[layer * 4 + weight] (outputs, inputs) = the threads' sums, added in their order.
void collect(const Sizes &s, float *sums, float **gradients) {
    const std::vector<WeightSize> sizes = weight_sizes(s);
    const int64_t stride = sums_floats(s);
    int64_t offset = 0;
    for (int64_t i = 0; i < s.layers; i++)
        for (int64_t w = 0; w < 4; w++) {
            const WeightSize size = sizes[w];
            const int64_t across = size.is_turned ? size.rows : size.columns, down = size.is_turned ? size.columns : size.rows;
            float *to = gradients[i * 4 + w];
            in_threads(s.threads, [&](int64_t thread) {
                for (int64_t r = 16 * thread; r < down; r += 16 * s.threads) {
                    const int64_t count = std::min<int64_t>(16, down - r);
                    float *first = sums + offset + r * across;
                    for (int64_t t = 1; t < s.threads; t++) add(first, first + t * stride, first, count * across);
                    if (size.is_turned)
                        transpose(count, across, first, across, to + r, down);
                    else
                        std::memcpy(to + r * across, first, count * across * sizeof(float));
                }
            });
            offset += padded(size.rows * size.columns);
        }
}

std::vector<Gradients> sums_of(const Sizes &s, float *base) {
    const std::vector<WeightSize> sizes = weight_sizes(s);
    std::vector<Gradients> found(s.layers);
    Cursor cursor{base};
    for (Gradients &layer : found)
        for (int64_t w = 0; w < 4; w++) {
            float **place[] = {&layer.mix_in_t, &layer.mix_out, &layer.gate_up_t, &layer.down};
            *place[w] = cursor.take(sizes[w].rows * sizes[w].columns);
        }
    return found;
}

} // namespace

extern "C" {

// 0 no matrix products here, 1 those of a BLAS, 2 oneDNN's; called once before anything else.
int trm_prepare() {
    products = probe_products();
    return (int)products;
}

int64_t trm_kept_floats(const Sizes *s) { return s->batch * row_floats(*s); }
int64_t trm_sums_floats(const Sizes *s) { return s->threads * sums_floats(*s); }
int64_t trm_scratch_floats(const Sizes *s) {
    Scratch scratch;
    Working working;
    return s->threads * lay_out(*s, nullptr, scratch, working);
}

// z_H, z_L, question (batch, length, width) -> new z_H, z_L; `kept` (trm_kept_floats) or null where no gradient is wanted.
void trm_forward(const Sizes *sizes, const Weights *weights, const float *cos, const float *sin, const float *z_H, const float *z_L,
                 const float *question, float *new_z_H, float *new_z_L, float *kept, float *buffers) {
    const Sizes &s = *sizes;
    const Network network{s, weights, cos, sin};
    const int64_t stride = trm_scratch_floats(sizes) / s.threads;
    for_chunks(s, [&](int64_t first, int64_t rows, int64_t thread) {
        Scratch scratch;
        Working working;
        lay_out(s, buffers + thread * stride, scratch, working);
        const int64_t n = rows * latent_floats(s);
        load(s, z_H, first, rows, working.z_H);
        load(s, z_L, first, rows, working.z_L);
        load(s, question, first, rows, working.question);
        for (int64_t cycle = 1; cycle < s.H_cycles + (kept == nullptr); cycle++) {
            add(working.z_H, working.question, working.injection, n);
            for (int64_t step = 0; step < s.L_cycles; step++) {
                add(working.z_L, working.injection, working.z_L, n);
                network.apply(working.z_L, rows, working, scratch);
            }
            add(working.z_H, working.z_L, working.z_H, n);
            network.apply(working.z_H, rows, working, scratch);
        }
        const float *answer = working.z_H, *latent = working.z_L;
        if (kept != nullptr) {
            float *call = kept + first * row_floats(s);
            add(working.z_H, working.question, working.injection, n);
            for (int64_t step = 0; step < s.L_cycles; step++, call += rows * call_floats(s)) {
                add(latent, working.injection, call, n);
                latent = network.apply_keeping(call, rows, working, scratch);
            }
            add(working.z_H, latent, call, n);
            answer = network.apply_keeping(call, rows, working, scratch);
        }
        store(s, answer, first, rows, new_z_H);
        store(s, latent, first, rows, new_z_L);
    });
}

// Gradient of the new z_H -> that of the question, and of the weights into gradients[layer * 4 + weight].
void trm_backward(const Sizes *sizes, const Weights *weights, const float *cos, const float *sin, float *kept, const float *d_z_H,
                  float *d_question, float **gradients, float *sums, float *buffers) {
    const Sizes &s = *sizes;
    const Network network{s, weights, cos, sin};
    const int64_t stride = trm_scratch_floats(sizes) / s.threads, sums_stride = sums_floats(s);
    in_threads(s.threads, [&](int64_t thread) { std::memset(sums + thread * sums_stride, 0, sums_stride * sizeof(float)); });
    for_chunks(s, [&](int64_t first, int64_t rows, int64_t thread) {
        Scratch scratch;
        Working working;
        lay_out(s, buffers + thread * stride, scratch, working);
        const std::vector<Gradients> own = sums_of(s, sums + thread * sums_stride);
        const int64_t n = rows * latent_floats(s);
        load(s, d_z_H, first, rows, working.d);
        std::memset(working.injection, 0, n * sizeof(float));
        float *call = kept + first * row_floats(s) + s.L_cycles * rows * call_floats(s);
        network.backward(call, rows, working.d, scratch, own.data());
        for (int64_t step = 0; step < s.L_cycles; step++) {
            call -= rows * call_floats(s);
            network.backward(call, rows, working.d, scratch, own.data());
            add(working.injection, working.d, working.injection, n);
        }
        store(s, working.injection, first, rows, d_question);
    });
    collect(s, sums, gradients);
}
}
