//! From images to keys: unsigned integers in the order of the filtration, on the grid that the engine sees.
//!
//! Everything that an option changes about the image is done here, so that the engine knows sublevel sets and the
//! V-construction only:
//!
//! ```text
//! superlevel   the order is turned round
//! threshold    values beyond it are set to it: what is alive there stays alive for ever
//! relative     a ring of the lowest value around the image; sphere: a ring of a constant
//! full         the T-construction of an image is the V-construction of its negative in a ring of minus infinity, degree
//!              k as degree d - 1 - k, births as deaths and deaths as births; unions are intersections there
//! ```

use super::grid::Grid;
use super::{Bar, Options, Ring, radix};
use crate::error::Result;
use crate::job::Job;

/// A voxel that is none: the endpoint is infinite, or at the threshold.
pub const NOWHERE: i64 = -1;
/// A voxel of the ring of a constant.
pub const OUTSIDE: i64 = -2;

/// Rows between two looks at the job.
const ROWS: usize = 256;
/// Equal numbers of so few items are told apart by comparing them.
const FEW: usize = 64;
/// The lowest key of a voxel; 0 is left for the ring of minus infinity.
const LOWEST: u32 = 1;

/// One image as the engine sees it.
#[derive(Debug, Default, Clone)]
pub struct Image {
    /// Keys on [`Frame::grid`].
    pub keys: Vec<u32>,
    /// The first voxel of the lowest value, as an index of the image.
    pub lowest: i64,
    /// The voxel that makes the class that never dies; none where the filtration is empty.
    pub eldest: Option<i64>,
}

/// Where the voxels of [`Image::keys`] come from.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The grid with its rings.
    pub grid: Grid,
    image: Grid,
    rings: usize,
    /// The key of the threshold as it stands in [`Image::keys`].
    censored: Option<u32>,
    options: Options,
}

/// A number that has a place in the order of a filtration.
pub trait Value: Copy + Into<f64> + Send + Sync + 'static {
    /// Rounds to nearest.
    fn of(x: f64) -> Self;
    /// Whether it is no number.
    fn is_nan(self) -> bool;
    /// Numbers in, keys out: in the order of the numbers, at least [`LOWEST`] and below the largest `u32`, equal for 0
    /// and -0. The parts are comparable with each other.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    fn keys(parts: &[&[Self]], job: &Job) -> Result<Vec<Vec<u32>>>;
}

impl Value for f32 {
    #[allow(clippy::cast_possible_truncation)] // rounds
    fn of(x: f64) -> Self {
        x as Self
    }
    fn is_nan(self) -> bool {
        self.is_nan()
    }
    fn keys(parts: &[&[Self]], job: &Job) -> Result<Vec<Vec<u32>>> {
        each(parts, single, job)
    }
}

fn each<T: Copy>(parts: &[&[T]], key: impl Fn(T) -> u32, job: &Job) -> Result<Vec<Vec<u32>>> {
    let keys_of = |part: &&[T]| {
        let mut keys = Vec::with_capacity(part.len());
        job.sweep(part.len(), |piece| keys.extend(part[piece].iter().map(|&x| key(x))))?;
        Ok(keys)
    };
    parts.iter().map(keys_of).collect()
}

/// The sign bit turned round, or all bits of a negative number.
fn single(x: f32) -> u32 {
    let bits = (x + 0.0).to_bits();
    bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000)
}

impl Value for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn is_nan(self) -> bool {
        self.is_nan()
    }
    #[allow(clippy::cast_possible_truncation, clippy::float_cmp)] // whether nothing is lost is the question
    fn keys(parts: &[&[Self]], job: &Job) -> Result<Vec<Vec<u32>>> {
        let mut same = true;
        for part in parts {
            job.sweep(part.len(), |piece| same = same && part[piece].iter().all(|&x| Self::from(x as f32) == x))?;
        }
        if same { each(parts, |x| single(x as f32), job) } else { ranks(parts, job) }
    }
}

