"""Draws inside `generate()` of transformers: what they depend on, the loop around them, and a model trained here."""

import functools
import itertools

import pytest
import torch
import transformers
from scipy import stats
from transformers import LogitsProcessorList, set_seed
from transformers.generation import logits_process, stopping_criteria

from argrad.decoding import bregman_decode, sample, truncate
from argrad.integrations import transformers as ours
from language_models import (
    END,
    INFINITY,
    PAD,
    V,
    kept,
    new_tokens,
    random_scores,
    scores_of,
    small_model,
    three_prompts,
)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture
def prompts():
    return three_prompts()


# Draws: where they come from, and what they do not depend on.


def test_the_sampler_draws_what_the_operators_draw(rng):
    scores = random_scores(rng)
    ids = torch.randint(3, V, (6, 9))
    ids[2, :4] = PAD
    step, row = torch.tensor([9, 9, 5, 9, 9, 9]), [4, 8, 1, 0, 77, 2]
    found = ours.BregmanSampler(penalty=0.01, seed=3, row=row, pad_token_id=PAD)(ids, scores)
    token, _, _ = bregman_decode(scores, penalty=0.01, seed=3, row=torch.tensor(row), step=step)
    assert torch.equal(found.argmax(-1), token)
    assert ((found == 0).sum(-1) == 1).all()
    assert (kept(found).sum(-1) == 1).all()
    found = ours.TruncationSampler(top_p=0.9, seed=3, row=row, pad_token_id=PAD)(ids, scores)
    token, _ = sample(*truncate(scores, top_p=0.9), seed=3, row=torch.tensor(row), step=step)
    assert torch.equal(found.argmax(-1), token)


