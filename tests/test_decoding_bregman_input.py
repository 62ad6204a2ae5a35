"""bregman_project: shapes, widths, kinds, and what is refused."""

import numpy as np
import pytest
import torch

import oracles_decoding_bregman as oracle
from argrad.decoding import bregman_project


def test_width_does_not_depend_on_logits(rng):
    for alpha, dual, penalty in ((1.0, False, 0.05), (1.5, False, 0.01), (2.0, True, 0.001), (3.0, True, 0.05)):
        flat = bregman_project(np.zeros(1000), alpha=alpha, dual=dual, penalty=penalty)
        steep = bregman_project(np.arange(1000.0), alpha=alpha, dual=dual, penalty=penalty)
        assert flat[0].shape == steep[0].shape == (oracle.bound(alpha, dual, penalty),)
        assert flat[2] >= steep[2]
    penalties = np.array([0.05, 0.01])
    assert bregman_project(np.zeros((2, 1000)), penalty=penalties)[0].shape == (2, 100)
    assert bregman_project(np.zeros((2, 1000)), k=np.array([3, 7]))[0].shape == (2, 7)
    tensor = torch.zeros(3, 2, 50)
    many = torch.vmap(lambda x, k: bregman_project(x, k=k, max_k=9)[1])(tensor, torch.full((3, 2), 4))
    assert many.shape == (3, 2, 9)
    assert torch.vmap(lambda x, k: bregman_project(x, k=k)[1])(tensor, torch.full((3, 2), 4)).shape == (3, 2, 50)


def test_shapes_and_kinds(rng):
    for shape in ((1,), (7,), (0, 5), (2, 3, 5), (3, 17), (2, 300)):
        logits = rng.normal(size=shape)
        for kind in (np.float16, np.float32, np.float64):
            indices, values, size = bregman_project(logits.astype(kind), alpha=1.5, k=4)
            width = min(4, shape[-1])
            assert indices.shape == values.shape == (*shape[:-1], width)
            assert size.shape == shape[:-1]
            assert (indices.dtype, values.dtype, size.dtype) == (np.int64, kind, np.int64)
        tensor = torch.from_numpy(logits)
        outputs = bregman_project(tensor, alpha=1.5, k=4)
        for found, expected in zip(outputs, bregman_project(logits, alpha=1.5, k=4), strict=True):
            assert isinstance(found, torch.Tensor)
            assert (found.numpy() == expected).all()


