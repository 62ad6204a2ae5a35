//! The one error enum: every `Display` text is a whole sentence without the function's name.

/// What can go wrong in the core. The binding puts the public function's name in front.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument out of its range; the text names argument, expectation and value.
    #[error("{0}")]
    Invalid(String),
    /// A NaN or an infinity in a matrix.
    #[error("{argument} must be finite, got {value} at row {row}, column {column}")]
    NotFinite {
        /// The argument's public name.
        argument: &'static str,
        /// Row of the first bad entry.
        row: usize,
        /// Column of the first bad entry.
        column: usize,
        /// The entry as printed.
        value: String,
    },
    /// The working memory does not fit into what is left; known before work starts.
    #[error("needs {bytes} bytes of working memory, but only {available} are available")]
    LittleMemory {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes that are left.
        available: usize,
    },
    /// The working memory could not be had.
    #[error("needs {bytes} bytes of working memory, which could not be had")]
    NoMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The caller asked to stop (Ctrl-C).
    #[error("interrupted")]
    Interrupted,
}

/// Shorthand for results of the core.
pub type Result<T> = std::result::Result<T, Error>;

/// Builds [`Error::Invalid`] from a format string.
macro_rules! invalid {
    ($($text:tt)*) => { $crate::error::Error::Invalid(format!($($text)*)) };
}
pub(crate) use invalid;