SAMPLERS = {
    "bregman": (ours.bregman_generate, ours.BregmanSampler, {"penalty": 0.002, "alpha": 1.5}, {}),
    "truncated": (ours.truncated_generate, ours.TruncationSampler, {}, {"top_k": 50, "top_p": 0.95}),
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_sampler_and_custom_generate_draw_the_same_tokens(model, prompts, kind):
    callable_, sampler, options, rules = SAMPLERS[kind]
    first = model.generate(
        **prompts, custom_generate=callable_, do_sample=bool(rules), seed=7, max_new_tokens=20, **options, **rules
    )
    processor = sampler(seed=7, pad_token_id=PAD, **options, **rules)
    second = model.generate(**prompts, logits_processor=[processor], do_sample=False, max_new_tokens=20)
    assert torch.equal(first, second)
    assert len(new_tokens(first, prompts).unique()) > 10


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_row_does_not_depend_on_its_companions(model, prompts, kind):
    callable_, _, options, rules = SAMPLERS[kind]
    draw = functools.partial(
        model.generate, custom_generate=callable_, do_sample=bool(rules), max_new_tokens=15, **options, **rules
    )
    together = new_tokens(draw(**prompts, seed=7), prompts)
    order = [2, 0, 1]
    shuffled = draw(**{name: value[order] for name, value in prompts.items()}, seed=7, row=order)
    for place, row in enumerate(order):
        mask = prompts["attention_mask"][row].bool()
        alone = draw(prompts["input_ids"][row : row + 1, mask], seed=7, row=[row])[0, mask.sum() :]
        width = len(alone)  # rows that end early are padded in a batch
        assert torch.equal(alone, together[row, :width])
        assert torch.equal(alone, shuffled[place, 5 : 5 + width])
    assert not torch.equal(draw(**prompts, seed=8), draw(**prompts, seed=7))


def test_rows_of_one_prompt_differ(model, prompts):
    out = model.generate(
        **prompts,
        custom_generate=ours.bregman_generate,
        penalty=0.0,
        seed=7,
        num_return_sequences=4,
        max_new_tokens=8,
        do_sample=True,
    )
    assert out.shape[0] == 12
    assert len(out.unique(dim=0)) == 12


def test_generating_on_is_one_longer_call(model, prompts):
    ids = prompts["input_ids"][1:2]
    draw = functools.partial(model.generate, custom_generate=ours.bregman_generate, penalty=0.001, seed=11)
    whole = draw(ids, max_new_tokens=12)
    assert torch.equal(draw(draw(ids, max_new_tokens=5), max_new_tokens=7), whole)


def test_the_global_seed_of_torch_reaches_draws_without_a_seed(model, prompts):
    def run(value):
        set_seed(value)
        generated = model.generate(**prompts, custom_generate=ours.bregman_generate, penalty=0.001, max_new_tokens=9)
        sampler = ours.BregmanSampler(penalty=0.001)
        return generated, model.generate(**prompts, logits_processor=[sampler], do_sample=False, max_new_tokens=9)

    for first, again, other in zip(run(1), run(1), run(2), strict=True):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_the_law_is_that_of_the_library(model, prompts):
    """The first token of 40,000 rows: chi-square against the distribution from which the library draws."""
    n, options = 40_000, {"temperature": 1.4, "top_k": 30, "top_p": 0.9, "min_p": 0.01}
    one = {name: value[1:2] for name, value in prompts.items()}
    q = scores_of(model, one, **options)[0].softmax(-1).double()
    out = model.generate(
        **one,
        do_sample=True,
        custom_generate=ours.truncated_generate,
        seed=0,
        num_return_sequences=n,
        max_new_tokens=1,
        **options,
    )
    counts = torch.bincount(out[:, -1], minlength=V)
    assert counts[q == 0].sum() == 0
    expected = (q * n)[q > 0]
    assert len(expected) > 5
    big = expected >= 10
    observed = counts[q > 0]
    cells = (
        torch.cat([observed[big], observed[~big].sum()[None]]),
        torch.cat([expected[big], expected[~big].sum()[None]]),
    )
    cells = [cell[cells[1] > 0].numpy() for cell in cells]
    assert stats.chisquare(*cells, sum_check=False).pvalue > 1e-4
    wrong = torch.where(q > 0, 1.0, 0.0) / (q > 0).sum() * n  # a law with the right support is rejected
    assert stats.chisquare(observed.numpy(), wrong[q > 0].numpy(), sum_check=False).pvalue < 1e-6


# The loop.


def test_rows_end_and_are_padded(model, prompts):
    out = model.generate(
        **prompts, custom_generate=ours.bregman_generate, penalty=0.0, temperature=3.0, seed=1, max_new_tokens=110
    )
    tokens = new_tokens(out, prompts)
    ends = [row.tolist().index(END) for row in tokens if END in row]
    assert ends  # some row ended
    for row in tokens:
        if END in row:
            assert (row[row.tolist().index(END) + 1 :] == PAD).all()


def test_lengths_criteria_and_processors_of_the_caller_hold(model, prompts):
    draw = functools.partial(model.generate, **prompts, custom_generate=ours.bregman_generate, penalty=0.0, seed=1)
    assert new_tokens(draw(max_new_tokens=3), prompts).shape[1] == 3

    class Stop(stopping_criteria.StoppingCriteria):
        def __call__(self, input_ids, scores, **_):
            return torch.full((len(input_ids),), input_ids.shape[1] >= 9)

    assert draw(max_new_tokens=30, stopping_criteria=[Stop()]).shape[1] == 9
    banned = list(range(10, V))
    assert new_tokens(draw(max_new_tokens=30, suppress_tokens=banned), prompts).max() < 10
    long = draw(max_new_tokens=60, min_new_tokens=60, temperature=3.0)
    assert not (new_tokens(long, prompts) == END).any()


def test_without_a_cache_the_tokens_are_the_same(model, prompts):
    draw = functools.partial(
        model.generate, **prompts, custom_generate=ours.bregman_generate, penalty=0.001, seed=1, max_new_tokens=9
    )
    assert torch.equal(draw(use_cache=False), draw())
    assert torch.equal(draw(prefill_chunk_size=2), draw())
    assert torch.equal(draw(cache_implementation="static"), draw())


def test_the_output_has_what_was_asked_for(model, prompts):
    out = model.generate(
        **prompts,
        custom_generate=ours.bregman_generate,
        penalty=0.001,
        seed=1,
        max_new_tokens=4,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
    )
    assert isinstance(out, transformers.generation.GenerateDecoderOnlyOutput)
    assert out.past_key_values.get_seq_length() == 5 + 3
    for step in range(4):
        assert out.logits[step].shape == (3, V)
        expected = ours.BregmanLogitsProcessor(penalty=0.001)(None, out.logits[step])
        torch.testing.assert_close(out.scores[step], expected)
        token = out.sequences[:, 5 + step]
        assert (out.scores[step].gather(1, token[:, None]) > -INFINITY).all()


def test_a_streamer_sees_prompt_and_tokens(model, prompts):
    class Collect(transformers.generation.streamers.BaseStreamer):
        def __init__(self):
            self.seen, self.ended = [], False

        def put(self, value):
            self.seen.append(value.reshape(-1))

        def end(self):
            self.ended = True

    streamer = Collect()
    callable_ = functools.partial(ours.bregman_generate, streamer=streamer)
    out = model.generate(
        prompts["input_ids"][1:2], custom_generate=callable_, streamer=streamer, penalty=0.01, seed=1, max_new_tokens=6
    )
    assert torch.equal(torch.cat(streamer.seen), out[0])
    assert streamer.ended


def test_an_encoder_decoder_generates(prompts):
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=V, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, decoder_start_token_id=PAD
    )
    model = transformers.T5ForConditionalGeneration(config).double().eval()
    options = {"penalty": 0.001, "seed": 3}
    first = model.generate(**prompts, custom_generate=ours.bregman_generate, max_new_tokens=8, **options)
    sampler = ours.BregmanSampler(**options)
    assert torch.equal(first, model.generate(**prompts, logits_processor=[sampler], max_new_tokens=8, do_sample=False))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_models_of_less_precision(prompts, dtype):
    model = small_model().to(dtype)
    draw = functools.partial(model.generate, **prompts, penalty=0.001, seed=2, max_new_tokens=8)
    first = draw(custom_generate=ours.bregman_generate)
    assert torch.equal(first, draw(custom_generate=ours.bregman_generate))
    sampler = ours.BregmanSampler(penalty=0.001, seed=2, pad_token_id=PAD)
    assert torch.equal(first, model.generate(**prompts, logits_processor=[sampler], do_sample=False, max_new_tokens=8))


