"""Real data that is on the machine already: two photographs, handwritten digits, the standard library's own text."""

from __future__ import annotations

import sysconfig
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

PATCH = 8  # pixels on a side
GROUPS = 10  # packages whose lines are told apart
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests"}  # not the library itself, or not installed everywhere
SHORTEST = 25  # characters; shorter lines occur in every package
EMBEDDING = 64  # dimensions of the text embedding


@dataclass(frozen=True)
class Labelled:
    """Rows to learn from and rows to test on."""

    name: str
    rows: Array
    labels: Array
    test_rows: Array
    test_labels: Array


def photographs() -> list[Array]:
    """Return the two photographs that come with scikit-learn, each uint8 of shape (427, 640, 3)."""
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)


def patches(photos: list[Array], step: int = 1) -> Array:
    """Cut every `step`-th 8 x 8 patch out of the photographs: 531,720 rows of 192 numbers for step 1."""
    windows = [np.lib.stride_tricks.sliding_window_view(photo, (PATCH, PATCH), axis=(0, 1)) for photo in photos]
    rows = [window[::step, ::step].reshape(-1, 3 * PATCH * PATCH) for window in windows]
    return np.concatenate(rows).astype(np.float32) / 255


def digits() -> Labelled:
    """Return the 1,797 handwritten digits, 8 x 8 pixels each, split in half."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _split("digits", images.astype(np.float32) / 16, labels, n_test=len(labels) // 2)


def source_lines(n_rows: int = 40_000) -> Labelled:
    """Embed lines of the standard library; the label of a line is the package that it comes from.

    A line becomes its character 3- and 4-grams, weighted by rarity, projected onto the 64 main directions and scaled
    to length 1: the embedding is made without the labels, as a language model's would be.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.preprocessing import normalize

    lines, packages = _lines_by_package()
    kept = np.random.default_rng(0).permutation(len(lines))[:n_rows]
    hashing = HashingVectorizer(
        analyzer="char", ngram_range=(3, 4), n_features=2**15, norm=None, alternate_sign=False, lowercase=False
    )
    counts = TfidfTransformer(sublinear_tf=True).fit_transform(hashing.transform([lines[row] for row in kept]))
    rows = normalize(TruncatedSVD(EMBEDDING, n_iter=1, random_state=0).fit_transform(counts)).astype(np.float32)
    labels = np.unique(np.array(packages)[kept], return_inverse=True)[1]
    return _split("text", rows, labels, n_test=len(rows) // 4)


def _lines_by_package() -> tuple[list[str], list[str]]:
    """Return the distinct long lines of the largest packages, each with its package; shared lines are left out."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(root.glob("*/**/*.py")) if LEFT_OUT.isdisjoint(path.parts)]
    owner: dict[str, str] = {}
    for path in files:
        package = path.relative_to(root).parts[0]
        for line in path.read_text(encoding="utf-8", errors="ignore").splitlines():
            text = line.strip()
            if len(text) >= SHORTEST and owner.setdefault(text, package) != package:
                owner[text] = ""
    sizes = Counter(package for package in owner.values() if package)
    largest = {package for package, _ in sizes.most_common(GROUPS)}
    pairs = [(line, package) for line, package in owner.items() if package in largest]
    return [line for line, _ in pairs], [package for _, package in pairs]


def _split(name: str, rows: Array, labels: Array, n_test: int) -> Labelled:
    order = np.random.default_rng(1).permutation(len(rows))
    test, train = order[:n_test], order[n_test:]
    return Labelled(name, rows[train], labels[train], rows[test], labels[test])
