//! Persistence barcodes of images and Betti matching.
//!
//! An image becomes keys on a grid ([`image`]), the engine pairs cells degree by degree, and what it finds goes back to
//! voxels of the image. Bars come in the order of (degree, birth voxel, death voxel, birth cell), which no algorithm
//! decides, so that all ways to compute them give the same arrays.

mod available;
mod components;
pub mod distances;
#[doc(hidden)]
pub mod engine;
mod euler;
pub mod grid;
mod image;
mod memory;
pub mod plane;
mod radix;
mod stack;
mod volume;

pub use components::betti_numbers;
pub use euler::{euler_characteristics, euler_curves};
pub use image::{NOWHERE, OUTSIDE, Value};
pub use stack::{Images, Stack};

use crate::error::{Result, invalid};
use crate::job::Job;
use grid::Cell;
use image::{Frame, Image};
use stack::items;

/// A bar: the cells of its birth (of degree k) and of its death (of dimension k + 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// The cell that makes the class.
    pub birth: Cell,
    /// The cell that fills it.
    pub death: Cell,
}

/// The bars of two images in one degree, and the matches as places in the two lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairing {
    /// Bars of the first image.
    pub f: Vec<Bar>,
    /// Bars of the second image.
    pub g: Vec<Bar>,
    /// Matched bars.
    pub matches: Vec<[u32; 2]>,
}

/// What two images are compared through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The union of the sublevel sets: the smaller value.
    Union,
    /// The intersection: the larger value.
    Intersection,
}

impl Comparison {
    /// The comparison image at one voxel.
    #[must_use]
    pub fn of(self, a: u32, b: u32) -> u32 {
        match self {
            Self::Union => a.min(b),
            Self::Intersection => a.max(b),
        }
    }
}

/// Which pairs of the image modules count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// All, if the bars of both images and of the comparison are not empty.
    Refined,
    /// Those that are not empty themselves.
    Strict,
}

/// How bars are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Union or intersection.
    pub comparison: Comparison,
    /// Refined or strict.
    pub rule: Rule,
}

/// What surrounds an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ring {
    /// Nothing.
    None,
    /// Its own value that comes first in the filtration.
    Lowest,
    /// A constant.
    Constant(f64),
}

/// The filtration of an image, and what is asked of it.
#[derive(Debug, Clone)]
pub struct Options {
    /// From large values to small ones.
    pub superlevel: bool,
    /// The T-construction: voxels are top cells.
    pub full: bool,
    /// Where the filtration ends.
    pub threshold: Option<f64>,
    /// What surrounds the image.
    pub ring: Ring,
    /// Which degrees are wanted.
    pub degrees: [bool; 3],
    /// Whether the class that never dies is a bar.
    pub essential: bool,
}

impl Options {
    fn outside(&self) -> Option<f64> {
        if let Ring::Constant(x) = self.ring { Some(x) } else { None }
    }
}

/// Bars of many images, one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Barcodes {
    /// The image of each bar.
    pub image: Vec<i64>,
    /// The degree of each bar.
    pub dimension: Vec<u8>,
    /// The voxel of its birth, an index of its image; or [`OUTSIDE`].
    pub birth: Vec<i64>,
    /// The voxel of its death; or [`OUTSIDE`], or [`NOWHERE`].
    pub death: Vec<i64>,
}

/// Bars of many pairs of images, and which are matched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matching {
    /// Bars of the first images.
    pub prediction: Barcodes,
    /// Bars of the second images.
    pub target: Barcodes,
    /// Matched bars, by their places in the two.
    pub pairs: Vec<[i64; 2]>,
    /// Places of the bars of the first images that have no partner.
    pub alone_in_prediction: Vec<i64>,
    /// Places of the bars of the second images that have no partner.
    pub alone_in_target: Vec<i64>,
}

/// Births between two looks at the job.
const PIECE: usize = 1 << 16;

/// One image's bars by degree.
type Degrees = [Vec<Placed>; 3];
/// The bars of two images, and the matches as places in all bars of each.
type Found = ([Degrees; 2], Vec<[i64; 2]>);

/// A bar as it is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    /// Birth and death voxel, [`OUTSIDE`] or [`NOWHERE`]; less than [`grid::LARGEST`].
    ends: [i32; 2],
    /// The cell of birth.
    cell: Cell,
    /// Where it stood in the engine's list of its degree.
    index: u32,
}

