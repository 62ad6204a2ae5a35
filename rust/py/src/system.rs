//! Threads, instruction sets and the CUDA sources: what `argrad.show_config` and the tests ask.

use crate::call::{default_threads, exception};
use argrad_core::{pool, simd};
use pyo3::prelude::*;

/// The kernel sources, embedded so that wheels, sdists and editable installs behave alike.
const CUDA_SOURCES: &[(&str, &str)] = &[
    ("adaptive.cuh", include_str!("../../../cuda/adaptive.cuh")),
    ("balance.cuh", include_str!("../../../cuda/balance.cuh")),
    ("band.cuh", include_str!("../../../cuda/band.cuh")),
    ("block.cuh", include_str!("../../../cuda/block.cuh")),
    ("canon.cuh", include_str!("../../../cuda/canon.cuh")),
    ("common.cuh", include_str!("../../../cuda/common.cuh")),
    ("curves.cuh", include_str!("../../../cuda/curves.cuh")),
    ("decoding.cu", include_str!("../../../cuda/decoding.cu")),
    ("decoding_bregman.cu", include_str!("../../../cuda/decoding_bregman.cu")),
    ("decoding_conjugate.cu", include_str!("../../../cuda/decoding_conjugate.cu")),
    ("decoding_constrained.cu", include_str!("../../../cuda/decoding_constrained.cu")),
    ("decoding_derivative.cu", include_str!("../../../cuda/decoding_derivative.cu")),
    ("decoding_entmax.cu", include_str!("../../../cuda/decoding_entmax.cu")),
    ("decoding_topk_softmax.cu", include_str!("../../../cuda/decoding_topk_softmax.cu")),
    ("decoding_truncate.cu", include_str!("../../../cuda/decoding_truncate.cu")),
    ("draw.cuh", include_str!("../../../cuda/draw.cuh")),
    ("dual.cuh", include_str!("../../../cuda/dual.cuh")),
    ("elementary.cuh", include_str!("../../../cuda/elementary.cuh")),
    ("entmax.cuh", include_str!("../../../cuda/entmax.cuh")),
    ("envelope.cuh", include_str!("../../../cuda/envelope.cuh")),
    ("lists.cuh", include_str!("../../../cuda/lists.cuh")),
    ("merge.cuh", include_str!("../../../cuda/merge.cuh")),
    ("network.cuh", include_str!("../../../cuda/network.cuh")),
    ("network_tile.cuh", include_str!("../../../cuda/network_tile.cuh")),
    ("order.cuh", include_str!("../../../cuda/order.cuh")),
    ("pairs.cuh", include_str!("../../../cuda/pairs.cuh")),
    ("plan.cuh", include_str!("../../../cuda/plan.cuh")),
    ("plane.cuh", include_str!("../../../cuda/plane.cuh")),
    ("pool.cuh", include_str!("../../../cuda/pool.cuh")),
    ("power.cuh", include_str!("../../../cuda/power.cuh")),
    ("radix.cu", include_str!("../../../cuda/radix.cu")),
    ("renormalize.cuh", include_str!("../../../cuda/renormalize.cuh")),
    ("roots.cuh", include_str!("../../../cuda/roots.cuh")),
    ("row.cuh", include_str!("../../../cuda/row.cuh")),
    ("scans.cuh", include_str!("../../../cuda/scans.cuh")),
    ("scores.cuh", include_str!("../../../cuda/scores.cuh")),
    ("seeding.cu", include_str!("../../../cuda/seeding.cu")),
    ("seeding_anchors.cu", include_str!("../../../cuda/seeding_anchors.cu")),
    ("seeding_coreset.cu", include_str!("../../../cuda/seeding_coreset.cu")),
    ("seeding_greedy.cu", include_str!("../../../cuda/seeding_greedy.cu")),
    ("seeding_lloyd.cu", include_str!("../../../cuda/seeding_lloyd.cu")),
    ("seeding_plusplus.cu", include_str!("../../../cuda/seeding_plusplus.cu")),
    ("seeding_sampler.cu", include_str!("../../../cuda/seeding_sampler.cu")),
    ("segments.cuh", include_str!("../../../cuda/segments.cuh")),
    ("select.cuh", include_str!("../../../cuda/select.cuh")),
    ("selection.cu", include_str!("../../../cuda/selection.cu")),
    ("selection_included.cu", include_str!("../../../cuda/selection_included.cu")),
    ("selection_scores.cu", include_str!("../../../cuda/selection_scores.cu")),
    ("selection_steps.cu", include_str!("../../../cuda/selection_steps.cu")),
    ("soft.cuh", include_str!("../../../cuda/soft.cuh")),
    ("soft_auto.cuh", include_str!("../../../cuda/soft_auto.cuh")),
    ("soft_gradient.cuh", include_str!("../../../cuda/soft_gradient.cuh")),
    ("soft_second.cuh", include_str!("../../../cuda/soft_second.cuh")),
    ("sort.cuh", include_str!("../../../cuda/sort.cuh")),
    ("sorting.cu", include_str!("../../../cuda/sorting.cu")),
    ("sorting_groups.cu", include_str!("../../../cuda/sorting_groups.cu")),
    ("sorting_laplace.cu", include_str!("../../../cuda/sorting_laplace.cu")),
    ("sorting_laplace_product.cu", include_str!("../../../cuda/sorting_laplace_product.cu")),
    ("sorting_network.cu", include_str!("../../../cuda/sorting_network.cu")),
    ("sorting_neuralsort.cu", include_str!("../../../cuda/sorting_neuralsort.cu")),
    ("sorting_pairs.cu", include_str!("../../../cuda/sorting_pairs.cu")),
    ("sorting_pairs_ends.cu", include_str!("../../../cuda/sorting_pairs_ends.cu")),
    ("sorting_places.cu", include_str!("../../../cuda/sorting_places.cu")),
    ("sorting_power.cu", include_str!("../../../cuda/sorting_power.cu")),
    ("sorting_scans.cu", include_str!("../../../cuda/sorting_scans.cu")),
    ("sorting_sinkhorn.cu", include_str!("../../../cuda/sorting_sinkhorn.cu")),
    ("sorting_sinkhorn_derivative.cu", include_str!("../../../cuda/sorting_sinkhorn_derivative.cu")),
    ("sorting_topk.cu", include_str!("../../../cuda/sorting_topk.cu")),
    ("threshold.cuh", include_str!("../../../cuda/threshold.cuh")),
    ("threshold_gradient.cuh", include_str!("../../../cuda/threshold_gradient.cuh")),
    ("token_order.cuh", include_str!("../../../cuda/token_order.cuh")),
    ("tokens.cuh", include_str!("../../../cuda/tokens.cuh")),
    ("topology.cu", include_str!("../../../cuda/topology.cu")),
    ("topology_bars.cu", include_str!("../../../cuda/topology_bars.cu")),
    ("topology_join.cu", include_str!("../../../cuda/topology_join.cu")),
    ("topology_masks.cu", include_str!("../../../cuda/topology_masks.cu")),
    ("topology_match.cu", include_str!("../../../cuda/topology_match.cu")),
    ("topology_merge.cu", include_str!("../../../cuda/topology_merge.cu")),
    ("topology_plane.cu", include_str!("../../../cuda/topology_plane.cu")),
    ("topology_slices.cu", include_str!("../../../cuda/topology_slices.cu")),
    ("topology_volume.cu", include_str!("../../../cuda/topology_volume.cu")),
    ("transport.cuh", include_str!("../../../cuda/transport.cuh")),
];

#[pyfunction]
fn set_num_threads(threads: usize) -> PyResult<()> {
    pool::set_num_threads(threads).map_err(|error| exception("set_num_threads", error))
}

#[pyfunction]
fn get_num_threads(py: Python<'_>) -> PyResult<usize> {
    let pool = pool::pool(|| default_threads(py)).map_err(|error| exception("get_num_threads", error))?;
    Ok(pool.current_num_threads())
}

#[pyfunction]
fn simd_levels() -> Vec<&'static str> {
    simd::available().into_iter().map(simd::Level::name).collect()
}

#[pyfunction]
fn simd_level() -> &'static str {
    simd::level().name()
}

#[pyfunction]
fn force_simd(name: &str) -> PyResult<()> {
    simd::force(name).map_err(|error| exception("force_simd", error))
}

#[pyfunction]
fn cuda_source(name: &str) -> Option<&'static str> {
    CUDA_SOURCES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(set_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(get_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(simd_levels, module)?)?;
    module.add_function(wrap_pyfunction!(simd_level, module)?)?;
    module.add_function(wrap_pyfunction!(force_simd, module)?)?;
    module.add_function(wrap_pyfunction!(cuda_source, module)?)
}