/// Places of numbers among all different ones.
fn ranks(parts: &[&[f64]], job: &Job) -> Result<Vec<Vec<u32>>> {
    let wide = |x: &f64| {
        let bits = (x + 0.0).to_bits();
        bits ^ (((bits as i64 >> 63) as u64) | 1 << 63)
    };
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        job.sweep(part.len(), |piece| all.extend(part[piece].iter().map(wide)))?;
    }
    let mut order = Vec::with_capacity(all.len());
    job.sweep(all.len(), |piece| order.extend(piece.map(|i| i as u64)))?;
    arrange(&all, &mut order, job)?;
    let (mut found, mut rank, mut last) = (vec![0; all.len()], LOWEST, None);
    job.sweep(order.len(), |piece| {
        for &pair in &order[piece] {
            let (i, before) = (pair as u32 as usize, last);
            last = Some(all[i]);
            rank += u32::from(before.is_some() && before != last);
            found[i] = rank;
        }
    })?;
    let mut found = &found[..];
    let mut cut = |part: &&[f64]| {
        let (first, rest) = found.split_at(part.len());
        found = rest;
        first.to_vec()
    };
    Ok(parts.iter().map(&mut cut).collect())
}

/// Sorts numbers of items by the items: by their highest bits that differ, and in the same way each group of those in
/// which these bits are equal.
fn arrange(all: &[u64], order: &mut Vec<u64>, job: &Job) -> Result<()> {
    let item = |pair: u64| all[pair as u32 as usize];
    let (mut low, mut high) = (u64::MAX, 0);
    job.sweep(order.len(), |piece| {
        (low, high) = order[piece].iter().fold((low, high), |(low, high), &i| (item(i).min(low), item(i).max(high)));
    })?;
    let shift = high.saturating_sub(low).checked_ilog2().unwrap_or(0).saturating_sub(31);
    job.sweep(order.len(), |piece| {
        order[piece].iter_mut().for_each(|i| *i = radix::pack(((item(*i) - low) >> shift) as u32, *i as u32));
    })?;
    radix::sort_unless_stopped(order, &mut Vec::new(), job)?;
    if shift == 0 {
        return Ok(());
    }
    let mut start = 0;
    while start < order.len() {
        let rest = &order[start..];
        let many = rest.iter().position(|pair| pair >> 32 != rest[0] >> 32).unwrap_or(rest.len());
        let group = &mut order[start..start + many];
        if many > FEW {
            let mut own = group.to_vec();
            arrange(all, &mut own, job)?;
            group.copy_from_slice(&own);
        } else if many > 1 {
            group.sort_unstable_by_key(|&pair| item(pair));
        }
        if start >> 18 != (start + many) >> 18 {
            job.check()?;
        }
        start += many;
    }
    Ok(())
}

