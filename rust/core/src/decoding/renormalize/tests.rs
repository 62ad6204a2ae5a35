use super::*;
use crate::elementary::exp_f64;
use crate::rng::Stream;

/// `k` of more probabilities, decreasing, from nearly equal to far apart, and what the others have.
fn sample(seed: u64, k: usize) -> (Vec<f64>, Vec<f64>, f64) {
    let stream = Stream::new(seed, 1);
    let spread = [0.1, 1.0, 4.0, 20.0][(seed % 4) as usize];
    let mut x: Vec<f64> = (0..2 * k as u64).map(|i| spread * libm::log(stream.uniform(i) + 1e-30)).collect();
    x.sort_by(|a, b| b.total_cmp(a));
    let z = x[0] + libm::log(x.iter().map(|y| exp_f64(y - x[0])).sum());
    let logs: Vec<f64> = x[..k].iter().map(|x| x - z).collect();
    let p: Vec<f64> = logs.iter().map(|x| exp_f64(*x)).collect();
    let rest = x[k..].iter().map(|x| exp_f64(x - z)).sum();
    (p, logs, rest)
}

#[test]
fn newton_takes_few_steps_and_keeps_sum_and_order() {
    let primal =
        [-1e4, -300.0, -60.0, -8.0, -1.0, 0.0, 0.05, 0.5, 0.51, 0.9, 0.999, 1.0 - 1e-7, 1.0 + 1e-7, 1.001, 1.01];
    let more =
        [1.1, 1.2499, 1.25, 1.4, 1.75, 1.999_999, 2.000_001, 2.5, 4.0, 4.001, 6.0, 10.0, 30.0, 100.0, 300.0, 1e5];
    let dual = [1.05, 1.1, 1.2, 1.5, 1.8, 1.999, 2.001, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0];
    let rules = primal.iter().chain(&more).map(|&alpha| Rule { alpha, dual: false });
    for rule in rules.chain(dual.iter().map(|&alpha| Rule { alpha, dual: true })) {
        let (mut q, mut most) = (Vec::new(), 0);
        for seed in 0..200 {
            let (p, logs, rest) = sample(seed, 1 + (seed as usize * 7) % 300);
            most = most.max(rule.renormalize(&p, &logs, rest, None, &mut q));
            assert!((q.iter().sum::<f64>() - 1.0).abs() < 2e-14, "{rule:?} {seed}");
            assert!(q.windows(2).all(|pair| pair[0] >= pair[1] * (1.0 - 1e-14)), "{rule:?} {seed} {q:?}");
            assert!(q.iter().zip(&p).all(|(q, p)| *q >= p * (1.0 - 4e-14)), "{rule:?} {seed}");
        }
        // Evaluations: one more than steps. Far below alpha = 0 these rows, wider than language, take two more.
        let cap = if rule.dual && rule.alpha > 10.0 {
            14
        } else if rule.alpha <= -1.0 {
            11
        } else {
            9
        };
        assert!(most <= cap, "{rule:?}: {most} evaluations");
    }
}

#[test]
fn the_worked_example() {
    let p: [f64; 4] = [0.5, 0.2, 0.1, 0.05];
    let logs = p.map(f64::ln);
    let mut q = Vec::new();
    for (alpha, expected, tolerance) in [
        (20.0, [0.5, 0.2, 0.15, 0.15], 1e-4),
        (-8.0, [0.65, 0.2, 0.1, 0.05], 1e-4),
        (f64::INFINITY, [0.5, 0.2, 0.15, 0.15], 1e-15),
        (f64::NEG_INFINITY, [0.65, 0.2, 0.1, 0.05], 1e-15),
        (2.0, [0.5375, 0.2375, 0.1375, 0.0875], 1e-15),
    ] {
        Rule { alpha, dual: false }.renormalize(&p, &logs, 0.15, None, &mut q);
        assert!(q.iter().zip(expected).all(|(q, x)| (q - x).abs() < tolerance), "{alpha} {q:?}");
    }
}
