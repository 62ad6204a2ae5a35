//! Persistence barcodes of images and Betti matching.
//!
//! An image becomes keys on a grid ([`image`]), the engine pairs cells degree by degree, and what it finds goes back to
//! voxels of the image. Bars come in the order of (degree, birth voxel, death voxel, birth cell), which no algorithm
//! decides, so that all ways to compute them give the same arrays.

mod components;
pub mod distances;
#[doc(hidden)]
pub mod engine;
mod euler;
pub mod grid;
mod image;
pub mod plain;
pub mod plane;
mod radix;
mod volume;

pub use components::betti_numbers;
pub use euler::{euler_characteristics, euler_curves};
pub use image::{NOWHERE, OUTSIDE, Value};

use crate::error::{Result, invalid};
use crate::job::Job;
use grid::Cell;
pub use image::Frame;
use image::Image;
use rayon::prelude::*;
use std::ops::Range;

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

/// One image's bars with their degrees; then the matches, if two were compared.
type Found = ([Vec<Placed>; 2], Vec<[i64; 2]>);

/// A bar as it is sorted: degree, birth voxel, death voxel, birth cell; then where it stood.
type Placed = (u8, i64, i64, Cell, u32);

/// Images of one shape that lie one after another: the first `lead` axes of `shape` count them.
#[derive(Debug, Clone, Copy)]
pub struct Stack<'a, T> {
    /// Name of the argument, for errors.
    pub name: &'static str,
    /// All voxels.
    pub voxels: &'a [T],
    /// The shape of the whole.
    pub shape: &'a [usize],
    /// How many axes count images.
    pub lead: usize,
}

/// The barcodes of the images of a stack.
///
/// # Errors
/// [`crate::Error::Invalid`] for a NaN or an image that is too large; [`crate::Error::Interrupted`].
pub fn barcodes<T: Value>(x: Stack<'_, T>, options: &Options, job: &Job) -> Result<Barcodes> {
    let found = each(x.shape, x.lead, job, |range, shape| {
        let (frame, images) = Frame::new(&[x.image(range)?], shape, options);
        let mut bars = Vec::new();
        let found = engine::bars(&frame.grid, &images[0].keys, wanted(&frame, options), job)?;
        for (k, found) in found.into_iter().enumerate() {
            bars.extend(found.into_iter().enumerate().filter_map(|(i, bar)| placed(&frame, k, bar, i, &images[0])));
        }
        bars.extend(essential(&images[0], options));
        Ok(arranged(&bars))
    })?;
    let mut out = Barcodes::default();
    found.iter().enumerate().for_each(|(image, bars)| out.extend(image, bars));
    Ok(out)
}

/// The Betti matchings of the images of two stacks of one shape.
///
/// # Errors
/// [`crate::Error::Invalid`] for a NaN or an image that is too large; [`crate::Error::Interrupted`].
pub fn matchings<T: Value>(
    f: Stack<'_, T>,
    g: Stack<'_, T>,
    options: &Options,
    how: How,
    job: &Job,
) -> Result<Matching> {
    let how = if options.full { how.dual() } else { how };
    let found = each(f.shape, f.lead, job, |range, shape| {
        let (frame, images) = Frame::new(&[f.image(range.clone())?, g.image(range)?], shape, options);
        match_one(&frame, &images, options, how, job)
    })?;
    let mut out = Matching::default();
    for (image, (bars, matches)) in found.iter().enumerate() {
        let base = [out.prediction.birth.len(), out.target.birth.len()].map(|base| base as i64);
        out.pairs.extend(matches.iter().map(|pair| [pair[0] + base[0], pair[1] + base[1]]));
        for (side, alone) in [&mut out.alone_in_prediction, &mut out.alone_in_target].into_iter().enumerate() {
            let mut single = vec![true; bars[side].len()];
            matches.iter().for_each(|pair| single[pair[side] as usize] = false);
            alone.extend((0..single.len()).filter(|&i| single[i]).map(|i| base[side] + i as i64));
        }
        out.prediction.extend(image, &bars[0]);
        out.target.extend(image, &bars[1]);
    }
    Ok(out)
}

