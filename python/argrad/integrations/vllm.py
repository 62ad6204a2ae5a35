"""Sparse Bregman decoding and the truncation rules in vLLM's engine. **Experimental**: vLLM's interfaces still change.

One batched function, `apply_rules(logits, rules)`, and two thin adapters, one for each of vLLM's interfaces; both need
vLLM, and a class is made when it is first asked for:

- `BregmanLogitsProcessorV1` for the V1 runner;
- `BregmanLogitsProcessorV2` for Model Runner V2, whose loader refuses V1 classes.

    llm = LLM(model, logits_processors=["argrad.integrations.vllm:BregmanLogitsProcessorV1"])
    llm.generate(prompts, SamplingParams(top_k=0, extra_args={"bregman_penalty": 0.01}))

A request chooses its rule by `extra_args`; one without any of these keys is left alone.

- `bregman_penalty` or `bregman_k`, `bregman_alpha`, `bregman_dual`, `bregman_max_k`: the arguments of
  `argrad.decoding.bregman_project` without the prefix.
- `truncate_top_h`, `truncate_typical_p`, `truncate_epsilon`, `truncate_eta`, `truncate_top_n_sigma`, `truncate_p_less`,
  ...: the arguments of `argrad.decoding.truncate` without the prefix.

vLLM's own `top_k`, `top_p` and `min_p` still apply, and vLLM draws. V1 calls the adapter after the temperature. V2
calls it before, so that adapter reads the temperature of the request and hands back scores that the temperature turns
into log q. Greedy requests (temperature 0) are left alone. On a GPU each call waits for it once for each rule, to see
which rows it can read. No entry point is registered, because vLLM would load it into every engine.

A row that no rule can read (NaN, +inf, or nothing but -inf) is left as it is and reported by `logging`: an error inside
the engine's loop would end all requests.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from argrad.integrations import _rules

if TYPE_CHECKING:
    from torch import Tensor

    BregmanLogitsProcessorV1: type
    BregmanLogitsProcessorV2: type

__all__ = ["BregmanLogitsProcessorV1", "BregmanLogitsProcessorV2", "apply_rules", "rule_of"]

log = logging.getLogger(__name__)

GREEDY = 1e-5  # vLLM takes the most probable token below this temperature
Rule = _rules.Bregman | _rules.Truncation


def rule_of(extra_args: dict[str, Any] | None) -> Rule | None:
    """Read the rule that a request asks for.

    Args:
        extra_args: `SamplingParams.extra_args`.

    Returns:
        The rule, or None where no key begins with `bregman_` or `truncate_`.

    Raises:
        TypeError: A value of a wrong type, or a key that no rule has.
        ValueError: A value out of range, both or neither of `bregman_penalty` and `bregman_k`, or keys of both kinds.

    Examples:
        >>> from argrad.integrations.vllm import rule_of
        >>> rule_of({"bregman_penalty": 0.1}).penalty
        0.1
        >>> rule_of({"something_else": 1}) is None
        True
    """
    bregman, truncation = _with_prefix(extra_args, "bregman_"), _with_prefix(extra_args, "truncate_")
    if bregman and truncation:
        raise ValueError(
            f"rule_of: extra_args must have keys of one kind, got {sorted(bregman)} of bregman "
            f"and {sorted(truncation)} of truncate"
        )
    if not bregman and not truncation:
        return None
    rule = _rules.Bregman(**bregman) if bregman else _rules.Truncation(options=truncation)
    _rules.try_out(rule)
    return rule


def _with_prefix(extra_args: dict[str, Any] | None, prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in (extra_args or {}).items() if key.startswith(prefix)}


def apply_rules(logits: Tensor, rules: Sequence[Rule | None], temperature: Sequence[float] | None = None) -> Tensor:
    """Replace each row by the scores of its rule.

    Args:
        logits: Shape (b, v), floating, in host memory or on an NVIDIA GPU. Written to.
        rules: A rule for each row, or None for a row that is left as it is.
        temperature: None where the logits have their temperature already; otherwise one > 0 for each row, by which the
            caller will divide afterwards.

    Returns:
        `logits`, with T log q on the support and -inf elsewhere, T = 1 without a temperature.

    Examples:
        >>> import torch
        >>> from argrad.integrations.vllm import apply_rules, rule_of
        >>> apply_rules(torch.zeros(2, 3), [rule_of({"bregman_k": 1}), None])
        tensor([[0., -inf, -inf],
                [0., 0., 0.]])
    """
    groups: dict[str, list[int]] = {}
    for row, rule in enumerate(rules):
        if rule is not None:
            groups.setdefault(repr(rule), []).append(row)
    for rows in groups.values():
        rule = rules[rows[0]]
        assert rule is not None
        _apply(logits, rows, rule, None if temperature is None else [temperature[row] for row in rows])
    return logits


def _apply(logits: Tensor, rows: list[int], rule: Rule, temperature: list[float] | None) -> None:
    """Write the scores of one rule to some rows; rows that it cannot read are reported."""
    import torch

    part = logits[rows]
    readable = part.amax(-1).isfinite().tolist()  # NaN where the row has one
    if not all(readable):
        bad = [row for row, can in zip(rows, readable, strict=True) if not can]
        log.warning("rows left as they are, for they hold NaN, +inf or nothing but -inf: %s", bad)
        part = part[[i for i, can in enumerate(readable) if can]]
        temperature = temperature and [t for t, can in zip(temperature, readable, strict=True) if can]
        rows = [row for row in rows if row not in bad]
    if not rows:
        return
    if temperature is None:
        logits[rows] = _rules.log_probabilities(rule, part)
        return
    degrees = torch.tensor(temperature, dtype=torch.float64, device=logits.device)
    scores = _rules.log_probabilities(_rules.with_temperature(rule, degrees), part)
    logits[rows] = scores * degrees[:, None].to(scores.dtype)


class _Common:
    """What both adapters share: the rules of the requests, by slot."""

    rules: dict[int, Rule]

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raise ValueError where the request asks for no rule there is."""
        try:
            rule_of(sampling_params.extra_args)
        except TypeError as error:  # vLLM turns only a ValueError into an answer to the request
            raise ValueError(str(error)) from error

    def _start(self, device: object) -> None:
        # Here, where the engine starts: an error in its loop would end all requests.
        if str(device).split(":")[0] not in ("cpu", "cuda"):
            raise RuntimeError(f"{type(self).__name__}: the model must run on a CPU or an NVIDIA GPU, got {device}")
        self.rules = {}

    def _add(self, slot: int, sampling_params: Any) -> bool:
        self.rules.pop(slot, None)  # of the request that had the slot before
        try:
            rule = rule_of(sampling_params.extra_args)
        except (TypeError, ValueError) as error:  # `validate_params` was not asked
            log.warning("a request is left as it is: %s", error)
            return False
        if rule is not None and sampling_params.temperature >= GREEDY:
            self.rules[slot] = rule
        return slot in self.rules


