"""Decoding: the next token from a row of logits, and projections onto the simplex."""

from argrad.decoding._topk import topk

__all__ = ["topk"]