fn match_one(frame: &Frame, images: &[Image], options: &Options, how: How, job: &Job) -> Result<Found> {
    let found = engine::matching(&frame.grid, &images[0].keys, &images[1].keys, how, wanted(frame, options), job)?;
    let (mut bars, mut pairs) = ([Vec::new(), Vec::new()], Vec::new());
    let mut count = [0, 0];
    for (k, found) in found.iter().enumerate() {
        for (side, list) in [&found.f, &found.g].into_iter().enumerate() {
            for (i, &bar) in list.iter().enumerate() {
                bars[side].extend(placed(frame, k, bar, count[side] + i, &images[side]));
            }
        }
        pairs.extend(found.matches.iter().map(|pair| [count[0] + pair[0] as usize, count[1] + pair[1] as usize]));
        count = [count[0] + found.f.len(), count[1] + found.g.len()];
    }
    let lasting = [0, 1].map(|side| essential(&images[side], options));
    if lasting.iter().all(Option::is_some) {
        pairs.push(count);
    }
    for (side, bar) in lasting.into_iter().enumerate() {
        bars[side].extend(bar.map(|bar| (bar.0, bar.1, bar.2, bar.3, count[side] as u32)));
        count[side] += usize::from(bar.is_some());
    }
    // Where each bar went when they were sorted; bars with an end at infinity are not there.
    let places = [0, 1].map(|side| {
        bars[side] = arranged(&bars[side]);
        let mut places = vec![-1; count[side]];
        bars[side].iter().enumerate().for_each(|(place, bar)| places[bar.4 as usize] = place as i64);
        places
    });
    let mut matches: Vec<_> = pairs.iter().map(|pair| [places[0][pair[0]], places[1][pair[1]]]).collect();
    matches.retain(|pair| pair[0] >= 0 && pair[1] >= 0);
    matches.sort_unstable();
    Ok((bars, matches))
}

/// The engine's degrees that are asked for.
fn wanted(frame: &Frame, options: &Options) -> [bool; 3] {
    std::array::from_fn(|k| k < frame.grid.d() && options.degrees[frame.degree(k)])
}

fn placed(frame: &Frame, k: usize, bar: Bar, i: usize, image: &Image) -> Option<Placed> {
    let [birth, death] = frame.ends(k, bar, image)?;
    Some((frame.degree(k) as u8, birth, death, bar.birth, i as u32))
}

/// Sorted bars: by counting births, then each birth's few bars.
fn arranged(bars: &[Placed]) -> Vec<Placed> {
    let (mut found, mut order, mut spare) = (Vec::with_capacity(bars.len()), Vec::new(), Vec::new());
    for degree in 0..3 {
        order.clear();
        let of_degree = (0u32..).zip(bars).filter(|(_, bar)| bar.0 == degree);
        order.extend(of_degree.map(|(i, bar)| radix::pack((bar.1 - OUTSIDE) as u32, i)));
        radix::sort(&mut order, &mut spare);
        for same in order.chunk_by(|a, b| a >> 32 == b >> 32) {
            let from = found.len();
            found.extend(same.iter().map(|&pair| bars[pair as u32 as usize]));
            if same.len() > 1 {
                found[from..].sort_unstable();
            }
        }
    }
    found
}

/// The class of degree 0 that never dies.
fn essential(image: &Image, options: &Options) -> Option<Placed> {
    let birth = image.eldest.filter(|_| options.essential && options.degrees[0])?;
    Some((0, birth, NOWHERE, Cell::MAX, 0))
}

/// Calls `work` for the voxels and the shape of every image of a stack: in the pool's threads when the caller runs inside
/// one.
fn each<R: Send>(
    shape: &[usize],
    lead: usize,
    job: &Job,
    work: impl Fn(Range<usize>, &[usize]) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (images, shape) = shape.split_at(lead);
    let (images, size): (usize, usize) = (images.iter().product(), shape.iter().product());
    if size >= grid::LARGEST {
        return Err(invalid!("images must be of less than {} voxels, got {size}", grid::LARGEST));
    }
    if size == 0 {
        return Err(invalid!("images must have at least one voxel, got shape {shape:?}"));
    }
    let one = |image: usize| {
        job.check()?;
        work(image * size..(image + 1) * size, shape)
    };
    if rayon::current_thread_index().is_none() || rayon::current_num_threads() == 1 {
        return (0..images).map(one).collect();
    }
    (0..images).into_par_iter().map(one).collect()
}

impl<'a, T: Value> Stack<'a, T> {
    /// The voxels of one image, none of them NaN.
    fn image(&self, range: Range<usize>) -> Result<&'a [T]> {
        let image = &self.voxels[range.clone()];
        match image.iter().position(|x| x.is_nan()) {
            None => Ok(image),
            Some(at) => {
                let at = place(self.shape, range.start + at);
                Err(invalid!("{} must not contain NaN, got one at {at}", self.name))
            }
        }
    }
}

/// "index (1, 2)" for a position in an array.
fn place(shape: &[usize], mut at: usize) -> String {
    let mut index = vec![0; shape.len()];
    for (i, &size) in index.iter_mut().zip(shape).rev() {
        (*i, at) = (at % size, at / size);
    }
    let text: Vec<_> = index.iter().map(ToString::to_string).collect();
    format!("index ({})", text.join(", "))
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
    fn extend(&mut self, image: usize, bars: &[Placed]) {
        self.image.extend(std::iter::repeat_n(image as i64, bars.len()));
        self.dimension.extend(bars.iter().map(|bar| bar.0));
        self.birth.extend(bars.iter().map(|bar| bar.1));
        self.death.extend(bars.iter().map(|bar| bar.2));
    }
}
