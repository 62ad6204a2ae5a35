"""The adapters for vLLM, against stand-ins for its two interfaces (vLLM itself is not installed here)."""

import enum
import importlib
import logging
import sys
import types
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import pytest
import torch

from argrad.decoding import bregman_project, to_dense, truncate
from argrad.integrations import vllm as ours

V = 40
INFINITY = float("inf")


class Move(enum.Enum):
    UNIDIRECTIONAL = enum.auto()
    SWAP = enum.auto()


@dataclass
class SamplingParams:
    extra_args: dict | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class BatchUpdate:
    batch_size: int
    removed: tuple = ()
    added: tuple = ()
    moved: tuple = ()


@dataclass(frozen=True)
class RequestState:
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    max_num_reqs: int = 8
    vocab_size: int = V


@dataclass(frozen=True)
class LogitsContext:
    expanded_idx_mapping: torch.Tensor


class V1(ABC):
    """What `vllm.v1.sample.logits_processor.LogitsProcessor` demands."""

    @classmethod
    def validate_params(cls, sampling_params):
        return None

    @abstractmethod
    def __init__(self, vllm_config, device, is_pin_memory): ...

    @abstractmethod
    def apply(self, logits): ...

    @abstractmethod
    def is_argmax_invariant(self): ...

    @abstractmethod
    def update_state(self, batch_update): ...


class V2(ABC):
    """What `vllm.v1.worker.gpu.sample.logits_processor.LogitsProcessor` demands."""

    def __init__(self, vllm_config, req_states):
        del vllm_config, req_states

    @classmethod
    def validate_params(cls, sampling_params):
        return None

    def add_request(self, req_idx, sampling_params):
        return True

    def apply_staged_writes(self):
        return None

    @abstractmethod
    def apply(self, logits, ctx): ...


HOMES = {"vllm.v1.sample.logits_processor": V1, "vllm.v1.worker.gpu.sample.logits_processor": V2}


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch):
    """Modules of vLLM's names, for one test; the adapters are made anew from them."""
    for name, base in HOMES.items():
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:length]), types.ModuleType(".".join(parts[:length])))
        sys.modules[name].LogitsProcessor = base
    yield
    for name in ("BregmanLogitsProcessorV1", "BregmanLogitsProcessorV2"):
        vars(ours).pop(name, None)


def v1(*requests):
    """A V1 adapter whose slots hold these requests."""
    adapter = ours.BregmanLogitsProcessorV1(None, torch.device("cpu"), False)
    added = [(slot, request, [1, 2], []) for slot, request in enumerate(requests)]
    adapter.update_state(BatchUpdate(len(requests), added=added))
    return adapter


def bregman(**options):
    temperature = options.pop("temperature", 1.0)
    return SamplingParams({f"bregman_{name}": value for name, value in options.items()}, temperature)


def expected_rows(logits, **options):
    return to_dense(*bregman_project(logits, **options), V)


PLAIN = SamplingParams()


def test_the_classes_satisfy_the_loaders():
    """The loaders look a class up by `module:name` and demand a concrete subclass of their own; workers unpickle it."""
    import pickle

    for name, base in (("BregmanLogitsProcessorV1", V1), ("BregmanLogitsProcessorV2", V2)):
        made = getattr(importlib.import_module("argrad.integrations.vllm"), name)
        assert issubclass(made, base)
        assert not made.__abstractmethods__
        assert pickle.loads(pickle.dumps(made)) is made
        assert "vLLM" in made.__doc__
    assert not issubclass(ours.BregmanLogitsProcessorV1, V2)


