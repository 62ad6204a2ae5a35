"""Argument checks: what passes, and every error sentence."""

import fractions

import numpy as np
import pytest
import torch

from argrad import _check

E = np.eye(3)
T = torch.eye(3)
DTYPES = "must be of dtype float16, bfloat16, float32 or float64, got"
DEVICE = (
    "must be in host memory, got a tensor on device 'meta'; there is no kernel on that device yet, move it to the host"
)


def refused(error, sentence, check, *arguments, **options):
    with pytest.raises(error) as caught:
        check("f", *arguments, **options)
    assert type(caught.value) is error
    assert str(caught.value) == f"f: {sentence}"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_matrix_takes_every_floating_dtype(dtype):
    _check.matrix("f", "X", T.to(getattr(torch, dtype)))
    if dtype != "bfloat16":
        _check.matrix("f", "X", E.astype(dtype))
        _check.matrix("f", "X", E.astype(np.dtype(dtype).newbyteorder()))


@pytest.mark.parametrize("x", [E.astype(t) for t in (int, bool, complex, object, np.uint8, "U1", "M8[s]")])
def test_matrix_refuses_other_dtypes(x):
    refused(TypeError, f"X {DTYPES} {x.dtype.name}", _check.matrix, "X", x)


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64"])
def test_matrix_refuses_other_torch_dtypes(dtype):
    refused(TypeError, f"X {DTYPES} {dtype}", _check.matrix, "X", T.to(getattr(torch, dtype)))


def test_matrix_refuses_other_kinds_and_places():
    kinds = "X must be a numpy array or a torch tensor, got a list (wrap it in numpy.asarray)"
    refused(TypeError, kinds, _check.matrix, "X", [[1.0]])
    refused(TypeError, "X must be a dense tensor, got layout torch.sparse_coo", _check.matrix, "X", T.to_sparse())
    refused(RuntimeError, f"X {DEVICE} with X.cpu()", _check.matrix, "X", T.to("meta"))


def test_matrix_refuses_other_shapes():
    refused(ValueError, "X must be 2-dimensional, got 1 dimension(s)", _check.matrix, "X", E[0])
    refused(ValueError, "X must be 2-dimensional, got 3 dimension(s)", _check.matrix, "X", T[None])
    both = "X must be a matrix of at least one row and one column, got shape"
    refused(ValueError, f"{both} (0, 3)", _check.matrix, "X", E[:0])
    refused(ValueError, f"{both} (3, 0)", _check.matrix, "X", T[:, :0])
    _check.matrix("f", "X", E[:0], allow_empty=True)
    one = "X must be a matrix of at least one column, got shape (3, 0)"
    refused(ValueError, one, _check.matrix, "X", E[:, :0], allow_empty=True)


def test_vector():
    _check.vector("f", "loss", E[0], 3)
    refused(ValueError, "loss must be of shape (4,), got (3,)", _check.vector, "loss", E[0], 4)
    refused(ValueError, "loss must be of shape (3,), got (3, 3)", _check.vector, "loss", T, 3)
    refused(TypeError, f"loss {DTYPES} int64", _check.vector, "loss", np.arange(3), 3)


def test_same_kind():
    _check.same_kind("f", {"X": E, "centers": E, "weights": None})
    _check.same_kind("f", {"X": None, "centers": T})
    sentence = "w must be a numpy array like X, got a torch tensor on cpu"
    refused(TypeError, sentence, _check.same_kind, {"X": E, "c": None, "w": T})
    refused(TypeError, "w must be a torch tensor on cpu like X, got a numpy array", _check.same_kind, {"X": T, "w": E})
    device = "w must be a torch tensor on cpu like X, got a torch tensor on meta"
    refused(TypeError, device, _check.same_kind, {"X": T, "w": T.to("meta")})
    listed = "w must be a numpy array like X, got a list (wrap it in numpy.asarray)"
    refused(TypeError, listed, _check.same_kind, {"X": E, "w": [1.0]})


