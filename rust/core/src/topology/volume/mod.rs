//! Volumes: pairs of cells of images on a grid of three axes.
//!
//! ```text
//! 1  the gradient pairs most cells by looking at their neighbours                      (gradient, order)
//! 2  degree 2: critical squares merge cubes, descending; these squares are births      (forest)
//! 3  degree 1: the other critical squares are columns                                  (columns)
//! 4  degree 0: critical edges merge vertices, ascending                                (forest)
//! ```
//!
//! The image of an inclusion has rows in the order of the smaller complex and columns in the order of the larger one. In
//! degree 0 the columns alone decide which components merge, in degree 2 the rows do, so that the image's pairs are
//! labels in the pass of the one or the other image; in degree 1 it is a reduction of its own.

mod columns;
mod forest;
mod gradient;
mod join;
mod order;
mod space;

use super::grid::{Cell, Grid};
use super::{Bar, Comparison, How, Pairing, Rule};
use crate::error::Result;
use crate::job::Job;
use columns::{Columns, Pair};
use forest::{Forest, Merge, Nodes};
use join::{Half, join, pairing};
use order::{Field, Order};
use space::Space;

/// The bars of an image in the degrees that are wanted, ascending by birth.
///
/// # Errors
/// [`crate::Error::Interrupted`], or [`crate::Error::Invalid`] if there are too many cells.
pub fn bars(grid: &Grid, keys: &[u32], wanted: [bool; 3], job: &Job) -> Result<[Vec<Bar>; 3]> {
    let space = Space::new(grid)?;
    let mut field = Field::new(&space, space.pad(keys), job)?;
    let mut found = <[Vec<Bar>; 3]>::default();
    if wanted[1] || wanted[2] {
        let squares = Order::own(&space, &field).squares(job)?;
        let merges = merges(Nodes::Cubes, &space, &field, &squares, &[], false, job)?;
        found[2] = merges.iter().filter_map(|merge| merge.bar(Nodes::Cubes, &space, &field)).collect();
        if wanted[1] {
            field.mark(&merges);
            found[1] = own_bars(&space, &field, &negative(squares, &field), job)?.1;
        }
    }
    if wanted[0] {
        let edges = Order::own(&space, &field).edges(job)?;
        let merges = merges(Nodes::Vertices, &space, &field, &edges, &[], false, job)?;
        found[0] = merges.iter().filter_map(|merge| merge.bar(Nodes::Vertices, &space, &field)).collect();
    }
    for (bars, wanted) in found.iter_mut().zip(wanted) {
        bars.retain(|_| wanted);
        bars.iter_mut().for_each(|bar| *bar = space.bar(*bar));
        bars.sort_unstable_by_key(|bar| bar.birth);
    }
    Ok(found)
}

/// The bars of two images and their matches in the degrees that are wanted.
///
/// # Errors
/// As for [`bars`].
pub fn matching(grid: &Grid, f: &[u32], g: &[u32], how: How, wanted: [bool; 3], job: &Job) -> Result<[Pairing; 3]> {
    let space = Space::new(grid)?;
    let c: Vec<_> = f.iter().zip(g).map(|(&f, &g)| how.comparison.of(f, g)).collect();
    let field = |keys: &[u32]| Field::new(&space, space.pad(keys), job);
    let mut task = Task { space, fields: [field(f)?, field(g)?, field(&c)?], how, job };
    let mut found = <[Pairing; 3]>::default();
    if wanted[1] || wanted[2] {
        let squares = task.each(|task, side| Order::own(&task.space, &task.fields[side]).squares(job))?;
        let (pairing, merges) = task.components(Nodes::Cubes, &squares)?;
        if wanted[2] {
            found[2] = pairing;
        }
        if wanted[1] {
            task.fields.iter_mut().zip(merges).for_each(|(field, merges)| field.mark(&merges));
            found[1] = task.loops(squares)?;
        }
    }
    if wanted[0] {
        let edges = task.each(|task, side| Order::own(&task.space, &task.fields[side]).edges(job))?;
        found[0] = task.components(Nodes::Vertices, &edges)?.0;
    }
    Ok(found)
}

/// Two images and what they are compared through, in the order f, g, c.
struct Task<'a> {
    space: Space,
    fields: [Field; 3],
    how: How,
    job: &'a Job,
}

