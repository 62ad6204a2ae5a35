//! Barcodes and matchings of images of one and two dimensions against the reduction of boundary matrices.

mod plain;

use argrad_core::topology::grid::Grid;
use argrad_core::topology::{Bar, Comparison, How, Pairing, Rule, plane};
use argrad_core::{Job, simd};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Two images on one grid.
#[derive(Debug, Clone)]
struct Pair {
    grid: Grid,
    f: Vec<u32>,
    g: Vec<u32>,
}

/// Keys without ties, with few or many of them, of two values, and constant ones.
fn keys(n: usize) -> impl Strategy<Value = Vec<u32>> {
    let key = prop_oneof![
        Just((0, u32::MAX)),
        Just((0, u32::MAX)),
        Just((1, 21)),
        Just((0, 6)),
        Just((3, 5)),
        Just((1, 3)),
        Just((7, 8)),
    ];
    key.prop_flat_map(move |(low, high)| prop::collection::vec(low..high, n))
}

/// A mask whose two keys enclose those of the other image, or share them.
fn mask(n: usize) -> impl Strategy<Value = Vec<u32>> {
    let ends = prop_oneof![Just((0, u32::MAX - 1)), Just((1, 20)), Just((3, 4)), Just((0, 5)), Just((2, 3))];
    (ends, prop::collection::vec(prop::bool::weighted(0.7), n))
        .prop_map(|((low, high), mask)| mask.into_iter().map(|out| if out { high } else { low }).collect())
}

fn pairs() -> impl Strategy<Value = Pair> {
    let shape = prop_oneof![
        (2usize..40).prop_map(|n| vec![n]),
        (2usize..12).prop_map(|n| vec![2, n]),
        (2usize..12).prop_map(|n| vec![n, 1, 2]),
        (2usize..11, 2usize..11).prop_map(|(n, m)| vec![n, m]),
        (2usize..11, 2usize..11).prop_map(|(n, m)| vec![n, m]),
    ];
    (shape, prop::bool::weighted(0.2)).prop_flat_map(|(shape, ring)| {
        let grid = Grid::new(&shape);
        let grid = if ring { grid.ringed() } else { grid };
        let n = grid.len();
        (keys(n), prop_oneof![keys(n).boxed(), mask(n).boxed()]).prop_map(move |(f, g)| Pair { grid, f, g })
    })
}

const HOWS: [How; 4] = [
    How { comparison: Comparison::Union, rule: Rule::Refined },
    How { comparison: Comparison::Union, rule: Rule::Strict },
    How { comparison: Comparison::Intersection, rule: Rule::Refined },
    How { comparison: Comparison::Intersection, rule: Rule::Strict },
];

/// Bars as pairs of cells in one order, and matches as pairs of bars.
fn sorted(found: &Pairing) -> [Vec<[u32; 4]>; 3] {
    let list = |bars: &[Bar]| bars.iter().map(|bar| [bar.birth, bar.death, 0, 0]).collect();
    let matches = found.matches.iter().map(|&[i, j]| {
        let (a, b) = (found.f[i as usize], found.g[j as usize]);
        [a.birth, a.death, b.birth, b.death]
    });
    let mut lists = [list(&found.f), list(&found.g), matches.collect()];
    lists.iter_mut().for_each(|list: &mut Vec<[u32; 4]>| list.sort_unstable());
    lists
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, rng_seed: RngSeed::Fixed(21), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pairs_are_those_of_the_reduced_matrix(Pair { grid, f, g } in pairs()) {
        let wanted = [true, grid.d() > 1];
        let bars = plane::bars(&grid, &f, wanted, &Job::default()).unwrap();
        for how in HOWS {
            let found = plane::matching(&grid, &f, &g, how, wanted, &Job::default()).unwrap();
            for k in 0..grid.d() {
                let expected = plain::matching(&grid, k, &f, &g, how);
                prop_assert_eq!(sorted(&found[k]), sorted(&expected), "degree {} {:?}", k, how);
                prop_assert_eq!(&bars[k], &found[k].f);
            }
        }
    }

    #[test]
    fn one_degree_alone_is_the_same(Pair { grid, f, g } in pairs(), which in 0usize..4) {
        let all = plane::matching(&grid, &f, &g, HOWS[which], [true, grid.d() > 1], &Job::default()).unwrap();
        for k in 0..grid.d() {
            let wanted = [k == 0, k == 1];
            let found = plane::matching(&grid, &f, &g, HOWS[which], wanted, &Job::default()).unwrap();
            prop_assert_eq!(sorted(&found[k]), sorted(&all[k]));
            prop_assert!(found[1 - k].f.is_empty() && found[1 - k].matches.is_empty());
            prop_assert_eq!(&plane::bars(&grid, &f, wanted, &Job::default()).unwrap()[k], &all[k].f);
        }
    }
}

/// Integers that look random.
fn noise(n: usize, seed: u64, most: u64) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (1 + (state >> 33) % most) as u32
    };
    (0..n).map(|_| next()).collect()
}

/// Large enough for two threads, for many pieces and for the radix sort.
#[test]
fn instruction_sets_and_threads_change_nothing() {
    let grid = Grid::new(&[301, 401]);
    let (f, grey) = (noise(grid.len(), 1, 1 << 30), noise(grid.len(), 2, 50));
    let mask: Vec<_> = grey.iter().map(|&key| if key < 20 { 1 } else { 1 << 30 }).collect();
    for g in [grey, mask] {
        for how in HOWS {
            let run = || plane::matching(&grid, &f, &g, how, [true; 2], &Job::default()).unwrap();
            let expected = run();
            assert!(expected.iter().all(|found| !found.f.is_empty() && !found.g.is_empty()));
            for level in simd::available() {
                simd::force(level.name()).unwrap();
                assert_eq!(run(), expected, "{level:?}");
            }
            simd::force("auto").unwrap();
            let threads = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert_eq!(threads.install(run), expected);
        }
    }
}

/// A spiral of one value: the longest way to a root.
#[test]
fn long_ways_are_short_work() {
    let (height, width) = (999, 999);
    let mut keys = vec![5; height * width];
    for i in (1..height).step_by(2) {
        for j in 0..width - 1 {
            keys[i * width + if i % 4 == 1 { j } else { j + 1 }] = 9;
        }
    }
    let grid = Grid::new(&[height, width]);
    let [first, second] = plane::bars(&grid, &keys, [true; 2], &Job::default()).unwrap();
    assert!(first.is_empty() && second.is_empty());
}

#[test]
fn a_job_that_was_stopped_ends() {
    let job = Job::default();
    job.stop();
    let grid = Grid::new(&[300, 300]);
    let keys = noise(grid.len(), 3, 1 << 30);
    assert!(plane::bars(&grid, &keys, [true; 2], &job).is_err());
    assert!(plane::matching(&grid, &keys, &keys, HOWS[0], [true; 2], &job).is_err());
}