def test_same_precision():
    _check.same_precision("f", {"X": T, "c": T.half(), "w": T.bfloat16(), "none": None})
    _check.same_precision("f", {"X": E, "c": E.astype(">f8")})
    refused(TypeError, "c must be of dtype float32 like X, got float64", _check.same_precision, {"X": T.half(), "c": E})
    wide = "c must be of dtype float64 like X, got float32"
    refused(TypeError, wide, _check.same_precision, {"X": E, "n": None, "c": E.astype("f4")})


def test_integer():
    assert _check.integer("f", "k", 3) == 3
    assert type(_check.integer("f", "k", np.int8(3), low=3, high=3)) is int
    for value in (True, 3.0, np.float32(3), "3", None, np.array(3), np.bool_(True)):
        refused(TypeError, f"k must be an integer >= 1, got {value!r}", _check.integer, "k", value, low=1)
    refused(ValueError, "k must be an integer >= 1, got 0", _check.integer, "k", 0, low=1)
    refused(ValueError, "k must be an integer >= 1 and <= 5, got 6", _check.integer, "k", np.int64(6), low=1, high=5)
    refused(ValueError, "k must be an integer <= 5, got 6", _check.integer, "k", 6, high=5)


def test_real():
    assert _check.real("f", "z", 2, low=2, high=2) == 2.0
    assert type(_check.real("f", "z", np.float32(0.5))) is float
    for value in (True, "3", None, np.array(3.0), fractions.Fraction(1, 2), 1j):
        refused(TypeError, f"z must be a finite number, got {value!r}", _check.real, "z", value)
    for value in (np.inf, -np.inf, np.nan):
        refused(ValueError, f"z must be a finite number >= 0, got {value}", _check.real, "z", value, low=0)
    refused(ValueError, "z must be a finite number >= 0 and <= 1, got 1.5", _check.real, "z", 1.5, low=0, high=1)
    opened = {"low": 0, "high": 1, "open_low": True, "open_high": True}
    for value in (0.0, 1.0):
        refused(ValueError, f"z must be a finite number > 0 and < 1, got {value}", _check.real, "z", value, **opened)


def test_an_integer_beyond_the_largest_float_is_no_finite_number():
    refused(ValueError, "t must be a finite number, got inf", _check.real, "t", 10**400)


@pytest.mark.parametrize(
    ("value", "expected"), [(1, (1,)), (np.int8(2), (2,)), ([2, 0], (2, 0)), ({1}, (1,)), (range(2), (0, 1)), ((), ())]
)
def test_integers(value, expected):
    assert _check.integers("f", "dims", value, low=0, high=2) == expected


def test_integers_refuse_the_rest():
    either = "dims must be an integer >= 0 and <= 2 or several, got"
    refused(TypeError, f"{either} '01'", _check.integers, "dims", "01", low=0, high=2)
    refused(TypeError, f"{either} array([0, 1])", _check.integers, "dims", np.arange(2), low=0, high=2)
    refused(TypeError, f"{either} True", _check.integers, "dims", True, low=0, high=2)
    each = "dims must be an integer >= 0 and <= 2, got"
    refused(TypeError, f"{each} 1.0", _check.integers, "dims", [1.0], low=0, high=2)
    refused(ValueError, f"{each} 3", _check.integers, "dims", (0, 3), low=0, high=2)
    refused(ValueError, "dims must be different integers, got [1, 1]", _check.integers, "dims", [1, 1], low=0, high=2)


def test_numbers():
    for x in (E, E.astype(bool), E.astype(">u8"), T.bfloat16(), T.to(torch.uint16)):
        _check.numbers("f", "x", x)
    other = "x must be of a floating, integer or boolean dtype, got"
    refused(TypeError, f"{other} complex128", _check.numbers, "x", E.astype(complex))
    refused(TypeError, f"{other} object", _check.numbers, "x", E.astype(object))
    refused(RuntimeError, f"x {DEVICE} with x.cpu()", _check.numbers, "x", T.to("meta"))


@pytest.mark.parametrize("kind", [TypeError, ValueError, RuntimeError, MemoryError])
def test_errors_speak_of_the_function_that_was_called(kind):
    def operator(x, *, text):
        raise kind(text)

    def call(function, text):
        return _check.on_behalf(function, {"x": "prediction"}, operator, E, text=text)

    refused(kind, "prediction must be flat, got x", call, "operator: x must be flat, got x")
    refused(kind, "mode must be one, got 2", call, "operator: mode must be one, got 2")
    with pytest.raises(kind, match=r"^other: x must be flat$"):
        call("f", "other: x must be flat")
    assert _check.on_behalf("f", {}, divmod, 7, 2) == (3, 1)