# Which of the library's own settings count.


def test_the_librarys_own_warpers_are_replaced_and_the_callers_are_kept(model, prompts):
    """The options of `generate` become rules; a warper that the caller put into the list stays."""
    one = {name: value[1:2] for name, value in prompts.items()}
    draw = functools.partial(model.generate, **one, do_sample=True, seed=0, num_return_sequences=500, max_new_tokens=1)
    theirs = LogitsProcessorList([logits_process.TopKLogitsWarper(3)])
    for more in ({}, {"top_k": 0}, {"top_k": 40}):
        out = draw(custom_generate=ours.truncated_generate, temperature=5.0, logits_processor=theirs, **more)
        assert len(out[:, -1].unique()) == 3
    for callable_, options in ((ours.truncated_generate, {}), (ours.bregman_generate, {"penalty": 0.0})):
        wide = draw(custom_generate=callable_, temperature=50.0, **options)[:, -1].unique()
        assert len(wide) == (50 if callable_ is ours.truncated_generate else V) or len(wide) > 85


def test_the_models_own_configuration_counts_once(prompts):
    model = small_model()
    model.generation_config.update(temperature=0.3, top_p=0.5, do_sample=True)
    options = {"seed": 2, "max_new_tokens": 9}
    preset = model.generate(**prompts, custom_generate=ours.bregman_generate, penalty=0.01, **options)
    plain = small_model()
    explicit = plain.generate(
        **prompts, custom_generate=ours.bregman_generate, penalty=0.01, temperature=0.3, **options
    )
    assert torch.equal(preset, explicit)
    preset = model.generate(**prompts, custom_generate=ours.truncated_generate, **options)
    explicit = plain.generate(
        **prompts, custom_generate=ours.truncated_generate, temperature=0.3, top_p=0.5, do_sample=True, **options
    )
    assert torch.equal(preset, explicit)


