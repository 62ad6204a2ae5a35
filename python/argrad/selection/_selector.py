"""Sensitivity sampling in the manner of scikit-learn."""

import inspect
from typing import Any, Self

from argrad._array import Array
from argrad._progress import Progress
from argrad.selection._estimate import Estimate
from argrad.selection._proxies import Loss
from argrad.selection._result import Selection
from argrad.selection._sensitivity import sensitivity_sample


class SensitivitySelector:
    """Keeps the options and the result of `sensitivity_sample`.

    Options are arguments of the constructor and attributes of the same name, with the meaning they have in
    `sensitivity_sample`; they are checked in `fit`. After it there are `selection_` (the whole `Selection`),
    `indices_`, `weights_`, `probabilities_`, `n_queries_` and `diagnostics_`.

    Examples:
        >>> import numpy as np
        >>> from argrad.selection import SensitivitySelector
        >>> x = np.random.default_rng(0).normal(size=(1000, 3))
        >>> losses = (x**2).sum(axis=1)
        >>> selector = SensitivitySelector(100, n_clusters=20, random_state=0).fit(x, losses)
        >>> round(selector.estimate(losses[selector.indices_]).vs_uniform, 1)
        0.5
    """

    def __init__(
        self,
        n_select: int,
        *,
        n_clusters: str | int = "sqrt",
        z: float = 2,
        holder: str | float | Array = "estimate",
        holder_quantile: float = 0.9,
        proxy: str = "pilot_mean",
        n_pilot: int = 3,
        mix: float = 0.3,
        draw: str = "systematic",
        estimator: str = "ht",
        random_state: object = None,
        progress: Progress = None,
    ) -> None:
        """Keep the options as they are; `fit` checks them."""
        self.n_select = n_select
        self.n_clusters = n_clusters
        self.z = z
        self.holder = holder
        self.holder_quantile = holder_quantile
        self.proxy = proxy
        self.n_pilot = n_pilot
        self.mix = mix
        self.draw = draw
        self.estimator = estimator
        self.random_state = random_state
        self.progress = progress

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the options by name.

        Args:
            deep: accepted for scikit-learn; no option has options of its own.

        Returns:
            A dictionary that `SensitivitySelector(**options)` and `set_params` take.
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change options.

        Args:
            **params: options by name.

        Returns:
            The selector itself.

        Raises:
            ValueError: there is no option of that name.
        """
        names = self.get_params()
        for name, value in params.items():
            if name not in names:
                known = ", ".join(names)
                raise ValueError(f"set_params: params must be among {known}, got {name!r}")
            setattr(self, name, value)
        return self

    def fit(
        self, embeddings: Array, loss: Loss = None, y: object = None, *, sample_weight: Array | None = None
    ) -> Self:
        """Select rows; see `sensitivity_sample`.

        Args:
            embeddings: shape (n, d).
            loss: losses, shape (n,), or a callable that returns those of given rows, or None.
            y: accepted for scikit-learn, not used.
            sample_weight: shape (n,), or None.

        Returns:
            The selector itself.

        Raises:
            TypeError: as `sensitivity_sample`.
            ValueError: as `sensitivity_sample`.

        Warns:
            SelectionWarning: as `sensitivity_sample`.
        """
        options = self.get_params()
        selection = sensitivity_sample(
            embeddings, loss, options.pop("n_select"), sample_weight=sample_weight, **options
        )
        self.selection_: Selection = selection
        self.indices_ = selection.indices
        self.weights_ = selection.weights
        self.probabilities_ = selection.probabilities
        self.n_queries_ = selection.n_queries
        self.diagnostics_ = selection.diagnostics
        return self

    def estimate(self, losses: Array, estimator: str | None = None) -> Estimate:
        """Estimate the sum of the losses of all rows; see `Selection.estimate`.

        Args:
            losses: losses of the rows `indices_`, in this order.
            estimator: None for the option of the selector.

        Returns:
            An `Estimate`.

        Raises:
            AttributeError: `fit` was not called.
            TypeError: as `Selection.estimate`.
            ValueError: as `Selection.estimate`.
        """
        if not hasattr(self, "selection_"):
            raise AttributeError("estimate: selection_ must be there, got none (call fit first)")
        return self.selection_.estimate(losses, estimator)
