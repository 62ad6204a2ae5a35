//! `SoftSort`'s products with one column, and their derivatives: the formulas of [`softsort`](crate::sorting::softsort) on
//! lists in [`columns`](crate::sorting::columns).
//!
//! ```text
//! for each piece:    links;  what its columns do to sums of (1, v)                                -> what enters each piece
//! for each piece:    left and right sums of (1, v);  z, y;  a = g / z, c = a y
//!                    what its columns do to sums of (-c, a)                                       -> what enters each piece
//! for each piece:    left and right sums of (-c, a);  forces and products from all eight sums of an item
//! ```
//!
//! Only the last piece's links and sums are kept: a list of several pieces makes them anew in each loop.

use crate::elementary::decay_f64;
use crate::error::Result;
use crate::job::Job;
use crate::lent::{Keep, Lent, Store};
use crate::simd::dispatch;
use crate::sorting::columns::{self, COLUMNS, Entry, Piece, Row, Sides, flat, flat_mut, passage, sweep};
use crate::sorting::lists::{Lists, Output};
use crate::sorting::order::{Key, counted};
use crate::sorting::products::{Gradients, spoilt};
use std::cell::RefCell;
use std::ops::Range;
use std::thread::LocalKey;

/// Working memory. After a product it holds what the derivatives need of a list that is one piece.
#[derive(Debug, Default)]
pub struct Room<T> {
    list: Sorted<T>,
    sums: Sums,
    /// Gradients to scores and items.
    push: Vec<T>,
    back: Vec<T>,
    /// What crosses each gap, times its width.
    crossings: Vec<f64>,
}

/// A room can be kept only for one of these.
pub trait Roomy: Key {
    /// Where the thread keeps rooms.
    fn rooms() -> &'static LocalKey<RefCell<Store<Room<Self>>>>;
}

macro_rules! rooms {
    ($($t:ty = $store:ident),*) => {$(
        thread_local! {
            static $store: RefCell<Store<Room<$t>>> = const { RefCell::new(Store::new()) };
        }
        impl Roomy for $t {
            fn rooms() -> &'static LocalKey<RefCell<Store<Room<Self>>>> {
                &$store
            }
        }
    )*};
}
rooms!(f32 = SINGLE, f64 = DOUBLE);

impl<T: Roomy> Keep for Room<T> {
    const MOST: usize = 8 << 20;
    fn store() -> &'static LocalKey<RefCell<Store<Self>>> {
        T::rooms()
    }
    fn bytes(&self) -> usize {
        let Self { list, sums, push, back, crossings } = self;
        let narrow = list.x.capacity() + list.v.capacity() + list.g.capacity() + push.capacity() + back.capacity();
        let wide = sums.steps.capacity() + sums.inverse.capacity() + sums.y.capacity() + crossings.capacity();
        let rows = sums.links.capacity() + sums.v.rows() + sums.a.rows();
        narrow * size_of::<T>() + wide * size_of::<f64>() + rows * size_of::<Row>()
    }
    fn forget(&mut self) {
        self.list.pieces.clear();
    }
}

/// A list in sorted order.
#[derive(Debug, Default)]
struct Sorted<T> {
    pieces: Vec<Piece>,
    x: Vec<T>,
    v: Vec<T>,
    g: Vec<T>,
}

/// Sums over the items of a piece.
#[derive(Debug, Default)]
struct Sums {
    /// Distance to the item before, in temperatures, and `exp(-step)`.
    steps: Vec<f64>,
    links: Vec<Row>,
    /// Groups of equal items, counted from the start of the piece.
    ties: Vec<Range<usize>>,
    /// The columns 1 and v, and the columns -c and a.
    v: Sides,
    a: Sides,
    /// 1 / z, and y.
    inverse: Vec<f64>,
    y: Vec<f64>,
}

impl<T: Key> Sorted<T> {
    /// Whether it holds a list of so many items as one piece.
    fn is_one_piece(&self, items: usize) -> bool {
        self.pieces.len() == 1 && self.pieces[0].items.len() == items
    }

    /// `places` is the order of the items that count.
    fn lay(&mut self, places: &[i32], [x, v]: [&[T]; 2]) {
        let item = |rank: usize| places[rank] as usize;
        columns::pieces(places.len(), |rank| x[item(rank)] == x[item(rank - 1)], &mut self.pieces);
        columns::lay(&self.pieces, &mut self.x, |rank| x[item(rank)]);
        columns::lay(&self.pieces, &mut self.v, |rank| v[item(rank)]);
    }

