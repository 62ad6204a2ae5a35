// Soft top-k masks of one list and their gradients, as rust/core/src/sorting/topk*.rs.
#pragma once
#include "dual.cuh"
#include "threshold.cuh"

// Writes the soft mask of a list (`wrong`: of one whose offsets are), or its logarithms; returns the threshold. Of k above the infinite items, which are in, the finite
// items share the rest; an infinite item on the other side is out unless k is larger than what is left.
template <class T>
__device__ Threshold mask_list(Curve curve, Items<T> items, bool wrong, double k, double tau, bool logs, T* y, u32* fault) {
    bool whole = curve.shape != CUTOFF || k == floor(k);
    bool good = k >= 0.0 && k < infinity<double>() && whole && tau > 0.0 && tau < infinity<double>() && !wrong;
    if (!good) report(fault);
    Survey<T> seen = survey(items.x, items.mask, items.n, items.sign);
    bool bad = seen.nan || !good;
    u32 count = seen.count - seen.highest - seen.lowest;
    double above = (double)seen.highest, below = (double)seen.lowest, rest = k - above, all = (double)count;
    auto shown = [=](double value) { return (T)(logs ? log(value) : value); };
    auto share = [=](double part, double whole) { return shown(min(max(part / whole, 0.0), 1.0)); };
    T high = bad ? not_a_number<T>() : rest >= 0.0 ? shown(1.0) : share(k, above);
    T low = bad ? not_a_number<T>() : share(rest - all, below);
    Threshold found = {bad ? not_a_number<double>() : rest <= 0.0 ? infinity<double>() : -infinity<double>(), 0.0};
    Threshold at = found;
    bool wide = true, far = bad || rest <= 0.0 || rest >= all;
    if (!far && curve.shape == CUTOFF) {
        auto ends = boundary_of(items, (u32)rest);
        at = found = {0.5 * (double)of_key(ends.inner) + 0.5 * (double)of_key(ends.outer), 0.0};
    } else if (!far) {
        found = solve(curve, items, seen, rest, tau, at, wide);
    }
    if (logs) at = found;
    double inverse = 1.0 / max(tau, 1e-300);
    T flat = bad ? not_a_number<T>() : shown(rest <= 0.0 ? 0.0 : 1.0), zero = shown(0.0);
    for (u32 i = threadIdx.x; i < items.n; i += blockDim.x) {
        T v = items.sign * items.x[i], value = flat;
        if (!items.counts(i)) {
            value = zero;
        } else if (v == infinity<T>()) {
            value = high;
        } else if (v == -infinity<T>()) {
            value = low;
        } else if (!far && logs) {
            value = (T)curve.log_of(at.scaled((double)v, inverse));
        } else if (!far && wide) {
            value = (T)curve.at(at.scaled((double)v, inverse)).value();
        } else if (!far) {
            value = curve.at(fused(v - (T)at.anchor, (T)inverse, -(T)at.shift)).value();
        }
        y[i] = value;
    }
    return found;
}

// Overwrites y with the choice of the floor(k) first items, equal items by position.
template <class T> __device__ void choose(Items<T> items, double k, bool logs, T* y) {
    typedef typename Computed<T>::Bits Bits;
    u32 count = 0;
    for (u32 i = threadIdx.x; i < items.n; i += blockDim.x) count += items.counts(i);
    count = block_reduce(count, Sum());
    u32 chosen = (u32)min(floor(k), (double)count);
    auto key = [=](u32 i) { return items.counts(i) ? key_of(items.sign * items.x[i]) : (Bits)0; };
    Boundary<Bits> ends = {0, 0, 0, 0};
    if (chosen > 0) ends = find_boundary<Bits>(key, items.n, chosen);
    for (u32 i = threadIdx.x; i < items.n; i += blockDim.x) {
        bool in = chosen > 0 && (key(i) > ends.inner || (key(i) == ends.inner && i <= ends.inner_at));
        y[i] = logs ? (in ? T(0) : -infinity<T>()) : T(in);
    }
}

// Fills a gradient where no item lies near the threshold: zeros, and NaN in a list with a NaN. What is derived comes over it.
template <class T> __device__ void clear_rest(Items<T> items, Threshold at, T* out) {
    bool bad = is_nan(at.anchor);
    if (fabs(at.anchor) < infinity<double>() && !items.mask) {
        for (u32 i = threadIdx.x; i < items.n; i += blockDim.x)
            if (!is_item(items(i))) out[i] = T(0);
        return;
    }
    for (u32 i = threadIdx.x; i < items.n; i += blockDim.x)
        if (bad || !(fabs(at.anchor) < infinity<double>()) || !is_item(items(i)))
            out[i] = bad && items.counts(i) ? not_a_number<T>() : T(0);
}

