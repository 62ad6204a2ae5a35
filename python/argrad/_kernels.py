"""The kernels of each file in `cuda/`, and their names with template arguments as a compiler takes them."""

import re

NUMBERS = {"float16": "Half", "bfloat16": "BFloat", "float32": "float", "float64": "double"}
"""Dtypes of storage, and their names in kernels."""

KERNELS: dict[str, tuple[str, ...]] = {
    "seeding": (
        "check_finite<S>",
        "assign<S>",
        "measure_reach<S>",
        "finish_assign<T>",
        "potential_blocks<T>",
        "kmeans_potential",
    ),
    "seeding_anchors": (
        "sum_columns<S>",
        "mean<T>",
        "squares_to_mean<S>",
        "published_bounds<T>",
        "take_uniform",
    ),
    "seeding_coreset": (
        "spread_scores<T>",
        "draw_coreset<T>",
        "pack_coreset",
        "shift_rows<S>",
        "begin_pool",
        "next_candidates<T>",
        "measure_pool<T>",
        "candidate_gains<T>",
        "take_candidate<T>",
        "lower_to_candidate<T>",
    ),
    "seeding_greedy": (
        "draw_trials<T>",
        "trial_potentials<S>",
        "take_trial",
        "mark_used",
        "free_rows",
        "free_starts",
        "fill_up",
    ),
    "seeding_lloyd": ("means<T>", "reseed_empty<T>", "sum_squares<T>", "add_potential<T>"),
    "seeding_plusplus": (
        "sum_weights",
        "envelope_rows<S>",
        "sum_prefix",
        "first_center",
        "draw_center<T>",
        "propose<T>",
        "score<S>",
        "settle<T>",
        "hits<S>",
        "resolve",
        "lower<T>",
        "refresh<S>",
        "sum_groups<T>",
        "sum_blocks",
    ),
    "seeding_sampler": (
        "tell_spread<T>",
        "gather_anchors<S>",
        "place_rows<S>",
        "locate<S>",
        "approach<S>",
        "bounds_of_anchors<T>",
        "finish_approach",
        "draw_rows<T>",
        "squares_of_rows<S>",
        "estimate_potential<T>",
        "propose_samples<T>",
        "keep_samples<T>",
    ),
    "selection": (
        "weigh<S>",
        "count_keys<S>",
        "find_digit",
        "collect_keys<S>",
        "finish_keys<S>",
        "rows_as_keys",
        "arrange_rows",
    ),
    "selection_included": (
        "sum_below<S>",
        "add_sums",
        "find_least<S>",
        "raise_rest<S>",
        "write_inclusion<S>",
        "walk_included<S>",
        "separate_rows<S>",
        "duel_rows<S>",
        "keep_rows<S>",
        "finish_included<S>",
    ),
    "selection_scores": (
        "center_reach<S>",
        "center_distances<S>",
        "chain_centers<S>",
        "spread_rows<S>",
        "label_keys",
        "finish_order",
        "cluster_masses",
        "score_rows",
        "sum_values",
        "add_totals",
        "mix_rows",
    ),
    "selection_steps": (
        "sum_weights<S>",
        "sum_prefix",
        "space_heights",
        "place_heights",
        "walk_rows<S>",
        "shuffle_keys",
        "finish_rows<S>",
    ),
    "sorting": (
        "soft_rank<T>",
        "soft_rank_kl<T>",
        "soft_rank_vjp<T>",
        "soft_sort<T>",
        "soft_sort_kl<T>",
        "soft_sort_vjp<T>",
        "soft_rank_second<T>",
        "soft_sort_second<T>",
        "soft_blocks",
        "auto_strength<T>",
    ),
    "sorting_groups": (
        "group_arrange",
        "group_order<T>",
        "group_order_vjp<T>",
        "group_order_second<T>",
        "group_shares",
        "group_means<T>",
        "group_scaled<T>",
    ),
    "sorting_laplace": ("laplace_values<T>", "laplace_vjp<T>", "laplace_second<T>"),
    "sorting_laplace_product": ("laplace_product<T>", "laplace_product_vjp<T>", "laplace_product_second<T>"),
    "sorting_network": ("network_product<T>", "network_vjp<T>", "network_second<T>"),
    "sorting_neuralsort": ("neuralsort<T>", "neuralsort_vjp<T>", "neuralsort_second<T>"),
    "sorting_pairs": ("pair_panels<T>", "pair_table", "pair_sums<T>"),
    "sorting_pairs_ends": ("pair_gather<T>", "pair_values<T>", "pair_vjp<T>", "pair_second<T>"),
    "sorting_places": (
        "order_lists<T>",
        "hard_places<T>",
        "hard_ranks<T>",
        "row_numbers",
    ),
    "sorting_power": (
        "soft_rank_power<T>",
        "soft_sort_power<T>",
        "soft_rank_power_second<T>",
        "soft_sort_power_second<T>",
    ),
    "sorting_scans": ("softsort_product<T>", "softsort_vjp<T>", "softsort_second<T>"),
    "sorting_sinkhorn": (
        "sinkhorn_balance<T>",
        "sinkhorn_product<T>",
    ),
    "sorting_sinkhorn_derivative": (
        "sinkhorn_vjp<T>",
        "sinkhorn_second<T>",
    ),
    "sorting_topk": ("soft_topk<T>", "soft_topk_vjp<T>", "soft_topk_second<T>"),
    "topology": ("image_keys<S>", "count_ranks", "write_ranks", "lowest_keys", "frame_keys"),
    "topology_bars": ("find_bars", "write_bars"),
    "topology_join": ("join_links", "note_ends"),
    "topology_masks": (
        "count_cells",
        "write_levels",
        "find_levels<S>",
        "count_cells_by_level",
        "read_levels",
        "begin_components",
        "unite_voxels",
        "count_roots",
    ),
    "topology_match": ("match_cells", "pair_bars", "split_bars"),
    "topology_merge": (
        "merge_bars",
        "move_partners",
    ),
    "topology_plane": ("local_pairs", "count_edges", "list_edges"),
    "topology_slices": (
        "list_bars",
        "center_bars",
        "project_bars",
        "line_keys",
        "compare_ranks",
        "add_slopes",
        "match_lasting",
        "finish_slopes",
        "sum_shares",
    ),
    "topology_volume": ("local_pairs_of_volume", "count_links", "list_links"),
    "decoding": ("read_rows<S>", "topk_rows<S>", "logit_statistics"),
    "decoding_bregman": ("bregman_decode", "bregman_project"),
    "decoding_conjugate": ("entmax_conjugate<S>", "entmax_conjugate_vjp<S>", "entmax_conjugate_second<T>"),
    "decoding_constrained": ("constrained<T>", "constrained_vjp<T>", "constrained_second<T>"),
    "decoding_derivative": ("average_tangent<S>", "derive_support", "spread_derivative<S>"),
    "decoding_entmax": ("entmax<S>", "entmax_vjp<S>", "entmax_second<T>"),
    "decoding_topk_softmax": ("topk_softmax<S>", "topk_softmax_vjp<S>", "topk_softmax_second<T>"),
    "decoding_truncate": ("truncated_decode", "truncate_rows", "sample"),
    "radix": ("scan_rows", "radix_count<u32>", "radix_count<u64>", "radix_move<u32>", "radix_move<u64>"),
}
"""The kernels of each file in `cuda/`. T stands for float and double, S for the types of storage: these and both of
half precision."""

SHARED = ("radix",)
"""Files that several stems launch from."""


def instances(file: str) -> list[str]:
    """Return the names of the kernels of a file as a compiler takes them, with their template arguments."""
    types = {"T": ("float", "double"), "S": tuple(NUMBERS.values())}
    found = []
    for kernel in KERNELS[file]:
        letter = re.search(r"\b[ST]\b", kernel)
        choices = types[letter[0]] if letter else ("",)
        found += [re.sub(r"\b[ST]\b", choice, kernel) for choice in choices]
    return found