    /// Fills links and ties, and the columns 1 and v.
    fn join(&self, piece: &Piece, temperature: f64, sums: &mut Sums) {
        sums.resize(piece.rows.len());
        let (x, first) = (&self.x[piece.numbers()], piece.items.start == 0);
        let (upper, lower) = x.split_at(x.len() - COLUMNS);
        // Above the uppermost row are the ends of the columns before.
        let mut above = [x[0]; COLUMNS];
        above[1..].copy_from_slice(&lower[..COLUMNS - 1]);
        if !first {
            above[0] = self.x[piece.numbers().start - 1];
        }
        let (steps, links) = (&mut sums.steps[..], flat_mut(&mut sums.links));
        let equal = join(&above, x, 1.0 / temperature, &mut steps[..COLUMNS], &mut links[..COLUMNS])
            + join(upper, &x[COLUMNS..], 1.0 / temperature, &mut steps[COLUMNS..], &mut links[COLUMNS..]);
        if first {
            links[0] = 0.0;
        }
        sums.ties.clear();
        if equal > usize::from(first) + piece.padding().len() {
            sums.group(piece);
        }
        let [ones, v, ..] = sums.v.parts_mut().map(flat_mut);
        ones.fill(1.0);
        widen(&self.v[piece.numbers()], v);
        sums.v.clear(piece.padding());
    }

    /// The sums of (1, v) that enter each piece.
    fn entries(&self, temperature: f64, sums: &mut Sums, job: &Job) -> Result<Vec<Entry>> {
        let mut passages = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            job.check()?;
            self.join(piece, temperature, sums);
            passages.push(passage(&sums.links, &sums.v));
        }
        Ok(columns::entries(&passages))
    }

    /// Fills the sums and means of (1, v).
    fn average(&self, piece: &Piece, temperature: f64, entry: &Entry, sums: &mut Sums) {
        if self.pieces.len() > 1 {
            self.join(piece, temperature, sums);
        }
        sweep(&sums.links, &mut sums.v, entry);
        means(&sums.v, &mut sums.inverse, &mut sums.y);
        // Equal items have the same mean, to the last bit.
        for tie in &sums.ties {
            let first = piece.at(tie.start);
            for at in tie.clone().map(|item| piece.at(item)) {
                (sums.inverse[at], sums.y[at]) = (sums.inverse[first], sums.y[first]);
            }
        }
    }

    /// Fills the columns -c and a.
    fn weigh(&self, piece: &Piece, sums: &mut Sums) {
        sums.a.resize(piece.rows.len());
        let [c, a, ..] = sums.a.parts_mut().map(flat_mut);
        weights(&self.g[piece.numbers()], &sums.inverse, &sums.y, c, a);
        sums.a.clear(piece.padding());
    }
}

/// Writes the numbers of a piece by rank.
fn hand_out<T: Key>(piece: &Piece, from: &[f64], to: &mut [T]) {
    for (column, ranks) in piece.columns() {
        let rows = from.chunks_exact(COLUMNS);
        to[ranks].iter_mut().zip(rows).for_each(|(to, row)| *to = T::of(row[column]));
    }
}

/// Fills `y` with `P v`; `places` is the order of the items that count.
pub(super) fn product<T: Key>(
    places: &[i32],
    inputs: [&[T]; 2],
    temperature: f64,
    y: &mut [T],
    room: &mut Room<T>,
    job: &Job,
) -> Result<()> {
    let Room { list, sums, .. } = room;
    list.lay(places, inputs);
    let entries = list.entries(temperature, sums, job)?;
    for (piece, entry) in list.pieces.iter().zip(&entries) {
        job.check()?;
        list.average(piece, temperature, entry, sums);
        hand_out(piece, &sums.y, y);
    }
    Ok(())
}

