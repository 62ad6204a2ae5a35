"""Truncation rules by loops over sorted probabilities, one after the other, each on what the one before it has kept."""

import math

ORDER = ("top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon", "eta", "top_n_sigma", "p_less", "surprise")


def softmax(logits, temperature):
    """Sorted tokens as (index, probability), largest first, equal ones by index; tokens of -inf are not there."""
    live = [(index, float(x)) for index, x in enumerate(logits) if x > -math.inf]
    top = max(x for _, x in live)
    weights = [(index, x, math.exp((x - top) / temperature)) for index, x in live]
    total = math.fsum(e for _, _, e in weights)
    weights.sort(key=lambda item: (-item[1], item[0]))
    return [(index, e / total) for index, _, e in weights]


def renormalized(tokens):
    total = math.fsum(p for _, p in tokens)
    return [(index, p / total) for index, p in tokens]


def entropy(tokens):
    return -math.fsum(p * math.log(p) for _, p in tokens if p > 0)


def top_h(tokens, share):
    most, count = share * entropy(tokens), 1
    while count < len(tokens) and entropy(renormalized(tokens[: count + 1])) <= most:
        count += 1
    return tokens[:count]


def top_k(tokens, k):
    return tokens[: int(k)]


def top_p(tokens, share):
    """Drop a token if it and all after it have at most the mass 1 - share."""
    if share >= 1:
        return tokens
    count, mass = 0, 0.0
    while count < len(tokens) and (count == 0 or mass < share):
        mass += tokens[count][1]
        count += 1
    return tokens[:count]


def at_least(tokens, least):
    return [token for token in tokens if token[1] >= least] or tokens[:1]


def min_p(tokens, share):
    return at_least(tokens, share * tokens[0][1])


def typical_p(tokens, share):
    """In the order of |-log p - H| until the mass is reached; what ties with the last one stays."""
    if share >= 1:
        return tokens
    middle = entropy(tokens)
    away = {index: abs(-math.log(p) - middle) if p > 0 else math.inf for index, p in tokens}
    nearest, *others = sorted(tokens, key=lambda token: away[token[0]])
    mass, farthest = nearest[1], away[nearest[0]]
    for index, p in others:
        if mass >= share and farthest < away[index]:
            break
        mass, farthest = mass + p, away[index]
    return [token for token in tokens if away[token[0]] <= farthest]


def epsilon(tokens, least):
    return at_least(tokens, least)


def eta(tokens, number):
    return at_least(tokens, min(number, math.sqrt(number) * math.exp(-entropy(tokens))))


def top_n_sigma(logits, n):
    """The tokens, of the whole row, that the rule keeps."""
    live = [float(x) for x in logits if x > -math.inf]
    mean = math.fsum(live) / len(live)
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in live) / (len(live) - 1)) if len(live) > 1 else 0.0
    return {index for index, x in enumerate(logits) if x >= max(live) - n * deviation}


def global_rule(name, number, logits, everything):
    """The tokens, of the whole row, that a rule keeps which looks at the whole row."""
    if name == "top_n_sigma":
        return top_n_sigma(logits, number)
    least = math.fsum(p * p for _, p in everything) if name == "p_less" else 2.0**-number
    return {index for index, p in everything if p >= least}


LOCAL = {
    "top_h": top_h,
    "top_k": top_k,
    "top_p": top_p,
    "min_p": min_p,
    "typical_p": typical_p,
    "epsilon": epsilon,
    "eta": eta,
}


def truncate(logits, rules, temperature=1.0, max_k=None):
    """The kept tokens as (index, probability), in order; `rules` are pairs of a name and a number."""
    if temperature == 0:
        return [(max(range(len(logits)), key=lambda index: (logits[index], -index)), 1.0)]
    everything = softmax(logits, temperature)
    tokens = everything
    for name, number in rules:
        if name in LOCAL:
            kept = LOCAL[name](tokens, number)
        else:
            allowed = global_rule(name, number, logits, everything)
            kept = [token for token in tokens if token[0] in allowed] or tokens[:1]
        tokens = renormalized(kept)
    return renormalized(tokens[:max_k])


def draw(weights, u):
    """The first place whose running sum exceeds u times the sum."""
    target, total = u * sum_of(weights), 0.0
    for place, weight in enumerate(weights):
        total += weight
        if total > target:
            return place
    raise AssertionError("u must be below 1")


def sum_of(weights):
    total = 0.0
    for weight in weights:
        total += weight
    return total
