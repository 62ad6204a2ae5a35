"""The four jobs: seed clusters, estimate a mean loss, train on a subset, choose the colours of a photograph."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from argrad._demo.data import Array, Labelled
from argrad._demo.intervals import Interval, interval
from argrad.seeding import assign, kmeans, kmeans_plusplus
from argrad.selection import Selection, sensitivity_sample

Losses = Callable[[Array], Array]

METHODS = ("uniform", "distances", "losses")
"""Rows drawn uniformly; scored by their distance to the cluster centre; scored by losses of a first model as well."""


# ---------------------------------------------------------------------------------------------------------------------
# Seeding


@dataclass(frozen=True)
class Seeds:
    """One way to choose k centres, over some seeds."""

    name: str
    n: int
    k: int
    seconds: Interval
    potential: Interval  # mean squared distance of a row to its nearest centre


def seed_clusters(rows: Array, k: int, n_seeds: int) -> list[Seeds]:
    """Seed all rows with ours and with uniform rows; seed a part of them with ours and with scikit-learn.

    The part is there because scikit-learn would need minutes for all rows.
    """
    from sklearn.cluster import kmeans_plusplus as theirs

    part = rows[np.random.default_rng(0).permutation(len(rows))[:20_000]]

    def run(name: str, x: Array, k: int, choose: Callable[[int], Any]) -> Seeds:
        seconds, potentials = [], []
        for seed in range(n_seeds):
            start = time.perf_counter()
            centers = choose(seed)[0]
            seconds.append(time.perf_counter() - start)
            distances = assign(part, centers, return_distance=True)[1]  # the same rows for all
            potentials.append(float(np.square(distances, dtype=np.float64).mean()))
        return Seeds(name, len(x), k, interval(seconds), interval(potentials))

    few = k // 20
    return [
        run("argrad", rows, k, lambda seed: kmeans_plusplus(rows, k, random_state=seed)),
        run("uniform rows", rows, k, lambda seed: kmeans_plusplus(rows, k, method="uniform", random_state=seed)),
        run("argrad", part, few, lambda seed: kmeans_plusplus(part, few, random_state=seed)),
        run("scikit-learn", part, few, lambda seed: theirs(part, few, n_local_trials=1, random_state=seed)),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# The mean loss of a model, from a few of its losses


@dataclass(frozen=True)
class Estimates:
    """Errors of an estimated mean loss, relative to the true mean, at equal numbers of queried losses."""

    data: str
    loss: str
    queries: int
    errors: Array  # ours, one per seed
    uniform_rmse: float  # known exactly: the standard deviation of a mean of that many rows
    covered: int  # how often our own confidence interval held the truth
    warned: int  # how often ours said that uniform sampling would have done better

    @property
    def gain(self) -> Interval:
        """Uniform's mean squared error minus ours, in units of uniform's."""
        return interval(1 - np.square(self.errors / self.uniform_rmse))


def estimate_mean(data: str, loss: str, rows: Array, losses: Array, n_select: int, n_seeds: int) -> Estimates:
    """Estimate the mean of `losses` from selections of `n_select` rows, one per seed."""
    n, truth = len(rows), float(losses.mean(dtype=np.float64))
    errors, covered, warned = [], 0, 0
    for seed in range(n_seeds):
        selection = sensitivity_sample(rows, losses.__getitem__, n_select, n_clusters=n_select // 8, random_state=seed)
        estimate = selection.estimate(losses[selection.indices])
        errors.append(estimate.value / n / truth - 1)
        covered += int(estimate.ci[0] <= n * truth <= estimate.ci[1])
        warned += int(estimate.vs_uniform > 1)
    queries = selection.n_queries
    uniform_rmse = float(losses.std(ddof=1)) / truth * np.sqrt(1 / queries - 1 / n)
    return Estimates(data, loss, queries, np.array(errors), float(uniform_rmse), covered, warned)


def reconstruction_losses(rows: Array, n_directions: int = 12) -> Array:
    """Return what each row loses when only its part along the main directions is kept: a smooth loss."""
    mean = rows.mean(axis=0)
    sample = rows[np.random.default_rng(0).permutation(len(rows))[:5000]] - mean
    directions = np.linalg.svd(sample, full_matrices=False)[2][:n_directions]
    centred = rows - mean
    lost: Array = np.square(centred).sum(axis=1) - np.square(centred @ directions.T).sum(axis=1)
    return np.maximum(lost, 0)


def classifier_losses(task: Labelled, n_rows: int) -> Array:
    """Return the log-loss of each training row under a classifier that saw `n_rows` of them: a noisy loss."""
    first = np.random.default_rng(0).permutation(len(task.rows))[:n_rows]
    return _log_loss(_fit(task, first), task)(np.arange(len(task.rows)))


# ---------------------------------------------------------------------------------------------------------------------
# Training on a subset


@dataclass(frozen=True)
class Training:
    """Test accuracies of a classifier, at equal numbers of labels asked for."""

    data: str
    budgets: tuple[int, ...]
    accuracy: dict[str, Array]  # method -> (budgets, seeds)
    everything: float  # the accuracy after training on all rows

    def gain(self, method: str, budget: int) -> Interval:
        """Accuracy of `method` minus that of uniform rows, seed by seed."""
        row = self.budgets.index(budget)
        return interval(self.accuracy[method][row] - self.accuracy["uniform"][row])


def train_on_subsets(task: Labelled, budgets: tuple[int, ...], n_seeds: int) -> Training:
    """Train on subsets of several sizes, chosen in three ways."""
    accuracy = {
        method: np.array([[_accuracy(task, method, budget, seed) for seed in range(n_seeds)] for budget in budgets])
        for method in METHODS
    }
    everything = _fit(task, np.arange(len(task.rows))).score(task.test_rows, task.test_labels)
    return Training(task.name, budgets, accuracy, float(everything))


def _accuracy(task: Labelled, method: str, budget: int, seed: int) -> float:
    choose = {"uniform": _uniform, "distances": _by_distances, "losses": _by_losses}[method]
    chosen, weights = choose(task, budget, seed)
    return float(_fit(task, chosen, weights).score(task.test_rows, task.test_labels))


def _uniform(task: Labelled, budget: int, seed: int) -> tuple[Array, Array]:
    chosen = np.random.default_rng(seed).permutation(len(task.rows))[:budget]
    return chosen, np.ones(budget)


def _by_distances(task: Labelled, budget: int, seed: int) -> tuple[Array, Array]:
    selection = sensitivity_sample(task.rows, None, budget, n_clusters=max(2, budget // 4), random_state=seed)
    return selection.indices, selection.weights


def _by_losses(task: Labelled, budget: int, seed: int) -> tuple[Array, Array]:
    """Spend a quarter of the labels on a first model, some on the pilot that asks for its losses, the rest on rows.

    The first rows, the pilot's and the selected ones are three unbiased samples of all rows, so the training loss on
    each of them estimates the one on all rows. The three are averaged, each by its share of the labels.
    """
    first, ones = _uniform(task, budget // 4, seed)
    n_clusters = max(2, budget // 16)
    n_select = budget - len(first) - 3 * n_clusters
    losses = _log_loss(_fit(task, first), task)
    pilots: list[Array] = []

    def ask(indices: Array) -> Array:
        pilots.append(indices)
        return losses(indices)

    selection = sensitivity_sample(task.rows, ask, n_select, n_clusters=n_clusters, n_pilot=3, random_state=seed)
    pilot = np.concatenate(pilots)
    labels = selection.labels
    stands_for = (np.bincount(labels) / np.maximum(np.bincount(labels[pilot]), 1))[labels[pilot]]
    weights = [ones, len(pilot) * stands_for / len(labels), n_select * selection.weights / len(labels)]
    return np.concatenate([first, pilot, selection.indices]), np.concatenate(weights)


def _fit(task: Labelled, chosen: Array, weights: Array | None = None) -> Any:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    scaled = None if weights is None else weights / weights.mean()  # keeps the regularisation the same
    model = LogisticRegression(C=10, tol=1e-3)
    with threadpool_limits(1):  # so small are the matrices that threads would only wait for each other
        return model.fit(task.rows[chosen], task.labels[chosen], sample_weight=scaled)


def _log_loss(model: Any, task: Labelled) -> Losses:
    """Return the function that asks for the labels of some rows and computes the model's losses there."""
    columns = {label: column for column, label in enumerate(model.classes_)}

    def losses(indices: Array) -> Array:
        chances = model.predict_proba(task.rows[indices])
        known = np.array([columns.get(label, -1) for label in task.labels[indices]])
        right = np.where(known < 0, 0.0, chances[np.arange(len(indices)), known])  # a class that it never saw
        return -np.log(np.maximum(right, 1e-3))

    return losses