// The gradient in the items' precision: f (g - m) / tau, m and minus the sum of t dx, for f = F'(t) and m the mean of g weighted by
// f. False where that does not do.
template <class T>
__device__ bool quick(Curve curve, Items<T> items, Threshold at, double tau, const T* grad, T* to_x, Dual& dk, Dual& dtau) {
    double inverse = 1.0 / max(tau, 1e-300);
    T anchor = (T)at.anchor, shift = (T)at.shift, scale = (T)inverse;
    if (curve.shape == CUTOFF || (double)anchor != at.anchor || (double)shift != at.shift || !(scale < infinity<T>()))
        return false;
    Sums<2> sums = {{0.0, 0.0}};
    for (u32 i = threadIdx.x; i < items.n; i += blockDim.x) {
        T v = items(i);
        if (!is_item(v)) continue;
        double slope = (double)curve.at(fused(v - anchor, scale, -shift)).slope;
        sums.of[0] += slope;
        sums.of[1] += slope * (double)grad[i];
    }
    sums = block_sums(sums);
    if (sums.of[0] < limits<T>().faint) return false;
    T mean = (T)(sums.of[1] / sums.of[0]);
    Sums<1> along = {{0.0}};
    for (u32 i = threadIdx.x; i < items.n; i += blockDim.x) {
        T v = items(i);
        if (!is_item(v)) continue;
        T t = fused(v - anchor, scale, -shift), d = curve.at(t).slope * (grad[i] - mean) * scale;
        to_x[i] = items.sign * d;
        along.of[0] += (double)d * (double)t;
    }
    along = block_sums(along);
    dk = constant<Dual>(sums.of[1] / sums.of[0]);
    dtau = constant<Dual>(-along.of[0]);
    return !is_nan(along.of[0]);
}

// Below it, the sum of the slopes has lost digits and the threshold lies in a gap that is wide for the temperature.
#define FAINT_SLOPES 1e-290

// Largest gradient to k: one that is larger than any number must not become one that is no number.
__device__ __forceinline__ double bounded(double x) {
    const double largest = 3.4028234663852886e38;
    return min(max(x, -largest), largest);
}

