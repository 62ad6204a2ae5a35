"""Loops for selection and statistics of logits, from their definitions."""

import math


def topk(row, k, largest=True):
    """Places of the k largest or smallest: by value, then by place."""
    sign = -1 if largest else 1
    return sorted(range(len(row)), key=lambda i: (sign * row[i], i))[:k]


def softmax(row, temperature=1.0):
    """Probabilities of a row of logits."""
    top = max(row)
    weights = [math.exp((x - top) / temperature) for x in row]
    total = math.fsum(weights)
    return [w / total for w in weights]


def statistics(row, temperature=1.0):
    """Maximum, log-sum-exp, entropy, collision probability, mean, deviation and count of a row."""
    top = max(row)
    total = math.fsum(math.exp((x - top) / temperature) for x in row)
    p = softmax(row, temperature)
    live = [x for x in row if x > -math.inf]
    mean = math.fsum(live) / len(live)
    square = math.fsum((x - mean) ** 2 for x in live)
    return (
        top,
        top / temperature + math.log(total),
        -math.fsum(x * math.log(x) for x in p if x > 0),
        math.fsum(x * x for x in p),
        mean,
        math.sqrt(square / (len(live) - 1)) if len(live) > 1 else 0.0,
        len(live),
    )
