"""Generation by a model on a device: the tokens of the host."""

import pytest
import torch

from argrad.integrations import transformers as ours
from argrad.integrations import vllm
from language_models import small_model, three_prompts


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (ours.bregman_generate, {"alpha": 1.5, "penalty": 0.01}),
        (ours.truncated_generate, {"do_sample": True, "top_p": 0.9, "top_k": 0}),
    ],
)
def test_the_loop_draws_the_tokens_of_the_host(device, model, function, options):
    settings = {"seed": torch.tensor([5, 6, 7]), "row": [3, 1, 4], "max_new_tokens": 6, **options}
    wanted = model.generate(**three_prompts(), custom_generate=function, **settings)
    with device():
        found = model.generate(**three_prompts(), custom_generate=function, **settings)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    "made",
    [
        lambda: ours.BregmanSampler(penalty=0.01, seed=3, row=[2, 0, 1]),
        lambda: ours.BregmanLogitsProcessor(alpha=2.0, k=5),
        lambda: ours.TopPLogitsWarper(0.8, min_tokens_to_keep=2),
    ],
)
def test_processors_give_the_scores_of_the_host(device, rng, made):
    ids, scores = torch.ones(3, 4, dtype=torch.int64), torch.from_numpy(rng.normal(size=(3, 50)) * 3)
    wanted = made()(ids, scores.clone())
    with device():
        found = made()(ids, scores.clone())
    torch.testing.assert_close(found, wanted)


def test_rules_of_requests(device, rng):
    rules = [vllm.rule_of(extra) for extra in ({"bregman_k": 4}, None, {"truncate_top_p": 0.5}, {"bregman_k": 4})]
    logits = torch.from_numpy(rng.normal(size=(4, 50)))
    logits[3, 7] = torch.nan
    for temperature in (None, [0.5, 1.0, 2.0, 1.0]):
        wanted = vllm.apply_rules(logits.clone(), rules, temperature)
        with device():
            found = vllm.apply_rules(logits.clone(), rules, temperature)
        torch.testing.assert_close(found, wanted, equal_nan=True)