class _V1(_Common):
    """Sparse Bregman decoding and truncation rules for vLLM's V1 runner; see the module's documentation."""

    def __init__(self, vllm_config: Any, device: object, is_pin_memory: bool) -> None:
        self._start(device)

    def is_argmax_invariant(self) -> bool:
        """Return True: a rule keeps the most probable token."""
        return True

    def update_state(self, batch_update: Any) -> None:
        """Follow the batch: removed, then added, then moved, as vLLM prescribes."""
        if batch_update is None:
            return
        for slot in batch_update.removed:
            self.rules.pop(slot, None)
        for slot, sampling_params, *_ in batch_update.added:
            self._add(slot, sampling_params)
        for source, target, direction in batch_update.moved:
            moving, replaced = self.rules.pop(source, None), self.rules.pop(target, None)
            if moving is not None:
                self.rules[target] = moving
            if replaced is not None and direction.name == "SWAP":
                self.rules[source] = replaced

    def apply(self, logits: Tensor) -> Tensor:
        """Apply the rule of each row; the logits have their temperature already."""
        return apply_rules(logits, [self.rules.get(row) for row in range(len(logits))]) if self.rules else logits


class _V2(_Common):
    """Sparse Bregman decoding and truncation rules for vLLM's Model Runner V2; see the module's documentation."""

    def __init__(self, vllm_config: Any, req_states: Any) -> None:
        self._start(req_states.device)
        self.temperatures: dict[int, float] = {}

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Take the rule and the temperature of a request; return whether it has a rule."""
        self.temperatures[req_idx] = float(sampling_params.temperature)
        return self._add(req_idx, sampling_params)

    def apply(self, logits: Tensor, ctx: Any) -> Tensor:
        """Apply the rule of each row's request, before the temperature."""
        if not self.rules:
            return logits
        slots = ctx.expanded_idx_mapping.tolist()  # a row is not a request: drafts have rows of their own
        rules = [self.rules.get(slot) for slot in slots]
        return apply_rules(logits, rules, [self.temperatures.get(slot, 1.0) for slot in slots])


_ADAPTERS: dict[str, tuple[type, str]] = {
    "BregmanLogitsProcessorV1": (_V1, "vllm.v1.sample.logits_processor"),
    "BregmanLogitsProcessorV2": (_V2, "vllm.v1.worker.gpu.sample.logits_processor"),
}


def __getattr__(name: str) -> Any:
    # vLLM's loaders demand a subclass of their own class, and a version of vLLM may lack either of the two.
    if name not in _ADAPTERS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    import importlib

    adapter, home = _ADAPTERS[name]
    try:
        base = importlib.import_module(home).LogitsProcessor
    except ImportError as error:
        raise ImportError(f"{name} needs a vLLM that has {home}: pip install vllm") from error
    made = type(name, (adapter, base), {"__module__": __name__, "__doc__": adapter.__doc__})
    return globals().setdefault(name, made)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ADAPTERS})
