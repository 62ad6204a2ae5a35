"""SoftSort and LapSum as they are written elsewhere: dense matrices, and LapSum's ranks by a sort and running sums."""

import torch


def softsort_dense(x, temperature, descending=False):
    """SoftSort's matrix; Prillo and Eisenschlos, "SoftSort", ICML 2020, Eq. 4 and the code in its appendix."""
    s = x.sort(-1, descending=descending).values
    return torch.softmax(-(s.unsqueeze(-1) - x.unsqueeze(-2)).abs() / temperature, -1)


def softsort_product(x, v, temperature, descending=False):
    """`P v` with the dense matrix."""
    return (softsort_dense(x, temperature, descending) @ v.unsqueeze(-1)).squeeze(-1)


def laplace_rank_dense(x, strength):
    """LapSum's ranks by its formula; Struski et al., "LapSum", ICML 2025, Section 3."""
    t = (x.unsqueeze(-1) - x.unsqueeze(-2)) / strength
    decay = 0.5 * torch.exp(-t.abs())
    return 0.5 + torch.where(t < 0, decay, 1 - decay).sum(-1)


def laplace_rank_sorted(x, strength):
    """The same by a sort and running sums in log space, which is what torch can do in O(n log n)."""
    s, order = x.sort(-1)
    t = s / strength
    below = torch.exp(torch.logcumsumexp(t, -1) - t)
    above = torch.exp(torch.logcumsumexp(-t.flip(-1), -1).flip(-1) + t)
    ranks = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype) + 0.5 * (above - below)
    return torch.empty_like(ranks).scatter(-1, order, ranks)
