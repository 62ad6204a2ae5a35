"""Processors and warpers for transformers beside those of the library, and the traps of `generate`."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList
from transformers.generation import logits_process

from argrad.decoding import bregman_project, to_dense, truncate
from argrad.integrations import transformers as ours
from language_models import V, kept, random_scores, scores_of, small_model, three_prompts


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture
def prompts():
    return three_prompts()


# Processors and warpers.


@pytest.mark.parametrize(
    "options",
    [
        {"penalty": 0.05},
        {"penalty": 0.01, "alpha": 1.5, "temperature": 0.7},
        {"penalty": 0.01, "alpha": 2.0, "dual": True},
        {"k": 7, "alpha": 3.0},
        {"penalty": 0.0},
        {"penalty": 0.02, "max_k": 4},
    ],
)
def test_the_processor_returns_log_q(rng, options):
    scores = random_scores(rng)
    found = ours.BregmanLogitsProcessor(**options)(None, scores)
    expected = to_dense(*bregman_project(scores, **options), scores.shape[1])
    assert found.dtype == scores.dtype
    torch.testing.assert_close(found.exp(), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(len(scores), dtype=torch.float64), rtol=1e-12, atol=0)


def test_the_warper_returns_log_q(rng):
    scores = random_scores(rng)
    options = {"temperature": 1.3, "top_k": 20, "min_p": 0.02, "typical_p": 0.95}
    found = ours.TruncationLogitsWarper(**options)(None, scores)
    expected = to_dense(*truncate(scores, **options), scores.shape[1])
    torch.testing.assert_close(found.exp(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("TopKLogitsWarper", (5,)),
        ("TopPLogitsWarper", (0.8,)),
        ("MinPLogitsWarper", (0.05,)),
        ("TypicalLogitsWarper", (0.7,)),
        ("EpsilonLogitsWarper", (0.01,)),
        ("EtaLogitsWarper", (0.02,)),
    ],
)
def test_single_rules_are_drop_in(rng, name, arguments):
    scores = random_scores(rng, b=40)
    for more in ({"filter_value": -1e4}, {"min_tokens_to_keep": 3}, {}):
        if name == "TypicalLogitsWarper" and "min_tokens_to_keep" in more:
            continue  # the library keeps the most typical ones, we the most probable ones
        theirs = getattr(logits_process, name)(*arguments, **more)(None, scores)
        assert torch.equal(getattr(ours, name)(*arguments, **more)(None, scores), theirs), more
    assert 40 < kept(theirs).sum() < scores.numel()  # the rule cuts something, and not all


def test_rules_that_the_library_lacks(rng):
    scores = random_scores(rng)
    for warper, options in (
        (ours.TopNSigmaLogitsWarper(1.0), {"top_n_sigma": 1.0}),
        (ours.PLessLogitsWarper(), {"p_less": True}),
        (ours.TopHLogitsWarper(0.6), {"top_h": 0.6}),
    ):
        expected = to_dense(*truncate(scores, **options), scores.shape[1]) > 0
        assert torch.equal(kept(warper(None, scores)), expected)


def library_processors(model, **options):
    """The list that `generate` makes from its options, the user's own processors included."""
    given = options.pop("logits_processor", [])
    config, _ = model._prepare_generation_config(None, **options)
    model._prepare_special_tokens(config, device="cpu")
    return model._get_logits_processor(config, input_ids_seq_length=1, logits_processor=LogitsProcessorList(given))