# ---------------------------------------------------------------------------------------------------------------------
# Colours


@dataclass(frozen=True)
class Palette:
    """A photograph painted with few colours."""

    name: str
    picture: Array
    error: float  # root mean square, in steps of 0 to 255


def paint(photo: Array, n_colours: int, seed: int = 0) -> list[Palette]:
    """Paint a photograph with random pixels' colours, with k-means++ seeds, and with k-means from these seeds."""
    pixels = photo.reshape(-1, 3).astype(np.float32)
    palettes = {
        "uniform pixels": kmeans_plusplus(pixels, n_colours, method="uniform", random_state=seed)[0],
        "k-means++ seeds": kmeans_plusplus(pixels, n_colours, random_state=seed)[0],
        "k-means": kmeans(pixels, n_colours, max_iter=10, random_state=seed)[0],
    }
    return [_painted(name, photo, pixels, colours) for name, colours in palettes.items()]


def _painted(name: str, photo: Array, pixels: Array, colours: Array) -> Palette:
    labels, distances = assign(pixels, colours, return_distance=True)
    picture = np.clip(np.rint(colours[labels]), 0, 255).astype(np.uint8).reshape(photo.shape)
    return Palette(name, picture, float(np.sqrt(np.square(distances, dtype=np.float64).mean() / 3)))


def select_one(rows: Array, losses: Array, n_select: int) -> tuple[Selection, float]:
    """Select once and say how many seconds it took."""
    start = time.perf_counter()
    selection = sensitivity_sample(rows, losses, n_select, random_state=0)
    return selection, time.perf_counter() - start
