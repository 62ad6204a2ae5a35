"""What `soft_topk` is measured against: the literature's formulas in plain torch."""

import math
from typing import Any


def sinkhorn_topk(x: Any, k: float, epsilon: float, iterations: int = 200) -> Any:
    """Return n times the plan's mass at the second of two targets {0, 1}: the soft top-k of Xie et al. (2020).

    Entropic optimal transport between the items (mass 1/n each, cost (x - target)^2) and two targets of masses
    (n - k)/n and k/n, solved by alternating updates of both potentials in the log domain. It equals the logistic
    `soft_topk` with temperature epsilon / 2.
    """
    import torch

    n = x.shape[-1]
    out, into = -(x**2) / epsilon, -((x - 1) ** 2) / epsilon
    g, f = x.new_zeros((2, *x.shape[:-1], 1)), x
    for _ in range(iterations + 1):
        f = -math.log(n) - torch.logaddexp(out + g[0], into + g[1])
        last = g
        g = torch.stack(
            [
                math.log((n - k) / n) - torch.logsumexp(out + f, -1, keepdim=True),
                math.log(k / n) - torch.logsumexp(into + f, -1, keepdim=True),
            ]
        )
    return n * (into + f + last[1]).exp()


def lapsum_topk(x: Any, k: float, temperature: float) -> Any:
    """Return LapSum's soft top-k (Struski et al., 2025, arXiv:2503.06242) from its formula, in O(n log n).

    With the scores s_1 >= ... >= s_n in units of the temperature, the sum of Laplace distribution functions at theta
    in [s_(i+1), s_i] is i + exp(-theta) B_i / 2 - exp(theta) A_i / 2, where A_i sums exp(-s_j) over j <= i and B_i sums
    exp(s_j) over j > i (running sums in the log domain). Its values at the scores bracket the root; within the interval
    the equation is quadratic in exp(theta). The gradient is autograd's through the root: an implicit step.
    """
    import torch

    with torch.no_grad():
        s = (x / temperature).sort(-1, descending=True).values
        above = torch.logcumsumexp(-s, -1)
        below = torch.logcumsumexp(s.flip(-1), -1).flip(-1)
        rank = torch.arange(1, s.shape[-1] + 1, dtype=s.dtype, device=s.device)
        # At theta = s_i: the i items above and at it, minus their tails, plus the tails of the items below.
        sums = rank - 0.5 * (above + s).exp() + 0.5 * (below - s).exp() - 0.5
        place = torch.searchsorted(sums.contiguous(), torch.full_like(s[..., :1], k))
        inner = (place - 1).clamp(min=0)
        outer = place.clamp(max=s.shape[-1] - 1)
        count = place.to(s.dtype)
        # count - z A / 2 + B / (2 z) = k with z = exp(theta - anchor), all exponents relative to the interval's end.
        anchor = s.gather(-1, outer)
        a = torch.where(place > 0, (above.gather(-1, inner) + anchor).exp(), 0.0)
        b = torch.where(place < s.shape[-1], (below.gather(-1, outer) - anchor).exp(), 0.0)
        c = count - k
        root = (c * c + a * b).sqrt()
        z = torch.where(c > 0, (c + root) / a, b / (root - c))
        theta = anchor + z.log()
    t = x / temperature - theta
    tail = 0.5 * (-t.abs()).exp()
    # A step that moves theta by nothing but carries its gradient.
    slope = tail.detach()
    t = t - ((slope * (t - t.detach())).sum(-1, keepdim=True) / slope.sum(-1, keepdim=True))
    tail = 0.5 * (-t.abs()).exp()
    return torch.where(t >= 0, 1 - tail, tail)
