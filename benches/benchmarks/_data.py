"""The inputs of the benchmarks: real data that comes with the tools, and synthetic data of known difficulty.

`python -m benches.benchmarks._data [NAME ...]` builds inputs and prints shape, seconds and hash. Built matrices are
kept in `benches/.cache`. `lsa` differs between Python installations, so that figures on it are quoted with the hash.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np

CACHE = Path(__file__).resolve().parents[1] / ".cache"
SMOKE = bool(os.environ.get("ARGRAD_BENCH_SMOKE"))
SMOKE_ROWS = 4_000


def stdlib_lines() -> list[str]:
    """Return the distinct lines of the installed Python standard library, in the order of file and line."""
    root = Path(sysconfig.get_paths()["stdlib"])
    lines: dict[str, None] = {}
    for path in sorted(root.rglob("*.py")):
        if "site-packages" in path.parts or "dist-packages" in path.parts:
            continue
        lines.update(dict.fromkeys(path.read_text(encoding="utf-8", errors="ignore").splitlines()))
    return [line for line in lines if len(line.strip()) >= 3]


def _embed(lines: list[str], components: int) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        analyzer="char", ngram_range=(3, 4), max_features=20_000, sublinear_tf=True, dtype=np.float32
    )
    # The vocabulary of every tenth line is the vocabulary: counting the n-grams of all lines takes three times as long.
    vectorizer.fit(lines[::10])
    table = vectorizer.transform(lines)
    svd = TruncatedSVD(components, n_iter=2, random_state=0).fit(table[::5])
    rows = svd.transform(table).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1)
    return rows[norms > 1e-3] / norms[norms > 1e-3, None]


def lsa() -> np.ndarray:
    """Text: TF-IDF of character 3-4-grams of the standard library's lines, 128-d LSA, unit norm."""
    return _embed(stdlib_lines(), 128)


def patches() -> np.ndarray:
    """Images: all 8x8x3 patches of scikit-learn's two photographs, 531,720 x 192."""
    from sklearn.datasets import load_sample_images

    windows = [
        np.lib.stride_tricks.sliding_window_view(image, (8, 8, 3)).reshape(-1, 192)
        for image in load_sample_images().images
    ]
    return np.concatenate(windows).astype(np.float32) / 255


def gmm() -> np.ndarray:
    """Mixture: 500,000 x 64, 2000 components of equal size."""
    rng = np.random.default_rng(1)
    means = rng.normal(size=(2000, 64)).astype(np.float32)
    labels = rng.integers(0, len(means), 500_000)
    return means[labels] + 0.5 * rng.standard_normal((len(labels), 64), np.float32)


def gmmhi() -> np.ndarray:
    """Tight mixture: 500,000 x 64, 1000 components with Pareto sizes; more centres than components is the hard case."""
    rng = np.random.default_rng(2)
    means = rng.normal(size=(1000, 64)).astype(np.float32)
    sizes = rng.pareto(1.5, len(means)) + 0.05
    labels = rng.choice(len(means), 500_000, p=sizes / sizes.sum())
    return means[labels] + 0.02 * rng.standard_normal((len(labels), 64), np.float32)


def noise() -> np.ndarray:
    """Gaussian noise, 300,000 x 128: no clusters at all."""
    return np.random.default_rng(3).standard_normal((300_000, 128), np.float32)


def heavy() -> np.ndarray:
    """Heavy tails: 400,000 x 54, Student t with 1.8 degrees of freedom, rank 6."""
    rng = np.random.default_rng(4)
    return (rng.standard_t(1.8, (400_000, 6)) @ rng.normal(size=(6, 54))).astype(np.float32)


def plane() -> np.ndarray:
    """Points in the plane, 500,000 x 2."""
    return np.random.default_rng(5).standard_normal((500_000, 2), np.float32)


def digits() -> np.ndarray:
    """Tiny: scikit-learn's handwritten digits, 1797 x 64."""
    from sklearn.datasets import load_digits

    return load_digits().data.astype(np.float32)


BUILDERS = {builder.__name__: builder for builder in (lsa, patches, gmm, gmmhi, noise, heavy, plane, digits)}


def _smoke(name: str) -> np.ndarray:
    """Return a small stand-in: the first kind of rows for the real data, a prefix for the synthetic."""
    if name == "lsa":
        return _embed(stdlib_lines()[:SMOKE_ROWS], 32)
    return BUILDERS[name]()[:SMOKE_ROWS]


def load(name: str) -> np.ndarray:
    """Return input `name` as a C-contiguous float32 matrix, from the cache when it was built before."""
    path = CACHE / f"{name}{'-smoke' if SMOKE else ''}.npy"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.tmp.npy")
        np.save(partial, np.ascontiguousarray(_smoke(name) if SMOKE else BUILDERS[name](), dtype=np.float32))
        partial.replace(path)
    return np.load(path)


def fingerprint(x: np.ndarray) -> str:
    """Return the first 12 hexadecimal digits of SHA-256 over shape and bytes."""
    digest = hashlib.sha256(repr((x.shape, x.dtype.str)).encode())
    digest.update(np.ascontiguousarray(x).data)
    return digest.hexdigest()[:12]


def main() -> None:
    for name in sys.argv[1:] or BUILDERS:
        started = time.perf_counter()
        x = load(name)
        print(
            f"{name:8} {x.shape[0]:7} x {x.shape[1]:3}  {time.perf_counter() - started:6.1f} s  {fingerprint(x)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
