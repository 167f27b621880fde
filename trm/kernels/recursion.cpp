// A supervision step's recursion, forward and backward, float32: a program of calls, `trm/config/recursion.py` written out.
//
// Puzzles never look at each other, so a thread takes a chunk of them through all calls while they stay in its cache.
#include "noise.hpp"
#include "threads.hpp"

#include <vector>

// Slots hold the latents, the answer first, and behind them the question. Mirrored field by field in `recursion.py`.
struct Call {
    int64_t target;         // slot that becomes network(sum of sources)
    int64_t first, count;   // its sources in Program::sources, added from left to right
    int64_t shares_sum;     // the sum of all sources but the last is there already
    int64_t trained;        // bit s: a gradient flows on to source slot s
    int64_t was_trained;    // an earlier differentiated call updated the target, which keeps a share of it where it is relaxed
    int64_t layer, layers;  // first block of its network, and how many
};
struct Program {
    int64_t latents, calls, plain_calls; // the calls after `plain_calls` are differentiated
    const Call *call;
    const int64_t *sources;
};

namespace {

int64_t mix_floats(const Sizes &s) { return s.mixes_by_mlp ? 2 * s.mix_inner * s.width : 3 * s.attended * s.length; }
int64_t latent_floats(const Sizes &s) { return s.length * s.width; }
int64_t mixed_floats(const Sizes &s) { return s.mixes_by_mlp ? 0 : s.length * s.attended; }
int64_t scale_floats(const Sizes &s) { return s.mixes_by_mlp ? std::max(s.width, s.length) : s.length; }

// Floats kept for a backward pass, for a puzzle: of a block, and of a call of the network (its input first).
int64_t block_floats(const Sizes &s) {
    return mix_floats(s) + mixed_floats(s) + 2 * latent_floats(s) + 2 * scale_floats(s) + 2 * s.inner * s.length;
}
int64_t call_floats(const Sizes &s, const Call &call) { return latent_floats(s) + call.layers * block_floats(s); }
int64_t row_floats(const Sizes &s, const Program &p) {
    int64_t floats = 0;
    for (int64_t i = p.plain_calls; i < p.calls; i++) floats += call_floats(s, p.call[i]);
    return floats;
}

struct Cursor {
    float *at;
    float *take(int64_t floats) {
        float *taken = at;
        at += padded(floats);
        return taken;
    }
};

// A chunk's buffers while no gradient is wanted, its slots, and on the way back what has arrived at each of them.
struct Working {
    Arrays arrays;
    float *sum, *old, *dropped; // `old`: the target before a call, or its gradient's share; `dropped`: a block's answer, dropped out
    std::vector<float *> slots, d;
};

int64_t lay_out(const Sizes &s, const Program &p, float *base, Scratch &scratch, Working &working) {
    const int64_t rows = s.chunk_rows, tokens = rows * s.length, ld = padded(s.length);
    const int64_t channels = (s.reach ? std::max(tokens, s.slice) : s.slice) * s.inner, latent = tokens * s.width;
    const int64_t wide = std::max(channels, s.slice * s.mix_inner);
    const int64_t turned = std::max({latent, s.slice * s.width, s.slice * s.length, 2 * ld * std::max(QUERIES, s.width)});
    Cursor cursor{base};
    scratch.gate_up = cursor.take(2 * wide);
    scratch.hidden = cursor.take(wide);
    scratch.d_hidden = cursor.take(wide);
    scratch.convolved = cursor.take(s.reach ? wide : 0);
    scratch.turned_a = cursor.take(turned);
    scratch.turned_b = cursor.take(turned);
    scratch.scores = cursor.take(QUERIES * ld);
    scratch.d_scores = cursor.take(QUERIES * ld);
    scratch.d_mix = cursor.take(3 * tokens * s.attended);
    scratch.d_mixed = cursor.take(tokens * s.attended);
    scratch.columns = cursor.take(std::max(QUERIES, s.slice));
    scratch.more_columns = cursor.take(s.slice);
    working.arrays.mix = cursor.take(3 * tokens * s.attended);
    working.arrays.mixed = cursor.take(tokens * s.attended);
    working.arrays.middle = cursor.take(latent);
    working.arrays.middle_scale = cursor.take(rows * scale_floats(s));
    working.arrays.out_scale = cursor.take(rows * scale_floats(s));
    working.sum = cursor.take(latent);
    working.old = cursor.take(latent);
    working.dropped = cursor.take(latent);
    for (std::vector<float *> *buffers : {&working.slots, &working.d}) {
        buffers->resize(p.latents + 1);
        for (float *&buffer : *buffers) buffer = cursor.take(latent);
    }
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
    const Noise &noise;

    Block block(int64_t layer, int64_t rows) const { return {s, weights[layer], cos, sin, rows}; }

    // The network of call `number` applied in place, to puzzles `first`...
    void apply(const Call &call, int64_t number, float *x, int64_t first, int64_t rows, Working &working, const Scratch &scratch) const {
        working.arrays.out = x;
        for (int64_t i = 0; i < call.layers; i++) {
            block(call.layer + i, rows).forward(x, working.arrays, scratch, false);
            if (noise.drops()) drop(s, noise, number, i, first, rows, x);
        }
    }

    // What a block gave, after its dropout: where it lies, or in `to`.
    float *after_dropout(float *out, int64_t number, int64_t layer, int64_t first, int64_t rows, float *to) const {
        if (!noise.drops()) return out;
        std::memcpy(to, out, rows * latent_floats(s) * sizeof(float));
        drop(s, noise, number, layer, first, rows, to);
        return to;
    }

    // The call's network applied to the head of `kept`, everything kept behind it; where the answer lies.
    float *apply_keeping(const Call &call, int64_t number, float *kept, int64_t first, int64_t rows, Working &working,
                         const Scratch &scratch) const {
        float *x = kept;
        for (int64_t i = 0; i < call.layers; i++) {
            Arrays arrays = kept_block(s, kept + rows * (latent_floats(s) + i * block_floats(s)), rows);
            block(call.layer + i, rows).forward(x, arrays, scratch, true);
            x = after_dropout(arrays.out, number, i, first, rows, working.dropped);
        }
        return x;
    }

    // d: gradient of the call's answer, becomes that of what its network was applied to.
    void backward(const Call &call, int64_t number, float *kept, int64_t first, int64_t rows, float *d, Working &working,
                  const Scratch &scratch, const Gradients *sums) const {
        for (int64_t i = call.layers - 1; i >= 0; i--) {
            float *at = kept + rows * (latent_floats(s) + i * block_floats(s));
            float *x = i ? kept_block(s, at - rows * block_floats(s), rows).out : kept;
            if (i) x = after_dropout(x, number, i - 1, first, rows, working.dropped);
            if (noise.drops()) drop(s, noise, number, i, first, rows, d);
            block(call.layer + i, rows).backward(x, kept_block(s, at, rows), d, scratch, sums[call.layer + i]);
        }
    }
};

// to = the sum of the call's sources; `to` may be one of them, `sum` keeps that of all but the last for calls that share it.
void add_sources(const Program &p, const Call &call, const std::vector<float *> &slots, float *sum, float *to, int64_t n) {
    const int64_t *source = p.sources + call.first;
    const float *last = slots[source[call.count - 1]];
    if (call.count == 1) {
        if (last != to) std::memcpy(to, last, n * sizeof(float));
        return;
    }
    if (call.count == 2) return add(slots[source[0]], last, to, n);
    if (!call.shares_sum) {
        add(slots[source[0]], slots[source[1]], sum, n);
        for (int64_t i = 2; i < call.count - 1; i++) add(sum, slots[source[i]], sum, n);
    }
    add(sum, last, to, n);
}

// Hands the gradient of the call's input on to its sources; `arrived`, which slots have one, is kept up to date.
void spread(const Program &p, const Call &call, std::vector<float *> &d, std::vector<char> &arrived, int64_t n) {
    float *own = d[call.target];
    arrived[call.target] = false;
    for (int64_t i = call.first; i < call.first + call.count; i++) {
        const int64_t slot = p.sources[i];
        if (slot == call.target || !(call.trained >> slot & 1)) continue;
        if (arrived[slot])
            add(d[slot], own, d[slot], n);
        else
            std::memcpy(d[slot], own, n * sizeof(float));
        arrived[slot] = true;
    }
    for (int64_t i = call.first; i < call.first + call.count; i++)
        if (p.sources[i] == call.target) arrived[call.target] = call.trained >> call.target & 1;
}

// The target's gradient besides: the share of it that was kept from before the call.
void keep_share(const Call &call, std::vector<float *> &d, std::vector<char> &arrived, const float *share, int64_t n) {
    if (!call.was_trained) return;
    if (arrived[call.target])
        add(d[call.target], share, d[call.target], n);
    else
        std::memcpy(d[call.target], share, n * sizeof(float));
    arrived[call.target] = true;
}

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
    std::vector<WeightSize> sizes = {{3 * s.attended, s.width, true}, {s.width, s.attended, false}};
    if (s.mixes_by_mlp) sizes = {{2 * s.mix_inner, s.length, false}, {s.length, s.mix_inner, true}};
    sizes.push_back({2 * s.inner, s.width, true});
    sizes.push_back({s.width, s.inner, false});
    if (s.reach) {
        sizes.push_back({s.inner, s.reach, true});
        sizes.push_back({s.inner, 1, true});
    }
    return sizes;
}
int64_t sums_floats(const Sizes &s) {
    int64_t floats = 0;
    for (const WeightSize &size : weight_sizes(s)) floats += padded(size.rows * size.columns);
    return s.layers * floats;
}

