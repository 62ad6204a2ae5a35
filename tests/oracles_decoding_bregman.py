"""Sparse Bregman decoding from its definition: divergences as written, bisection, enumeration. Never imports argrad."""

import itertools
from collections.abc import Callable, Sequence

import mpmath
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DIGITS = 50


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """The distribution, in double precision."""
    weights = np.exp((logits - logits.max()) / temperature)
    return weights / weights.sum()


def generator(x: float, alpha: float) -> float:
    """The convex function phi of the family."""
    if alpha == 1.0:
        return x * np.log(x) if x > 0 else 0.0
    return x**alpha / (alpha * (alpha - 1.0))


def slope(x: float, alpha: float) -> float:
    """phi'(x)."""
    return np.log(x) + 1.0 if alpha == 1.0 else x ** (alpha - 1.0) / (alpha - 1.0)


def divergence(x: Array, y: Array, alpha: float) -> float:
    """D(x, y), term by term; x or y may be 0 where that is finite."""
    total = 0.0
    for a, b in zip(x, y, strict=True):
        if b == 0.0:
            total += generator(a, alpha)  # alpha > 1: phi and phi' of 0 are 0
        elif alpha == 1.0:
            total += (a * np.log(a / b) if a > 0 else 0.0) - a + b
        else:
            total += generator(a, alpha) - generator(b, alpha) - slope(b, alpha) * (a - b)
    return total


def objective(q: Array, p: Array, alpha: float, dual: bool, penalty: float) -> float:
    """What a decoder minimises, on the whole vocabulary."""
    return (divergence(p, q, alpha) if dual else divergence(q, p, alpha)) + penalty * np.count_nonzero(q)


def bisect(excess: Callable, low: object, high: object, steps: int) -> object:
    """The root of an increasing function."""
    for _ in range(steps):
        middle = (low + high) / 2
        if excess(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _primal(p: Sequence, mu: object, alpha: object, m: object) -> list:
    b = alpha - 1
    if b == 0:
        return [x * m.exp(mu) for x in p]
    return [(x**b + b * mu) ** (1 / b) for x in p]


def _dual(p: Sequence, multiplier: object, alpha: object, m: object, steps: int) -> list:
    # A token that would have more than 1 gets 1: the sum is beyond 1 then, which is all that counts.
    return [bisect(lambda q, x=x: (q - x) * q ** (alpha - 2) - multiplier, x, x * 0 + 1, steps) for x in p]


def renormalize(p: Sequence[float], alpha: float, dual: bool = False, exact: bool = False) -> list:
    """What tokens of probabilities `p` get, by bisection of the multiplier; with 50 digits where `exact`.

    More where alpha is large: the multiplier is as small as the power alpha - 1 of a probability.
    """
    digits = DIGITS + int(8 * max(0.0, alpha - 4.0))
    with mpmath.workdps(digits):
        number = mpmath.mpf if exact else float
        library = mpmath if exact else np
        steps = int(3.4 * digits) + 20 if exact else 70
        values, a = [number(float(x)) for x in p], number(alpha)
        top = max(values)
        if dual:
            high = 1 - top
            root = bisect(lambda m: sum(_dual(values, m, a, library, steps)) - 1, high * 0, high, steps)
            return _dual(values, root, a, library, steps)
        high = -library.log(top) if a == 1 else (1 - top ** (a - 1)) / (a - 1)  # the largest gets all
        root = bisect(lambda mu: sum(_primal(values, mu, a, library)) - 1, high * 0, high, steps)
        return _primal(values, root, a, library)


def largest(logits: Array, k: int) -> list[int]:
    """The k largest, equal ones by index."""
    return sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:k]


def project(logits: Array, k: int, alpha: float, dual: bool = False, temperature: float = 1.0) -> Array:
    """The dense result for k tokens."""
    chosen = largest(logits, k)
    p = softmax(logits, temperature)
    q = np.zeros(len(logits))
    q[chosen] = np.array(renormalize(p[chosen], alpha, dual), dtype=float)
    return q


def costs(logits: Array, alpha: float, dual: bool, penalty: float, temperature: float = 1.0) -> Array:
    """The objective of the best result on 1, 2, ... tokens."""
    p = softmax(logits, temperature)
    results = [project(logits, k, alpha, dual, temperature) for k in range(1, len(logits) + 1)]
    return np.array([objective(q, p, alpha, dual, penalty) for q in results])


def best_subset(p: Array, alpha: float, dual: bool, penalty: float) -> tuple[float, tuple[int, ...]]:
    """The smallest objective over all subsets of tokens, and one that has it."""
    best = (np.inf, ())
    for size in range(1, len(p) + 1):
        for subset in itertools.combinations(range(len(p)), size):
            q = np.zeros(len(p))
            q[list(subset)] = renormalize(p[list(subset)], alpha, dual)
            best = min(best, (objective(q, p, alpha, dual, penalty), subset))
    return best


def bound(alpha: float, dual: bool, penalty: float) -> float:
    """No distribution is worth more tokens."""
    if alpha == 1.0:
        return max(1.0, np.ceil(1.0 / np.expm1(penalty)))
    factor = 1.0 / alpha
    if dual:
        factor = 1.0 / (alpha * (alpha - 1.0)) if alpha <= 2.0 else (alpha - 1.0) / alpha
    return max(1.0, np.ceil((factor / penalty) ** (1.0 / alpha)))


def draw(q: Sequence[float], u: float) -> int:
    """The place of the inverse distribution function at u."""
    whole = 0.0
    for x in q:
        whole += x
    total = 0.0
    for place, x in enumerate(q):
        total += x
        if total > u * whole:
            return place
    raise ValueError("u must be below 1")
