// CUDA's built-ins as plain C++, so that a kernel runs on the host: every thread of a block is a fiber, and fibers change where
// threads meet. What differs from a GPU: blocks run one after the other, and the order of threads between two meetings is
// fixed (rising or falling, as `descending` says: a kernel whose result depends on it has a race).
#pragma once
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __shared__ static
#define __constant__ static const
#define __launch_bounds__(...)
#define __restrict__
#define __align__(n) alignas(n)
#define DYNAMIC_SHARED(name) unsigned char* name = emulator::shared.data()

struct dim3 {
    unsigned x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

enum State { READY, AT_BLOCK, AT_WARP, DONE };
struct Fiber {
    ucontext_t context;
    State state;
    unsigned mask, turn;
};
const size_t STACK = 128 << 10;
static std::vector<unsigned char> shared;
static std::vector<char> stacks;
static std::vector<Fiber> fibers;
static uint64_t slots[2][1024];
static ucontext_t scheduler;
static unsigned current;
static void (*body)(void*);
static void* argument;

static void begin() {
    body(argument);
    fibers[current].state = DONE;
    swapcontext(&fibers[current].context, &scheduler);
}

static void wait(State state) {
    fibers[current].state = state;
    swapcontext(&fibers[current].context, &scheduler);
}

// Lets those go on that have all met; false where nobody has.
static bool release() {
    unsigned n = fibers.size(), waiting = 0, done = 0;
    bool any = false;
    for (unsigned warp = 0; warp < n; warp += 32) {
        for (unsigned lane = 0; lane < 32 && warp + lane < n; ++lane) {
            Fiber& fiber = fibers[warp + lane];
            if (fiber.state != AT_WARP) continue;
            bool met = true;
            for (unsigned other = 0; other < 32 && warp + other < n; ++other)
                if (fiber.mask >> other & 1) met = met && (fibers[warp + other].state == AT_WARP || fibers[warp + other].state == DONE);
            if (!met) continue;
            unsigned mask = fiber.mask;
            for (unsigned other = 0; other < 32 && warp + other < n; ++other)
                if (mask >> other & 1 && fibers[warp + other].state == AT_WARP) fibers[warp + other].state = READY, any = true;
        }
    }
    for (Fiber& fiber : fibers) waiting += fiber.state == AT_BLOCK, done += fiber.state == DONE;
    if (waiting > 0 && waiting + done == n)
        for (Fiber& fiber : fibers)
            if (fiber.state == AT_BLOCK) fiber.state = READY, any = true;
    return any;
}

static bool run_block(bool descending) {
    unsigned n = blockDim.x, done = 0;
    for (unsigned t = 0; t < n; ++t) {
        Fiber& fiber = fibers[t];
        fiber.state = READY;
        fiber.turn = 0;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = stacks.data() + t * STACK;
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, begin, 0);
    }
    while (done < n) {
        for (unsigned i = 0; i < n; ++i) {
            current = descending ? n - 1 - i : i;
            if (fibers[current].state != READY) continue;
            threadIdx = {current, 0, 0};
            swapcontext(&scheduler, &fibers[current].context);
            done += fibers[current].state == DONE;
        }
        if (done < n && !release()) return false;  // they wait for one another
    }
    return true;
}

template <class... A, size_t... I> static void call(void (*kernel)(A...), void** values, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<A>*>(values[I])...);
}

template <class... A>
static int launch(void (*kernel)(A...), const unsigned* grid, unsigned block, size_t bytes, bool descending, void** values) {
    struct Call {
        void (*kernel)(A...);
        void** values;
    } made = {kernel, values};
    body = [](void* made) { call(static_cast<Call*>(made)->kernel, static_cast<Call*>(made)->values, std::index_sequence_for<A...>()); };
    argument = &made;
    shared.assign(bytes, 0xA5);  // nobody may count on zeros
    stacks.resize(block * STACK);
    fibers.resize(block);
    blockDim = {block, 1, 1};
    gridDim = {grid[0], grid[1], 1};
    for (unsigned y = 0; y < grid[1]; ++y)
        for (unsigned x = 0; x < grid[0]; ++x) {
            blockIdx = {x, y, 0};
            if (!run_block(descending)) return 1;
        }
    return 0;
}

