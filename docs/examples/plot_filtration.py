"""
A flooded image and its barcode
===============================

What a barcode of an image is, in pictures: the sublevel sets of a small landscape, the components and loops that appear
and disappear in them, and where the voxels lie that the endpoints of the bars belong to.
"""

import matplotlib.pyplot as plt
import numpy as np

from argrad.topology import barcode, betti_numbers

y, x = np.mgrid[-1:1:96j, -1:1:96j]
landscape = (np.hypot(x, y) - 0.55) ** 2 * 6 + 0.35 * np.sin(5 * x + 1) * np.cos(4 * y) + 0.25 * x
landscape = (landscape - landscape.min()) / np.ptp(landscape)

# %%
# Flooding
# --------
# Black is the sublevel set at four levels. Its components and loops are counted above each picture; the barcode below
# has one line for each feature, from the level at which it appears to the level at which it ends. A vertical line at a
# level crosses as many bars as there are features in the picture of this level.
bars = barcode(landscape)
levels = (0.06, 0.1, 0.2, 0.6)
figure = plt.figure(figsize=(12, 6.5), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))
for axis, level in zip(top.subplots(1, 5), (None, *levels), strict=True):
    axis.axis("off")
    if level is None:
        axis.imshow(landscape, cmap="terrain")
        axis.set_title("the image")
        continue
    components, loops = betti_numbers(landscape <= level)
    axis.imshow(landscape <= level, cmap="gray_r")
    axis.set_title(f"level {level}\ncomponents {components}, loops {loops}")
axis = bottom.subplots()
order = np.lexsort((bars.birth, bars.dimension))
for row, i in enumerate(order):
    death = min(bars.death[i], 1.05)  # the essential component never ends
    axis.plot([bars.birth[i], death], [row, row], color=f"C{bars.dimension[i]}", linewidth=4, solid_capstyle="butt")
for level in levels:
    axis.axvline(level, color="0.6", linestyle=":")
axis.set(xlabel="level", yticks=[], title="blue: components, orange: loops", xlim=(-0.02, 1.05))

# %%
# Where births and deaths are
# ---------------------------
# An endpoint is the value of one pixel, and a gradient of a birth or a death goes to that pixel alone. Circles are
# births, crosses deaths: a component is born at a minimum and dies on a pass; a loop is born where the ring closes and
# dies on the summit that it surrounds.
figure, axis = plt.subplots(figsize=(5, 5))
axis.imshow(landscape, cmap="gray")
for k, name in enumerate(("components", "loops")):
    chosen = (bars.dimension == k) & (bars.death_index >= 0)
    for index, marker in ((bars.birth_index, "o"), (bars.death_index, "x")):
        row, column = np.unravel_index(index[chosen], landscape.shape)
        axis.plot(column, row, marker, color=f"C{k}", fillstyle="none", label=name if marker == "o" else None)
axis.legend()
axis.axis("off")
plt.show()
