"""Naive references of the Fenchel-Young losses, from their definition; never imports argrad."""

from oracles_decoding_entmax import conjugate


def fenchel_young(scores, target, alpha=1.5):
    """Omega*(scores) + Omega(y) - <scores, y> of a class or a distribution; None for a negative class."""
    if isinstance(target, list):
        return float(conjugate(scores, alpha, target))
    if target < 0:
        return None
    one_hot = [float(i == target) for i in range(len(scores))]
    return float(conjugate(scores, alpha, one_hot))


def sparsemax(scores, target):
    return fenchel_young(scores, target, 2.0)


def entmax(scores, target):
    return fenchel_young(scores, target, 1.5)