// gradients[layer * weights of one + weight] (outputs, inputs) = the threads' sums, added in their order.
void collect(const Sizes &s, float *sums, float **gradients) {
    const std::vector<WeightSize> sizes = weight_sizes(s);
    const int64_t stride = sums_floats(s);
    int64_t offset = 0;
    for (int64_t i = 0; i < s.layers; i++)
        for (size_t w = 0; w < sizes.size(); w++) {
            const WeightSize size = sizes[w];
            const int64_t across = size.is_turned ? size.rows : size.columns, down = size.is_turned ? size.columns : size.rows;
            float *to = gradients[i * sizes.size() + w];
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
        for (size_t w = 0; w < sizes.size(); w++) {
            float **place[] = {&layer.mix_in_t, &layer.mix_out, &layer.gate_up_t, &layer.down, &layer.conv_t, &layer.conv_bias};
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

int64_t trm_kept_floats(const Sizes *s, const Program *p) { return s->batch * row_floats(*s, *p); }
int64_t trm_sums_floats(const Sizes *s) { return s->threads * sums_floats(*s); }
int64_t trm_scratch_floats(const Sizes *s, const Program *p) {
    Scratch scratch;
    Working working;
    return s->threads * lay_out(*s, *p, nullptr, scratch, working);
}

// Latents and question (batch, length, width), a pointer a slot -> new latents; `kept` (trm_kept_floats) or null where no gradient
// is wanted.
void trm_forward(const Sizes *sizes, const Program *program, const Noise *drawn_noise, const Weights *weights, const float *cos,
                 const float *sin, const float **slots, float **new_latents, float *kept, float *buffers) {
    const Sizes &s = *sizes;
    const Program &p = *program;
    const Noise &noise = *drawn_noise;
    const Network network{s, weights, cos, sin, noise};
    const int64_t stride = trm_scratch_floats(sizes, program) / s.threads, kept_row = row_floats(s, p);
    for_chunks(s, [&](int64_t first, int64_t rows, int64_t thread) {
        Scratch scratch;
        Working working;
        lay_out(s, p, buffers + thread * stride, scratch, working);
        const int64_t n = rows * latent_floats(s), plain = kept == nullptr ? p.calls : p.plain_calls;
        for (int64_t i = 0; i <= p.latents; i++) load(s, slots[i], first, rows, working.slots[i]);
        for (int64_t i = 0; i < plain; i++) {
            const Call &call = p.call[i];
            float *x = working.slots[call.target];
            if (noise.relaxes()) std::memcpy(working.old, x, n * sizeof(float));
            add_sources(p, call, working.slots, working.sum, x, n);
            network.apply(call, i, x, first, rows, working, scratch);
            if (noise.moves()) move(s, noise, i, first, rows, working.old, x, x);
        }
        const std::vector<float *> own = working.slots;
        float *at = kept + (kept == nullptr ? 0 : first * kept_row);
        for (int64_t i = plain; i < p.calls; i++) {
            const Call &call = p.call[i];
            add_sources(p, call, working.slots, working.sum, at, n);
            float *said = network.apply_keeping(call, i, at, first, rows, working, scratch);
            if (noise.moves() || noise.drops()) {
                move(s, noise, i, first, rows, working.slots[call.target], said, own[call.target]);
                said = own[call.target];
            }
            working.slots[call.target] = said;
            at += rows * call_floats(s, call);
        }
        for (int64_t i = 0; i < p.latents; i++) store(s, working.slots[i], first, rows, new_latents[i]);
    });
}

// Gradient of the new answer -> that of the question, and of the weights into gradients[layer * weights of one + weight].
void trm_backward(const Sizes *sizes, const Program *program, const Noise *drawn_noise, const Weights *weights, const float *cos,
                  const float *sin, float *kept, const float *d_answer, float *d_question, float **gradients, float *sums,
                  float *buffers) {
    const Sizes &s = *sizes;
    const Program &p = *program;
    const Noise &noise = *drawn_noise;
    const Network network{s, weights, cos, sin, noise};
    const int64_t stride = trm_scratch_floats(sizes, program) / s.threads, sums_stride = sums_floats(s), kept_row = row_floats(s, p);
    in_threads(s.threads, [&](int64_t thread) { std::memset(sums + thread * sums_stride, 0, sums_stride * sizeof(float)); });
    for_chunks(s, [&](int64_t first, int64_t rows, int64_t thread) {
        Scratch scratch;
        Working working;
        lay_out(s, p, buffers + thread * stride, scratch, working);
        const std::vector<Gradients> own = sums_of(s, sums + thread * sums_stride);
        const int64_t n = rows * latent_floats(s);
        std::vector<char> arrived(p.latents + 1, false);
        load(s, d_answer, first, rows, working.d[0]);
        std::memset(working.d[p.latents], 0, n * sizeof(float));
        arrived[0] = arrived[p.latents] = true;
        float *at = kept + (first + rows) * kept_row; // the end of this chunk's calls
        for (int64_t i = p.calls - 1; i >= p.plain_calls; i--) {
            const Call &call = p.call[i];
            at -= rows * call_floats(s, call);
            if (!arrived[call.target]) continue; // nothing that was read comes from it
            float *d = working.d[call.target];
            if (noise.relaxes()) split(d, working.old, noise.relaxation, n);
            network.backward(call, i, at, first, rows, d, working, scratch, own.data());
            spread(p, call, working.d, arrived, n);
            if (noise.relaxes()) keep_share(call, working.d, arrived, working.old, n);
        }
        store(s, working.d[p.latents], first, rows, d_question);
    });
    collect(s, sums, gradients);
}
}