@pytest.mark.parametrize("seed", range(6))
def test_all_rules_at_once_are_the_chain_of_the_library(model, seed):
    rng = np.random.default_rng(seed)
    scores = random_scores(rng, b=20)
    pairs = {
        "temperature": ("temperature", rng.uniform(0.6, 1.6)),
        "top_k": ("top_k", int(rng.integers(2, 40))),
        "top_p": ("top_p", rng.uniform(0.5, 0.99)),
        "min_p": ("min_p", rng.uniform(0.001, 0.1)),
        "typical_p": ("typical_p", rng.uniform(0.5, 0.99)),
        "epsilon_cutoff": ("epsilon", rng.uniform(1e-4, 0.02)),
        "eta_cutoff": ("eta", rng.uniform(1e-4, 0.02)),
    }
    chosen = {name: pair for name, pair in pairs.items() if rng.random() < 0.6}
    chain = library_processors(
        model, do_sample=True, **{"top_k": 0} | {n: float(p[1]) if n != "top_k" else p[1] for n, p in chosen.items()}
    )
    theirs = chain(torch.zeros(20, 1, dtype=torch.int64), scores)
    found = ours.TruncationLogitsWarper(**dict(chosen.values()))(None, scores)
    assert torch.equal(kept(found), kept(theirs)), chosen
    torch.testing.assert_close(found.softmax(-1), theirs.softmax(-1), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("least", [1, 2, 5])
def test_rows_keep_as_many_tokens_as_beams_need(rng, least):
    scores = random_scores(rng, b=30)
    for make in (
        functools.partial(ours.BregmanLogitsProcessor, penalty=0.3),
        functools.partial(ours.BregmanLogitsProcessor, penalty=0.05, alpha=1.5, max_k=1),
        functools.partial(ours.TruncationLogitsWarper, top_p=0.3),
    ):
        few = kept(make()(None, scores))
        many = kept(make(min_tokens_to_keep=least)(None, scores))
        assert torch.equal(many.sum(-1), few.sum(-1).clamp_min(least))
        assert (many | ~few).all()
    assert few.sum(-1).min() == 1  # without the argument, a beam would be left with one token


# The traps of `generate`.


def test_trap_the_default_top_k_cuts_silently(model, prompts):
    flat = ours.BregmanLogitsProcessor(penalty=0.0, temperature=100.0)
    assert (kept(scores_of(model, prompts, logits_processor=[flat])).sum(-1) == 50).all()
    assert (kept(scores_of(model, prompts, logits_processor=[flat], top_k=0)).sum(-1) == V).all()


def test_trap_a_second_temperature_bends_q(model, prompts):
    processor = ours.BregmanLogitsProcessor(penalty=0.001, temperature=2.0)
    right = scores_of(model, prompts, logits_processor=[processor], top_k=0, temperature=1.0)
    bent = scores_of(model, prompts, logits_processor=[processor], top_k=0, temperature=2.0)
    torch.testing.assert_close(right.exp().sum(-1), torch.ones(3))
    assert (bent.softmax(-1) - right.exp()).abs().sum(-1).min() > 0.1


def test_trap_beams_need_two_tokens(model, prompts):
    options = {"num_beams": 3, "max_new_tokens": 6, "top_k": 0, "do_sample": False}
    alone = ours.BregmanLogitsProcessor(k=1)
    both = ours.BregmanLogitsProcessor(k=1, min_tokens_to_keep=2)
    output = functools.partial(model.generate, **prompts, **options, return_dict_in_generate=True, output_scores=True)
    # With one token in each row there is one sequence; the library gives the other beams a score of -1e9 per token.
    assert (output(logits_processor=[alone], num_return_sequences=3).sequences_scores < -1e6).sum() == 6
    assert (output(logits_processor=[both], num_return_sequences=3).sequences_scores > -1e3).all()


def test_the_other_ways_have_no_traps(model, prompts):
    """1000 tokens at a high temperature: far more than 50 different ones, from both."""
    many = {name: value[1:2].repeat(1000, 1) for name, value in prompts.items()}
    options = {"penalty": 0.0, "temperature": 100.0, "seed": 0}
    drawn = model.generate(**many, custom_generate=ours.bregman_generate, **options, max_new_tokens=1)[:, -1]
    assert len(drawn.unique()) > 90
    sampler = ours.BregmanSampler(**options)
    assert torch.equal(
        model.generate(**many, logits_processor=[sampler], do_sample=False, max_new_tokens=1)[:, -1], drawn
    )


def test_a_missing_library_is_named():
    source = (
        "import sys; sys.modules['transformers'] = None\n"
        "try:\n    import argrad.integrations.transformers\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install argrad[transformers]" in done.stdout


def test_continuous_batching_is_claimed_for_processors_only():
    assert ours.BregmanLogitsProcessor(k=1).supports_continuous_batching
    assert ours.TopKLogitsWarper(3).supports_continuous_batching
    assert not ours.BregmanSampler(k=1).supports_continuous_batching  # it reads the length of the row


def test_other_refusals(model, prompts):
    with pytest.raises(ValueError, match="truncated_generate: do_sample must be True, got False"):
        model.generate(**prompts, custom_generate=ours.truncated_generate, max_new_tokens=2)
    with pytest.raises(ValueError, match="min_tokens_to_keep must be"):
        ours.BregmanLogitsProcessor(penalty=0.1, min_tokens_to_keep=0)
    with pytest.raises(TypeError):
        ours.TruncationLogitsWarper(no_such_rule=0.5)
    with pytest.raises(ValueError, match="top_p must be"):
        ours.TopPLogitsWarper(1.5)
    scores = torch.zeros(3, V)
    scores[1] = float("nan")
    with pytest.raises(ValueError, match="row 1"):
        ours.BregmanLogitsProcessor(penalty=0.1)(None, scores)
