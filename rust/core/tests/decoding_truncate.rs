//! Where prefixes of a share of the mass end, against sums in double precision, and draws from them, on every instruction
//! set.

use argrad_core::Job;
use argrad_core::decoding::draw::{Draw, Places};
use argrad_core::decoding::rules::Rule;
use argrad_core::decoding::truncate::{Request, decode, truncate};
use levels::on_every_level;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

mod levels;

/// Two rows of a length around those of vectors and leaves, of many kinds, all longer than what is sorted at once.
fn rows() -> impl Strategy<Value = (usize, Vec<f32>)> {
    let length = prop_oneof![257usize..700, 1000usize..1100, 4000usize..4200, 8000usize..20000];
    (length, 0usize..10, any::<u64>()).prop_map(|(v, kind, seed)| {
        let mut state = seed | 1;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 + 0.5) / (1u32 << 24) as f32
        };
        let mut x: Vec<f32> = (0..2 * v).map(|_| (uniform() + uniform() + uniform() - 1.5) * 6.0).collect();
        match kind {
            0 => x.fill(uniform() - 0.5),
            1 => x.sort_by(f32::total_cmp),
            2 => x.sort_by(|a, b| b.total_cmp(a)),
            3 => x.iter_mut().for_each(|x| *x = (*x * 2.0).round() / 2.0), // many ties, both zeros
            4 => x.iter_mut().step_by(3).for_each(|x| *x = f32::NEG_INFINITY),
            5 => x.iter_mut().for_each(|x| *x *= 1e-3),
            6 => x[v / 2..][..200].iter_mut().for_each(|x| *x += 12.0), // clustered
            7 => x.iter_mut().step_by(2).for_each(|x| *x = -1e9),
            8 => x.iter_mut().for_each(|x| *x += 5000.0), // the maximum is subtracted first
            _ => {}
        }
        (v, x)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prefixes_end_where_their_mass_does((v, x) in rows(), share in 0.05..1.0f64, temperature in 0.3..3.0f64, seed in any::<u64>()) {
        let request = Request { temperature: &[temperature], rules: &[(Rule::TopP, &[share])], most: usize::MAX };
        let places = Places { seed: &[seed], row: None, step: &[0] };
        let (kept, draws) = on_every_level(|| {
            let mut draws = [Draw::default(); 2];
            decode(&x, v, &request, &places, &mut draws, &Job::default()).unwrap();
            let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let mut double = [Draw::default(); 2];
            decode(&wide, v, &request, &places, &mut double, &Job::default()).unwrap();
            (truncate(&x, v, &request, &Job::default()).unwrap(), [draws, double])
        });
        for (row, (x, kept)) in x.chunks(v).zip(&kept).enumerate() {
            let mut order: Vec<usize> = (0..v).collect();
            order.sort_by(|&a, &b| x[b].partial_cmp(&x[a]).unwrap()); // stable: ties by index
            let top = f64::from(x[order[0]]);
            let sums: Vec<f64> = order.iter().scan(0.0, |sum, &i| { *sum += ((f64::from(x[i]) - top) / temperature).exp(); Some(*sum) }).collect();
            let (target, slack) = (share * sums[v - 1], 3e-7 * sums[v - 1]);
            prop_assert!(sums[kept.len() - 1] >= target - slack);
            prop_assert!(kept.len() == 1 || sums[kept.len() - 2] < target + slack);
            for (place, &(index, p)) in kept.iter().enumerate() {
                prop_assert_eq!(index as usize, order[place]);
                let exact = ((f64::from(x[order[place]]) - top) / temperature).exp() / sums[kept.len() - 1];
                prop_assert!((p - exact).abs() <= 1e-6 * exact);
            }
            for draw in draws.iter().map(|draws| draws[row]) {
                let size = draw.size as usize;
                prop_assert!(size.abs_diff(kept.len()) <= 1 || (sums[size - 1] - sums[kept.len() - 1]).abs() <= 2.0 * slack);
                let place = order.iter().position(|&i| i as i64 == draw.token).unwrap();
                let u = Places::at(&places, row).uniform(argrad_core::decoding::draw::SAMPLE) * sums[size - 1];
                prop_assert!(sums[place] > u - slack && (place == 0 || sums[place - 1] <= u + slack));
                let exact = (f64::from(x[order[place]]) - top) / temperature - sums[size - 1].ln();
                prop_assert!((draw.log_probability - exact).abs() < 1e-6);
            }
        }
    }
}
