//! Run-time choice of the instruction set.
//!
//! Kernels are written once as `#[inline(always)]` loops over fixed lanes and instantiated per level by [`dispatch!`]:
//! the order of every operation is part of the source, so all levels give the same bits.

use crate::error::{Result, invalid};
use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set, in increasing order of width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What the compilation target has.
    Portable = 1,
    /// AVX2 and FMA.
    Avx2 = 2,
    /// AVX-512 F, DQ, VL and BW.
    Avx512 = 3,
}

impl Level {
    /// The name that [`force`] takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// The levels this processor has, narrowest first.
#[must_use]
pub fn available() -> Vec<Level> {
    #[allow(unused_mut)] // other processors have the portable level only
    let mut levels = vec![Level::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            levels.push(Level::Avx2);
            if ["avx512f", "avx512dq", "avx512vl", "avx512bw"].iter().all(|name| has(name)) {
                levels.push(Level::Avx512);
            }
        }
    }
    levels
}

#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> bool {
    match feature {
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512dq" => is_x86_feature_detected!("avx512dq"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        _ => is_x86_feature_detected!("avx512bw"),
    }
}

/// The level in use: the widest available, unless [`force`] chose another.
#[inline]
#[must_use]
pub fn level() -> Level {
    match CHOSEN.load(Ordering::Relaxed) {
        1 => Level::Portable,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => {
            let widest = available().into_iter().max().unwrap_or(Level::Portable);
            CHOSEN.store(widest as u8, Ordering::Relaxed);
            widest
        }
    }
}

/// Uses the named level from now on, in the whole process; `"auto"` goes back to the widest.
///
/// # Errors
/// When the processor lacks the level or the name is unknown.
pub fn force(name: &str) -> Result<()> {
    if name == "auto" {
        CHOSEN.store(0, Ordering::Relaxed);
        return Ok(());
    }
    let levels = available();
    let Some(level) = levels.iter().find(|level| level.name() == name) else {
        let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
        return Err(invalid!("name must be \"auto\" or one of {names:?} on this processor, got {name:?}"));
    };
    CHOSEN.store(*level as u8, Ordering::Relaxed);
    Ok(())
}

/// Defines `fn $name(...)` that runs the inlined `$body` compiled for the level in use.
macro_rules! dispatch {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$t:ident: $bound:path>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:path) => {
        $(#[$meta])*
        $vis fn $name $(<$t: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
            fn avx512 $(<$t: $bound>)? ($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$t: $bound>)? ($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
            match $crate::simd::level() {
                // SAFETY: `level()` never exceeds what the processor was found to have.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx512 => unsafe { avx512 $(::<$t>)? ($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx2 => unsafe { avx2 $(::<$t>)? ($($arg),*) },
                _ => $body($($arg),*),
            }
        }
    };
}
pub(crate) use dispatch;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_levels_are_refused_with_the_names_that_exist() {
        let text = force("sse9").unwrap_err().to_string();
        assert!(text.contains("portable") && text.contains("sse9"), "{text}");
    }
}
