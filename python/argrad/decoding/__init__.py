"""Decoding: the next token from a row of logits, and projections onto the simplex."""

from argrad.decoding._bregman import bregman_project
from argrad.decoding._constrained import constrained_softmax, constrained_sparsemax
from argrad.decoding._decode import bregman_decode
from argrad.decoding._entmax import entmax, entmax_conjugate, sparsemax
from argrad.decoding._sample import sample, to_dense, to_logits
from argrad.decoding._statistics import LogitStatistics, logit_statistics
from argrad.decoding._topk import topk
from argrad.decoding._topk_softmax import topk_softmax
from argrad.decoding._truncate import truncate, truncated_decode

__all__ = [
    "LogitStatistics",
    "bregman_decode",
    "bregman_project",
    "constrained_softmax",
    "constrained_sparsemax",
    "entmax",
    "entmax_conjugate",
    "logit_statistics",
    "sample",
    "sparsemax",
    "to_dense",
    "to_logits",
    "topk",
    "topk_softmax",
    "truncate",
    "truncated_decode",
]