/// As [`products::gradients`](crate::sorting::products::gradients) for this method and one column; `out.g` may be empty.
/// `memo` is what [`products::product`](crate::sorting::products::product) of the same lists has kept: it spares a third
/// of the work.
///
/// # Errors
/// [`crate::Error::Interrupted`].
#[allow(clippy::too_many_arguments)]
pub fn gradients<T: Roomy>(
    lists: &Lists<'_>,
    x: &[T],
    v: &[T],
    g: &[T],
    temperature: &[T],
    places: &[i32],
    descending: bool,
    memo: Option<&mut [Lent<Room<T>>]>,
    out: &mut Gradients<'_, T>,
    job: &Job,
) -> Result<()> {
    let (memo, rows) = (memo.map(Output::new), !out.g.is_empty());
    let (to_x, to_v, to_g) = (Output::new(out.x), Output::new(out.v), Output::new(out.g));
    let to_temperature = Output::new(out.temperature);
    lists.each(job, Lent::<Room<T>>::new, |room, list, range| {
        // SAFETY: lists do not overlap.
        let mut to = unsafe {
            Gradients {
                x: to_x.part(range.clone()),
                v: to_v.part(range.clone()),
                g: to_g.part(if rows { range.clone() } else { 0..0 }),
                temperature: to_temperature.part(list..list + 1),
            }
        };
        let places = &places[range.clone()];
        let places = &places[..counted(places)];
        if places.len() < range.len() {
            [&mut *to.x, &mut *to.v, &mut *to.g].into_iter().for_each(|slice| slice.fill(T::ZERO));
        }
        let (x, v, g) = (&x[range.clone()], &v[range.clone()], &g[range]);
        if spoilt(places.len(), |r| x[places[r] as usize].wide()) {
            let nan = T::of(f64::NAN);
            for &place in places {
                (to.x[place as usize], to.v[place as usize]) = (nan, nan);
            }
            to.g.iter_mut().take(places.len()).for_each(|to| *to = nan);
            to.temperature[0] = nan;
            return Ok(());
        }
        // SAFETY: each list has its own.
        let kept = memo.as_ref().map(|memo| unsafe { &mut *memo.part(list..list + 1)[0] });
        let (room, entries) = if let Some(kept) = kept.filter(|kept| kept.list.is_one_piece(places.len())) {
            (kept, None)
        } else {
            let room = &mut **room;
            room.list.lay(places, [x, v]);
            let entries = room.list.entries(temperature[list].wide(), &mut room.sums, job)?;
            (room, Some(entries))
        };
        columns::lay(&room.list.pieces, &mut room.list.g, |rank| g[rank]);
        of_list(places, temperature[list].wide(), descending, entries.as_deref(), &mut to, room, job)
    })
}

/// [`gradients`] of the list in `room`; without `entries` its sums and means of (1, v) are there as well.
fn of_list<T: Key>(
    places: &[i32],
    temperature: f64,
    descending: bool,
    entries: Option<&[Entry]>,
    to: &mut Gradients<'_, T>,
    room: &mut Room<T>,
    job: &Job,
) -> Result<()> {
    let Room { list, sums, push, back, crossings } = room;
    let mut passages = Vec::with_capacity(list.pieces.len());
    for (number, piece) in list.pieces.iter().enumerate() {
        job.check()?;
        if let Some(entries) = entries {
            list.average(piece, temperature, &entries[number], sums);
        }
        list.weigh(piece, sums);
        passages.push(passage(&sums.links, &sums.a));
        if !to.g.is_empty() {
            hand_out(piece, &sums.y, to.g);
        }
    }
    let (mut total, scale) = (0.0, if descending { 1.0 } else { -1.0 } / temperature);
    for (number, (piece, entry_a)) in list.pieces.iter().zip(&columns::entries(&passages)).enumerate() {
        job.check()?;
        if let (Some(entries), 2..) = (entries, list.pieces.len()) {
            list.average(piece, temperature, &entries[number], sums);
            list.weigh(piece, sums);
        }
        sweep(&sums.links, &mut sums.a, entry_a);
        let x = &list.x[piece.numbers()];
        push.resize(x.len(), T::ZERO);
        back.resize(x.len(), T::ZERO);
        crossings.resize(x.len(), 0.0);
        forces(x, sums, scale, push, back, crossings);
        total += sum(crossings);
        sums.even(piece, x, scale, push, back);
        for (column, ranks) in piece.columns() {
            let rows = push.chunks_exact(COLUMNS).zip(back.chunks_exact(COLUMNS));
            for (&place, (push, back)) in places[ranks].iter().zip(rows) {
                (to.x[place as usize], to.v[place as usize]) = (push[column], back[column]);
            }
        }
    }
    to.temperature[0] = T::of(total / temperature);
    Ok(())
}

impl Sums {
    fn resize(&mut self, rows: usize) {
        self.links.resize(rows, Row::default());
        for numbers in [&mut self.steps, &mut self.inverse, &mut self.y] {
            numbers.resize(rows * COLUMNS, 0.0);
        }
        self.v.resize(rows);
    }

    /// Finds the groups of equal items.
    fn group(&mut self, piece: &Piece) {
        let (n, mut item) = (piece.items.len(), 1);
        while item < n {
            let start = item - 1;
            while item < n && self.steps[piece.at(item)] == 0.0 {
                item += 1;
            }
            if start + 1 < item {
                self.ties.push(start..item);
            }
            item += 1;
        }
    }

    /// Equal items do not push each other, and have the same product.
    fn even<T: Key>(&self, piece: &Piece, x: &[T], scale: f64, push: &mut [T], back: &mut [T]) {
        let ([v0, v1], [a0, a1]) = (self.v.numbers(x.len()), self.a.numbers(x.len()));
        for tie in &self.ties {
            let (first, last) = (piece.at(tie.start), piece.at(tie.end - 1));
            for at in tie.clone().map(|item| piece.at(item)) {
                let beyond = |[_, left, right]: [&[f64]; 3]| left[first] - right[last];
                let force = (a0[0][at] * beyond(v0) + v0[0][at] * beyond(a0))
                    + (a1[0][at] * beyond(v1) + v1[0][at] * beyond(a1));
                push[at] = if x[at].is_finite() { T::of(scale * force) } else { T::ZERO };
                back[at] = back[first];
            }
        }
    }
}