def test_each_row_has_its_own_rule(rng):
    logits = torch.from_numpy(rng.normal(size=(5, V)) * 3).float()
    truncated = SamplingParams({"truncate_top_n_sigma": 1.0, "truncate_typical_p": 0.9})
    adapter = v1(bregman(penalty=0.1), PLAIN, bregman(k=3, alpha=2.0), bregman(penalty=0.1), truncated)
    out = adapter.apply(logits.clone())
    assert torch.equal(out[1], logits[1])
    torch.testing.assert_close(out[[0, 3]].exp(), expected_rows(logits[[0, 3]], penalty=0.1))
    torch.testing.assert_close(out[2:3].exp(), expected_rows(logits[2:3], k=3, alpha=2.0))
    torch.testing.assert_close(out[4:].exp(), to_dense(*truncate(logits[4:], top_n_sigma=1.0, typical_p=0.9), V))
    assert torch.equal(out.argmax(-1), logits.argmax(-1))
    assert adapter.is_argmax_invariant()


def test_without_a_request_nothing_is_touched(rng):
    logits = torch.from_numpy(rng.normal(size=(2, V))).float()
    assert v1(PLAIN, SamplingParams({"another": 3})).apply(logits) is logits
    adapter = v1()
    adapter.update_state(None)
    assert adapter.apply(logits) is logits


def slots(adapter):
    return {slot: rule.k for slot, rule in adapter.rules.items()}


def test_the_batch_is_followed():
    adapter = v1(bregman(k=1), bregman(k=2), PLAIN, bregman(k=4))
    assert slots(adapter) == {0: 1, 1: 2, 3: 4}
    adapter.update_state(BatchUpdate(4, moved=[(0, 1, Move.SWAP), (1, 2, Move.SWAP)]))
    assert slots(adapter) == {0: 2, 2: 1, 3: 4}
    adapter.update_state(BatchUpdate(3, removed=[0], moved=[(3, 0, Move.UNIDIRECTIONAL)]))
    assert slots(adapter) == {0: 4, 2: 1}
    # Removed, then added, then moved: a slot that is freed, filled and moved in one update.
    adapter.update_state(
        BatchUpdate(
            3,
            removed=[2, 0],
            added=[(2, bregman(k=7), [], []), (0, PLAIN, [], [])],
            moved=[(2, 1, Move.UNIDIRECTIONAL)],
        )
    )
    assert slots(adapter) == {1: 7}
    adapter.update_state(BatchUpdate(3, added=[(1, PLAIN, [], [])]))  # replaces what was there
    assert slots(adapter) == {}
    adapter = v1(bregman(k=1), bregman(k=2))
    adapter.update_state(BatchUpdate(1, moved=[(1, 0, Move.UNIDIRECTIONAL)]))
    assert slots(adapter) == {0: 2}
    adapter = v1(bregman(k=1), PLAIN)
    adapter.update_state(BatchUpdate(1, moved=[(1, 0, Move.UNIDIRECTIONAL)]))  # a request without a rule replaces one
    assert slots(adapter) == {}


def test_v2_hands_back_what_the_temperature_turns_into_q(rng):
    """V2 applies the temperature after the adapter, whose rule has to see the tempered distribution."""
    logits = torch.from_numpy(rng.normal(size=(5, V)) * 3).float()
    adapter = ours.BregmanLogitsProcessorV2(None, RequestState())
    requests = {3: bregman(penalty=0.05, temperature=1.7), 5: PLAIN, 0: bregman(penalty=0.05, temperature=0.6)}
    assert [adapter.add_request(slot, request) for slot, request in requests.items()] == [True, False, True]
    adapter.apply_staged_writes()
    rows = [5, 3, 3, 0, 3]  # rows are not requests: slot 3 has drafts
    out = adapter.apply(logits.clone(), LogitsContext(torch.tensor(rows)))
    for row, slot in enumerate(rows):
        temperature = requests[slot].temperature
        if slot == 5:
            assert torch.equal(out[row], logits[row])
            continue
        q = expected_rows(logits[row : row + 1], penalty=0.05, temperature=temperature)
        torch.testing.assert_close((out[row : row + 1] / temperature).softmax(-1), q, rtol=1e-5, atol=1e-7)
    adapter.add_request(3, PLAIN)  # a new request in the slot
    out = adapter.apply(logits.clone(), LogitsContext(torch.tensor([3, 5])))
    assert torch.equal(out, logits)


