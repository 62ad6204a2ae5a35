//! Two images on one grid: their bars and what the images of the inclusions match.

use super::super::grid::{Cell, Grid};
use super::super::{Bar, Comparison, How, Pairing, Rule};
use super::columns::{Pair, reduce};
use super::forest::{Forest, Merge, Nodes};
use super::gradient::Choices;
use super::join::{Half, join, pairing};
use super::order::{Field, Order};
use super::space::Space;
use super::{critical, loops};
use crate::error::Result;
use crate::job::Job;

/// The bars of two images and their matches in the degrees that are wanted.
///
/// # Errors
/// As for [`super::bars`].
pub fn matching(grid: &Grid, f: &[u32], g: &[u32], how: How, wanted: [bool; 3], job: &Job) -> Result<[Pairing; 3]> {
    let space = Space::new(grid)?;
    let field = |keys| Field::new(&space, keys, job);
    let fields = all([&|| field(space.pad(f)), &|| field(space.pad(g)), &|| {
        field(space.pad(&f.iter().zip(g).map(|(&f, &g)| how.comparison.of(f, g)).collect::<Vec<_>>()))
    }])?;
    let mut task = Task { space, two_levels: two_levels(how.comparison, f, g), fields, how, job };
    let (mut found, mut edges) = (<[Pairing; 3]>::default(), [None, None, None]);
    if wanted[1] || wanted[2] {
        let squares = task.each(|field| field.order(&task.space, &field.choices(&task.space, job)?).squares(job))?;
        let (pairing, merges) = task.components(Nodes::Cubes, &squares)?;
        if wanted[2] {
            found[2] = pairing;
        }
        if wanted[1] {
            task.fields.iter_mut().zip(merges).for_each(|(field, merges)| field.mark(&merges));
            found[1] = task.loops(&squares, &mut edges)?;
        }
    }
    if wanted[0] {
        let [f, g, c] = edges;
        let rest = [(0, f), (1, g), (2, c)];
        let edges = rest.map(|(side, rest)| critical(&task.space, &task.fields[side], rest, job));
        let [f, g, c] = edges;
        found[0] = task.components(Nodes::Vertices, &[f?, g?, c?])?.0;
    }
    Ok(found)
}

/// Whether g has two values only, a low and a high one, and the comparison image tells them apart: where g is low and
/// nowhere else it has the low value (union), or where g is high and nowhere else the high one (intersection).
///
/// Then the pairs of the image of g that matter, born low and dead high, are those of the comparison image: both have the
/// low cells before the high ones, and neither the order of rows above a birth nor that of columns before a death
/// changes its pair.
fn two_levels(comparison: Comparison, f: &[u32], g: &[u32]) -> bool {
    let (low, high) = g.iter().fold((u32::MAX, 0), |(low, high), &key| (low.min(key), high.max(key)));
    let tells = |f: u32, key: u32| match comparison {
        Comparison::Union => f > low || (f == low && key == low),
        Comparison::Intersection => f < high || (f == high && key == high),
    };
    f.iter().zip(g).all(|(&f, &key)| (key == low || key == high) && tells(f, key))
}

/// Two images and what they are compared through, in the order f, g, c.
struct Task<'a> {
    space: Space,
    fields: [Field; 3],
    how: How,
    two_levels: bool,
    job: &'a Job,
}