// Shows a value to the warp and returns where the others' are, once all lanes of the mask have come.
template <class T> static uint64_t* meet(unsigned mask, T value) {
    unsigned me = current, turn = fibers[me].turn ^= 1;
    slots[turn][me] = 0;
    memcpy(&slots[turn][me], &value, sizeof value);
    fibers[me].mask = mask;
    wait(AT_WARP);
    return slots[turn] + me / 32 * 32;
}

template <class T> static T shown(const uint64_t* slot) {
    T value;
    memcpy(&value, slot, sizeof value);
    return value;
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait(emulator::AT_BLOCK); }
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) { emulator::meet(mask, 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T> T __shfl_sync(unsigned mask, T value, int lane) {
    return emulator::shown<T>(emulator::meet(mask, value) + (lane & 31));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int step) {
    int lane = emulator::current % 32;
    return emulator::shown<T>(emulator::meet(mask, value) + (lane ^ step));
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned step) {
    unsigned lane = emulator::current % 32;
    return emulator::shown<T>(emulator::meet(mask, value) + (lane >= step ? lane - step : lane));
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned step) {
    unsigned lane = emulator::current % 32;
    return emulator::shown<T>(emulator::meet(mask, value) + (lane + step < 32 ? lane + step : lane));
}
inline unsigned __ballot_sync(unsigned mask, int truth) {
    const uint64_t* slots = emulator::meet(mask, truth != 0);
    unsigned found = 0, first = emulator::current / 32 * 32;
    for (unsigned lane = 0; lane < 32 && first + lane < blockDim.x; ++lane)
        if (mask >> lane & 1 && emulator::shown<bool>(slots + lane)) found |= 1u << lane;
    return found;
}
inline int __any_sync(unsigned mask, int truth) { return __ballot_sync(mask, truth) != 0; }
inline int __all_sync(unsigned mask, int truth) { return __ballot_sync(mask, !truth) == 0; }
template <class T> unsigned __match_any_sync(unsigned mask, T value) {
    const uint64_t* slots = emulator::meet(mask, value);
    unsigned found = 0;
    for (unsigned lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1 && emulator::shown<T>(slots + lane) == value) found |= 1u << lane;
    return found;
}

template <class T> inline T emulated_update(T* at, T now) { return std::exchange(*at, now); }
template <class T> T atomicAdd(T* at, T value) { return emulated_update(at, T(*at + value)); }
template <class T> T atomicMax(T* at, T value) { return emulated_update(at, *at < value ? value : *at); }
template <class T> T atomicMin(T* at, T value) { return emulated_update(at, value < *at ? value : *at); }
template <class T> T atomicOr(T* at, T value) { return emulated_update(at, T(*at | value)); }
template <class T> T atomicExch(T* at, T value) { return emulated_update(at, value); }
template <class T> T atomicCAS(T* at, T expected, T value) { return emulated_update(at, *at == expected ? value : *at); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
template <class To, class From> To emulated_cast(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
inline unsigned __float_as_uint(float x) { return emulated_cast<unsigned>(x); }
inline int __float_as_int(float x) { return emulated_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return emulated_cast<float>(x); }
inline float __int_as_float(int x) { return emulated_cast<float>(x); }
inline long long __double_as_longlong(double x) { return emulated_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return emulated_cast<double>(x); }
template <class T> T __ldg(const T* at) { return *at; }
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }

// Makes a kernel callable by its number.
#define ENTRY(number, ...)                                                                                            \
    extern "C" int launch_##number(const unsigned* grid, unsigned block, size_t bytes, bool descending, void** values) { \
        return emulator::launch(__VA_ARGS__, grid, block, bytes, descending, values);                                 \
    }
