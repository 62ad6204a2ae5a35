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
smooth = np.square(patches.reshape(n, 3, 36) - patches.reshape(n, 3, 36).mean(axis=2, keepdims=True)).sum(axis=(1, 2))
unrelated = np.random.default_rng(0).exponential(size=n)

# %%
# One selection
# -------------
# A loss is given as a function of row numbers, so that it is computed where it is needed only: at three rows of each
# cluster first, then at the selected rows.
selection = sensitivity_sample(patches, lambda rows: smooth[rows], 800, n_clusters=80, random_state=0)
estimate = selection.estimate(smooth[selection.indices])
print(f"losses queried         {selection.n_queries} of {n}")
print(f"mean loss              {estimate.value / n:.4f} +- {estimate.stderr / n:.4f}, in truth {smooth.mean():.4f}")
print(f"effective size         {selection.diagnostics.ess:.0f} of {len(selection.indices)}")
print(f"explained by clusters  {selection.diagnostics.proxy_r2:.0%}")
print(f"variance / uniform's   {estimate.vs_uniform:.2f}")

plot_selection(patches, selection)

# %%
# Colors are the chances of selection: rows of clusters with high losses, and rows far from their centers, are
# selected more often. A selected row is a ring with an area in proportion to its weight; where few rows are selected
# each stands for many.
#
# The same in the photograph: patches that were selected.
rows, columns = np.divmod(selection.indices, windows.shape[1])
figure, axes = plt.subplots(figsize=(7.2, 4.9), layout="constrained")
axes.imshow(photo, alpha=0.55)
axes.scatter(2 * columns + 2.5, 2 * rows + 2.5, s=selection.weights / 8, facecolors="none", edgecolors="black", lw=0.8)
axes.set_axis_off()

# %%
# Against uniform sampling, many times
# ------------------------------------
# One selection proves nothing either. Over 30 seeds, with the pilot's queries counted, and with uniform sampling of
# as many rows: the relative error of the mean for both losses, for the default and for the scheme as published (one
# loss a cluster, independent draws, no share of uniform sampling).
SEEDS = range(30)
published = {"proxy": "medoid", "draw": "iid", "mix": 0.0}


def errors(loss, options):
    """Relative errors, and how often the diagnostics judged uniform sampling the better choice."""
    found, warned = [], 0
    for seed in SEEDS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SelectionWarning)
            chosen = sensitivity_sample(patches, loss, 800, n_clusters=80, random_state=seed, **options)
            value = chosen.estimate(loss[chosen.indices])
        found.append(value.value / n / loss.mean() - 1)
        warned += value.vs_uniform > 1
    return np.array(found), warned


def uniform(loss):
    size = selection.n_queries
    generators = map(np.random.default_rng, SEEDS)
    return np.array(
        [loss[generator.choice(n, size, replace=False)].mean() / loss.mean() - 1 for generator in generators]
    )


figure, panels = plt.subplots(1, 2, figsize=(9, 2.7), sharey=True, layout="constrained")
for axes, (title, loss) in zip(panels, {"smooth loss": smooth, "unrelated loss": unrelated}.items(), strict=True):
    results = {"uniform": (uniform(loss), None), "default": errors(loss, {}), "as published": errors(loss, published)}
    for row, (name, (values, warned)) in enumerate(results.items()):
        axes.plot(
            100 * values, np.full(len(values), row) + np.linspace(-0.25, 0.25, len(values)), "o", ms=3.5, alpha=0.7
        )
        rmse = float(np.sqrt(np.square(values).mean()))
        verdict = "" if warned is None else f", judged worse than uniform for {warned} of {len(values)} seeds"
        print(f"{title:15s} {name:13s} error {rmse:.2%}{verdict}")
    axes.axvline(0, color="0.6", lw=0.8, zorder=0)
    axes.set_yticks(range(3), results)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("error of the mean loss in %")
    axes.spines[["top", "right"]].set_visible(False)
panels[0].invert_yaxis()

# %%
# Where the loss has nothing to do with the embedding, nothing beats uniform sampling; the default loses little,
# because of its share of uniform sampling, and `vs_uniform` reports it.
