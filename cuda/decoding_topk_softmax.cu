// Kernels of `argrad.decoding`: softmax on the k largest of a row, and its derivatives. One block takes one row at a time; rows of
// more than a leaf have been read by `read_rows`.
#include "tokens.cuh"

// What is chosen of a row: numbers above the bar (NaN for rows that are refused), and those at it up to a place; the largest logit
// of these, and the sum that is divided by. At temperature 0 all is given to the place `only`, otherwise -1.
struct Choice {
    double bar, top, sum;
    i64 last, only;
};

// The numbers that are chosen by, and the logits; in most calls they are the same.
template <class S> struct Logits {
    const S *choice, *x;
    double temperature;

    __device__ __forceinline__ double operator[](i64 place) const { return (double)load(x[place]); }
    __device__ __forceinline__ double weight(const Choice& of, double number, i64 place) const {
        if (!(number > of.bar || (number == of.bar && place <= of.last))) return 0.0;
        if (of.only >= 0) return place == of.only ? 1.0 : 0.0;
        return exp_exact(((*this)[place] - of.top) / temperature) / of.sum;
    }
};

// The bar of the k largest tokens, and the last place that is taken at it.
template <class S> __device__ void find_choice(const Tokens<S>& tokens, u32 k, Choice& of) {
    typedef typename Computed<S>::Number T;
    typedef typename Computed<S>::Bits Bits;
    auto key = [&](i64 i) { return key_of((T)tokens[i]); };
    Bar<Bits> bar = find_bar<Bits>(key, tokens.count, k);
    i64 tied = 0;
    for (i64 i = threadIdx.x; i < tokens.count; i += blockDim.x) tied += key(i) == bar.key;
    tied = block_reduce(tied, Sum());
    of.bar = (double)of_key(bar.key);
    of.last = tokens.v - 1;
    // Of those at the bar the first are taken: the greatest of their places turned round.
    if (tied > bar.tied) {
        auto turned = [&](i64 i) { return key(i) == bar.key ? ~(u32)tokens.place(i) : 0u; };
        of.last = (i64)~find_bar<u32>(turned, tokens.count, bar.tied).key;
    }
}

// Fills in what the chosen tokens share: the largest logit, then the sum or the one that gets all.
template <class S> __device__ void share_out(const Tokens<S>& tokens, const Logits<S>& logits, Choice& of) {
    auto chosen = [&](i64 i) { return tokens[i] > of.bar || (tokens[i] == of.bar && tokens.place(i) <= of.last); };
    double top = -infinity<double>(), best = top;
    for (i64 i = threadIdx.x; i < tokens.count; i += blockDim.x)
        if (chosen(i)) top = fmax(top, logits[tokens.place(i)]);
    of.top = top = block_reduce(top, Largest());
    of.only = -1;
    if (logits.temperature > 0.0) {
        of.sum = sums_of<1>(tokens.count, [&](i64 i, double* sum) {
            if (chosen(i)) sum[0] += exp_exact((logits[tokens.place(i)] - top) / logits.temperature);
        }).of[0];
        return;
    }
    // The first of the largest, in the order of the choice.
    for (i64 i = threadIdx.x; i < tokens.count; i += blockDim.x)
        if (chosen(i) && logits[tokens.place(i)] == top) best = fmax(best, tokens[i]);
    best = block_reduce(best, Largest());
    i64 place = tokens.v;
    for (i64 i = threadIdx.x; i < tokens.count; i += blockDim.x)
        if (chosen(i) && logits[tokens.place(i)] == top && tokens[i] == best) place = tokens.place(i) < place ? tokens.place(i) : place;
    of.only = block_reduce(place, Least());
    of.sum = 1.0;
}

// choice[rows][v], the logits x[rows][v], bias[rows][v] (null: none), k[rows], temperature[rows], and for long rows leaves[rows][l] and maxima[rows][8 l] of
// `read_rows` of the choice, l = v / 4096, rounded up, else null -> choices[rows], and p[rows][v] unless null; of long rows p
// holds zeros before. `room` tokens fit into shared memory, each a number and 4 bytes. NaN for rows that the host refuses. Reads
// the segments that reach the k-th largest maximum; short rows, and those of which more than fit reach it, about 8 times (12).
template <class S>
__global__ void topk_softmax(const S* choice, const S* x, const S* bias, const i64* k, const double* temperature,
                             const Leaf* leaves, const u64* maxima, Choice* choices, typename Computed<S>::Number* p, i64 rows,
                             i64 v, i64 room, u32* fault) {
    typedef typename Computed<S>::Number T;
    DYNAMIC_SHARED(memory);
    const i64 leaf_count = (v + LEAF - 1) / LEAF, parts = leaf_count * (LANES / WARP);
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const double t = temperature[row];
        const u64* tops = maxima ? maxima + row * parts : maxima;
        T* out = p + row * v;
        bool bad;
        top_of(choice + row * v, v, leaves ? leaves + row * leaf_count : leaves, bad);
        u32 wrong = k[row] < 1 || !(t >= 0.0 && t < infinity<double>());
        for (i64 i = threadIdx.x; bias && i < v; i += blockDim.x) wrong |= !(fabs((double)load(bias[row * v + i])) < infinity<double>());
        bad |= block_reduce(wrong, Largest());
        Choice of = {not_a_number<double>(), 0, 1, 0, -1};
        if (bad) {
            if (threadIdx.x == 0) report(fault);
            if (p) fill_row(out, v, not_a_number<T>());
        } else {
            const u32 size = (u32)(k[row] < v ? k[row] : v);
            const Logits<S> logits = {choice + row * v, x + row * v, t};
            Tokens<S> tokens(logits.choice, v, tops, memory, room);
            if (maxima && size <= parts) {
                u64 bound = find_bar<u64>([=](i64 i) { return tops[i]; }, parts, size).key;
                tokens.keep_from(of_key(bound));
            }
            find_choice(tokens, size, of);
            share_out(tokens, logits, of);
            if (p && !maxima) {
                for (i64 i = threadIdx.x; i < v; i += blockDim.x) out[i] = (T)logits.weight(of, (double)load(logits.choice[i]), i);
            } else {
                for (i64 i = threadIdx.x; p && i < tokens.count; i += blockDim.x)
                    out[tokens.place(i)] = (T)logits.weight(of, tokens[i], tokens.place(i));
            }
        }
        if (threadIdx.x == 0) choices[row] = of;
        __syncthreads();
    }
}

