//! The same loops over all logits in double precision, as compilers make them.

pub use crate::decoding::cut::places;
use crate::decoding::cut::{self, Bracket, Marks, Masses};
pub use crate::decoding::leaf::maxima;
pub use crate::decoding::list::inside_any as inside;
use crate::decoding::logit::Decay;
pub use crate::decoding::select::gather;

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