/// The barcodes of the images of each array of a list.
///
/// # Errors
/// [`crate::Error::Invalid`] for a NaN or an image that is too large; [`crate::Error::LittleMemory`];
/// [`crate::Error::Interrupted`].
pub fn barcodes(list: &[Images<'_>], options: &Options, job: &Job) -> Result<Vec<Barcodes>> {
    items(
        list,
        |x| *x,
        false,
        job,
        |x| match x {
            Images::Single(x) => barcodes_of(x, options, job),
            Images::Double(x) => barcodes_of(x, options, job),
        },
    )
}

fn barcodes_of<T: Value>(x: &Stack<'_, T>, options: &Options, job: &Job) -> Result<Barcodes> {
    let found = x.each(job, |range, shape| {
        let (frame, images) = Frame::new(&[x.image(range, job)?], shape, options, job)?;
        let mut bars = Degrees::default();
        let found = engine::bars(&frame.grid, &images[0].keys, wanted(&frame, options), job)?;
        for (k, found) in found.iter().enumerate().take(frame.grid.d()) {
            bars[frame.degree(k)] = placed(&frame, k, found, &images[0], job)?;
        }
        bars[0].extend(essential(&images[0], options, 0));
        arranged(bars, job)
    })?;
    let mut out = Barcodes::default();
    found.iter().enumerate().try_for_each(|(image, bars)| out.extend(image, bars, job))?;
    Ok(out)
}

/// The Betti matchings of the images of each pair of arrays of a list; the two of a pair have one shape.
///
/// # Errors
/// [`crate::Error::Invalid`] for a NaN, an image that is too large or a pair of two number types;
/// [`crate::Error::LittleMemory`]; [`crate::Error::Interrupted`].
pub fn matchings(list: &[[Images<'_>; 2]], options: &Options, how: How, job: &Job) -> Result<Vec<Matching>> {
    let how = if options.full { how.dual() } else { how };
    items(
        list,
        |pair| pair[0],
        true,
        job,
        |pair| match pair {
            [Images::Single(f), Images::Single(g)] => matchings_of(f, g, options, how, job),
            [Images::Double(f), Images::Double(g)] => matchings_of(f, g, options, how, job),
            _ => Err(invalid!("images must be of one dtype, got two")),
        },
    )
}

fn matchings_of<T: Value>(
    f: &Stack<'_, T>,
    g: &Stack<'_, T>,
    options: &Options,
    how: How,
    job: &Job,
) -> Result<Matching> {
    if f.shape != g.shape {
        return Err(g.error(&format!("{} must be of shape {:?} like {}, got {:?}", g.name, f.shape, f.name, g.shape)));
    }
    let found = f.each(job, |range, shape| {
        let parts = [f.image(range.clone(), job)?, g.image(range, job)?];
        let (frame, images) = Frame::new(&parts, shape, options, job)?;
        match_one(&frame, &images, options, how, job)
    })?;
    let mut out = Matching::default();
    for (image, (bars, matches)) in found.iter().enumerate() {
        let base = [out.prediction.birth.len(), out.target.birth.len()].map(|base| base as i64);
        job.sweep(matches.len(), |piece| {
            out.pairs.extend(matches[piece].iter().map(|pair| [pair[0] + base[0], pair[1] + base[1]]));
        })?;
        for (side, alone) in [&mut out.alone_in_prediction, &mut out.alone_in_target].into_iter().enumerate() {
            let mut single = vec![true; bars[side].iter().map(Vec::len).sum()];
            job.sweep(matches.len(), |piece| {
                matches[piece].iter().for_each(|pair| single[pair[side] as usize] = false);
            })?;
            job.sweep(single.len(), |piece| {
                alone.extend(piece.filter(|&i| single[i]).map(|i| base[side] + i as i64));
            })?;
        }
        out.prediction.extend(image, &bars[0], job)?;
        out.target.extend(image, &bars[1], job)?;
    }
    Ok(out)
}

fn match_one(frame: &Frame, images: &[Image], options: &Options, how: How, job: &Job) -> Result<Found> {
    let found = engine::matching(&frame.grid, &images[0].keys, &images[1].keys, how, wanted(frame, options), job)?;
    let (mut bars, mut pairs) = (<[Degrees; 2]>::default(), <[Vec<[u32; 2]>; 3]>::default());
    let mut count = [0; 2];
    for (k, found) in found.into_iter().enumerate().take(frame.grid.d()) {
        let degree = frame.degree(k);
        for (side, list) in [&found.f, &found.g].into_iter().enumerate() {
            bars[side][degree] = placed(frame, k, list, &images[side], job)?;
        }
        if degree == 0 {
            count = [found.f.len() as u32, found.g.len() as u32];
        }
        pairs[degree] = found.matches;
    }
    let lasting = [0, 1].map(|side| essential(&images[side], options, count[side]));
    if lasting.iter().all(Option::is_some) {
        pairs[0].push(count);
    }
    (0..2).for_each(|side| bars[side][0].extend(lasting[side]));
    let [first, second] = bars;
    let bars = [arranged(first, job)?, arranged(second, job)?];
    let (mut matches, mut base) = (Vec::new(), [0; 2]);
    for (degree, pairs) in pairs.iter().enumerate() {
        let lists = [0, 1].map(|side: usize| &bars[side][degree][..]);
        matched(lists, pairs, base, &mut matches, job)?;
        base = [0, 1].map(|side| base[side] + lists[side].len() as i64);
    }
    Ok((bars, matches))
}

/// The engine's degrees that are asked for.
fn wanted(frame: &Frame, options: &Options) -> [bool; 3] {
    std::array::from_fn(|k| k < frame.grid.d() && options.degrees[frame.degree(k)])
}

/// The bars of one degree with their voxels.
fn placed(frame: &Frame, k: usize, bars: &[Bar], image: &Image, job: &Job) -> Result<Vec<Placed>> {
    let mut found = Vec::with_capacity(bars.len() + 1);
    job.sweep(bars.len(), |piece| {
        found.extend((piece.start as u32..).zip(&bars[piece]).filter_map(|(index, &bar)| {
            let ends = frame.ends(k, bar, image)?.map(|voxel| voxel as i32);
            Some(Placed { ends, cell: bar.birth, index })
        }));
    })?;
    Ok(found)
}

/// Sorted bars of each degree: by counting births, then each birth's few bars.
fn arranged(degrees: Degrees, job: &Job) -> Result<Degrees> {
    let mut sorted = Degrees::default();
    for (bars, found) in degrees.into_iter().zip(&mut sorted) {
        if bars.is_sorted() {
            *found = bars;
            continue;
        }
        let birth = |bar: &Placed| (i64::from(bar.ends[0]) - OUTSIDE) as u32;
        let mut order = Vec::with_capacity(bars.len());
        job.sweep(bars.len(), |piece| order.extend(piece.map(|i| radix::pack(birth(&bars[i]), i as u32))))?;
        radix::sort_unless_stopped(&mut order, &mut Vec::new(), job)?;
        found.reserve_exact(bars.len());
        job.sweep(bars.len(), |piece| found.extend(order[piece].iter().map(|&pair| bars[pair as u32 as usize])))?;
        for (i, same) in found.chunk_by_mut(|a, b| a.ends[0] == b.ends[0]).enumerate() {
            if i % PIECE == 0 {
                job.check()?;
            }
            if same.len() > 1 {
                same.sort_unstable();
            }
        }
    }
    Ok(sorted)
}

/// Adds the matches of one degree, ascending; `pairs` are numbers of bars as they stood, and no bar has two partners.
/// Bars with an end at infinity are not there.
fn matched(
    bars: [&[Placed]; 2],
    pairs: &[[u32; 2]],
    base: [i64; 2],
    matches: &mut Vec<[i64; 2]>,
    job: &Job,
) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let mut places = [Vec::new(), Vec::new()];
    for (places, bars) in places.iter_mut().zip(bars) {
        let most = bars.iter().map(|bar| bar.index as usize + 1).max().unwrap_or_default();
        job.resize(places, most, -1)?;
        job.sweep(bars.len(), |piece| piece.for_each(|i| places[bars[i].index as usize] = i as i64))?;
    }
    let place = |side: usize, index: u32| places[side].get(index as usize).copied().unwrap_or(-1);
    let mut partners = Vec::new();
    job.resize(&mut partners, bars[0].len(), -1)?;
    job.sweep(pairs.len(), |piece| {
        for &[i, j] in &pairs[piece] {
            if let (first @ 0.., second @ 0..) = (place(0, i), place(1, j)) {
                partners[first as usize] = second;
            }
        }
    })?;
    job.sweep(partners.len(), |piece| {
        let found = piece.filter(|&first| partners[first] >= 0);
        matches.extend(found.map(|first| [base[0] + first as i64, base[1] + partners[first]]));
    })
}

/// The class of degree 0 that never dies.
fn essential(image: &Image, options: &Options, index: u32) -> Option<Placed> {
    let birth = image.eldest.filter(|_| options.essential && options.degrees[0])?;
    Some(Placed { ends: [birth, NOWHERE].map(|voxel| voxel as i32), cell: Cell::MAX, index })
}

impl How {
    /// The same matching seen from the dual complex.
    const fn dual(self) -> Self {
        let comparison = match self.comparison {
            Comparison::Union => Comparison::Intersection,
            Comparison::Intersection => Comparison::Union,
        };
        Self { comparison, rule: self.rule }
    }
}

impl Barcodes {
    fn extend(&mut self, image: usize, bars: &Degrees, job: &Job) -> Result<()> {
        for (degree, bars) in (0..).zip(bars) {
            job.sweep(bars.len(), |piece| {
                let bars = &bars[piece];
                self.image.extend(std::iter::repeat_n(image as i64, bars.len()));
                self.dimension.extend(std::iter::repeat_n(degree, bars.len()));
                self.birth.extend(bars.iter().map(|bar| i64::from(bar.ends[0])));
                self.death.extend(bars.iter().map(|bar| i64::from(bar.ends[1])));
            })?;
        }
        Ok(())
    }
}
