//! The same loops over all logits in double precision, as compilers make them.

use crate::decoding::cut::{self, Bracket, Marks, Masses};
pub use crate::decoding::cut::{places, split};
use crate::decoding::leaf;
pub use crate::decoding::leaf::normalizer;
use crate::decoding::list::List;
pub use crate::decoding::list::{above, inside_any as inside, measure};
use crate::decoding::logit::Decay;
use crate::decoding::select;
pub use crate::decoding::select::gather;

/// See [`leaf::maxima`]; lanes have no maxima.
#[inline]
pub fn maxima(leaf: &[f64], block: usize, keys: &mut [i64], _lanes: &mut [f64; leaf::LANES]) -> bool {
    leaf::maxima(leaf, block, keys)
}

/// See [`select::arrange`].
pub fn arrange(found: &mut Vec<u128>, k: usize) {
    select::arrange::<f64>(found, k);
}

/// See [`Logit::masses`](crate::decoding::Logit::masses).
#[inline]
pub fn masses(
    leaf: &[f64],
    brackets: &[Bracket<f64>],
    decay: &Decay<f64>,
    marks: &mut [Marks; 2],
    masses: &mut Masses,
    _next: &[f64],
) {
    cut::masses(leaf, brackets, decay, marks, masses);
}

/// See [`Logit::reach`](crate::decoding::Logit::reach).
#[inline]
pub fn reach(leaf: &[f64], least: f64, decay: &Decay<f64>, masses: &mut Masses, list: &mut List<f64>, _next: &[f64]) {
    cut::reach(leaf, least, decay, masses, list);
}
