"""truncate and truncated_decode as torch operators, and beside the processors of transformers."""

import numpy as np
import pytest
import torch

import processes
import torch_checks
from argrad.decoding import to_dense, truncate, truncated_decode
from test_decoding_truncate import NUMBERS

NONE = (None,) * 9


def draw(size, seed):
    generator = torch.Generator().manual_seed(seed + 1)
    return (torch.randn((3, size), dtype=torch.float64, generator=generator),)


def row(name, options, rules, width):
    def arguments(inputs):
        (x,) = inputs
        given = [None if number is None else torch.full((3,), number, dtype=torch.float64) for number in rules]
        temperature = torch.full((3,), options.get("temperature", 1.0), dtype=torch.float64)
        order = ",".join([key for key in options if key not in ("temperature", "max_k")])
        return (x, temperature, *given, order, options.get("max_k"), width)

    return torch_checks.Row(
        name=name,
        call=lambda x: truncate(x, **options)[1],
        inputs=draw,
        differentiable=(0,),
        raw=lambda: torch.ops.argrad.truncate.default,
        arguments=arguments,
    )


ROWS = [
    row("top_k", {"top_k": 4, "temperature": 0.7}, (None, 4.0, *NONE[2:]), 4),
    row("typical", {"typical_p": 0.9, "max_k": 5}, (*NONE[:4], 0.9, *NONE[5:]), 5),
]


@pytest.mark.parametrize("check", torch_checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_torch(row, check):
    # to_dense is of torch, in its own precision
    if row.name == "typical" and check not in (torch_checks.raw_operator_is_sound, torch_checks.half_precision):
        row = torch_checks.Row(**{**vars(row), "call": lambda x: to_dense(*truncate(x, typical_p=0.9), x.shape[-1])})
    check(row)


def test_gradients_are_those_of_a_softmax_over_what_is_kept():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 500)) * 2).requires_grad_()
    g = torch.from_numpy(np.random.default_rng(1).standard_normal((4, 500)))
    for rules in ({"top_p": 0.8}, {"typical_p": 0.5}, {"min_p": 0.05, "temperature": 0.6}):
        indices, values, size = truncate(x, **rules)
        (found,) = torch.autograd.grad((to_dense(indices, values, size, 500) * g).sum(), x)
        kept = to_dense(indices, values.detach(), size, 500) > 0
        q = (x / rules.get("temperature", 1.0)).masked_fill(~kept, -np.inf).softmax(-1)
        (expected,) = torch.autograd.grad((q * g).sum(), x)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    indices, values, _ = truncate(x, temperature=0.0)
    assert torch.autograd.grad(values.sum(), x)[0].abs().max() == 0
    temperature = torch.tensor([0.0, 1.0, 0.5, 0.0], dtype=torch.float64)
    kept = truncate(x, temperature=temperature, top_k=9)[1]
    (found,) = torch.autograd.grad(kept.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(found.square().sum(), x)
    for gradient in (found, second):
        assert torch.isfinite(gradient).all()
        assert (gradient[[0, 3]] == 0).all()
    assert (found[1] != 0).sum() == 9


def test_the_first_call_of_a_process_is_as_the_others():
    program = """
        import torch
        from argrad.decoding import truncate

        for _ in range(2):
            print([tuple(x.shape) for x in truncate(torch.tensor([[0.0, 5.0, 1.0]]), top_p=0.5)])
    """
    assert processes.python(program).splitlines() == ["[(1, 1), (1, 1), (1,)]"] * 2


def test_drawing_inside_compilers_and_transforms():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 300)))
    expected = truncated_decode(x, top_p=0.9, seed=3)
    compiled = torch.compile(lambda x: truncated_decode(x, top_p=0.9, seed=3), fullgraph=True, backend="aot_eager")
    mapped = torch.vmap(lambda x, row: truncated_decode(x, top_p=0.9, seed=3, row=row))
    for found in (compiled(x), mapped(x, torch.arange(4)), truncated_decode(x.requires_grad_(), top_p=0.9, seed=3)):
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)
            assert not a.requires_grad
    seed = torch.full((4,), 3)
    numbers = [torch.ones(4, dtype=torch.float64), *NONE[:2], seed.double() / 4, *NONE[:6]]
    torch.library.opcheck(
        torch.ops.argrad.truncated_decode.default,
        (x.detach(), *numbers, "top_p", None, seed, torch.arange(4), seed - 3),
    )


