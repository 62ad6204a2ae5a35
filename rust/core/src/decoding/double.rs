//! The two loops over all logits in double precision.

pub use crate::decoding::cut::inside_any as inside;
pub use crate::decoding::leaf::maxima;
pub use crate::decoding::select::gather;
