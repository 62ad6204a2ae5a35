//! The bars of two images and their matches.
//!
//! ```text
//! union:         degree 0 in the comparison image's pass, which carries the elders of both images;
//!                degree 1 in the images' own passes, which carry the elder of the comparison image
//! intersection:  the other way round
//! ```
//!
//! The images' passes give pairs (cell that dies in the comparison image, bar); bars with the same cell are matched. The
//! comparison's pass gives pairs of cells; the bars of these cells are matched.
//!
//! A binary target g with values lo < hi, and lo <= f <= hi, has plateaus in which nothing agrees with f, but in them
//! labels need not be followed step by step (union only):
//!
//! ```text
//! vertices of key lo in the comparison c: no bar of c ends there, so they may be joined at once; elders over all of them
//! squares of key hi in g: no bar of g begins there, so they may be joined at once; the elder by c of a whole component
//!     has no neighbour to take, so that the roots of the basins of c know it
//! squares of key lo in g: their c is lo, too, and a bar of c that ends at lo is empty
//! ```

use super::critical::{Agree, basin};
use super::forest::Carry;
use super::merge::NEVER;
use super::space::{Images, Kind, Plane, Space, square, with_images, with_space};
use crate::error::Result;
use crate::job::Job;
use crate::topology::grid::Grid;
use crate::topology::radix::pack;
use crate::topology::{Bar, Comparison, How, Pairing, Rule};

/// Voxels of an image worth a second thread.
const LARGE: usize = 100_000;

/// What is the same for all passes of one matching.
#[derive(Clone, Copy)]
struct Task<'a> {
    plane: Plane,
    /// Padded f, g and c.
    keys: [&'a [u32]; 3],
    how: How,
    wanted: [bool; 2],
    /// The smaller key of a binary target.
    low: Option<u32>,
    job: &'a Job,
}

/// The bars of an image by degree, their vertices or squares, and its image pairs: a cell and a bar.
struct Side {
    bars: [Vec<Bar>; 2],
    cells: [Vec<u32>; 2],
    image: Vec<[u32; 2]>,
}

/// The bars of two images and their matches in the degrees that are wanted.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn matching(grid: &Grid, f: &[u32], g: &[u32], how: How, wanted: [bool; 2], job: &Job) -> Result<[Pairing; 2]> {
    let plane = Plane::new(grid);
    let low = if how.comparison == Comparison::Union { binary(f, g, job)? } else { None };
    with_images(|images| {
        let Images { keys: [pf, pg, pc], places } = images;
        plane.pad(f, pf, job)?;
        plane.pad(g, pg, job)?;
        pc.clear();
        pc.reserve_exact(pf.len());
        job.sweep(pf.len(), |piece| {
            let both = pf[piece.clone()].iter().zip(&pg[piece]);
            match how.comparison {
                Comparison::Union => pc.extend(both.map(|(&a, &b)| a.min(b))),
                Comparison::Intersection => pc.extend(both.map(|(&a, &b)| a.max(b))),
            }
        })?;
        let task = Task { plane, keys: [pf, pg, pc], how, wanted, low, job };
        with_space(|space| {
            let first = || task.side(0, None);
            let mut second = || -> Result<Side> {
                task.compare(space)?;
                task.side(1, Some(space))
            };
            let many = rayon::current_thread_index().is_some() && rayon::current_num_threads() > 1;
            let (f, g) = if many && f.len() >= LARGE { rayon::join(first, second) } else { (first(), second()) };
            task.matches(f?, g?, space, places)
        })
    })
}

/// The smaller one of the two keys of `g`, if no key of `f` is beyond them.
fn binary(f: &[u32], g: &[u32], job: &Job) -> Result<Option<u32>> {
    let range = |keys: &[u32]| {
        let mut range = (u32::MAX, 0);
        job.sweep(keys.len(), |piece| {
            range = keys[piece].iter().fold(range, |(low, high), &key| (low.min(key), high.max(key)));
        })?;
        Ok(range)
    };
    let (low, high) = range(g)?;
    let mut two = low < high;
    job.sweep(g.len(), |piece| two = two && !g[piece].iter().any(|&key| key != low && key != high))?;
    let (least, most) = if two { range(f)? } else { return Ok(None) };
    Ok((low <= least && most <= high).then_some(low))
}

