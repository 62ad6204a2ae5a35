//! Rows of logits: selection against a full sort, statistics against double precision, on every instruction set.

use argrad_core::Job;
use argrad_core::decoding::topk::topk;
use argrad_core::decoding::{Logit, Memory, Reading, Row, Statistics, Sums};
use levels::on_every_level;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

mod levels;

/// Rows of every length around the sizes of vectors, blocks and leaves, of many kinds.
fn rows() -> impl Strategy<Value = Vec<f32>> {
    let length = prop_oneof![1usize..70, 1usize..600, 4000usize..9000];
    (length, 0usize..8, any::<u64>()).prop_map(|(v, kind, seed)| {
        let mut state = seed | 1;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 + 0.5) / (1u32 << 24) as f32
        };
        let mut x: Vec<f32> = (0..v).map(|_| (uniform() + uniform() + uniform() - 1.5) * 8.0).collect();
        match kind {
            0 => x.fill(uniform() - 0.5),
            1 => x.sort_by(f32::total_cmp),
            2 => x.sort_by(|a, b| b.total_cmp(a)),
            3 => x.iter_mut().for_each(|x| *x = (*x * 2.0).round() / 2.0), // many ties, both zeros
            4 => x.iter_mut().for_each(|x| *x = if *x < 3.0 { f32::NEG_INFINITY } else { *x }),
            5 => x.iter_mut().for_each(|x| *x *= 1e-42), // subnormal
            6 => x[v / 2..].iter_mut().take(40).for_each(|x| *x += 20.0), // clustered
            _ => {}
        }
        if x.iter().all(|&x| x == f32::NEG_INFINITY) {
            x[0] = 1.0;
        }
        x
    })
}

fn sorted<T: Logit>(x: &[T]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[b].partial_cmp(&x[a]).unwrap()); // stable: ties by index
    order
}

fn reading(sums: Sums, temperature: f64, expected: usize) -> Reading {
    Reading { temperature, sums, expected }
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * b.abs()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_largest_are_those_of_a_stable_sort(x in rows(), part in 0.0..1.0f64, expected in 1usize..300) {
        let k = ((part * part * part) * x.len() as f64).ceil() as usize;
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let live = x.iter().filter(|x| **x > f32::NEG_INFINITY).count();
        let wanted: Vec<(f64, u32)> = sorted(&x)[..k.min(live)].iter().map(|&i| (wide[i], i as u32)).collect();
        let found = on_every_level(|| {
            let (mut memory, mut wide_memory) = (Memory::<f32>::default(), Memory::<f64>::default());
            let mut row = Row::read(&x, 0, reading(Sums::Nothing, 1.0, expected), &mut memory).unwrap();
            row.largest(k / 2); // asked again for more
            let tokens = |found: &[argrad_core::decoding::Token]| found.iter().map(|t| (t.logit, t.index)).collect::<Vec<_>>();
            let single = tokens(row.largest(k));
            let mut row = Row::read(&wide, 0, reading(Sums::Nothing, 1.0, expected), &mut wide_memory).unwrap();
            (single, tokens(row.largest(k)))
        });
        prop_assert_eq!(&found.0, &wanted);
        prop_assert_eq!(&found.1, &wanted);
    }

    #[test]
    fn all_from_a_threshold_on_are_found(x in rows(), at in 0.0..1.0f64) {
        let order = sorted(&x);
        let least = x[order[((x.len() - 1) as f64 * at) as usize]];
        let wanted: Vec<u32> = order.iter().filter(|&&i| x[i] >= least && x[i] > f32::NEG_INFINITY).map(|&i| i as u32).collect();
        let found = on_every_level(|| {
            let mut memory = Memory::<f32>::default();
            let mut row = Row::read(&x, 0, reading(Sums::Nothing, 1.0, 50), &mut memory).unwrap();
            row.at_least(least).iter().map(|token| token.index).collect::<Vec<_>>()
        });
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn statistics_are_those_of_double_precision(x in rows(), temperature in prop_oneof![Just(1.0), 0.05..5.0f64]) {
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let maximum = wide.iter().fold(f64::NEG_INFINITY, |top, &x| top.max(x));
        let e: Vec<f64> = wide.iter().map(|x| ((x - maximum) / temperature).exp()).collect();
        let z0: f64 = e.iter().sum();
        let entropy: f64 = e.iter().filter(|e| **e > 0.0).map(|e| -e / z0 * (e / z0).ln()).sum();
        let live: Vec<f64> = wide.iter().copied().filter(|x| x.is_finite()).collect();
        let mean = live.iter().sum::<f64>() / live.len() as f64;
        let square: f64 = live.iter().map(|x| (x - mean) * (x - mean)).sum();
        let scale = live.iter().fold(0.0f64, |top, x| top.max(x.abs()));
        for (sums, tolerance) in [(Sums::Normalizer, 1e-7), (Sums::Spread, 1e-7)] {
            let found: Statistics = on_every_level(|| {
                let mut memory = Memory::<f32>::default();
                Row::read(&x, 0, reading(sums, temperature, 50), &mut memory).unwrap().statistics
            });
            prop_assert!(close(found.z0, z0, tolerance), "{} {}", found.z0, z0);
            if sums == Sums::Spread {
                prop_assert!((found.entropy() - entropy).abs() <= 1e-6 * (1.0 + entropy), "{} {entropy}", found.entropy());
                prop_assert!(close(found.collision(), e.iter().map(|e| e * e).sum::<f64>() / (z0 * z0), 3e-7));
                prop_assert_eq!(found.count, live.len());
                prop_assert!((found.mean - mean).abs() <= 2e-7 * scale + 1e-45, "{} {mean}", found.mean);
                prop_assert!((found.square - square).abs() <= 1e-6 * square + 1e-12 * scale * scale + 1e-38, "{} {square}", found.square);
            }
            let mut memory = Memory::<f64>::default();
            let exact = Row::read(&wide, 0, reading(sums, temperature, 50), &mut memory).unwrap().statistics;
            prop_assert!(close(exact.z0, z0, 1e-13), "{} {}", exact.z0, z0);
            if sums == Sums::Spread {
                prop_assert!((exact.entropy() - entropy).abs() <= 1e-12 * (1.0 + entropy));
                prop_assert!((exact.square - square).abs() <= 1e-11 * square + 1e-24 * scale * scale);
            }
        }
    }
}

#[test]
fn the_largest_of_long_rows_are_found_however_they_are_spread() {
    let noise = |i: usize| ((i * 7919 + 13) % 10_007) as f32 / 10_007.0;
    let kinds: [fn(usize, f32) -> f32; 7] = [
        |_, u| u,
        |i, u| if i < 300 { 2.0 + u } else { u },               // neighbors
        |i, u| if i % 256 < 3 { 2.0 + u } else { u },           // places that are equal mod 256
        |i, u| if i % 256 == 7 { (i / 256) as f32 } else { u }, // the same, each larger than the one before
        |_, u| (4.0 * u).floor() - 2.0,                         // equal numbers
        |_, u| if u < 0.99 { f32::NEG_INFINITY } else { u },
        |i, u| if i % 16 == 0 { -0.0 } else { -u },
    ];
    for v in [2047, 2048, 2303, 5000, 32_000, 70_001] {
        for kind in kinds {
            let x: Vec<f32> = (0..v).map(|i| kind(i, noise(i))).collect();
            let order = sorted(&x);
            for k in [1, 2, 50, 85, 128, 129, 500] {
                let places = on_every_level(|| {
                    let (mut values, mut places) = (vec![0.0f32; k], vec![0i64; k]);
                    topk(&x, v, true, &mut values, &mut places, k, &Job::default()).unwrap();
                    assert!(values.iter().zip(&places).all(|(y, &i)| y.to_bits() == x[i as usize].to_bits()));
                    places
                });
                assert!(places.iter().zip(&order).all(|(&a, &b)| a as usize == b), "{v} {k}");
            }
        }
    }
}

#[test]
fn normalizers_have_the_same_bits_on_every_level() {
    for v in [1, 15, 16, 255, 256, 1023, 1024, 1025, 4095, 4096, 4097, 5000, 9000] {
        // From 4096 on, times log2(e), the maximum is subtracted first; from 80 below it on, weights are 0.
        for (offset, spread, temperature) in [(0.0, 5.0, 1.0), (3.3, 90.0, 0.7), (9e3, 9.0, 1.3), (-1e6, 50.0, 1.0)] {
            let x: Vec<f32> = (0..v).map(|i| offset - spread * ((i * 7919 + 13) % 1009) as f32 / 1009.0).collect();
            let z0 = on_every_level(|| {
                let mut memory = Memory::default();
                let row = Row::read(&x, 0, reading(Sums::Normalizer, temperature, 8), &mut memory).unwrap();
                row.statistics.z0.to_bits()
            });
            let maximum = x.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x));
            let exact = x.iter().map(|&x| ((f64::from(x) - f64::from(maximum)) / temperature).exp()).sum();
            assert!(close(f64::from_bits(z0), exact, 1e-7), "{v} {offset}: {} {exact}", f64::from_bits(z0));
        }
    }
}

