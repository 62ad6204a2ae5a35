//! Products with soft permutation matrices whose entries are sums of exponentials, and their derivatives: what the methods
//! have in common. A method works on one list in sorted order, given as a [`Walk`].

use crate::dual::Number;
use crate::error::{Result, invalid};
use crate::job::Job;
use crate::lent::Lent;
use crate::sorting::lists::{Lists, Output};
use crate::sorting::order::{Key, Scratch, counted, order};
use crate::sorting::scans::Links;
use crate::sorting::softsort_vector::{self, Room, Roomy};
use crate::sorting::{laplace_product, order_columns, softsort};
use std::ops::Range;

/// What one item costs with one column, about, in nanoseconds.
pub const COST: usize = 60;

/// How a matrix is made from scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// See [`softsort`].
    SoftSort,
    /// See [`laplace_product`].
    Laplace,
}

/// One list in sorted order, and the columns it is multiplied with.
#[derive(Debug)]
pub struct Walk<'a, N> {
    /// The items' links.
    pub links: &'a Links<N>,
    /// Columns.
    pub m: usize,
    /// To be asked now and then.
    pub job: &'a Job,
}

impl<N: Number> Walk<'_, N> {
    /// Entries `k..k + W` of a row of `m` columns, with `first` in front of it.
    #[inline(always)]
    pub fn extended<const W: usize>(&self, k: usize, first: N, entry: impl Fn(usize) -> N) -> [N; W] {
        std::array::from_fn(|w| match k + w {
            0 => first,
            j if j <= self.m => entry(j - 1),
            _ => N::of(0.0),
        })
    }

    /// Columns of the row at hand among entries `k..k + W` of [`Walk::extended`], as (column, place in the entries).
    #[inline(always)]
    pub fn columns<const W: usize>(&self, k: usize) -> impl Iterator<Item = (usize, usize)> + use<N, W> {
        (k.max(1)..=self.m.min(k + W - 1)).map(move |j| (j - 1, j - k))
    }
}

/// Fills `y` with the products `P V`, or with `P^T U` if `transposed`, and `places` with the order of each list. `v`, `u`
/// and `y` have `m` columns. `memo`, a room for each list, keeps what [`softsort_vector::gradients`] can use. Rows and items that do not count get 0; all others of a list with a NaN get NaN.
///
/// # Errors
/// When a temperature is not finite and positive, or [`crate::Error::Interrupted`].
#[allow(clippy::too_many_arguments)]
pub fn product<T: Roomy>(
    method: Method,
    x: &[T],
    v: &[T],
    lists: &Lists<'_>,
    mask: Option<&[bool]>,
    temperature: &[T],
    descending: bool,
    transposed: bool,
    m: usize,
    y: &mut [T],
    places: &mut [i32],
    memo: Option<&mut [Lent<Room<T>>]>,
    job: &Job,
) -> Result<()> {
    if let Some(t) = temperature.iter().find(|t| !(t.wide() > 0.0 && t.is_finite())) {
        return Err(invalid!("temperature must be finite and > 0, got {t}"));
    }
    let (y, out, memo) = (Output::new(y), Output::new(places), memo.map(Output::new));
    let scratch = || (Scratch::default(), Vec::new(), Links::default(), Lent::<Room<T>>::new());
    lists.each(job, scratch, |(keys, rows, links, room), list, range| {
        // SAFETY: lists do not overlap.
        let (places, y) = unsafe { (out.part(range.clone()), y.part(wide(&range, m))) };
        let (x, v) = (&x[range.clone()], &v[wide(&range, m)]);
        let mask = mask.map(|mask| &mask[range.clone()]);
        let count = order_columns::order(x, mask, descending, rows, places)
            .unwrap_or_else(|| order(x, mask, descending, keys, places));
        let places = &places[..count];
        y.fill(T::ZERO);
        let at = |r: usize, rows: bool| if rows { r } else { places[r] as usize };
        if spoilt(count, |r| x[at(r, false)].wide()) {
            (0..count).for_each(|r| row(y, at(r, !transposed), m).fill(T::of(f64::NAN)));
            return Ok(());
        }
        let t = temperature[list].wide();
        if (method, m, transposed) == (Method::SoftSort, 1, false) {
            // SAFETY: each list has its own.
            let room = memo.as_ref().map_or(room, |memo| unsafe { &mut memo.part(list..list + 1)[0] });
            return softsort_vector::product(places, [x, v], t, y, room, job);
        }
        links.join(count, t, |r| x[at(r, false)].wide());
        let walk = Walk { links, m, job };
        let entry = |r: usize, c: usize| v[at(r, transposed) * m + c].wide();
        let out = |r: usize, c: usize, sum: f64| y[at(r, !transposed) * m + c] = T::of(sum);
        match (method, m) {
            (Method::SoftSort, 1) => softsort::product::<2>(&walk, transposed, entry, out),
            (Method::SoftSort, 2 | 3) => softsort::product::<4>(&walk, transposed, entry, out),
            (Method::SoftSort, _) => softsort::product::<8>(&walk, transposed, entry, out),
            (Method::Laplace, 1) => laplace_product::product::<1>(&walk, transposed, entry, out),
            (Method::Laplace, _) => laplace_product::product::<8>(&walk, transposed, entry, out),
        }
    })
}

