//! Derivatives of projections written once over dual numbers: the second derivative, and the gradient to the strength of
//! those soft sorts that have no shorter form.

use super::{Operation, Options, Regularization, Solver, power};
use crate::dual::{Dual, Number};
use crate::error::Result;
use crate::job::Job;
use crate::lent::Lent;
use crate::sorting::lists::Output;
use crate::sorting::order::{Key, Packed};

/// One block: what is projected (s), onto the permutahedron of what (w), by the regularization.
struct Block<'a, N> {
    operation: Operation,
    regularization: Regularization,
    s: &'a [N],
    w: &'a [N],
}

fn sum<N: Number>(terms: impl Iterator<Item = N>) -> N {
    terms.fold(N::default(), |total, term| total + term)
}

fn mean<N: Number>(x: &[N]) -> N {
    sum(x.iter().copied()) / N::of(x.len() as f64)
}

fn softmax<N: Number>(x: &[N]) -> Vec<N> {
    let most = x.iter().map(|x| x.value()).fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<N> = x.iter().map(|&x| (x - N::of(most)).exp()).collect();
    let total = sum(e.iter().copied());
    e.into_iter().map(|e| e / total).collect()
}

fn log_sum_exp<N: Number>(x: &[N]) -> N {
    let most = N::of(x.iter().map(|x| x.value()).fold(f64::NEG_INFINITY, f64::max));
    sum(x.iter().map(|&x| (x - most).exp())).ln() + most
}

/// |t|^`degree` with its slope.
fn power_of<N: Number>(t: N, degree: f64) -> N {
    let x = t.value();
    let slope = if degree == 0.0 { 0.0 } else { degree * power::psi(x, degree - 1.0) };
    t.chain(power::power(x, degree), slope)
}

impl<N: Number> Block<'_, N> {
    /// s - gamma for the p-norm. A Newton step from the root gives gamma its dual part.
    fn distances(&self, degree: f64) -> Vec<N> {
        let s: Vec<f64> = self.s.iter().map(|s| s.value()).collect();
        let total = sum(self.w.iter().copied());
        let root = N::of(power::root(&s, total.value(), degree));
        let t = |s: N| s - root;
        let excess = sum(self.s.iter().map(|&s| t(s) * power_of(t(s), degree - 1.0))) - total;
        let slope = sum(self.s.iter().map(|&s| N::of(degree) * power_of(t(s), degree - 1.0)));
        let gamma = root + excess / slope;
        self.s.iter().map(|&s| s - gamma).collect()
    }

    /// The projection.
    fn value(&self) -> Vec<N> {
        let shift = match (self.regularization, self.operation) {
            (Regularization::L2, _) => mean(self.w) - mean(self.s),
            (Regularization::Kl, Operation::Sort) => log_sum_exp(self.w) - log_sum_exp(self.s),
            (Regularization::Kl, Operation::Rank) => {
                let total = sum(self.w.iter().copied());
                return softmax(self.s).into_iter().map(|p| p * total).collect();
            }
            (Regularization::Power(degree), _) => {
                let t = self.distances(degree).into_iter();
                return t.map(|t| t * power_of(t, degree - 1.0)).collect();
            }
        };
        self.s.iter().map(|&s| s + shift).collect()
    }

    /// The VJP of [`Block::value`], to s and to w.
    fn vjp(&self, g: &[N]) -> (Vec<N>, Vec<N>) {
        let weighted = |a: &[N]| sum(a.iter().zip(g).map(|(&a, &g)| a * g)) / sum(a.iter().copied());
        match (self.regularization, self.operation) {
            (Regularization::L2, _) => {
                let center = mean(g);
                (g.iter().map(|&g| g - center).collect(), vec![center; g.len()])
            }
            (Regularization::Kl, Operation::Sort) => {
                let total = sum(g.iter().copied());
                let to_s = g.iter().zip(softmax(self.s)).map(|(&g, p)| g - p * total).collect();
                (to_s, softmax(self.w).into_iter().map(|p| p * total).collect())
            }
            (Regularization::Kl, Operation::Rank) => {
                let r = self.value();
                let mean = weighted(&r);
                (r.iter().zip(g).map(|(&r, &g)| r * (g - mean)).collect(), vec![N::default(); g.len()])
            }
            (Regularization::Power(degree), _) => {
                let a: Vec<N> = self.distances(degree).iter().map(|&t| power_of(t, degree - 1.0)).collect();
                let mean = weighted(&a);
                let to_s = a.iter().zip(g).map(|(&a, &g)| N::of(degree) * a * (g - mean)).collect();
                (to_s, vec![mean; g.len()])
            }
        }
    }
}

/// One list: the scores and the strength as numbers that may move, and the gradient of the values.
struct List<'a, T, N> {
    operation: Operation,
    options: &'a Options<'a>,
    x: &'a [T],
    index: usize,
    number: &'a dyn Fn(usize) -> N,
    strength: N,
    grad: &'a [T],
}

/// Value, and gradients to the scores and to the strength; positions go with the values and the gradients.
struct Derived<N> {
    values: Vec<(usize, N)>,
    to_x: Vec<(usize, N)>,
    to_strength: N,
    poisoned: bool,
}