// The gradient over dual numbers in double precision, along the tangents. With weights w proportional to the slopes f,
//
//     d theta = SUM w dx - (SUM w t) dtau - (tau / SUM f) dk
//
// and with G = g F' (for logarithms g F' / F) and R its sum, dx = (G - w R) / tau, dk = R / SUM f, dtau = - SUM t dx.
// In a wide gap the threshold lies in the middle of it, and both sides weigh the same: the limit.
template <class T> struct Exact {
    Curve curve;
    Items<T> items;
    Threshold theta;
    Dual k, tau;
    bool logs;
    const T* grad;
    const T* tangent;  // null: zeros
    T* to_x;
    T* to_grad;  // null: without tangents

    // What the weights are made of, and means with them.
    double inverse, sum, inner, outer, above, below, mean_t, mean_tangent, by_k;
    u32 inner_at, outer_at;
    bool cutoff, limit;

    __device__ double flat(u32 i) const {
        double t = theta.scaled((double)items(i), inverse);
        return min(max(t, -1e290), 1e290);
    }
    __device__ double moved(u32 i) const { return tangent ? (double)(items.sign * tangent[i]) : 0.0; }
    __device__ double weight(u32 i, double t) const {
        if (cutoff) return 0.5 * ((double)(i == inner_at) + (double)(i == outer_at));
        if (!limit) return curve.at(t).slope / sum;
        return t == inner ? above : t == outer ? below : 0.0;
    }
    __device__ Dual argument(u32 i, double t) const {
        return {t, (moved(i) - mean_tangent - (t - mean_t) * tau.slope) * inverse + by_k};
    }
    __device__ Dual slope(Dual t) const { return chain(t, curve.at(t.value).slope, curve.bend(t.value)); }
    __device__ Dual derivative(Dual t) const {
        if (!logs) return slope(t);
        LogSlopes slopes = curve.log_slopes(t.value);
        return chain(t, slopes.ratio, slopes.change);
    }
    // A value that does not move hides whatever is behind it.
    __device__ Dual cotangent(u32 i, Dual value) const {
        return value.value == 0.0 ? constant<Dual>(0.0) : value * constant<Dual>((double)grad[i]);
    }
    // The part of a value's derivative that comes from k where the derivative of its argument has none.
    __device__ double jump(double value, double weight) const {
        if (cutoff || !limit || k.slope == 0.0) return 0.0;
        return logs ? bounded(value * k.slope / max(sum, FAINT_SLOPES)) : weight * k.slope;
    }
    template <class Work> __device__ void each(Work work) const {
        for (u32 i = threadIdx.x; i < items.n; i += blockDim.x)
            if (is_item(items(i))) work(i, flat(i));
    }

    // Finds the weights.
    __device__ void weigh() {
        inverse = 1.0 / max(tau.value, 1e-300);
        cutoff = curve.shape == CUTOFF;
        Sums<1> slopes = {{0.0}};
        u32 highest = 0;
        inner = infinity<double>();
        outer = -inner;
        each([&](u32 i, double t) {
            slopes.of[0] += curve.at(t).slope;
            if (t > 0.0) inner = min(inner, t);
            if (t <= 0.0) outer = max(outer, t);
        });
        sum = block_sums(slopes).of[0];
        limit = cutoff || sum < FAINT_SLOPES;
        inner_at = outer_at = items.n;
        if (cutoff) {
            for (u32 i = threadIdx.x; i < items.n; i += blockDim.x)
                highest += items.counts(i) && items.sign * items.x[i] == infinity<T>();
            highest = block_reduce(highest, Sum());
            auto ends = boundary_of(items, (u32)k.value - highest);
            inner_at = ends.inner_at;
            outer_at = ends.outer_at;
        } else if (limit) {
            inner = block_reduce(inner, Least());
            outer = block_reduce(outer, Largest());
            Sums<2> counts = {{0.0, 0.0}};
            each([&](u32 i, double t) {
                counts.of[0] += t == inner;
                counts.of[1] += t == outer;
            });
            counts = block_sums(counts);
            above = 0.5 / counts.of[0];
            below = 0.5 / counts.of[1];
        }
    }

    __device__ void derive(Dual& dk, Dual& dtau) {
        weigh();
        Sums<2> means = {{0.0, 0.0}};
        each([&](u32 i, double t) {
            double w = weight(i, t);
            means.of[0] += w * t;
            means.of[1] += w * moved(i);
        });
        means = block_sums(means);
        mean_t = cutoff ? 0.0 : means.of[0];
        mean_tangent = means.of[1];
        by_k = limit ? 0.0 : k.slope / sum;
        // Sums of slopes, of cotangents, and of g with the weights.
        Sums<5> sums = {{0.0, 0.0, 0.0, 0.0, 0.0}};
        each([&](u32 i, double flat) {
            Dual t = argument(i, flat), f = slope(t), value = derivative(t), c = cotangent(i, value);
            sums.of[0] += f.value;
            sums.of[1] += f.slope;
            sums.of[2] += c.value;
            sums.of[3] += c.slope;
            sums.of[4] += limit ? weight(i, flat) * (double)grad[i] : 0.0;
        });
        sums = block_sums(sums);
        Dual slopes = {sums.of[0], sums.of[1]}, total = {sums.of[2], sums.of[3]};
        Dual temperature = {max(tau.value, 1e-300), tau.slope};
        Sums<2> along = {{0.0, 0.0}};
        each([&](u32 i, double flat) {
            Dual t = argument(i, flat), value = derivative(t);
            double w = weight(i, flat);
            Dual d = (cotangent(i, value) - (limit ? constant<Dual>(w) : slope(t) / slopes) * total) / temperature;
            along.of[0] += (d * t).value;
            along.of[1] += (d * t).slope;
            to_x[i] = items.sign * (T)(to_grad ? d.slope : d.value);
            if (to_grad) to_grad[i] = (T)(value.value * t.slope + jump(value.value, w));
        });
        along = block_sums(along);
        dtau = {-along.of[0], -along.of[1]};
        Dual ratio = total / slopes;
        dk = {bounded(ratio.value), bounded(ratio.slope)};
        if (limit) dk = constant<Dual>(logs ? bounded(total.value / max(slopes.value, FAINT_SLOPES)) : sums.of[4]);
        if (cutoff) dk = constant<Dual>(0.0);
    }
};
