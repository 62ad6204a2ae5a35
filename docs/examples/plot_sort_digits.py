"""
Learning to read numbers from their order alone
===============================================

The task of the papers on relaxed sorting, in miniature. Four 8 x 8 images of handwritten digits side by side make a
number from 0 to 9999; five such numbers make a list. The network never sees a number: it is told only which of the five
is the smallest, the second smallest, and so on. It gives each image one score, a relaxed permutation sorts the scores,
and its matrix is compared with the true one by cross-entropy.

How often is a whole list of unseen images put in the right order?
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from argrad.sorting import soft_permutation

N, BATCH, STEPS, SEEDS = 5, 64, 1500, 3
torch.set_num_threads(1)
images, labels = load_digits(return_X_y=True)
images = torch.from_numpy(images / 16).float()
labels = torch.from_numpy(labels)
# The images of the last quarter are read by the test lists only.
SPLIT = 3 * len(images) // 4


def draw(rows, count, generator):
    """`count` lists of N numbers: images (count, N, 4, 64), values (count, N)."""
    chosen = rows[torch.randint(len(rows), (count, N, 4), generator=generator)]
    return images[chosen], (labels[chosen] * torch.tensor([1000, 100, 10, 1])).sum(-1)


def network(seed):
    """One digit at a time through a small network, then all four together to one score."""
    torch.manual_seed(seed)
    digit = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16), torch.nn.ReLU())
    return torch.nn.Sequential(
        digit, torch.nn.Flatten(-2), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)
    )


# %%
# The losses
# ----------
# P[r, i] is how much item i is the r-th smallest, so the cross-entropy of the true order is the mean of -log P at the
# true places. The pairwise logistic loss, which needs no relaxed permutation, is the baseline to beat.
METHODS = {
    "network, cauchy": {"method": "network", "distribution": "cauchy", "steepness": 10.0},
    "network, logistic_art": {"method": "network", "distribution": "logistic_art", "steepness": 10.0},
    "neuralsort": {"method": "neuralsort", "temperature": 1.0},
    "softsort": {"method": "softsort", "temperature": 1.0},
    "laplace": {"method": "laplace", "temperature": 0.3},
}


def permutation_loss(scores, values, options):
    P = soft_permutation(scores, **options).to_dense()
    truth = values.argsort(dim=-1, stable=True)
    return -P.gather(-1, truth[..., None]).clamp_min(1e-12).log().mean()


def pairwise_loss(scores, values, options):
    first, second = torch.triu_indices(N, N, 1)
    sign = (values[:, second] - values[:, first]).sign()
    return torch.nn.functional.softplus(-sign * (scores[:, second] - scores[:, first])).mean()


def train(loss, options, seed):
    generator = torch.Generator().manual_seed(1000 + seed)
    model = network(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(STEPS):
        x, values = draw(torch.arange(SPLIT), BATCH, generator)
        optimizer.zero_grad()
        loss(model(x).squeeze(-1), values, options).backward()
        optimizer.step()
    x, values = draw(torch.arange(SPLIT, len(images)), 4000, torch.Generator().manual_seed(1))
    with torch.no_grad():
        order = model(x).squeeze(-1).argsort(-1)
    ranked = values.gather(-1, order)
    return (ranked.diff(dim=-1) >= 0).all(-1).float().mean().item()


results = {"pairwise logistic": [train(pairwise_loss, {}, seed) for seed in range(SEEDS)]}
for name, options in METHODS.items():
    results[name] = [train(permutation_loss, options, seed) for seed in range(SEEDS)]
for name, values in results.items():
    print(f"{name:24s} {np.mean(values):.3f} +- {np.std(values, ddof=1) / np.sqrt(SEEDS):.3f}")

# %%
# What came out
# -------------
# Dots are runs from different starts; temperatures were not tuned. A difference smaller than the spread of the dots
# means nothing.
figure, axis = plt.subplots(figsize=(7, 3.2))
for place, values in enumerate(results.values()):
    axis.scatter(values, [place] * SEEDS, s=30)
    axis.plot([np.mean(values)] * 2, [place - 0.3, place + 0.3], color="0.4")
axis.set_yticks(range(len(results)), results)
axis.invert_yaxis()
axis.set_xlabel(f"share of lists of {N} sorted without a mistake (unseen images)")
figure.tight_layout()

# %%
# Some of the lists
# -----------------
x, values = draw(torch.arange(SPLIT, len(images)), 3, torch.Generator().manual_seed(1))
figure, axes = plt.subplots(3, N, figsize=(10, 3))
for row in range(3):
    for column in range(N):
        axes[row, column].imshow(torch.cat([d.reshape(8, 8) for d in x[row, column]], dim=1), cmap="gray_r")
        axes[row, column].set_title(int(values[row, column]), fontsize=8)
        axes[row, column].axis("off")
figure.tight_layout()
