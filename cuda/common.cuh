// Types, numbers, indices and random numbers shared by every kernel.
//
// Floating arithmetic is compiled without contraction: a fused multiply-add stands in the source where one is meant, so that
// device and host round alike.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;

#define WARP 32
#define FULL 0xFFFFFFFFu

// Memory of a block whose size is given at launch. Tests compile the kernels as plain C++ and define this otherwise.
#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

// --- Numbers ---------------------------------------------------------------------------------------------------------

// Half precision as raw bits, so that no header of the toolkit is needed; computed in float.
struct Half {
    u16 bits;
};
struct BFloat {
    u16 bits;
};

// The number type in which a storage type is computed, and unsigned integers of its width.
template <class S> struct Computed {
    typedef float Number;
    typedef u32 Bits;
};
template <> struct Computed<double> {
    typedef double Number;
    typedef u64 Bits;
};

__device__ __forceinline__ float load(float x) { return x; }
__device__ __forceinline__ double load(double x) { return x; }
__device__ __forceinline__ float load(BFloat x) { return __uint_as_float((u32)x.bits << 16); }
__device__ __forceinline__ float load(Half x) {
    // The exponent is moved by a product, which is right for subnormal numbers as well; 31 is infinity or NaN.
    u32 sign = (u32)(x.bits & 0x8000u) << 16, rest = x.bits & 0x7FFFu;
    float size = rest >= 0x7C00u ? __uint_as_float(rest << 13 | 0x7F800000u)
                                 : __uint_as_float(rest << 13) * __uint_as_float(0x77800000u);
    return __uint_as_float(__float_as_uint(size) | sign);
}

__device__ __forceinline__ u32 bits_of(float x) { return __float_as_uint(x); }
__device__ __forceinline__ u64 bits_of(double x) { return (u64)__double_as_longlong(x); }
__device__ __forceinline__ float number_of(u32 bits) { return __uint_as_float(bits); }
__device__ __forceinline__ double number_of(u64 bits) { return __longlong_as_double((i64)bits); }

template <class T> __device__ __forceinline__ T infinity();
template <> __device__ __forceinline__ float infinity<float>() { return __uint_as_float(0x7F800000u); }
template <> __device__ __forceinline__ double infinity<double>() { return __longlong_as_double(0x7FF0000000000000ll); }
template <class T> __device__ __forceinline__ T not_a_number();
template <> __device__ __forceinline__ float not_a_number<float>() { return __uint_as_float(0x7FC00000u); }
template <> __device__ __forceinline__ double not_a_number<double>() {
    return __longlong_as_double(0x7FF8000000000000ll);
}

template <class T> __device__ __forceinline__ bool is_nan(T x) { return x != x; }

// Unsigned integers in the order of the numbers; the two zeros have one key. NaN has any.
__device__ __forceinline__ u32 key_of(float x) {
    u32 bits = __float_as_uint(x + 0.0f);
    return bits ^ ((bits >> 31) ? 0xFFFFFFFFu : 0x80000000u);
}
__device__ __forceinline__ u64 key_of(double x) {
    u64 bits = (u64)__double_as_longlong(x + 0.0);
    return bits ^ ((bits >> 63) ? ~0ull : 1ull << 63);
}
__device__ __forceinline__ float of_key(u32 key) {
    return __uint_as_float(key ^ ((key >> 31) ? 0x80000000u : 0xFFFFFFFFu));
}
__device__ __forceinline__ double of_key(u64 key) {
    return __longlong_as_double((i64)(key ^ ((key >> 63) ? 1ull << 63 : ~0ull)));
}

// --- Indices ---------------------------------------------------------------------------------------------------------

// The number of this thread in the grid, and of all threads: loops over items step by it, past 2^31 items as well.
__device__ __forceinline__ i64 thread_in_grid() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ i64 threads_in_grid() { return (i64)gridDim.x * blockDim.x; }

// --- Faults ----------------------------------------------------------------------------------------------------------

// Notes that the input has a fault; `fault` is null unless the caller asked for validation.
__device__ __forceinline__ void report(u32* fault) {
    if (fault) atomicOr(fault, 1u);
}

// --- Random numbers, as in rng.rs bit for bit --------------------------------------------------------------------------

struct Block4 {
    u32 word[4];
};

// Philox4x32-10: four words out of a 128-bit counter and a 64-bit key.
__device__ __forceinline__ Block4 philox4x32(Block4 counter, u32 key0, u32 key1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        u64 low = (u64)counter.word[0] * 0xD2511F53u;
        u64 high = (u64)counter.word[2] * 0xCD9E8D57u;
        counter = {{(u32)(high >> 32) ^ counter.word[1] ^ key0, (u32)high,
                    (u32)(low >> 32) ^ counter.word[3] ^ key1, (u32)low}};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

// The 64-bit word at `index` of (seed, stream): half `index mod 2` of block `index / 2`.
__device__ __forceinline__ u64 random_word(u64 seed, u64 stream, u64 index) {
    u64 block = index >> 1;
    Block4 out = philox4x32({{(u32)block, (u32)(block >> 32), (u32)stream, (u32)(stream >> 32)}}, (u32)seed,
                            (u32)(seed >> 32));
    return (index & 1) ? (u64)out.word[2] | (u64)out.word[3] << 32 : (u64)out.word[0] | (u64)out.word[1] << 32;
}

// Uniform in [0, 1), a multiple of 2^-53.
__device__ __forceinline__ double random_uniform(u64 seed, u64 stream, u64 index) {
    return (double)(random_word(seed, stream, index) >> 11) * (1.0 / 9007199254740992.0);
}

// Uniform among 0 .. n: the upper half of the product of a word and n.
__device__ __forceinline__ u64 random_below(u64 seed, u64 stream, u64 index, u64 n) {
    u64 word = random_word(seed, stream, index), high = word >> 32, low = (u32)word, top = n >> 32, bottom = (u32)n;
    u64 middle = high * bottom + (low * bottom >> 32), cross = low * top + (u32)middle;
    return high * top + (middle >> 32) + (cross >> 32);
}