// The same, and g[rows][v] -> dx[rows][v], which holds zeros of long rows before. Short rows are read twice; x and g where tokens
// are chosen.
template <class S>
__global__ void topk_softmax_vjp(const S* choice, const S* x, const double* temperature, const u64* maxima, const Choice* choices,
                                 const S* g, typename Computed<S>::Number* dx, i64 rows, i64 v, i64 room) {
    typedef typename Computed<S>::Number T;
    DYNAMIC_SHARED(memory);
    const i64 parts = (v + LEAF - 1) / LEAF * (LANES / WARP);
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Choice of = choices[row];
        const S* upstream = g + row * v;
        T* out = dx + row * v;
        if (is_nan(of.bar)) {
            fill_row(out, v, not_a_number<T>());
        } else {
            const Logits<S> logits = {choice + row * v, x + row * v, temperature[row]};
            const double scale = logits.temperature > 0.0 ? 1.0 / logits.temperature : 0.0;
            Tokens<S> tokens(logits.choice, v, maxima ? maxima + row * parts : maxima, memory, room);
            tokens.keep_from(of.bar);
            auto weight = [&](i64 i) { return logits.weight(of, tokens[i], tokens.place(i)); };
            auto value = [&](i64 i) { return (double)load(upstream[tokens.place(i)]); };
            double mean = sums_of<1>(tokens.count, [&](i64 i, double* sum) {
                double p = weight(i);
                if (p > 0.0) sum[0] += p * value(i);
            }).of[0];
            if (!maxima && tokens.listed) {
                fill_row(out, v, T(0));
                __syncthreads();
            }
            for (i64 i = threadIdx.x; i < tokens.count; i += blockDim.x) {
                double p = weight(i);
                out[tokens.place(i)] = (T)(p > 0.0 ? scale * (p * (value(i) - mean)) : 0.0);
            }
        }
        __syncthreads();
    }
}

// The same, and t along the rows, along[rows][v] -> the gradients of <t, vjp>: dx[rows][v] and dg[rows][v], which hold zeros of
// long rows before. Short rows are read twice; x, g and t where tokens are chosen.
template <class T>
__global__ void topk_softmax_second(const T* choice, const T* x, const double* temperature, const u64* maxima,
                                    const Choice* choices, const T* g, const T* along, T* dx, T* dg, i64 rows, i64 v, i64 room) {
    DYNAMIC_SHARED(memory);
    const i64 parts = (v + LEAF - 1) / LEAF * (LANES / WARP);
    for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const Choice of = choices[row];
        T *to_row = dx + row * v, *to_upstream = dg + row * v;
        if (is_nan(of.bar)) {
            fill_row(to_row, v, not_a_number<T>());
            fill_row(to_upstream, v, not_a_number<T>());
        } else {
            const Logits<T> logits = {choice + row * v, x + row * v, temperature[row]};
            const double scale = logits.temperature > 0.0 ? 1.0 / logits.temperature : 0.0;
            Tokens<T> tokens(logits.choice, v, maxima ? maxima + row * parts : maxima, memory, room);
            tokens.keep_from(of.bar);
            auto weight = [&](i64 i) { return logits.weight(of, tokens[i], tokens.place(i)); };
            auto upstream = [&](i64 i) { return (double)g[row * v + tokens.place(i)]; };
            auto tangent = [&](i64 i) { return scale * (double)along[row * v + tokens.place(i)]; };
            Totals<2> mean = sums_of<2>(tokens.count, [&](i64 i, double* sum) {
                double p = weight(i);
                if (!(p > 0.0)) return;
                sum[0] += p * upstream(i);
                sum[1] += p * tangent(i);
            });
            double turn = sums_of<1>(tokens.count, [&](i64 i, double* sum) {
                double p = weight(i);
                if (p > 0.0) sum[0] += p * (tangent(i) - mean.of[1]) * (upstream(i) - mean.of[0]);
            }).of[0];
            if (!maxima && tokens.listed) {
                fill_row(to_row, v, T(0));
                fill_row(to_upstream, v, T(0));
                __syncthreads();
            }
            for (i64 i = threadIdx.x; i < tokens.count; i += blockDim.x) {
                double p = weight(i), dp = 0.0, turned = 0.0;
                if (p > 0.0) {
                    dp = p * (tangent(i) - mean.of[1]);
                    turned = scale * (dp * (upstream(i) - mean.of[0]) - p * turn);
                }
                to_row[tokens.place(i)] = (T)turned;
                to_upstream[tokens.place(i)] = (T)dp;
            }
        }
        __syncthreads();
    }
}
