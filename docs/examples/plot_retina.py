"""
Vessels of a retina: what is matched, and what the loss pulls where
===================================================================

A photograph of a retina, its vessels found by a filter (the target), and a disturbed map of them (the prediction).
Which features of the two are the same, and which pixels the Betti matching loss moves.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage import data, filters, morphology

from argrad.losses.topology import betti_matching_loss
from argrad.metrics.topology import betti_matching_error
from argrad.topology import barcode, betti_matching

# A cut of the photograph at half the resolution; vessels are what Sato's ridge filter finds.
photograph = data.retina()[350:1150:2, 550:1350:2]
ridges = filters.sato(photograph[..., 1] / 255.0, sigmas=range(1, 4))
target = filters.apply_hysteresis_threshold(ridges, 0.010, 0.016)
target = morphology.remove_small_objects(target, max_size=40)

# The prediction: the target blurred, weaker in some places, stronger in others, and some noise.
rng = np.random.default_rng(0)
mood = gaussian_filter(rng.standard_normal(target.shape), 8)
logit = 7 * gaussian_filter(target.astype(float), 1.0) - 3 + 1.6 * mood / mood.std()
logit += 0.4 * gaussian_filter(rng.standard_normal(target.shape), 1) / 0.28
prediction = (1 / (1 + np.exp(-logit))).astype(np.float32)

# %%
# The barcode of the prediction
# -----------------------------
# Each point is a feature: born at the probability on the horizontal axis, ended at that on the vertical one, as the
# threshold falls from 1 to 0. Features near the diagonal are noise; the target's are all in the lower right corner.
bars = barcode(prediction, filtration="superlevel", essential=False)
figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
axes[0].imshow(photograph)
axes[1].imshow(prediction, cmap="gray")
for k, name in enumerate(("components", "loops")):
    axes[2].plot(bars.of(k).birth, bars.of(k).death, ".", markersize=3, label=name)
axes[2].plot([0, 1], [0, 1], color="0.7")
axes[2].set(xlabel="birth", ylabel="death", title=f"{len(bars.birth)} bars")
axes[2].legend()
for axis, title in zip(axes, ("photograph", "prediction"), strict=False):
    axis.set_title(title)
    axis.axis("off")

# %%
# Matched features
# ----------------
# Components (dots, at the pixel of their birth) and loops (squares, where they are closed) of the prediction and of the
# target; the same feature has the same color on both sides. Crosses have no partner on the other side; of those in the
# prediction only the clear ones are drawn, which live for more than 0.3.
matching = betti_matching(prediction, target)
figure, axes = plt.subplots(1, 2, figsize=(11, 5.6), layout="constrained")
sides = (
    ("prediction", prediction, matching.prediction, matching.unmatched_prediction),
    ("target", target, matching.target, matching.unmatched_target),
)
color = np.random.default_rng(1).permutation(len(matching.pairs))
for side, (axis, (name, image, found, alone)) in enumerate(zip(axes, sides, strict=True)):
    axis.imshow(image, cmap="gray", alpha=0.6)
    own = matching.pairs[:, side]
    row, column = np.unravel_index(found.birth_index, target.shape)
    for k, marker in enumerate("os"):
        chosen = found.dimension[own] == k
        at = own[chosen]
        axis.scatter(
            column[at], row[at], 55, color[chosen], marker=marker, cmap="hsv", vmax=len(own), edgecolors="black"
        )
    clear = alone[found.birth[alone] - found.death[alone] > 0.3]
    axis.plot(column[clear], row[clear], "x", color="red", markersize=5)
    axis.set_title(f"{name}: {len(own)} features matched, {len(clear)} clear ones alone")
    axis.axis("off")
error = int(betti_matching_error(prediction > 0.5, target, connectivity="face", spatial_dims=2))
print(f"Betti matching error of the prediction cut at 0.5: {error}")

# %%
# What the loss pulls where
# -------------------------
# The gradient of the loss is zero but for one pixel at each end of a bar. Blue pixels are to be raised (gaps in a
# vessel, ends of matched features that are too weak), red ones lowered (bridges and spots that the target does not
# have). The size of a dot is that of the gradient.
p = torch.from_numpy(prediction)[None, None].requires_grad_()
loss = betti_matching_loss(p, torch.from_numpy(target)[None, None], spatial_dims=2)
loss.backward()
pull = -p.grad[0, 0].numpy()
row, column = np.nonzero(np.abs(pull) > 0.2 * np.abs(pull).max())
figure, axis = plt.subplots(figsize=(7, 7), layout="constrained")
axis.imshow(prediction, cmap="gray")
strength = pull[row, column]
axis.scatter(column, row, s=60 * np.abs(strength) / np.abs(pull).max(), c=np.where(strength > 0, "tab:blue", "tab:red"))
axis.set_title(f"loss {loss.item():.0f}; {np.count_nonzero(pull)} of {pull.size} pixels have a gradient")
axis.axis("off")
plt.show()
