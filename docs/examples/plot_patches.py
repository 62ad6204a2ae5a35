"""
Estimating a mean loss from few rows
====================================

Losses can be expensive: each may need a label or a run of a large model. Here are 67,000 patches of a photograph and
two losses for them, one that changes smoothly with the patch and one that has nothing to do with it. Selection by
clusters helps with the first, and says of the second that it does not.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from argrad.plots import plot_selection
from argrad.selection import SelectionWarning, sensitivity_sample

photo = load_sample_image("china.jpg")
windows = np.lib.stride_tricks.sliding_window_view(photo, (6, 6), axis=(0, 1))[::2, ::2]
patches = (windows.reshape(-1, 108) / 255).astype(np.float32)
n = len(patches)

# %%
# Two losses
# ----------
# *Smooth*: what a patch loses when it is replaced by its mean color: edges and textures lose much, the sky nothing.
# *Unrelated*: random numbers.
colors = patches.reshape(n, 3, 36)
smooth = np.square(colors - colors.mean(axis=2, keepdims=True)).sum(axis=(1, 2))
unrelated = np.random.default_rng(0).exponential(size=n)

# %%
# One selection
# -------------
# A loss is given as a function of row numbers, so that it is computed where it is needed only: at three rows of each
# cluster first, then at the selected rows.
selection = sensitivity_sample(patches, lambda rows: smooth[rows], 800, n_clusters=80, random_state=0)
estimate = selection.estimate(smooth[selection.indices])
print(f"losses queried         {selection.n_queries} of {n}")
print(f"estimated mean         {estimate.value / n:.3f} +- {estimate.stderr / n:.3f}")
print(f"true mean              {smooth.mean():.3f}")
print(f"effective size         {selection.diagnostics.ess:.0f} of {len(selection.indices)}")
print(f"explained by clusters  {selection.diagnostics.proxy_r2:.0%}")
print(f"variance / uniform's   {estimate.vs_uniform:.2f}")

figure, axes = plt.subplots(figsize=(7.2, 5.6), layout="constrained")
figure = plot_selection(patches, selection, ax=axes)

# %%
# Colors are the chances of selection: rows of clusters with high losses, and rows far from their centers, are
# selected more often. A selected row is a ring with an area in proportion to its weight; where few rows are selected
# each stands for many.
#
# The same in the photograph: patches that were selected.
rows, columns = np.divmod(selection.indices, windows.shape[1])
figure, axes = plt.subplots(figsize=(7.2, 4.9), layout="constrained")
axes.imshow(photo, alpha=0.55)
ring = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.8}
axes.scatter(2 * columns + 2.5, 2 * rows + 2.5, s=selection.weights / 8, **ring)
axes.set_axis_off()

# %%
# Against uniform sampling, many times
# ------------------------------------
# One selection proves nothing. Here are 30 of each kind, and uniform samples of as many rows as losses were queried,
# the pilot's included: relative errors of the mean, for the default and for the scheme as published (the loss of one
# row a cluster, independent draws, no share of uniform sampling). Uniform sampling's error is known without trying.
SEEDS = range(30)
# As many queries: one for each of the 80 clusters, the others for draws.
published = {"n_select": selection.n_queries - 80, "proxy": "medoid", "draw": "iid", "mix": 0.0}


def select(loss, seed, options):
    """The relative error of one selection, and whether it calls uniform sampling the better choice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        chosen = sensitivity_sample(patches, loss, n_clusters=80, random_state=seed, **options)
        found = chosen.estimate(loss[chosen.indices])
    return found.value / n / loss.mean() - 1, found.vs_uniform > 1


def draw_uniformly(loss, seed):
    rows = np.random.default_rng(seed).choice(n, selection.n_queries, replace=False)
    return loss[rows].mean() / loss.mean() - 1


figure, panels = plt.subplots(1, 2, figsize=(9, 2.7), sharey=True, layout="constrained")
for axes, (title, loss) in zip(panels, {"smooth": smooth, "unrelated": unrelated}.items(), strict=True):
    theory = loss.std(ddof=1) / loss.mean() * np.sqrt(1 / selection.n_queries - 1 / n)
    print(f"{title} loss: uniform sampling has an error of {theory:.2%}")
    rows = {"uniform": [draw_uniformly(loss, seed) for seed in SEEDS]}
    for name, options in {"default": {"n_select": 800}, "as published": published}.items():
        errors, warned = np.transpose([select(loss, seed, options) for seed in SEEDS])
        rows[name] = errors
        rmse = np.sqrt(np.square(errors).mean())
        print(f"  {name:13s}{rmse:.2%}, judged worse than uniform for {warned.sum():.0f} of {len(SEEDS)}")
    for row, errors in enumerate(rows.values()):
        heights = row + np.linspace(-0.25, 0.25, len(SEEDS))
        axes.plot(100 * np.array(errors), heights, "o", ms=3.5, alpha=0.7)
    axes.axvline(0, color="0.6", lw=0.8, zorder=0)
    axes.set_yticks(range(3), rows)
    axes.set_title(f"{title} loss", fontsize=10)
    axes.set_xlabel("error of the mean loss in %")
    axes.spines[["top", "right"]].set_visible(False)
panels[0].invert_yaxis()

# %%
# Where the loss has nothing to do with the embedding, nothing beats uniform sampling. The default loses little,
# because of its share of uniform sampling, and `vs_uniform` reports it.

# sphinx_gallery_thumbnail_number = 2