impl Frame {
    /// Turns images of one shape, without NaN, into keys that are comparable with each other.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn new<T: Value>(parts: &[&[T]], shape: &[usize], options: &Options, job: &Job) -> Result<(Self, Vec<Image>)> {
        let constants = [options.threshold, options.outside()].map(|x| T::of(x.unwrap_or(0.0)));
        let mut given = parts.to_vec();
        given.push(&constants);
        let mut keys = T::keys(&given, job)?;
        if options.superlevel {
            keys.iter_mut().try_for_each(|keys| change(keys, |key| !key, job))?;
        }
        let mut constants = keys.pop().unwrap_or_default();
        let image = Grid::new(shape);
        let mut frame = Self { grid: image, image, rings: 0, censored: None, options: options.clone() };
        let mut images: Vec<_> = keys.into_iter().map(|keys| Image { keys, ..Image::default() }).collect();
        if options.threshold.is_some() {
            constants[1] = constants[1].min(constants[0]);
            images.iter_mut().try_for_each(|image| change(&mut image.keys, |key| constants[0].min(key), job))?;
            frame.censored = Some(if options.full { !constants[0] } else { constants[0] });
        }
        for image in &mut images {
            let (mut lowest, mut place) = (u32::MAX, 0);
            job.sweep(image.keys.len(), |piece| {
                let keys = &image.keys[piece.clone()];
                let low = keys.iter().copied().min().unwrap_or(u32::MAX);
                if low < lowest {
                    (lowest, place) = (low, piece.start + keys.iter().position(|&key| key == low).unwrap_or_default());
                }
            })?;
            image.lowest = place as i64;
            let outside = options.outside().is_some() && constants[1] <= lowest;
            let first = if outside { constants[1] } else { lowest };
            let alive = options.threshold.is_none() || first < constants[0];
            image.eldest = alive.then(|| match (outside, options.full) {
                (true, _) => OUTSIDE,
                (false, false) => image.lowest,
                // The order of equal voxels is turned round in the dual.
                (false, true) => image.keys.iter().rposition(|&key| key == lowest).unwrap_or_default() as i64,
            });
        }
        if options.ring != Ring::None {
            let key = |image: &Image| match options.ring {
                Ring::Lowest => image.keys[image.lowest as usize],
                _ => constants[1],
            };
            frame.ring(&mut images, key, job)?;
        }
        if options.full {
            images.iter_mut().try_for_each(|image| change(&mut image.keys, |key| !key, job))?;
            frame.ring(&mut images, |_| 0, job)?;
        }
        Ok((frame, images))
    }

    /// Puts a ring of one key around every image.
    fn ring(&mut self, images: &mut [Image], key: impl Fn(&Image) -> u32, job: &Job) -> Result<()> {
        let (inner, outer) = (self.grid, self.grid.ringed());
        let row = if inner.d() == 0 { 1 } else { inner.shape()[inner.d() - 1] };
        for image in images {
            let mut keys = Vec::new();
            job.resize(&mut keys, outer.len(), key(image))?;
            for (i, from) in image.keys.chunks_exact(row.max(1)).enumerate() {
                if i % ROWS == 0 {
                    job.check()?;
                }
                let at = outward(inner, outer, i * row);
                keys[at..at + row].copy_from_slice(from);
            }
            image.keys = keys;
        }
        self.grid = outer;
        self.rings += 1;
        Ok(())
    }

    /// The voxel of the image that a voxel of the grid is; [`OUTSIDE`] in a ring of a constant.
    fn inward(&self, voxel: usize, image: &Image) -> i64 {
        if self.rings == 0 {
            return voxel as i64;
        }
        let (at, shape, strides) = (self.grid.coordinates(voxel), self.image.shape(), self.image.strides());
        let mut found = 0;
        for axis in 0..self.image.d() {
            let inside = at[axis].wrapping_sub(self.rings);
            if inside >= shape[axis] {
                return if self.options.ring == Ring::Lowest { image.lowest } else { OUTSIDE };
            }
            found += inside * strides[axis];
        }
        found as i64
    }

    /// The degree of homology that the engine's degree `k` is.
    #[must_use]
    pub fn degree(&self, k: usize) -> usize {
        if self.options.full { self.grid.d() - 1 - k } else { k }
    }

    /// Birth and death of an engine's bar as voxels of the image; none where it has an end in the ring of infinity.
    #[must_use]
    pub fn ends(&self, k: usize, bar: Bar, image: &Image) -> Option<[i64; 2]> {
        let voxels = [(k, bar.birth), (k + 1, bar.death)].map(|(k, cell)| self.grid.voxel(&image.keys, k, cell));
        if self.options.full && voxels.iter().any(|&voxel| image.keys[voxel] == 0) {
            return None;
        }
        let mut ends = voxels
            .map(|voxel| if Some(image.keys[voxel]) == self.censored { NOWHERE } else { self.inward(voxel, image) });
        if self.options.full {
            ends.reverse();
        }
        Some(ends)
    }
}

/// Changes all keys.
fn change(keys: &mut [u32], to: impl Fn(u32) -> u32, job: &Job) -> Result<()> {
    job.sweep(keys.len(), |piece| keys[piece].iter_mut().for_each(|key| *key = to(*key)))
}

/// A voxel of a grid in the same grid with one ring more.
fn outward(inner: Grid, outer: Grid, voxel: usize) -> usize {
    let at = inner.coordinates(voxel);
    (0..inner.d()).map(|axis| (at[axis] + 1) * outer.strides()[axis]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_places_among_all_different_numbers() {
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let random: Vec<_> = (0..3000).map(|_| next() - 0.5).collect();
        let close: Vec<_> = (0..2000).map(|i| 1.0 + f64::from(i % 97) * f64::EPSILON).collect();
        let far = [f64::NEG_INFINITY, -1e300, -0.0, 0.0, 5e-324, 1e300, f64::INFINITY];
        for parts in [&[&random[..], &close][..], &[&close], &[&far, &close, &random], &[&[2.5]], &[&[], &[1.0, 1.0]]] {
            let mut all: Vec<_> = parts.concat().iter().map(|x| x + 0.0).collect();
            all.sort_unstable_by(f64::total_cmp);
            all.dedup();
            for (part, found) in parts.iter().zip(ranks(parts, &Job::default()).unwrap()) {
                let place = |x: &f64| LOWEST + all.partition_point(|y| y < x) as u32;
                assert_eq!(found, part.iter().map(place).collect::<Vec<_>>());
            }
        }
    }
}
