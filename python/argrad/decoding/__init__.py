"""Decoding: the next token from a row of logits, and projections onto the simplex."""

from argrad.decoding._statistics import LogitStatistics, logit_statistics
from argrad.decoding._topk import topk

__all__ = ["LogitStatistics", "logit_statistics", "topk"]