def test_choice():
    assert _check.choice("f", "method", "exact", ("exact", "greedy")) == "exact"
    for value in ("Exact", 3, None, ["exact"]):
        sentence = f"method must be one of 'exact', 'greedy', got {value!r}"
        refused(ValueError, sentence, _check.choice, "method", value, ("exact", "greedy"))


@pytest.mark.parametrize(
    "w",
    [
        np.array([1.0, 0, 2]),
        np.array([1, 0, 2], np.uint8),
        torch.tensor([1, 0, 2]),
        torch.tensor([1.0, 0, 2]).bfloat16(),
    ],
)
def test_weights_become_float64(w):
    found = _check.weights("f", "w", w, 3)
    assert found.dtype == np.float64
    assert found.tolist() == [1, 0, 2]


def test_weights_share_memory_and_none_stays():
    w = np.ones(3)
    assert np.shares_memory(_check.weights("f", "w", w, 3), w)
    assert _check.weights("f", "w", None, 3) is None


@pytest.mark.parametrize(("bad", "shown"), [(-1.0, "-1.0"), (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_weights_name_the_first_bad_row(bad, shown):
    w = np.ones(9)
    w[[4, 7]] = bad
    sentence = f"w must be finite and >= 0, got {shown} at row 4"
    refused(ValueError, sentence, _check.weights, "w", w, 9)
    refused(ValueError, sentence, _check.weights, "w", torch.from_numpy(w).bfloat16(), 9)


def test_weights_refuse_the_rest():
    total = "w must be weights of a positive, finite sum, got sum"
    refused(ValueError, f"{total} 0.0", _check.weights, "w", np.zeros(3), 3)
    refused(ValueError, f"{total} inf", _check.weights, "w", np.full(3, 1e308), 3)
    refused(ValueError, "w must be of shape (4,), got (3,)", _check.weights, "w", np.ones(3), 4)
    refused(ValueError, "w must be of shape (3,), got (3, 1)", _check.weights, "w", np.ones((3, 1)), 3)
    for w in (np.ones(3, bool), np.ones(3, complex), np.ones(3, object)):
        refused(TypeError, f"w must be of a floating or integer dtype, got {w.dtype}", _check.weights, "w", w, 3)
    listed = "w must be a numpy array or a torch tensor, got a list (wrap it in numpy.asarray)"
    refused(TypeError, listed, _check.weights, "w", [1.0], 1)


SOURCES = {
    "numpy.Generator": lambda: np.random.default_rng(5),
    "RandomState": lambda: np.random.RandomState(5),
    "torch.Generator": lambda: torch.Generator().manual_seed(5),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_generators_give_64_bits_and_move_on(source):
    first, again = source(), source()
    seeds = [_check.seed("f", first) for _ in range(200)]
    assert seeds == [_check.seed("f", again) for _ in range(200)]
    assert len(set(seeds)) == 200
    ones = np.array([[seed >> bit & 1 for bit in range(64)] for seed in seeds]).sum(axis=0)
    # Each bit is set in about half of 200 draws; 5 standard deviations are 35.
    assert abs(ones - 100).max() <= 40
    assert max(seeds) < 2**64


def test_an_integer_is_the_seed_and_none_is_fresh():
    assert [_check.seed("f", s) for s in (0, np.int32(7), 2**64 - 1)] == [0, 7, 2**64 - 1]
    assert _check.seed("f", None) != _check.seed("f", None)


def test_seed_refuses_the_rest():
    for value in (-1, 2**64):
        sentence = f"random_state must be an integer in [0, 2**64), got {value}"
        refused(ValueError, sentence, _check.seed, value)
    for value in (True, 1.0, "1", [1]):
        sentence = (
            "random_state must be None, an integer, a numpy Generator or RandomState or a torch.Generator, got "
            f"{value!r}"
        )
        refused(TypeError, sentence, _check.seed, value)
