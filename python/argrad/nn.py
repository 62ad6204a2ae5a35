"""Each loss of `argrad.losses` as a `torch.nn.Module`: settings when it is made, tensors when it is called.

    loss = NeuralNDCGLoss(k=10, temperature=0.5)
    loss(scores, relevance, mask=mask)

A module is made from the signature of its function when it is first asked for. Keyword arguments that are tensors
belong to the call, all others are settings. Nothing is stored but these: no buffers, an empty state_dict.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from argrad import losses

SPELLING = {"groco": "GroCo", "lcron": "LCRON", "ndcg": "NDCG", "topk": "TopK"}  # words with more than one capital


def _name(function: str) -> str:
    """Return the class's name: `neural_ndcg_loss` -> `NeuralNDCGLoss`."""
    return "".join(SPELLING.get(word, word.capitalize()) for word in function.split("_"))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    _name(name): getattr(family, name)
    for family in (getattr(losses, name) for name in losses.__all__)
    for name in family.__all__
    if name.endswith("_loss")
}

__all__ = list(_FUNCTIONS)


def __getattr__(name: str) -> Any:
    if name not in _FUNCTIONS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return globals().setdefault(name, _twin(name, _FUNCTIONS[name]))


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS})


def _twin(name: str, function: Callable[..., Any]) -> type:
    """Make the class of a loss from its signature."""
    import torch

    keywords = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    # Annotations are strings in the files of losses, which cannot import torch for them.
    settings = inspect.Signature([p for p in keywords if p.annotation not in ("Tensor", "Tensor | None")])
    names = tuple(settings.parameters)

    class Twin(torch.nn.Module):
        def __init__(self, **given: Any) -> None:
            super().__init__()
            try:
                bound = settings.bind(**given)
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            bound.apply_defaults()
            # As attributes, so that a `torch.nn.Parameter` among them is one of the module's.
            for setting, value in bound.arguments.items():
                setattr(self, setting, value)

        def forward(self, *tensors: Any, **options: Any) -> Any:
            return function(*tensors, **options, **{setting: getattr(self, setting) for setting in names})

        def extra_repr(self) -> str:
            return ", ".join(f"{setting}={getattr(self, setting)!r}" for setting in names)

    Twin.__name__ = Twin.__qualname__ = name
    Twin.__init__.__qualname__ = f"{name}.__init__"  # Python's own errors say it
    Twin.__module__ = __name__
    Twin.__signature__ = settings  # type: ignore[attr-defined]
    Twin.__doc__ = _document(name, function)
    return Twin


def _document(name: str, function: Callable[..., Any]) -> str:
    """Return a docstring: what the loss is, and where its settings are described."""
    first = (inspect.getdoc(function) or "").split("\n")[0]
    path = f"{function.__module__.split('._')[0]}.{function.__name__}"
    return f"""{first}

    The module of `{path}`: formula, settings, tensors of the call, gradient and cost are described there.

    Examples:
        >>> from argrad.nn import {name}
        >>> list({name}.__signature__.parameters)[-1]  # the settings
        'reduction'
    """
