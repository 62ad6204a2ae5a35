"""
Colors of a photograph
=======================

This photograph has 62,941 colors; a palette has sixteen. Choosing a palette is clustering the pixels in the space of
red, green and blue, and the seeds of k-means are a palette already. This page compares ways to choose them by eye and
by their potential, the sum of squared distances from the pixels to the nearest color of the palette.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from argrad.seeding import D2Sampler, assign, kmeans, kmeans_plusplus

photo = load_sample_image("flower.jpg")
pixels = (photo.reshape(-1, 3) / 255).astype(np.float32)
K = 16


def error(centers):
    """Root mean squared error per channel, in steps of 0 to 255."""
    distances = assign(pixels, centers, return_distance=True)[1]
    return 255 * float(np.sqrt(np.square(distances, dtype=np.float64).mean() / 3))


# %%
# Seeds as palettes
# -----------------
# Most of this photograph is dark background, so uniform rows are mostly dark. k-means++ chooses each color with a
# probability in proportion to its squared distance from the palette so far. The greedy form tries several candidates
# for each and keeps the best one, here on a weighted sample of the pixels. Below each picture is its palette.
palettes = {
    f"{method}, error {error(centers):.1f}": centers
    for method in ("uniform", "exact", "greedy_coreset")
    for centers in [kmeans_plusplus(pixels, K, method=method, random_state=0)[0]]
}


def show(palettes):
    figure, axes = plt.subplots(2, len(palettes), height_ratios=[10, 1], layout="constrained")
    figure.set_size_inches(10, 3.1)
    for (top, bottom), (title, centers) in zip(axes.T, palettes.items(), strict=True):
        top.imshow(centers[assign(pixels, centers)].reshape(photo.shape))
        top.set_title(title, fontsize=10)
        order = np.argsort(centers @ [0.30, 0.59, 0.11])
        bottom.imshow(centers[order][None], aspect="auto")
        top.set_axis_off()
        bottom.set_axis_off()
    return figure


figure = show(palettes)

# %%
# After k-means
# -------------
# Lloyd's iterations move every color to the mean of its pixels, and repair most of what a seeding leaves: the errors
# are close to each other afterwards. Good seeds save iterations more than they change the result.
figure = show(
    {
        f"{method}, then k-means, error {error(centers):.1f}": centers
        for method in ("uniform", "exact", "greedy_coreset")
        for centers in [kmeans(pixels, K, init=method, max_iter=50, random_state=0)[0]]
    }
)

# %%
# One picture proves nothing
# --------------------------
# Every seeding is a random draw. Here are 20 of each kind, before any iteration. The spread of uniform rows is large
# because a rare, bright color is either hit or not.
SEEDS = range(20)
methods = ("uniform", "exact", "greedy_coreset")
errors = {method: [] for method in methods}
for method in methods:
    for seed in SEEDS:
        centers, _ = kmeans_plusplus(pixels, K, method=method, random_state=seed)
        errors[method].append(error(centers))

figure, axes = plt.subplots(figsize=(7, 2.4), layout="constrained")
for row, values in enumerate(errors.values()):
    axes.plot(values, row + np.linspace(-0.2, 0.2, len(values)), "o", ms=4, alpha=0.7)
    axes.plot([np.median(values)] * 2, [row - 0.32, row + 0.32], color="black", lw=1.5)
axes.set_yticks(range(3), methods)
axes.invert_yaxis()
axes.set_xlabel("root mean squared error of the palette (bar: median of 20 seeds)")
axes.spines[["top", "right"]].set_visible(False)

# %%
# How many colors
# ----------------
# A prepared sampler gives seedings for many sizes without another pass over the pixels; the first 8 colors of a
# seeding of 64 *are* a seeding of 8. The potential is estimated along the way, with its standard error.
sizes = [4, 8, 16, 32, 64, 128, 256]
sampler = D2Sampler(pixels).prepare()
seedings = sampler.seed_many(sizes, n_init=10, random_state=0)
potentials = np.array([seeding.potential for seeding in seedings]).reshape(len(sizes), 10)
rms = 255 * np.sqrt(potentials / len(pixels) / 3)

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.loglog(sizes, rms, color="0.75", lw=1)
axes.loglog(sizes, np.median(rms, axis=1), "o-", color="black", ms=4, label="median of 10 seedings")
axes.set_xticks(sizes, sizes)
axes.set_yticks([5, 10, 20, 40], [5, 10, 20, 40])
axes.minorticks_off()
axes.set_xlabel("colors in the palette")
axes.set_ylabel("root mean squared error")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)

print("colors  proposals per center  exact")
for size, seeding in zip(sizes, seedings[::10], strict=True):
    print(f"{size:7d}  {1 / seeding.acceptance:20.1f}  {seeding.exact}")

# %%
# The proposals per center are the price of rejection. They grow with the number of colors, because the potential
# falls while the bounds start from one center; in 3 dimensions a program that prunes with a k-d tree would do less
# work.