impl Task<'_> {
    fn each<T>(&self, work: impl Fn(&Self, usize) -> Result<T>) -> Result<[T; 3]> {
        Ok([work(self, 0)?, work(self, 1)?, work(self, 2)?])
    }

    /// Degree 0 or 2: the matching and the merges of every image.
    fn components(&self, nodes: Nodes, cells: &[Vec<u64>; 3]) -> Result<(Pairing, [Vec<Merge>; 3])> {
        let (space, [f, g, c], strict) = (&self.space, &self.fields, self.how.rule == Rule::Strict);
        let run = |side: usize, labels: &[&Field]| {
            merges(nodes, space, &self.fields[side], &cells[side], labels, strict, self.job)
        };
        let passed_by_c = (nodes == Nodes::Vertices) == (self.how.comparison == Comparison::Union);
        let merges = if passed_by_c {
            [run(0, &[])?, run(1, &[])?, run(2, &[f, g])?]
        } else {
            [run(0, &[c])?, run(1, &[c])?, run(2, &[])?]
        };
        let real = |merge: &&Merge| merge.bar(nodes, space, c).is_some();
        let ends = if passed_by_c {
            let lasting = |merge: &&Merge| merge.lasts(0, nodes, space, c, f) && merge.lasts(1, nodes, space, c, g);
            let good = merges[2].iter().filter(|merge| if strict { lasting(merge) } else { real(merge) });
            good.map(|merge| merge.labels).collect()
        } else {
            let halves = |side: usize| -> Vec<_> {
                let good =
                    merges[side].iter().filter(|merge| !strict || merge.lasts(0, nodes, space, &self.fields[side], c));
                good.map(|merge| Half { shared: merge.labels[0], end: merge.cell }).collect()
            };
            let mut allowed: Vec<_> = merges[2].iter().filter(real).map(|merge| merge.young).collect();
            allowed.sort_unstable();
            join(halves(0), halves(1), (!strict).then_some(&allowed))
        };
        let bars = [0, 1]
            .map(|side| merges[side].iter().filter_map(|merge| merge.bar(nodes, space, &self.fields[side])).collect());
        Ok((pairing(space, self.how.comparison, bars, &ends), merges))
    }

    /// Degree 1: `squares` are the critical ones of each image; those that are births are marked.
    fn loops(&self, squares: [Vec<u64>; 3]) -> Result<Pairing> {
        let (space, [f, g, c], job) = (&self.space, &self.fields, self.job);
        let [of_f, of_g, of_c] = squares;
        let bars = [own_bars(space, f, &negative(of_f, f), job)?.1, own_bars(space, g, &negative(of_g, g), job)?.1];
        let union = self.how.comparison == Comparison::Union;
        let shared = |pair: Pair| if union { pair.square } else { pair.edge };
        let end = |pair: Pair| if union { pair.edge } else { pair.square };
        let allowed = if self.how.rule == Rule::Refined {
            let (_, bars) = own_bars(space, c, &negative(of_c, c), job)?;
            let mut allowed: Vec<_> =
                bars.into_iter().map(|bar| shared(Pair { edge: bar.birth, square: bar.death })).collect();
            allowed.sort_unstable();
            Some(allowed)
        } else {
            None
        };
        let halves = |field| -> Result<Vec<Half>> {
            let (rows, columns) = if union { (field, c) } else { (c, field) };
            let order = Order { space, rows, columns };
            let mut pairs = Columns::new(order).reduce(&order.squares(job)?, job)?;
            if let Some(allowed) = &allowed {
                pairs.extend(allowed.iter().filter_map(|&cell| {
                    if union {
                        order.face(cell).map(|edge| Pair { edge, square: cell })
                    } else {
                        order.partner(cell).map(|square| Pair { edge: cell, square })
                    }
                }));
            } else {
                pairs.retain(|pair| space.edge(&rows.keys, pair.edge) < space.square(&columns.keys, pair.square));
            }
            Ok(pairs.into_iter().map(|pair| Half { shared: shared(pair), end: end(pair) }).collect())
        };
        let ends = join(halves(f)?, halves(g)?, allowed.as_deref());
        Ok(pairing(space, self.how.comparison, bars, &ends))
    }
}

/// The merges of one pass.
fn merges(
    nodes: Nodes,
    space: &Space,
    field: &Field,
    cells: &[u64],
    labels: &[&Field],
    early: bool,
    job: &Job,
) -> Result<Vec<Merge>> {
    let mut found = Vec::new();
    Forest::new(nodes, space, field).pass(cells, labels, early, job, |merge| found.push(merge))?;
    Ok(found)
}

/// Squares without those that are marked as births.
fn negative(mut squares: Vec<u64>, field: &Field) -> Vec<u64> {
    squares.retain(|&item| {
        let (p, kind) = (item as Cell as usize / 4, item % 4);
        field.gradient.taken[p] >> (3 + kind) & 1 == 0
    });
    squares
}

/// Pairs and bars of degree 1.
fn own_bars(space: &Space, field: &Field, squares: &[u64], job: &Job) -> Result<(Vec<Pair>, Vec<Bar>)> {
    let pairs = Columns::new(Order::own(space, field)).reduce(squares, job)?;
    let real = |pair: &&Pair| space.edge(&field.keys, pair.edge) < space.square(&field.keys, pair.square);
    let bars = pairs.iter().filter(real).map(|pair| Bar { birth: pair.edge, death: pair.square }).collect();
    Ok((pairs, bars))
}

impl Field {
    /// Marks squares that merge cubes as births.
    fn mark(&mut self, merges: &[Merge]) {
        for merge in merges {
            self.gradient.taken[merge.cell as usize / 4] |= 8 << (merge.cell % 4);
        }
    }
}

impl Merge {
    /// The bar of the image whose pass this is, if it is not empty.
    fn bar(&self, nodes: Nodes, space: &Space, field: &Field) -> Option<Bar> {
        let [cell, young] =
            [nodes.value(space, &field.keys, self.cell), nodes.node_value(space, &field.keys, self.young)];
        (cell != young).then_some(match nodes {
            Nodes::Vertices => Bar { birth: self.young, death: self.cell },
            Nodes::Cubes => Bar { birth: self.cell, death: self.young },
        })
    }

    /// Whether the pair with a label is a bar that is not empty.
    fn lasts(&self, label: usize, nodes: Nodes, space: &Space, pass: &Field, other: &Field) -> bool {
        let cell = nodes.value(space, &pass.keys, self.cell);
        let label = nodes.node_value(space, &other.keys, self.labels[label]);
        match nodes {
            Nodes::Vertices => label < cell,
            Nodes::Cubes => cell < label,
        }
    }
}