fn widen<T: Key>(from: &[T], to: &mut [f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.wide());
}

dispatch! {
    fn join<T: Key>(before: &[T], here: &[T], scale: f64, steps: &mut [f64], links: &mut [f64]) -> usize = join_each
}

/// Fills steps and links; returns the number of items that equal the one before.
#[inline(always)]
fn join_each<T: Key>(before: &[T], here: &[T], scale: f64, steps: &mut [f64], links: &mut [f64]) -> usize {
    let (n, mut equal) = (steps.len(), 0);
    let (before, here, links) = (&before[..n], &here[..n], &mut links[..n]);
    for i in 0..n {
        let (before, here) = (before[i].wide(), here[i].wide());
        // Two infinities of one sign are equal; their difference is NaN.
        let step = if here == before { 0.0 } else { (here - before).abs() * scale };
        equal += u64::from(step == 0.0);
        steps[i] = step;
        links[i] = decay_f64(step);
    }
    equal as usize
}

dispatch! {
    fn means(v: &Sides, inverse: &mut [f64], y: &mut [f64]) = means_each
}

/// Fills 1 / z and y, the means of v.
#[inline(always)]
fn means_each(v: &Sides, inverse: &mut [f64], y: &mut [f64]) {
    let n = y.len();
    let (inverse, [[x0, left0, right0], [x1, left1, right1]]) = (&mut inverse[..n], v.numbers(n));
    for i in 0..n {
        inverse[i] = 1.0 / ((left0[i] + right0[i]) + x0[i]);
        y[i] = ((left1[i] + right1[i]) + x1[i]) * inverse[i];
    }
}

dispatch! {
    fn weights<T: Key>(g: &[T], inverse: &[f64], y: &[f64], c: &mut [f64], a: &mut [f64]) = weights_each
}

/// Fills -c and a.
#[inline(always)]
fn weights_each<T: Key>(g: &[T], inverse: &[f64], y: &[f64], c: &mut [f64], a: &mut [f64]) {
    let n = g.len();
    let (inverse, y, c, a) = (&inverse[..n], &y[..n], &mut c[..n], &mut a[..n]);
    for i in 0..n {
        a[i] = g[i].wide() * inverse[i];
        c[i] = -a[i] * y[i];
    }
}

dispatch! {
    fn forces<T: Key>(x: &[T], sums: &Sums, scale: f64, push: &mut [T], back: &mut [T], crossings: &mut [f64]) = forces_each
}

/// Fills the gradients to scores and items, and what crosses each gap times its width.
#[inline(always)]
fn forces_each<T: Key>(x: &[T], sums: &Sums, scale: f64, push: &mut [T], back: &mut [T], crossings: &mut [f64]) {
    let n = x.len();
    let (steps, links) = (&sums.steps[..n], &flat(&sums.links)[..n]);
    let (push, back, crossings) = (&mut push[..n], &mut back[..n], &mut crossings[..n]);
    let [[v0, left_v0, right_v0], [v1, left_v1, right_v1]] = sums.v.numbers(n);
    let [[a0, left_a0, right_a0], [a1, left_a1, right_a1]] = sums.a.numbers(n);
    for i in 0..n {
        let (with_a0, with_a1) = (a0[i] + right_a0[i], a1[i] + right_a1[i]);
        let crossing = (left_a0[i] * (v0[i] + right_v0[i]) + left_v0[i] * with_a0)
            + (left_a1[i] * (v1[i] + right_v1[i]) + left_v1[i] * with_a1);
        // Beyond a link of 0 nothing crosses, though the step may be infinite.
        crossings[i] = if links[i] == 0.0 { 0.0 } else { steps[i] * crossing };
        let force = (a0[i] * (left_v0[i] - right_v0[i]) + v0[i] * (left_a0[i] - right_a0[i]))
            + (a1[i] * (left_v1[i] - right_v1[i]) + v1[i] * (left_a1[i] - right_a1[i]));
        push[i] = T::of(if x[i].wide().abs() < f64::INFINITY { scale * force } else { 0.0 });
        back[i] = T::of(left_a1[i] + with_a1);
    }
}

fn sum(numbers: &[f64]) -> f64 {
    let mut lanes = [0.0; COLUMNS];
    for row in numbers.chunks_exact(COLUMNS) {
        lanes.iter_mut().zip(row).for_each(|(lane, number)| *lane += number);
    }
    lanes.iter().sum()
}