# Errors.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": 0.1, "k": 3}, "penalty and k|penalty or k"),
        ({}, "penalty and k|penalty or k"),
        ({"penalty": -1.0}, "penalty must be"),
        ({"k": 0}, "k must be"),
        ({"penalty": 0.1, "temperature": -1.0}, "temperature must be"),
        ({"penalty": 0.1, "alpha": -0.5}, "alpha must be"),
    ],
)
def test_parameters_are_checked_where_they_are_given(model, prompts, options, message):
    with pytest.raises(ValueError, match=message):
        ours.BregmanLogitsProcessor(**options)
    with pytest.raises(ValueError, match=message):
        ours.BregmanSampler(**options)
    with pytest.raises(ValueError, match=message):
        model.generate(**prompts, custom_generate=ours.bregman_generate, max_new_tokens=2, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 2}, "bregman_generate: num_beams must be 1, got 2"),
        ({"output_attentions": True}, "bregman_generate: output_attentions must be False, got True"),
        ({"output_hidden_states": True}, "bregman_generate: output_hidden_states must be False, got True"),
        ({"do_sample": True, "top_p": 0.5}, "bregman_generate: top_p must not be set, got 0.5; truncated_generate"),
        ({"do_sample": True, "top_k": 20}, "bregman_generate: top_k must not be set, got 20"),
        ({"row": [1.5, 2.0, 3.0]}, "bregman_generate: row must be"),
    ],
)
def test_what_the_loop_lacks_is_refused(model, prompts, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        model.generate(
            **prompts,
            custom_generate=ours.bregman_generate,
            penalty=0.1,
            return_dict_in_generate=True,
            max_new_tokens=2,
            **options,
        )


# A model that has learnt something.

ALPHABET = "0123456789+=;"


def encode(text):
    return [3 + ALPHABET.index(letter) for letter in text]


@pytest.fixture(scope="module")
def sums():
    """A model that writes totals up to 18 as sums of two digits: `9=4+5;`, trained for a few seconds."""
    examples = [encode(f"{a + b:02d}={a}+{b};") for a, b in itertools.product(range(10), repeat=2)]
    data = torch.tensor(examples)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    end = 3 + ALPHABET.index(";")
    model = small_model(v=16, initializer_range=0.02, hidden_size=48, intermediate_size=96, eos_token_id=end).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(300):
        logits = model(data).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), data[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return model.eval()


def write_sums(model, repeats, **options):
    """The share of right sums, and how many different ones, over all totals."""
    prompts = torch.tensor([encode(f"{total:02d}=") for total in range(19)]).repeat_interleave(repeats, 0)
    out = model.generate(prompts, max_new_tokens=4, **options)[:, 3:].tolist()
    totals = torch.arange(19).repeat_interleave(repeats).tolist()
    letters = [
        ["".join(ALPHABET[token - 3] if token >= 3 else "" for token in row), total]
        for row, total in zip(out, totals, strict=True)
    ]
    right = [(text, total) for text, total in letters if text in {f"{a}+{total - a};" for a in range(10)}]
    return len(right) / len(letters), len(set(right))


def test_the_trained_model_writes_right_and_different_sums(sums):
    right, different = write_sums(sums, 1, custom_generate=ours.bregman_generate, k=1)
    assert right > 0.9
    hot, _ = write_sums(sums, 30, do_sample=True, temperature=2.0, top_k=0)  # the library's own draw
    options = {"custom_generate": ours.bregman_generate, "penalty": 0.1, "temperature": 2.0}
    right, different = write_sums(sums, 30, seed=0, **options)
    assert right > hot + 0.1  # the rule cuts the tail that the temperature lifts
    assert different > 60  # and is far from greedy: 19 totals have 100 sums
    assert write_sums(sums, 30, seed=0, **options) == (right, different)


def test_one_token_is_greedy_search(sums):
    prompts = torch.tensor([encode(f"{total:02d}=") for total in range(19)])
    greedy = sums.generate(prompts, do_sample=False, max_new_tokens=4)
    assert torch.equal(sums.generate(prompts, custom_generate=ours.bregman_generate, k=1, max_new_tokens=4), greedy)