GOOD = np.zeros((2, 3))
BAD = {
    "both": (GOOD, {"k": 2, "penalty": 0.1}, "penalty or k must be given, and not the other, got both"),
    "neither": (GOOD, {}, "penalty or k must be given, and not the other, got neither"),
    "alpha 0": (GOOD, {"alpha": 0, "penalty": 0.1}, r"alpha must be finite and > 0 for adaptive k \(primal\), got 0.0"),
    "alpha < 0": (GOOD, {"alpha": -1.5, "penalty": 0.1}, r"alpha must be finite and > 0 .*, got -1.5"),
    "alpha inf": (GOOD, {"alpha": np.inf, "penalty": 0.1}, r"alpha must be finite and > 0 .*, got inf"),
    "dual 1": (
        GOOD,
        {"alpha": 1, "penalty": 0.1, "dual": True},
        r"alpha must be finite and >= 1.05 .* \(dual\), got 1.0",
    ),
    "dual 1.01": (GOOD, {"alpha": 1.01, "k": 1, "dual": True}, r"alpha must be 1, or finite and >= 1.05 \(dual\), got"),
    "dual inf": (
        GOOD,
        {"alpha": np.inf, "k": 1, "dual": True},
        r"alpha must be 1, or finite and >= 1.05 \(dual\), got",
    ),
    "dual 0.5": (
        GOOD,
        {"alpha": 0.5, "k": 1, "dual": True},
        r"alpha must be 1, or finite and >= 1.05 \(dual\), got 0.5",
    ),
    "alpha nan": (GOOD, {"alpha": np.nan, "k": 1}, "alpha must be a number, got nan"),
    "penalty < 0": (GOOD, {"penalty": -0.1}, "penalty must be 0 or >= 1e-12, got -0.1"),
    "penalty tiny": (GOOD, {"penalty": 1e-13}, "penalty must be 0 or >= 1e-12, got 1e-13"),
    "penalty nan": (GOOD, {"penalty": np.nan}, "penalty must be 0 or >= 1e-12, got nan"),
    "penalties": (GOOD, {"penalty": np.array([0.1, -1.0])}, "penalty must be 0 or >= 1e-12, got -1 in row 1"),
    "penalties nan": (GOOD, {"penalty": np.array([np.nan, 1.0])}, "penalty must be 0 or >= 1e-12, got NaN in row 0"),
    "k 0": (GOOD, {"k": 0}, "k must be an integer >= 1 .*, got 0"),
    "ks": (GOOD, {"k": np.array([2, 0])}, "k must be >= 1, got 0 in row 1"),
    "temperature < 0": (GOOD, {"k": 1, "temperature": -1}, "temperature must be a finite number >= 0, got -1"),
    "temperature inf": (GOOD, {"k": 1, "temperature": np.inf}, "temperature must be a finite number >= 0, got inf"),
    "temperatures": (
        GOOD,
        {"k": 1, "temperature": np.array([1.0, -2.0])},
        "temperature must be finite and >= 0, got -2 in row 1",
    ),
    "temperatures inf": (
        GOOD,
        {"k": 1, "temperature": np.array([np.inf, 1.0])},
        "temperature must be .* got inf in row 0",
    ),
    "max_k": (GOOD, {"k": 1, "max_k": 0}, "max_k must be an integer >= 1, got 0"),
    "shape": (GOOD, {"k": np.array([1, 2, 3])}, r"k must be a number or of shape \(2,\), got \(3,\)"),
    "scalar": (np.zeros(()), {"k": 1}, "logits must have rows of at least one number"),
    "empty": (np.zeros((2, 0)), {"k": 1}, "logits must have rows of at least one number"),
    "nan": (
        np.array([[0.0, 1.0], [np.nan, 0.0]]),
        {"k": 1},
        "logits must be finite or -inf, got NaN at row 1, column 0",
    ),
    "inf": (
        np.array([[0.0, 1.0], [0.0, np.inf]]),
        {"k": 1},
        "logits must be finite or -inf, got inf at row 1, column 1",
    ),
    "-inf": (np.array([[0.0, 1.0], [-np.inf] * 2]), {"penalty": 0.1}, "logits must have a finite number .* in row 1"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_what_is_refused(case, kind):
    logits, options, sentence = BAD[case]
    if kind == "torch":
        logits = torch.from_numpy(logits)
        options = {name: torch.from_numpy(x) if isinstance(x, np.ndarray) else x for name, x in options.items()}
    with pytest.raises(ValueError, match=f"^bregman_project: {sentence}"):
        bregman_project(logits, **options)


@pytest.mark.parametrize(
    ("logits", "options", "sentence"),
    [
        ([0.0, 1.0], {"k": 1}, "logits must be a numpy array or a torch tensor"),
        (np.zeros(3, np.int64), {"k": 1}, "logits must be of dtype"),
        (GOOD, {"k": 1.5}, "k must be an integer"),
        (GOOD, {"k": True}, "k must be an integer"),
        (GOOD, {"k": np.array([1.0, 2.0])}, "k must be of an integer dtype, got float64"),
        (GOOD, {"k": torch.ones(2, dtype=torch.int64)}, "k must be a numpy array like logits"),
        (GOOD, {"penalty": "much"}, "penalty must be a number or an array, got 'much'"),
        (GOOD, {"penalty": True}, "penalty must be a number or an array, got True"),
        (GOOD, {"penalty": 0.1, "alpha": "two"}, "alpha must be a number, got 'two'"),
        (GOOD, {"penalty": 0.1, "dual": 1}, "dual must be a boolean"),
        (GOOD, {"penalty": 0.1, "temperature": None}, "temperature must be a finite number"),
    ],
)
def test_what_is_of_another_type(logits, options, sentence):
    with pytest.raises(TypeError, match=f"^bregman_project: {sentence}"):
        bregman_project(logits, **options)
