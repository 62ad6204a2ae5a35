//! Betti numbers and Euler characteristics against cells counted one by one and bars of the reduction.

use argrad_core::topology::grid::Grid;
use argrad_core::topology::{
    Images, Options, Ring, Stack, barcodes, betti_numbers, euler_characteristics, euler_curves,
};
use argrad_core::{Error, Job};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn masks() -> impl Strategy<Value = (Vec<usize>, Vec<u8>)> {
    let shape = prop_oneof![
        (1usize..200).prop_map(|n| vec![n]),
        (1usize..6, 1usize..140).prop_map(|(n, m)| vec![n, m]),
        (1usize..5, 1usize..5, 1usize..70).prop_map(|(n, m, k)| vec![n, m, k]),
    ];
    (shape, 0.2..0.8).prop_flat_map(|(shape, share)| {
        let n: usize = shape.iter().product();
        let mask = prop::collection::vec(prop::bool::weighted(share).prop_map(u8::from), n);
        (Just(shape), mask)
    })
}

const fn stack<'a, T>(voxels: &'a [T], shape: &'a [usize]) -> Stack<'a, T> {
    Stack { name: "x", voxels, shape, lead: 0, item: None }
}

/// The alternating sum of the numbers of V-cells with a largest key, and of T-cells with a smallest key, of at most `t`.
fn euler(x: &[f32], shape: &[usize], t: f32, full: bool) -> i64 {
    let ringed: Vec<_> = shape.iter().map(|&size| size + 2).collect();
    let (grid, strides) = (Grid::new(&ringed), Grid::new(&ringed).strides());
    let inner = Grid::new(shape);
    let mut wide = vec![f32::INFINITY; grid.len()];
    for (i, &value) in x.iter().enumerate() {
        let (mut rest, mut at) = (i, 0);
        for axis in (0..shape.len()).rev() {
            at += (rest % shape[axis] + 1) * strides[axis];
            rest /= shape[axis];
        }
        wide[at] = value;
    }
    assert_eq!(inner.len(), x.len());
    let mut total = 0;
    for dimension in 0..=grid.d() {
        // A T-cell is dual to the V-cell of the voxels around it.
        let sign = if (if full { grid.d() - dimension } else { dimension }).is_multiple_of(2) { 1 } else { -1 };
        for cell in grid.cells(dimension) {
            let (corners, count) = grid.corners(grid.axes(dimension, cell as usize % 4));
            let mut inside = corners[..count].iter().map(|corner| wide[cell as usize / 4 + corner] <= t);
            let there = if full { inside.any(|x| x) } else { inside.all(|x| x) };
            total += i64::from(there) * sign;
        }
    }
    total
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, rng_seed: RngSeed::Fixed(5), ..ProptestConfig::default() })]

    #[test]
    fn betti_numbers_count_bars((shape, mask) in masks(), full: bool) {
        let options = Options {
            superlevel: true,
            full,
            threshold: Some(0.0),
            ring: Ring::None,
            degrees: [true; 3],
            essential: true,
        };
        let x: Vec<_> = mask.iter().map(|&x| f32::from(x)).collect();
        let bars = barcodes(&[Images::Single(stack(&x, &shape))], &options, &Job::default()).unwrap();
        let mut expected = vec![0; shape.len()];
        bars[0].dimension.iter().for_each(|&k| expected[usize::from(k)] += 1);
        prop_assert_eq!(betti_numbers(stack(&mask, &shape), full, &Job::default()).unwrap(), expected);
    }

    #[test]
    fn euler_characteristics_count_cells((shape, mask) in masks(), full: bool) {
        let outside: Vec<_> = mask.iter().map(|&x| 1.0 - f32::from(x)).collect();
        let found = euler_characteristics(stack(&mask, &shape), full, &Job::default()).unwrap();
        prop_assert_eq!(found, vec![euler(&outside, &shape, 0.0, full)]);
    }

    #[test]
    fn curves_count_cells((shape, mask) in masks(), full: bool, seed: u32) {
        let noisy = |(i, &x): (usize, &u8)| f32::from(x) + ((i as u32).wrapping_mul(seed | 1) >> 29) as f32;
        let x: Vec<_> = mask.iter().enumerate().map(noisy).collect();
        let thresholds = [f64::NEG_INFINITY, 0.0, 1.5, 2.0, 2.0, 6.0, 99.0];
        let found = euler_curves(stack(&x, &shape), &thresholds, full, &Job::default()).unwrap();
        let expected: Vec<_> = thresholds.iter().map(|&t| euler(&x, &shape, t as f32, full)).collect();
        prop_assert_eq!(found, expected);
    }
}

/// One image takes many times as long as the stop comes after.
#[test]
fn a_stopped_count_ends() {
    let shape = [1, 160, 160, 160];
    let mut state = 1u32;
    let mask: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 31) as u8
    })
    .take(shape.iter().product())
    .collect();
    let grey: Vec<f32> = mask.iter().map(|&x| f32::from(x)).collect();
    let stopped = |work: &(dyn Fn(&Job) -> Result<Vec<i64>, Error> + Sync)| {
        let job = Job::default();
        std::thread::scope(|scope| {
            let found = scope.spawn(|| work(&job));
            std::thread::sleep(std::time::Duration::from_millis(2));
            job.stop();
            found.join().expect("no panic")
        })
    };
    let thresholds: Vec<_> = (0..4000).map(f64::from).collect();
    let stack = Stack { name: "mask", voxels: &mask[..], shape: &shape, lead: 1, item: None };
    let image = Stack { name: "x", voxels: &grey[..], shape: &shape, lead: 1, item: None };
    assert_eq!(stopped(&|job| betti_numbers(stack, true, job)), Err(Error::Interrupted));
    assert_eq!(stopped(&|job| euler_curves(image, &thresholds, true, job)), Err(Error::Interrupted));
}