impl Task<'_> {
    /// The kind whose labels the comparison's pass carries.
    fn shared(&self) -> Kind {
        if self.how.comparison == Comparison::Union { Kind::Vertex } else { Kind::Square }
    }

    /// The passes of the comparison image.
    fn compare(&self, space: &mut Space) -> Result<()> {
        let ([f, g, c], shared) = (self.keys, self.shared());
        let (both, one) = ([f, g], [f]);
        let agree = match (self.low, shared) {
            (Some(low), _) => Agree { vertices: &one, squares: &[], exempt: low },
            (None, Kind::Vertex) => Agree { vertices: &both, ..Agree::NOTHING },
            (None, Kind::Square) => Agree { squares: &both, ..Agree::NOTHING },
        };
        // Its own bars are only asked for where the images' passes ask whether they are empty.
        let mut wanted = self.wanted;
        wanted[shared.other() as usize] &= self.how.rule == Rule::Refined;
        space.prepare(&self.plane, c, agree, wanted, self.job)?;
        for (which, keys) in [f, g].into_iter().enumerate() {
            self.label(space, shared, which, keys)?;
        }
        if let Some(low) = self.low {
            self.label_lowest(space, low)?;
        }
        space.join(shared, Carry::Two(self.how.rule), wanted, self.job)
    }

    /// Bars and image pairs of f (`which` 0) or g; the target's with the basins of the comparison image.
    fn side(&self, which: usize, compared: Option<&Space>) -> Result<Side> {
        let (keys, kind) = (self.keys[which], self.shared().other());
        let compared = compared.filter(|_| self.low.is_some());
        let labels = [self.keys[2]];
        let agree = match (compared, kind) {
            (Some(_), _) => Agree::NOTHING,
            (None, Kind::Vertex) => Agree { vertices: &labels, ..Agree::NOTHING },
            (None, Kind::Square) => Agree { squares: &labels, ..Agree::NOTHING },
        };
        with_space(|space| {
            space.prepare(&self.plane, keys, agree, self.wanted, self.job)?;
            match compared {
                Some(compared) => label_holes(space, compared, self.job)?,
                None => self.label(space, kind, 0, labels[0])?,
            }
            space.join(kind, Carry::One(self.how.rule), self.wanted, self.job)?;
            let mut side = Side { bars: Default::default(), cells: Default::default(), image: Vec::new() };
            for kind in [Kind::Vertex, Kind::Square] {
                let at = kind as usize;
                if self.wanted[at] {
                    (side.bars[at], side.cells[at]) = space.bars(&self.plane, kind, self.job)?;
                }
            }
            let places = &space.partners[kind as usize];
            side.image.extend(space.image.iter().map(|&[cell, basin]| [cell, places[basin as usize]]));
            Ok(side)
        })
    }

    /// Every basin's elder in another order is its root.
    fn label(&self, space: &mut Space, kind: Kind, which: usize, keys: &[u32]) -> Result<()> {
        let (labels, cells) = (&mut space.labels[which], &space.basins[kind as usize].cells);
        labels.clear();
        self.job.sweep(cells.len(), |piece| {
            labels.extend(cells[piece].iter().map(|&cell| match kind {
                Kind::Vertex => pack(keys[cell as usize], cell),
                Kind::Square => pack(square(keys, self.plane.stride, cell), cell),
            }));
        })
    }

    /// Elders of components that are complete from the start: of the vertices of the comparison's lowest key.
    fn label_lowest(&self, space: &mut Space, low: u32) -> Result<()> {
        let [f, g, c] = self.keys;
        let [of_f, of_g] = &mut space.labels;
        let parents = &mut space.basins[Kind::Vertex as usize].parents;
        self.job.sweep(c.len(), |piece| {
            for p in piece.filter(|&p| c[p] == low) {
                let at = basin(parents, p as u32) as usize;
                of_f[at] = of_f[at].min(pack(f[p], p as u32));
                of_g[at] = of_g[at].min(pack(g[p], p as u32));
            }
        })
    }

    /// The matches of the bars.
    fn matches(&self, f: Side, g: Side, space: &Space, places: &mut Vec<u32>) -> Result<[Pairing; 2]> {
        let (shared, own) = (self.shared() as usize, self.shared().other() as usize);
        places.clear();
        self.job.resize(places, self.plane.len(), NEVER)?;
        let mut matches = [Vec::new(), Vec::new()];
        if self.wanted[shared] {
            matches[shared] = through_comparison(&space.image, [&f.cells[shared], &g.cells[shared]], places, self.job)?;
        }
        if self.wanted[own] {
            let real = (self.how.rule == Rule::Refined).then(|| {
                let partners = space.partners[own].iter().zip(&space.basins[own].cells);
                partners.filter(|&(&partner, _)| partner != NEVER).map(|(_, &cell)| cell)
            });
            matches[own] = through_images(&f.image, &g.image, real, places, self.job)?;
        }
        let ([f0, f1], [g0, g1], [m0, m1]) = (f.bars, g.bars, matches);
        Ok([Pairing { f: f0, g: g0, matches: m0 }, Pairing { f: f1, g: g1, matches: m1 }])
    }
}

