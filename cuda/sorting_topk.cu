// The kernels of `argrad.sorting.soft_topk`: one block takes one list at a time.
#include "threshold_gradient.cuh"

// In all kernels x[..][n] are rows of scores with `lists` lists in them, `parts` to a row, at offsets[..][parts + 1] (`stride` from
// row to row, 0: the same in all; null: each row is a list); k[lists], tau[lists]; mask[..][n] or null. `shape` and `exponent` tell
// the curve.

// The soft masks y[..][n], or their logarithms, or the hard choice (`exact`), and theta[lists][2], the threshold of each list. About
// ten passes over the list.
template <class T>
__global__ void __launch_bounds__(512)
    soft_topk(const T* x, const T* k, const T* tau, const bool* mask, const i64* offsets, i64 stride, i64 parts, i64 n,
              i64 lists, i64 shape, double exponent, i64 largest, i64 logs, i64 exact, T* y, double* theta, u32* fault) {
    Curve curve = {(int)shape, exponent};
    for (i64 number = blockIdx.x; number < lists; number += gridDim.x) {
        Range span = range_of(number, n, parts, offsets, stride, fault);
        Items<T> items = {x + span.start, mask ? mask + span.start : mask, span.n, largest ? T(1) : T(-1)};
        Threshold found = mask_list(curve, items, span.wrong, (double)k[number], (double)tau[number], logs, y + span.start, fault);
        if (exact && !is_nan(found.anchor)) choose(items, (double)k[number], logs, y + span.start);
        if (threadIdx.x == 0) {
            theta[2 * number] = found.anchor;
            theta[2 * number + 1] = found.shift;
        }
        __syncthreads();
    }
}

// Gradients to_x[..][n], to_k[lists] and to_tau[lists] from grad[..][n] and the thresholds. Two passes over the list, some more in
// double precision where the threshold lies in a wide gap and for logarithms.
template <class T>
__global__ void __launch_bounds__(512)
    soft_topk_vjp(const T* x, const T* k, const T* tau, const bool* mask, const i64* offsets, i64 stride, i64 parts,
                  i64 n, i64 lists, i64 shape, double exponent, i64 largest, i64 logs, const double* theta,
                  const T* grad, T* to_x, T* to_k, T* to_tau) {
    Curve curve = {(int)shape, exponent};
    for (i64 number = blockIdx.x; number < lists; number += gridDim.x) {
        Range span = range_of(number, n, parts, offsets, stride, 0);
        Items<T> items = {x + span.start, mask ? mask + span.start : mask, span.n, largest ? T(1) : T(-1)};
        Threshold at = {theta[2 * number], theta[2 * number + 1]};
        Dual dk = constant<Dual>(0.0), dtau = constant<Dual>(0.0);
        clear_rest(items, at, to_x + span.start);
        if (fabs(at.anchor) < infinity<double>() &&
            (logs || !quick(curve, items, at, (double)tau[number], grad + span.start, to_x + span.start, dk, dtau))) {
            Exact<T> exact = {curve, items, at, {(double)k[number], 0.0}, {(double)tau[number], 0.0}, logs != 0,
                              grad + span.start, 0, to_x + span.start, 0};
            exact.derive(dk, dtau);
        }
        bool bad = is_nan(at.anchor);
        if (threadIdx.x == 0) {
            to_k[number] = bad ? not_a_number<T>() : (T)dk.value;
            to_tau[number] = bad ? not_a_number<T>() : (T)dtau.value;
        }
        __syncthreads();
    }
}

// Gradients of <tangents, gradients>: to_x, to_k, to_tau and to_grad[..][n]. About five passes over the list in double precision.
template <class T>
__global__ void __launch_bounds__(512)
    soft_topk_second(const T* x, const T* k, const T* tau, const bool* mask, const i64* offsets, i64 stride, i64 parts,
                     i64 n, i64 lists, i64 shape, double exponent, i64 largest, i64 logs, const double* theta,
                     const T* grad, const T* x_tangent, const T* k_tangent, const T* tau_tangent, T* to_x, T* to_k,
                     T* to_tau, T* to_grad) {
    Curve curve = {(int)shape, exponent};
    for (i64 number = blockIdx.x; number < lists; number += gridDim.x) {
        Range span = range_of(number, n, parts, offsets, stride, 0);
        Items<T> items = {x + span.start, mask ? mask + span.start : mask, span.n, largest ? T(1) : T(-1)};
        Threshold at = {theta[2 * number], theta[2 * number + 1]};
        Dual dk = constant<Dual>(0.0), dtau = constant<Dual>(0.0);
        clear_rest(items, at, to_x + span.start);
        clear_rest(items, at, to_grad + span.start);
        if (fabs(at.anchor) < infinity<double>()) {
            Exact<T> exact = {curve, items, at, {(double)k[number], (double)k_tangent[number]},
                              {(double)tau[number], (double)tau_tangent[number]}, logs != 0, grad + span.start,
                              x_tangent + span.start, to_x + span.start, to_grad + span.start};
            exact.derive(dk, dtau);
        }
        bool bad = is_nan(at.anchor);
        if (threadIdx.x == 0) {
            to_k[number] = bad ? not_a_number<T>() : (T)dk.slope;
            to_tau[number] = bad ? not_a_number<T>() : (T)dtau.slope;
        }
        __syncthreads();
    }
}
