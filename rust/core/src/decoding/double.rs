//! The same loops over all logits in double precision, as compilers make them.

pub use crate::decoding::cut::inside_any as inside;
pub use crate::decoding::leaf::maxima;
pub use crate::decoding::select::gather;
