"""
Ranks, sorted values and top-k masks that bend
==============================================

The rank of an item jumps when its score passes another's. Here one score moves through five others that stand still,
and its soft rank is drawn for each regularization: what `strength` does, where a gradient is zero, and what the masks
of the threshold family look like.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from argrad.sorting import soft_permutation, soft_rank, soft_topk

still = torch.tensor([-2.0, -1.1, -1.0, 0.5, 1.8], dtype=torch.float64)
moving = torch.linspace(-3, 3, 601, dtype=torch.float64)
lists = torch.cat([moving[:, None], still.expand(len(moving), 5)], dim=1)
hard = soft_rank(lists, strength=0.0)[:, 0]

# %%
# The rank of the moving item
# ---------------------------
# Gray is the exact rank, a staircase. The l2 ranks are piecewise linear: flat, with a gradient of exactly zero,
# wherever the moving score is farther than the strength from its neighbors. KL ranks are curved inside a block; LapSum
# ranks have a gradient everywhere.
figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), sharey=True)
for axis, regularization in zip(axes, ("l2", "pnorm", "kl", "laplace"), strict=True):
    axis.step(moving, hard, color="0.7", linewidth=3)
    for strength in (0.1, 0.5, 2.0):
        ranks = soft_rank(lists, regularization=regularization, strength=strength)[:, 0]
        axis.plot(moving, ranks, label=f"strength {strength}")
    axis.set_title(regularization)
    axis.set_xlabel("score of the moving item")
axes[0].set_ylabel("its rank")
axes[0].legend()
figure.tight_layout()

# %%
# Where the gradient is zero
# --------------------------
# The share of positions at which the rank's derivative is exactly zero. This is the definition of the projection, and
# the reason to look at the scale of the scores before choosing a strength.
for regularization in ("l2", "pnorm", "kl", "laplace"):
    x = lists.clone().requires_grad_()
    soft_rank(x, regularization=regularization, strength=0.1)[:, 0].sum().backward()
    print(f"{regularization:8s} {(x.grad[:, 0] == 0).double().mean():.0%} of the positions")

# %%
# Masks of sum two
# ----------------
# The share of each of six items in a top-2 mask, by temperature (from sharp to soft). "l2" and "pnorm" are sparse:
# items far below the threshold get exactly zero.
scores = torch.tensor([3.0, 2.2, 2.0, 1.0, 0.2, -1.0], dtype=torch.float64)
temperatures = np.geomspace(0.05, 5, 60)
figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), sharey=True)
for axis, kind in zip(axes, ("logistic", "laplace", "l2", "pnorm"), strict=True):
    masks = torch.stack([soft_topk(scores, 2, kind=kind, temperature=float(t)) for t in temperatures])
    for i, score in enumerate(scores.tolist()):
        axis.semilogx(temperatures, masks[:, i], label=f"score {score}")
    axis.set_title(kind)
    axis.set_xlabel("temperature")
axes[0].set_ylabel("share in the mask")
axes[0].legend(fontsize="small")
figure.tight_layout()

# %%
# Relaxed permutation matrices
# ----------------------------
# Products never form these matrices; `to_dense` does, for pictures. Rows are ranks, columns items in the order of their
# scores; every method at a setting of similar sharpness.
rng = torch.Generator().manual_seed(0)
x = torch.randn(24, dtype=torch.float64, generator=rng).sort().values
settings = {
    "softsort": {"temperature": 0.2},
    "neuralsort": {"temperature": 1.0},
    "laplace": {"temperature": 0.3},
    "network": {"steepness": 20.0},
}
figure, axes = plt.subplots(1, 4, figsize=(13, 3.8), layout="constrained")
for axis, (method, options) in zip(axes, settings.items(), strict=True):
    dense = soft_permutation(x, method=method, **options).to_dense()
    axis.imshow(dense, cmap="magma_r", vmin=0, vmax=0.6)
    sums = dense.sum(0)
    axis.set_title(f"{method}\ncolumn sums {sums.min():.2f} to {sums.max():.2f}")
    axis.set_xticks([])
    axis.set_yticks([])