def test_shapes_inside_compilers_do_not_depend_on_numbers():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 50)))
    for rules, width in (({"top_p": 0.5}, 50), ({"top_p": 0.5, "top_k": 7}, 7), ({"min_p": 0.1, "max_k": 9}, 9)):
        compiled = torch.compile(lambda x, rules=rules: truncate(x, **rules), fullgraph=True, backend="aot_eager")
        indices, values, size = truncate(x, **rules)
        found = compiled(x)
        assert found[1].shape == (4, width)
        most = indices.shape[-1]
        assert most == size.max()
        assert torch.equal(found[0][:, :most], indices)
        assert torch.equal(found[1][:, :most], values)
        assert (found[0][:, most:] == -1).all()
        assert torch.equal(found[2], size)


def warped(x, temperature, rules):
    """The logits that transformers' own processors leave."""
    from transformers.generation import logits_process as theirs

    made = {
        "top_k": theirs.TopKLogitsWarper,
        "top_p": theirs.TopPLogitsWarper,
        "min_p": theirs.MinPLogitsWarper,
        "typical_p": theirs.TypicalLogitsWarper,
        "epsilon": theirs.EpsilonLogitsWarper,
        "eta": theirs.EtaLogitsWarper,
    }
    scores = x / temperature
    for name, warper in made.items():
        if name in rules:
            scores = warper(rules[name])(None, scores)
    return scores


def test_equal_to_transformers():
    """Without ties, and without top-h, which transformers defines in another way."""
    rng, compared = np.random.default_rng(11), 0
    names = ("top_k", "top_p", "min_p", "typical_p", "epsilon", "eta")
    while compared < 600:
        v = int(rng.choice([5, 40, 300, 1000, 5000]))
        x = torch.from_numpy(rng.standard_normal((2, v)) * rng.choice([0.01, 0.5, 2.0, 5.0]))
        rules = {name: NUMBERS[name](rng) for name in names if rng.random() < 0.4}
        temperature = float(rng.choice([0.3, 0.7, 1.0, 1.5, 3.0]))
        expected = warped(x, temperature, rules).softmax(-1)
        found = to_dense(*truncate(x, temperature=temperature, **rules), v)
        assert torch.equal(found > 0, expected > 0), (v, temperature, rules)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
        compared += 2


@pytest.mark.parametrize("name", NUMBERS)
def test_plain_numbers_on_the_short_way_are_those_on_the_long_way(name, rng):
    x = torch.randn(3, 700)
    truncated_decode(x, seed=0)  # the first call goes the long way
    for temperature in (0.0, 1.3):
        for rules in ({name: NUMBERS[name](rng)}, {name: NUMBERS[name](rng), "top_k": 9}):
            seed, step = int(rng.integers(2**63)) * 2 + 1, int(rng.integers(2**32))
            found = truncated_decode(x, temperature=temperature, seed=seed, step=step, **rules)
            expected = truncated_decode(x.numpy(), temperature=temperature, seed=seed, step=step, **rules)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a.numpy(), b)


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1.0}, {"temperature": np.nan}, {"temperature": np.inf}, {"top_p": 1.5}, {"top_k": 0},
        {"top_k": 2.5}, {"top_k": -(2**70)}, {"epsilon": 1.0}, {"surprise": np.inf}, {"p_less": 0.5}, {"seed": -1},
        {"seed": 2**64}, {"seed": 1.0}, {"step": 2**32}, {"step": True}, {"top_p": "a"},
    ],
    ids=str,
)  # fmt: skip
def test_bad_numbers_are_refused_as_beside_arrays(bad):
    x = torch.randn(2, 300)
    truncated_decode(x, seed=0)
    errors = []
    for logits in (x, x.numpy()):
        with pytest.raises((TypeError, ValueError)) as caught:
            truncated_decode(logits, **{"seed": 0, **bad})
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