impl<T: Key, N: Number> List<'_, T, N> {
    fn derive(&self, solver: &mut Solver) -> Derived<N> {
        let solved = solver.solve(self.operation, self.x, self.index, self.options, self.strength.value());
        let positions: Vec<usize> = solved.keys.iter().map(|key| key.position() as usize).collect();
        let (values, to_x) = (Vec::with_capacity(positions.len()), Vec::with_capacity(positions.len()));
        let mut derived = Derived { values, to_x, to_strength: N::default(), poisoned: solved.poisoned };
        if !derived.poisoned {
            for block in solved.blocks() {
                self.block(block.start, &positions[block], positions.len(), &mut derived);
            }
        }
        derived
    }

    /// Adds the block of the items at `positions`, which begins at `place` of `places`.
    fn block(&self, place: usize, positions: &[usize], places: usize, derived: &mut Derived<N>) {
        let sign = N::of(self.options.sign(self.operation));
        let ranks = self.operation == Operation::Rank;
        let at = |k: usize| if ranks { positions[k] } else { place + k };
        if positions.len() == 1 || self.strength.value() == 0.0 {
            // Ranks are constant, sorted scores those of the items.
            for (k, &item) in positions.iter().enumerate().filter(|_| !ranks) {
                derived.values.push((at(k), (self.number)(item)));
                derived.to_x.push((item, N::of(self.grad[at(k)].wide())));
            }
            return;
        }
        let u: Vec<N> = positions.iter().map(|&item| sign * (self.number)(item)).collect();
        let rho: Vec<N> = (0..u.len()).map(|k| N::of((places - place - k) as f64)).collect();
        let (from, onto) = if ranks { (&u, &rho) } else { (&rho, &u) };
        // s is needed up to a constant only: that keeps it small.
        let origin = N::of(from[0].value());
        let s: Vec<N> = from.iter().map(|&x| (x - origin) / self.strength).collect();
        let block = Block { operation: self.operation, regularization: self.options.regularization, s: &s, w: onto };
        let outer = if ranks { N::of(1.0) } else { sign };
        let g: Vec<N> = (0..u.len()).map(|k| outer * N::of(self.grad[at(k)].wide())).collect();
        let (to_s, to_w) = block.vjp(&g);
        derived.values.extend(block.value().into_iter().enumerate().map(|(k, y)| (at(k), outer * y)));
        let to_x = positions.iter().zip(to_s.iter().zip(&to_w));
        derived.to_x.extend(to_x.map(|(&item, (&d, &w))| (item, sign * if ranks { d / self.strength } else { w })));
        // SUM ds = 0, so the origin is free here, too.
        let along = sum(to_s.iter().zip(from).map(|(&d, &x)| d * (x - origin)));
        derived.to_strength -= along / (self.strength * self.strength);
    }
}

/// What [`second`] fills.
#[derive(Debug)]
pub struct Outputs<'a, T> {
    /// Gradient to the scores.
    pub to_x: &'a mut [T],
    /// Gradient to the strengths.
    pub to_strength: &'a mut [T],
    /// Gradient to the gradient of the values.
    pub to_grad: &'a mut [T],
}

/// Inputs, the gradient of the values, and tangents.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a, T> {
    /// Scores.
    pub x: &'a [T],
    /// One number for each list.
    pub strength: &'a [T],
    /// Gradient of the values.
    pub grad: &'a [T],
    /// Tangents of the scores.
    pub x_tangent: &'a [T],
    /// Tangents of the strengths.
    pub strength_tangent: &'a [T],
}

/// The gradients of <tangents, vjp>: the VJP at scores and strengths that move along the tangents.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn second<T: Key>(
    operation: Operation,
    known: &Known<'_, T>,
    options: &Options<'_>,
    outputs: &mut Outputs<'_, T>,
    job: &Job,
) -> Result<()> {
    let (to_x, to_strength) = (Output::new(&mut *outputs.to_x), Output::new(&mut *outputs.to_strength));
    let to_grad = Output::new(&mut *outputs.to_grad);
    options.lists.each(job, Lent::<Solver>::new, |solver, list, range| {
        let dual = |value: &T, slope: &T| Dual::new(value.wide(), slope.wide());
        let derived = List {
            operation,
            options,
            x: known.x,
            index: list,
            number: &|i| dual(&known.x[range.start + i], &known.x_tangent[range.start + i]),
            strength: dual(&known.strength[list], &known.strength_tangent[list]),
            grad: &known.grad[range.clone()],
        }
        .derive(solver);
        // SAFETY: lists do not overlap.
        let (to_x, to_grad) = unsafe { (to_x.part(range.clone()), to_grad.part(range)) };
        // SAFETY: as above.
        let to_strength = unsafe { to_strength.part(list..list + 1) };
        let constant = T::of(if derived.poisoned { f64::NAN } else { 0.0 });
        to_x.fill(constant);
        to_grad.fill(constant);
        to_strength[0] = constant + T::of(derived.to_strength.slope);
        derived.to_x.iter().for_each(|&(at, d)| to_x[at] = T::of(d.slope));
        derived.values.iter().for_each(|&(at, y)| to_grad[at] = T::of(y.slope));
        Ok(())
    })
}

/// The gradient of soft sorts to the strengths, for any regularization.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn strength_vjp<T: Key>(
    x: &[T],
    strength: &[T],
    grad: &[T],
    options: &Options<'_>,
    to_strength: &mut [T],
    job: &Job,
) -> Result<()> {
    let to_strength = Output::new(to_strength);
    options.lists.each(job, Lent::<Solver>::new, |solver, list, range| {
        let derived = List {
            operation: Operation::Sort,
            options,
            x,
            index: list,
            number: &|i| x[range.start + i].wide(),
            strength: strength[list].wide(),
            grad: &grad[range.clone()],
        }
        .derive(solver);
        // SAFETY: lists do not overlap.
        let to_strength = unsafe { to_strength.part(list..list + 1) };
        to_strength[0] = T::of(if derived.poisoned { f64::NAN } else { derived.to_strength });
        Ok(())
    })
}