#[test]
fn bad_numbers_are_named_wherever_they_are() {
    for v in [1usize, 17, 130, 4096, 5000] {
        for at in [0, v / 2, v - 1] {
            for (bad, name) in [(f32::NAN, "NaN"), (-f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
                let mut x = vec![1.0f32; v];
                x[0] = f32::NEG_INFINITY;
                x[at] = bad;
                on_every_level(|| {
                    let mut memory = Memory::<f32>::default();
                    let error = Row::read(&x, 7, reading(Sums::Moments, 1.0, 50), &mut memory).unwrap_err().to_string();
                    assert_eq!(error, format!("logits must be finite or -inf, got {name} at row 7, column {at}"));
                });
            }
        }
    }
    let mut memory = Memory::<f32>::default();
    let error = Row::read(&[f32::NEG_INFINITY; 9], 3, reading(Sums::Nothing, 1.0, 5), &mut memory).unwrap_err();
    assert_eq!(error.to_string(), "logits must have a finite number in every row, got only -inf in row 3");
}

#[test]
fn infinities_are_numbers_to_topk_and_zeros_keep_their_sign() {
    let x = [f32::NEG_INFINITY, -0.0, f32::INFINITY, 0.0, f32::NEG_INFINITY];
    let (mut values, mut places) = ([0.0f32; 5], [0i64; 5]);
    topk(&x, 5, true, &mut values, &mut places, 5, &Job::default()).unwrap();
    assert_eq!(places, [2, 1, 3, 0, 4]);
    assert!(values[1].is_sign_negative() && values[2].is_sign_positive());
    topk(&x, 5, false, &mut values, &mut places, 5, &Job::default()).unwrap();
    assert_eq!(places, [0, 4, 1, 3, 2]);
    let error = topk(&[1.0, f32::NAN], 1, true, &mut values[..2], &mut places[..2], 1, &Job::default()).unwrap_err();
    assert_eq!(error.to_string(), "x must be free of NaN, got NaN at row 1, column 0");
}