fn wide(range: &Range<usize>, m: usize) -> Range<usize> {
    range.start * m..range.end * m
}

fn row<T>(y: &mut [T], r: usize, m: usize) -> &mut [T] {
    &mut y[r * m..(r + 1) * m]
}

/// Whether there is a NaN among the items that count: the order has it last.
pub fn spoilt(count: usize, score: impl Fn(usize) -> f64) -> bool {
    count > 0 && score(count - 1).is_nan()
}

/// The inputs of [`gradients`]: scores, items V and rows G with `m` columns, one temperature for each list, by position, so
/// that they may be dual numbers.
#[derive(Debug)]
pub struct Inputs<'a, X, V, G, P> {
    /// Scores.
    pub x: X,
    /// Entries of V by items.
    pub v: V,
    /// Entries of G by ranks.
    pub g: G,
    /// Temperatures by list.
    pub temperature: P,
    /// The order of each list, from [`product`].
    pub places: &'a [i32],
    /// Columns.
    pub m: usize,
    /// Whether the order is decreasing.
    pub descending: bool,
}

/// The outputs of [`gradients`].
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// To the scores.
    pub x: &'a mut [T],
    /// To V: the product `P^T G`.
    pub v: &'a mut [T],
    /// To G: the product `P V`.
    pub g: &'a mut [T],
    /// To the temperatures.
    pub temperature: &'a mut [T],
}

/// Fills `out` with the derivatives of `<G, P V>`, each passed through `part`. What does not count gets 0, and infinite
/// scores do.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn gradients<N: Number, T: Key, X, V, G, P>(
    method: Method,
    lists: &Lists<'_>,
    inputs: &Inputs<'_, X, V, G, P>,
    part: impl Fn(N) -> T + Sync,
    out: &mut Gradients<'_, T>,
    job: &Job,
) -> Result<()>
where
    X: Fn(usize) -> N + Sync,
    V: Fn(usize) -> N + Sync,
    G: Fn(usize) -> N + Sync,
    P: Fn(usize) -> N + Sync,
{
    let m = inputs.m;
    let (to_x, to_v, to_g) = (Output::new(out.x), Output::new(out.v), Output::new(out.g));
    let to_temperature = Output::new(out.temperature);
    let scratch = || (Links::default(), Vec::new());
    lists.each(job, scratch, |(links, push), list, range| {
        // SAFETY: lists do not overlap.
        let (x, v, g, temperature) = unsafe {
            let wide = wide(&range, m);
            (to_x.part(range.clone()), to_v.part(wide.clone()), to_g.part(wide), to_temperature.part(list..list + 1))
        };
        for slice in [&mut *x, &mut *v, &mut *g, &mut *temperature] {
            slice.fill(T::ZERO);
        }
        let places = &inputs.places[range.clone()];
        let places = &places[..counted(places)];
        let (start, t) = (range.start, (inputs.temperature)(list));
        let score = |r: usize| (inputs.x)(start + places[r] as usize);
        if spoilt(places.len(), |r| score(r).value()) {
            for (r, &place) in places.iter().enumerate() {
                x[place as usize] = T::of(f64::NAN);
                row(v, place as usize, m).fill(T::of(f64::NAN));
                row(g, r, m).fill(T::of(f64::NAN));
            }
            temperature[0] = T::of(f64::NAN);
            return Ok(());
        }
        links.join(places.len(), t, score);
        push.clear();
        push.resize(places.len(), N::of(0.0));
        let walk = Walk { links, m, job };
        let item = |r: usize, c: usize| (inputs.v)((start + places[r] as usize) * m + c);
        let rank = |r: usize, c: usize| (inputs.g)((start + r) * m + c);
        let to_rank = |r: usize, c: usize, y: N| g[r * m + c] = part(y);
        let to_item = |r: usize, c: usize, y: N| v[places[r] as usize * m + c] = part(y);
        let total = match (method, m) {
            (Method::SoftSort, 1) => softsort::gradients::<N, 2>(&walk, push, item, rank, to_rank, to_item),
            (Method::SoftSort, _) => softsort::gradients::<N, 8>(&walk, push, item, rank, to_rank, to_item),
            (Method::Laplace, 1) => laplace_product::gradients::<N, 2>(&walk, push, item, rank, to_rank, to_item),
            (Method::Laplace, _) => laplace_product::gradients::<N, 8>(&walk, push, item, rank, to_rank, to_item),
        }?;
        temperature[0] = part(total / t);
        let scale = N::of(if inputs.descending { 1.0 } else { -1.0 }) / t;
        for (r, &place) in places.iter().enumerate() {
            if score(r).value().is_finite() {
                x[place as usize] = part(scale * push[r]);
            }
        }
        Ok(())
    })
}
