// Random numbers and index arithmetic shared by every kernel. Mirrors rust/core/src/rng.rs bit for bit.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

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