/// For each component of squares of a binary image the elder by the comparison image; what has only squares of the lowest
/// key has none.
fn label_holes(space: &mut Space, compared: &Space, job: &Job) -> Result<()> {
    let (squares, labels) = (&mut space.basins[Kind::Square as usize], &mut space.labels[0]);
    labels.clear();
    job.resize(labels, squares.cells.len(), 0)?;
    labels[0] = pack(u32::MAX, 0);
    let roots = &compared.basins[Kind::Square as usize];
    job.sweep(roots.cells.len(), |piece| {
        for (&cell, &key) in roots.cells[piece.clone()].iter().zip(&roots.keys[piece]) {
            let at = basin(&mut squares.parents, cell) as usize;
            labels[at] = labels[at].max(pack(key, cell));
        }
    })
}

/// Bars whose cells lose their titles together.
fn through_comparison(image: &[[u32; 2]], cells: [&[u32]; 2], places: &mut [u32], job: &Job) -> Result<Vec<[u32; 2]>> {
    let mut found = image.to_vec();
    for (side, cells) in cells.into_iter().enumerate() {
        job.sweep(cells.len(), |piece| piece.for_each(|i| places[cells[i] as usize] = i as u32))?;
        job.sweep(found.len(), |piece| {
            found[piece].iter_mut().for_each(|pair| pair[side] = places[pair[side] as usize]);
        })?;
        job.sweep(cells.len(), |piece| cells[piece].iter().for_each(|&cell| places[cell as usize] = NEVER))?;
    }
    found.retain(|pair| pair[0] != NEVER && pair[1] != NEVER);
    Ok(found)
}

/// Bars with one cell, which must be among `real` if there is such a list.
fn through_images(
    f: &[[u32; 2]],
    g: &[[u32; 2]],
    real: Option<impl Iterator<Item = u32>>,
    places: &mut [u32],
    job: &Job,
) -> Result<Vec<[u32; 2]>> {
    const REAL: u32 = NEVER - 1;
    let open = if let Some(real) = real {
        real.for_each(|cell| places[cell as usize] = REAL);
        REAL
    } else {
        NEVER
    };
    job.sweep(f.len(), |piece| {
        for &[cell, bar] in &f[piece] {
            let place = &mut places[cell as usize];
            if *place == open {
                *place = bar;
            }
        }
    })?;
    let partner = |&[cell, bar]: &[u32; 2]| {
        let place = places[cell as usize];
        (place < REAL).then_some([place, bar])
    };
    let mut found = Vec::new();
    job.sweep(g.len(), |piece| found.extend(g[piece].iter().filter_map(partner)))?;
    Ok(found)
}