def test_greedy_requests_are_left_alone(rng):
    logits = torch.from_numpy(rng.normal(size=(1, V))).float()
    assert torch.equal(v1(bregman(k=1, temperature=0.0)).apply(logits.clone()), logits)
    adapter = ours.BregmanLogitsProcessorV2(None, RequestState())
    assert not adapter.add_request(0, bregman(k=1, temperature=1e-6))
    assert torch.equal(adapter.apply(logits.clone(), LogitsContext(torch.tensor([0]))), logits)


@pytest.mark.parametrize("with_temperature", [False, True])
def test_bad_rows_are_left_and_reported(rng, caplog, with_temperature):
    logits = torch.from_numpy(rng.normal(size=(6, V))).float()
    logits[1, 3], logits[2, 7], logits[4] = float("nan"), INFINITY, -INFINITY
    logits[5, 5:] = -INFINITY  # a mask is no fault
    before = logits.clone()
    rule = ours.rule_of({"bregman_penalty": 0.1})
    with caplog.at_level(logging.WARNING):
        out = ours.apply_rules(logits, [rule] * 6, [0.5, 1.0, 2.0, 0.7, 1.0, 1.5] if with_temperature else None)
    torch.testing.assert_close(out[[1, 2, 4]], before[[1, 2, 4]], rtol=0, atol=0, equal_nan=True)
    assert "[1, 2, 4]" in caplog.text
    for row, asked in ((0, 0.5), (3, 0.7), (5, 1.5)):
        temperature = asked if with_temperature else 1.0
        q = expected_rows(before[row : row + 1], penalty=0.1, temperature=temperature)
        torch.testing.assert_close((out[row : row + 1] / temperature).exp(), q, rtol=1e-5, atol=1e-7)
    every = torch.full((2, V), float("nan"))
    assert ours.apply_rules(every, [rule] * 2).isnan().all()


@pytest.mark.parametrize(
    "extra",
    [
        {"bregman_penalty": -1.0},
        {"bregman_penalty": 0.1, "bregman_k": 3},
        {"bregman_alpha": 2.0},
        {"bregman_penalty": "much"},
        {"bregman_nothing": 1},
        {"truncate_top_p": 2.0},
        {"truncate_nothing": 2.0},
        {"bregman_k": 3, "truncate_top_p": 0.9},
    ],
)
def test_a_wrong_request_is_refused_at_admission_and_never_in_the_loop(extra, caplog):
    request = SamplingParams(extra)
    for adapter in (ours.BregmanLogitsProcessorV1, ours.BregmanLogitsProcessorV2):
        with pytest.raises(ValueError, match=r".+"):
            adapter.validate_params(request)
        assert adapter.validate_params(bregman(penalty=0.1)) is None
        assert adapter.validate_params(PLAIN) is None
    assert v1(request).rules == {}
    assert "left as it is" in caplog.text
    assert not ours.BregmanLogitsProcessorV2(None, RequestState()).add_request(0, request)


def test_a_device_is_refused_where_the_engine_starts():
    with pytest.raises(
        RuntimeError, match=r"BregmanLogitsProcessorV1: the model must run on a CPU or .* GPU, got xpu:0"
    ):
        ours.BregmanLogitsProcessorV1(None, torch.device("xpu:0"), False)
    with pytest.raises(RuntimeError, match="got tpu"):
        ours.BregmanLogitsProcessorV2(None, RequestState("tpu"))


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm.v1.sample.logits_processor", None)
    with pytest.raises(ImportError, match="BregmanLogitsProcessorV1 needs a vLLM that has"):
        _ = ours.BregmanLogitsProcessorV1
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = ours.Nothing
    assert {"BregmanLogitsProcessorV1", "apply_rules"} <= set(dir(ours))
