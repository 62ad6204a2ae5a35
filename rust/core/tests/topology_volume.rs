//! Volumes: the engine finds the pairs of the definition, cell for cell.

mod plain;

use argrad_core::Job;
use argrad_core::topology::grid::Grid;
use argrad_core::topology::{Comparison, How, Rule, engine};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Voxel keys: spread, few values, two values, mostly two values.
fn keys(n: usize) -> impl Strategy<Value = Vec<u32>> {
    let key = prop_oneof![Just((1_u32, 1_000_000_000_u32)), Just((1, 12)), Just((1, 4)), Just((1, 2))];
    let some = key.prop_flat_map(move |(low, high): (u32, u32)| prop::collection::vec(low..=high, n));
    let mask = prop::collection::vec(prop_oneof![2 => Just(10_u32), 1 => Just(1)], n);
    let wide = prop::collection::vec(prop_oneof![2 => Just(1_000_000_001_u32), 1 => Just(0)], n);
    let mixed = prop::collection::vec(prop_oneof![2 => Just(10), 1 => Just(1), 2 => 1..=10_u32], n);
    prop_oneof![4 => some, 2 => mask, 2 => wide, 1 => mixed]
}

fn shapes() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![
        Just([3, 3, 3]),
        Just([2, 3, 4]),
        Just([4, 4, 4]),
        Just([2, 2, 2]),
        Just([2, 2, 6]),
        Just([5, 2, 3]),
        Just([2, 6, 2]),
        Just([5, 4, 5]),
    ]
}

/// Two images, a quarter of them alike but for a few voxels, and whether they lie in a ring of a constant.
fn cases() -> impl Strategy<Value = ([usize; 3], Vec<u32>, Vec<u32>, Option<u32>)> {
    let ring = prop_oneof![3 => Just(None), 1 => prop_oneof![Just(0), Just(1), Just(10)].prop_map(Some)];
    (shapes(), ring).prop_flat_map(|(shape, ring)| {
        let n = shape.iter().product();
        let same = prop_oneof![3 => Just(vec![false; n]), 1 => prop::collection::vec(prop::bool::weighted(0.92), n)];
        (Just(shape), keys(n), keys(n), Just(ring), same).prop_map(|(shape, f, mut g, ring, same)| {
            g.iter_mut().zip(&f).zip(same).filter(|(_, same)| *same).for_each(|((g, f), _)| *g = *f);
            (shape, f, g, ring)
        })
    })
}

fn ringed(grid: &Grid, keys: &[u32], ring: u32) -> Vec<u32> {
    let outer = grid.ringed();
    let mut found = vec![ring; outer.len()];
    for (voxel, &key) in keys.iter().enumerate() {
        let at = grid.coordinates(voxel);
        found[(0..3).map(|axis| (at[axis] + 1) * outer.strides()[axis]).sum::<usize>()] = key;
    }
    found
}

fn each_how() -> impl Iterator<Item = How> {
    [Comparison::Union, Comparison::Intersection]
        .into_iter()
        .flat_map(|comparison| [Rule::Strict, Rule::Refined].map(|rule| How { comparison, rule }))
}

#[test]
fn bars_and_matches_are_those_of_the_definition() {
    let config = Config { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(5), ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner
        .run(&cases(), |(shape, f, g, ring)| {
            let inner = Grid::new(&shape);
            let (grid, f, g) = match ring {
                Some(ring) => (inner.ringed(), ringed(&inner, &f, ring), ringed(&inner, &g, ring)),
                None => (inner, f, g),
            };
            let job = Job::default();
            let bars = engine::bars(&grid, &f, [true; 3], &job).unwrap();
            for (k, bars) in bars.iter().enumerate() {
                prop_assert_eq!(bars, &plain::bars(&grid, k, &f), "bars of degree {}", k);
            }
            for how in each_how() {
                let found = engine::matching(&grid, &f, &g, how, [true; 3], &job).unwrap();
                for (k, found) in found.iter().enumerate() {
                    prop_assert_eq!(found, &plain::matching(&grid, k, &f, &g, how), "degree {}, {:?}", k, how);
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn degrees_that_are_not_wanted_change_nothing_in_the_others() {
    let grid = Grid::new(&[6, 5, 7]);
    let mut state = 3_u32;
    let mut image = || -> Vec<u32> {
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            1 + (state >> 16) % 50
        };
        (0..grid.len()).map(next).collect()
    };
    let (f, g, job) = (image(), image(), Job::default());
    for how in each_how() {
        let all = engine::matching(&grid, &f, &g, how, [true; 3], &job).unwrap();
        assert!(all.iter().all(|pairing| !pairing.f.is_empty()));
        for k in 0..3 {
            let wanted = std::array::from_fn(|other| other == k);
            let one = engine::matching(&grid, &f, &g, how, wanted, &job).unwrap();
            assert_eq!(one[k], all[k]);
            assert_eq!(engine::bars(&grid, &f, wanted, &job).unwrap()[k], all[k].f);
        }
    }
}

/// Vessels as a mask and a noisy map of them: smooth enough for long paths, large enough for heaps and trees.
fn vessels(n: usize) -> (Grid, Vec<u32>, Vec<u32>) {
    let (grid, mut state) = (Grid::new(&[n, n, n]), 9_u64);
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32
    };
    let tube = |a: usize, b: usize| (a % 7).abs_diff(3) + (b % 9).abs_diff(4) < 3;
    let mask: Vec<u32> = (0..grid.len())
        .map(|voxel| {
            let [x, y, z] = grid.coordinates(voxel);
            if tube(x, y) || tube(y, z) { 0 } else { 1 << 30 }
        })
        .collect();
    let map = mask.iter().map(|&key| 1 + key / 2 + random() * 24).collect();
    (grid, map, mask)
}

#[test]
fn threads_change_nothing() {
    let (grid, f, g) = vessels(24);
    let job = Job::default();
    for how in each_how() {
        for (f, g) in [(&f, &g), (&g, &f)] {
            let one = engine::matching(&grid, f, g, how, [true; 3], &job).unwrap();
            assert!(one.iter().all(|pairing| pairing.f.len().max(pairing.g.len()) > 20));
            for threads in [2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let many = pool.install(|| engine::matching(&grid, f, g, how, [true; 3], &job).unwrap());
                assert_eq!(many, one);
            }
        }
    }
}

#[test]
fn matching_is_symmetric_and_an_image_matches_itself() {
    let (grid, f, g) = vessels(20);
    let job = Job::default();
    for how in each_how() {
        let there = engine::matching(&grid, &f, &g, how, [true; 3], &job).unwrap();
        let back = engine::matching(&grid, &g, &f, how, [true; 3], &job).unwrap();
        let own = engine::matching(&grid, &f, &f, how, [true; 3], &job).unwrap();
        for k in 0..3 {
            let mut turned: Vec<_> = back[k].matches.iter().map(|&[a, b]| [b, a]).collect();
            turned.sort_unstable();
            assert_eq!((&there[k].f, &there[k].g, &there[k].matches), (&back[k].g, &back[k].f, &turned));
            let all: Vec<_> = (0..own[k].f.len() as u32).map(|i| [i, i]).collect();
            assert_eq!(own[k].matches, all);
        }
    }
}

#[test]
fn a_stopped_job_ends() {
    let grid = Grid::new(&[3, 3, 3]);
    let job = Job::default();
    job.stop();
    assert_eq!(engine::bars(&grid, &[1; 27], [true; 3], &job), Err(argrad_core::Error::Interrupted));
}