impl Task<'_> {
    fn each<T: Send>(&self, work: impl Fn(&Field) -> Result<T> + Sync) -> Result<[T; 3]> {
        let [f, g, c] = &self.fields;
        all([&|| work(f), &|| work(g), &|| work(c)])
    }

    /// Whether the end of a pair of the comparison image says that it is a pair of the image of g of two levels: the birth
    /// in a union, the death in an intersection.
    const fn tells(&self, end: u32) -> bool {
        let [low, high] = self.fields[1].range;
        end == if matches!(self.how.comparison, Comparison::Union) { low } else { high }
    }

    /// Degree 0 or 2: the matching and the merges of every image.
    fn components(&self, nodes: Nodes, cells: &[Vec<Cell>; 3]) -> Result<(Pairing, [Vec<Merge>; 3])> {
        let (space, [f, g, c], strict) = (&self.space, &self.fields, self.how.rule == Rule::Strict);
        let passed_by_c = (nodes == Nodes::Vertices) == (self.how.comparison == Comparison::Union);
        let run = |side: usize| {
            let labels: &[&Field] = match (passed_by_c, side, self.two_levels) {
                (true, 2, false) => &[f, g],
                (true, 2, true) => &[f],
                (false, 0, _) | (false, 1, false) => &[c],
                _ => &[],
            };
            Forest::new(nodes, space, &self.fields[side]).pass(&cells[side], labels, strict, self.job)
        };
        let merges = all([&|| run(0), &|| run(1), &|| run(2)])?;
        let ends = if passed_by_c { self.labelled(nodes, &merges[2]) } else { self.shared(nodes, &merges) };
        let bars = [0, 1]
            .map(|side| merges[side].iter().filter_map(|merge| merge.bar(nodes, space, &self.fields[side])).collect());
        Ok((pairing(space, self.how.comparison, bars, &ends), merges))
    }

    /// Ends of bars of f and g that one merge of the comparison image names.
    fn labelled(&self, nodes: Nodes, merges: &[Merge]) -> Vec<[Cell; 2]> {
        let (space, [f, g, c], strict) = (&self.space, &self.fields, self.how.rule == Rule::Strict);
        let real = |merge: &Merge| merge.bar(nodes, space, c).is_some();
        let lasts = |merge: &Merge, label: usize, field| merge.lasts(label, nodes, space, c, field);
        let ends = |merge: &Merge| {
            let [of_f, of_g] = merge.labels;
            if self.two_levels {
                let good = real(merge) && self.tells(nodes.node_value(space, &c.keys, merge.young));
                return (good && (!strict || lasts(merge, 0, f))).then_some([of_f, merge.young]);
            }
            let good = if strict { lasts(merge, 0, f) && lasts(merge, 1, g) } else { real(merge) };
            good.then_some([of_f, of_g])
        };
        merges.iter().filter_map(ends).collect()
    }

    /// Ends of bars of f and g whose merges share a label in the comparison image.
    fn shared(&self, nodes: Nodes, merges: &[Vec<Merge>; 3]) -> Vec<[Cell; 2]> {
        let (space, c, strict) = (&self.space, &self.fields[2], self.how.rule == Rule::Strict);
        let real = |merge: &&Merge| merge.bar(nodes, space, c).is_some();
        let halves = |side: usize| -> Vec<_> {
            let lasting = |merge: &&Merge| !strict || merge.lasts(0, nodes, space, &self.fields[side], c);
            let good = merges[side].iter().filter(lasting);
            good.map(|merge| Half { shared: merge.labels[0], end: merge.cell }).collect()
        };
        if self.two_levels {
            let told = merges[2].iter().filter(real);
            let told = told.filter(|merge| self.tells(nodes.value(space, &c.keys, merge.cell)));
            return join(halves(0), told.map(|merge| Half { shared: merge.young, end: merge.cell }).collect(), None);
        }
        let allowed = || merges[2].iter().filter(real).map(|merge| merge.young).collect();
        join(halves(0), halves(1), (!strict).then(allowed))
    }

    /// Degree 1: `squares` are the critical ones of each image; those that are births are marked. `edges` gets those that
    /// are left for degree 0.
    fn loops(&self, squares: &[Vec<Cell>; 3], edges: &mut [Option<Vec<Cell>>; 3]) -> Result<Pairing> {
        let (space, two_levels) = (&self.space, self.two_levels);
        let refined = self.how.rule == Rule::Refined;
        let own = |side: usize| {
            if side == 2 && !refined && !two_levels {
                return Ok((Vec::new(), None));
            }
            let field = &self.fields[side];
            let choices = field.choices(space, self.job)?;
            let reduced = reduce(space, [field; 2], choices, &field.deaths(&squares[side]), self.job)?;
            Ok((loops(space, field, &reduced.pairs), Some(reduced.rest)))
        };
        let [(of_f, rest_f), (of_g, rest_g), (mut of_c, rest_c)] = all([&|| own(0), &|| own(1), &|| own(2)])?;
        *edges = [rest_f, rest_g, rest_c];
        if two_levels {
            of_c.retain(|bar| {
                self.tells(match self.how.comparison {
                    Comparison::Union => space.edge(&self.fields[2].keys, bar.birth),
                    Comparison::Intersection => space.square(&self.fields[2].keys, bar.death),
                })
            });
        }
        let of_c: Vec<_> = of_c.into_iter().map(|bar| self.half(bar)).collect();
        let mut allowed: Vec<_> = of_c.iter().map(|half| half.shared).collect();
        allowed.sort_unstable();
        let through = |side: usize| match (side, two_levels) {
            (0, _) | (1, false) => self.halves(&self.fields[side], &allowed),
            _ => Ok(Vec::new()),
        };
        let [through_f, through_g, _] = all([&|| through(0), &|| through(1), &|| through(2)])?;
        let ends = join(through_f, if two_levels { of_c } else { through_g }, None);
        Ok(pairing(space, self.how.comparison, [of_f, of_g], &ends))
    }

    /// The image whose order rows have and the one whose order columns have, between an image and the comparison image.
    const fn through<'a>(&'a self, field: &'a Field) -> [&'a Field; 2] {
        match self.how.comparison {
            Comparison::Union => [field, &self.fields[2]],
            Comparison::Intersection => [&self.fields[2], field],
        }
    }

    /// A pair as the cell that both images share, and the end of the image's bar.
    const fn half(&self, pair: Bar) -> Half {
        match self.how.comparison {
            Comparison::Union => Half { shared: pair.death, end: pair.birth },
            Comparison::Intersection => Half { shared: pair.birth, end: pair.death },
        }
    }

    /// The pairs of an image that may give matches: those that last, or those that share an allowed cell. Pairs of the
    /// gradient are empty; where those count, they are made here.
    fn halves(&self, field: &Field, allowed: &[Cell]) -> Result<Vec<Half>> {
        let (space, refined, [rows, columns]) = (&self.space, self.how.rule == Rule::Refined, self.through(field));
        let choices = Choices::new(space, &rows.keys, &columns.keys, self.job)?;
        let order = Order { space, rows, columns, choices: &choices };
        let mut found = Vec::new();
        if refined {
            found.extend(allowed.iter().filter_map(|&cell| {
                let end = match self.how.comparison {
                    Comparison::Union => order.face(cell),
                    Comparison::Intersection => order.partner(cell),
                };
                end.map(|end| Half { shared: cell, end })
            }));
        }
        let squares = order.squares(self.job)?;
        let pairs = reduce(space, [rows, columns], choices, &squares, self.job)?.pairs;
        let half = |pair: &Pair| self.half(Bar { birth: pair.edge, death: pair.square });
        let lasts = |pair: &Pair| space.edge(&rows.keys, pair.edge) < space.square(&columns.keys, pair.square);
        let good = |pair: &&Pair| refined || lasts(pair);
        let allowed = |half: &Half| !refined || allowed.binary_search(&half.shared).is_ok();
        found.extend(pairs.iter().filter(good).map(half).filter(allowed));
        Ok(found)
    }
}

/// Does three things: beside each other in the pool's threads when the caller runs inside one.
fn all<T: Send>(work: [&(dyn Fn() -> Result<T> + Sync); 3]) -> Result<[T; 3]> {
    let [a, b, c] = work;
    if rayon::current_thread_index().is_none() || rayon::current_num_threads() == 1 {
        return Ok([a()?, b()?, c()?]);
    }
    let (a, (b, c)) = rayon::join(a, || rayon::join(b, c));
    Ok([a?, b?, c?])
}
