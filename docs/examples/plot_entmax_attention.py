"""
Attention with exact zeros: what entmax buys
============================================

A table of n random keys, each with a class, and a noisy copy of one key: which class does it have? One head of
attention has to find the key, and average nothing else in. It is trained on tables of up to 16 entries and then asked
about tables of up to 4096.

Softmax gives every entry a positive weight, so thousands of wrong entries together outweigh the right one, however
small each of their weights is. Entmax with alpha > 1 gives entries far below the best one a weight of exactly zero.
Does that help beyond the sizes seen in training, and what does it cost within them?
"""

import math
import time

import matplotlib.pyplot as plt
import numpy as np
import torch

from argrad.decoding import entmax

CLASSES, WIDTH, NOISE, TRAINED, STEPS, SEEDS = 10, 32, 0.1, 16, 800, 3
SIZES = [2**i for i in range(1, 13)]
torch.set_num_threads(1)


def draw(tables, n, generator):
    """Keys (tables, n, WIDTH), their classes, a noisy copy of one key of each table, and its place."""
    keys = torch.nn.functional.normalize(torch.randn(tables, n, WIDTH, generator=generator), dim=-1)
    classes = torch.randint(CLASSES, (tables, n), generator=generator)
    place = torch.randint(n, (tables,), generator=generator)
    noise = NOISE * torch.randn(tables, WIDTH, generator=generator)
    return keys, classes, keys[torch.arange(tables), place] + noise, place


class Head(torch.nn.Module):
    """One head of attention: keys and the query are projected, values are averaged and read out."""

    def __init__(self, weigh):
        super().__init__()
        self.weigh = weigh
        self.key, self.query = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.value = torch.nn.Embedding(CLASSES, WIDTH)
        self.out = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.GELU(), torch.nn.Linear(WIDTH, CLASSES))

    def forward(self, keys, classes, query):
        scores = (self.key(keys) @ self.query(query)[:, :, None])[..., 0] / math.sqrt(WIDTH)
        weights = self.weigh(scores)
        return self.out((weights[:, None] @ self.value(classes))[:, 0]), weights


# %%
# Ways to turn scores into weights
# --------------------------------
# A known remedy within softmax is the baseline to beat: scores are multiplied by the logarithm of the number of
# entries, so that they sharpen as the table grows. Entmax can have that too.
def times_log_n(scores):
    return scores * math.log(scores.shape[-1])


WAYS = {
    "softmax": lambda scores: scores.softmax(-1),
    "entmax 1.5": lambda scores: entmax(scores, 1.5),
    "sparsemax (entmax 2)": lambda scores: entmax(scores, 2.0),
    "softmax, times log n": lambda scores: times_log_n(scores).softmax(-1),
    "entmax 1.5, times log n": lambda scores: entmax(times_log_n(scores), 1.5),
}


def train(weigh, seed):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    head = Head(weigh)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    for _ in range(STEPS):
        n = int(torch.randint(2, TRAINED + 1, (1,), generator=generator))
        keys, classes, query, place = draw(128, n, generator)
        answer = classes[torch.arange(len(classes)), place]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(keys, classes, query)[0], answer).backward()
        optimizer.step()
        schedule.step()
    return head


def examine(head, n):
    """Accuracy, weight of the right entry, number of entries of a weight above zero."""
    keys, classes, query, place = draw(max(128, 40_000 // n), n, torch.Generator().manual_seed(n))
    with torch.no_grad():
        scores, weights = head(keys, classes, query)
    rows = torch.arange(len(classes))
    return (
        (scores.argmax(-1) == classes[rows, place]).double().mean().item(),
        weights[rows, place].mean().item(),
        (weights > 0).double().sum(-1).mean().item(),
    )


results, seconds = {}, {}
for name, weigh in WAYS.items():
    start = time.process_time()
    heads = [train(weigh, seed) for seed in range(SEEDS)]
    seconds[name] = (time.process_time() - start) / SEEDS
    results[name] = np.array([[examine(head, n) for n in SIZES] for head in heads])

shown = [SIZES.index(n) for n in (16, 64, 256, 1024, 4096)]
print(f"{'accuracy with n entries, n =':30s}" + "".join(f"{SIZES[i]:>8d}" for i in shown))
for name, values in results.items():
    print(f"{name:30s}" + "".join(f"{values[:, i, 0].mean():8.3f}" for i in shown))

# %%
# What came out
# -------------
# Lines are means of three runs, shades their range; tables left of the dashed line are no larger than in training.
figure, axes = plt.subplots(1, 3, figsize=(13, 3.6))
titles = ("accuracy", "weight of the right entry", "entries of a weight above zero")
for axis, title, column in zip(axes, titles, range(3), strict=True):
    for name, values in results.items():
        (line,) = axis.plot(SIZES, values[:, :, column].mean(0), marker=".", label=name)
        low, high = values[:, :, column].min(0), values[:, :, column].max(0)
        axis.fill_between(SIZES, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axis.axvline(TRAINED, color="0.6", linestyle="--", linewidth=1)
    axis.set_xscale("log", base=2)
    axis.set_xlabel("entries in the table")
    axis.set_title(title)
axes[2].set_yscale("log", base=2)
axes[0].legend(fontsize="small")
figure.tight_layout()

# %%
# Plain softmax fails beyond the sizes that it has seen: at 1024 entries its accuracy is about 0.3, because the right
# entry has lost nearly all of its weight to a thousand small ones. There entmax 1.5 has 0.89 and sparsemax 0.95 without
# knowing how many entries there are. Within the sizes of training all are within a percent of each other, and training
# takes equally long. But **the zeros are not the only remedy**: softmax with scores that grow like log n does better
# (0.97) than either of them alone. Both together are best (0.99), and from 16 entries on give four fifths of the weight
# to the right one, among some five entries of a weight above zero.
