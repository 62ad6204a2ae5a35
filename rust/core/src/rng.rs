//! Counter-based random numbers: `(seed, stream, index) -> value`, without state.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The seed is the
//! key, the counter holds the stream in its upper and the block number in its lower half; one block gives two 64-bit words,
//! so that `word(i)` is half `i mod 2` of block `i / 2`. `cuda/common.cuh` draws the same numbers.

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Philox4x32-10: four words out of a 128-bit counter and a 64-bit key.
#[inline(always)]
#[must_use]
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let low = u64::from(counter[0]) * u64::from(MULTIPLIER[0]);
        let high = u64::from(counter[2]) * u64::from(MULTIPLIER[1]);
        counter = [
            (high >> 32) as u32 ^ counter[1] ^ key[0],
            high as u32,
            (low >> 32) as u32 ^ counter[3] ^ key[1],
            low as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// A sequence of random numbers that can be read at any index, in any order, by any thread.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    seed: u64,
    stream: u64,
}

impl Stream {
    /// The sequence number `stream` of `seed`. One stream serves one purpose; re-using numbers breaks sampling laws.
    #[must_use]
    pub const fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream }
    }

    /// Words `2 * block` and `2 * block + 1`.
    #[inline(always)]
    #[must_use]
    pub fn pair(&self, block: u64) -> [u64; 2] {
        let counter = [block as u32, (block >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32];
        let [a, b, c, d] = philox4x32(counter, [self.seed as u32, (self.seed >> 32) as u32]);
        [u64::from(a) | u64::from(b) << 32, u64::from(c) | u64::from(d) << 32]
    }

    /// The 64-bit word at `index`.
    #[inline]
    #[must_use]
    pub fn word(&self, index: u64) -> u64 {
        self.pair(index >> 1)[(index & 1) as usize]
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    #[inline]
    #[must_use]
    pub fn uniform(&self, index: u64) -> f64 {
        unit(self.word(index))
    }

    /// Uniform among `0..n`; the bias is below `n / 2^64`.
    #[inline]
    #[must_use]
    pub fn below(&self, index: u64, n: u64) -> u64 {
        ((u128::from(self.word(index)) * u128::from(n)) >> 64) as u64
    }
}

/// The upper 53 bits of a word as a number in `[0, 1)`.
#[inline(always)]
#[must_use]
pub fn unit(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // The known-answer vectors that accompany the authors' reference implementation (Random123, kat_vectors).
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn words_are_halves_of_blocks() {
        let stream = Stream::new(7, 3);
        assert_eq!([stream.word(10), stream.word(11)], stream.pair(5));
    }

    #[test]
    fn uniforms_lie_in_the_half_open_interval() {
        assert_eq!(unit(0), 0.0);
        assert!(unit(u64::MAX) < 1.0);
    }

    #[test]
    fn below_reaches_both_ends_only() {
        let stream = Stream::new(1, 2);
        let mut seen = [0u32; 3];
        (0..3000).for_each(|i| seen[stream.below(i, 3) as usize] += 1);
        assert!(seen.iter().all(|&count| count > 800), "{seen:?}");
    }
}
