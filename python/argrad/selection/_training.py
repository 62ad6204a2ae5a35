"""Selections in training: weights that do not dominate, a sampler and a data set for any loader."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from argrad import _array, _check
from argrad._array import Array
from argrad.selection import _device_scores, _scores
from argrad.selection._weighted import check_vector, weighted_sample


def training_weights(
    weights: Array, *, clip: float | None = None, normalize: str | None = "mean1"
) -> tuple[Array, float]:
    """Tame the weights of a selection for stochastic gradient descent.

    v_i = min(w_i, clip mean(w)), divided by their mean with `normalize="mean1"`. For training only: estimates with
    clipped weights are biased, with normalized ones they are means.

    Args:
        weights: w, shape (s,), floating or integer, >= 0, not all zero; numpy array, torch tensor (CPU or CUDA) or cupy
            array.
        clip: the largest weight, in multiples of the mean weight, > 0; None for no limit.
        normalize: `"mean1"` or None.

    Returns:
        (v, share): float64, shape (s,), of the kind of `weights`; and the share of all weight that was clipped off.

    Raises:
        TypeError: not an array, or not of a floating or integer dtype.
        ValueError: a bad weight (with its row; on a device as well) or option.

    Gradient:
        None.

    Determinism:
        A function of its arguments: the same bits on any machine and a device.

    Cost:
        O(s). The host waits for a device two or three times, to check the weights and to learn the share.

    Examples:
        >>> import numpy as np
        >>> from argrad.selection import training_weights
        >>> training_weights(np.array([1.0, 1.0, 1.0, 9.0]), clip=2.0)
        (array([0.44444444, 0.44444444, 0.44444444, 2.66666667]), 0.25)
    """
    name = "training_weights"
    values = check_vector(name, weights, device=True)
    n, steps = weights.shape[0], _device_scores if _array.is_device(values) else _scores
    weighing = steps.weigh(name, "weights", weights, n)
    values, left = weighing.values, weighing.total
    if normalize is not None:
        _check.choice(name, "normalize", normalize, ("mean1",))
    if clip is not None:
        limit = _check.real(name, "clip", clip, low=0, open_low=True) * weighing.total / n
        values, left = steps.clip(values, limit)
    if normalize is not None:
        values = values * (n / left)
    return _array.like(values, weights), 1 - left / weighing.total


class WeightedSubsetSampler:
    """Row numbers for a data loader: a new weighted draw each epoch, split among ranks.

    A plain sized iterable, which `torch.utils.data.DataLoader(sampler=...)` takes; torch is not needed.

    Examples:
        >>> import numpy as np
        >>> from argrad.selection import WeightedSubsetSampler
        >>> sampler = WeightedSubsetSampler(np.array([3.0, 0.0, 1.0, 2.0]), 2, random_state=0)
        >>> sampler.set_epoch(1)
        >>> len(sampler), len(set(sampler))
        (2, 2)
    """

    def __init__(
        self,
        weights: Array,
        size: int,
        *,
        replace: bool = False,
        random_state: object = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Keep the weights and one seed.

        Args:
            weights: shape (n,), floating or integer, finite, >= 0.
            size: rows to draw in an epoch, a multiple of `world_size`; without replacement at most the number of
                positive weights.
            replace: whether a row can come more than once in an epoch.
            random_state: seed: None, an integer, a numpy `Generator` or `RandomState`, or a `torch.Generator`.
            rank: which part of each draw this process gets, 0 <= rank < world_size.
            world_size: number of parts. All processes need the same integer as `random_state`.

        Raises:
            TypeError: not an array, or a value of another type.
            ValueError: an argument out of range.
            RuntimeError: an array on a device.
        """
        name = "WeightedSubsetSampler"
        self.weights = check_vector(name, weights)
        self.size = _check.integer(name, "size", size, low=1)
        self.replace = bool(replace)
        self.world_size = _check.integer(name, "world_size", world_size, low=1)
        self.rank = _check.integer(name, "rank", rank, low=0, high=self.world_size - 1)
        if self.size % self.world_size:
            raise ValueError(f"{name}: size must be a multiple of world_size {self.world_size}, got {self.size}")
        self.seed = _check.seed(name, random_state)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the draw of the next iterations: one seed and epoch give one draw.

        Args:
            epoch: number of the epoch, >= 0.

        Raises:
            TypeError: not an integer.
            ValueError: negative.
        """
        self.epoch = _check.integer("set_epoch", "epoch", epoch, low=0)

    def __len__(self) -> int:
        """Rows of one epoch for this rank."""
        return self.size // self.world_size

    def __iter__(self) -> Iterator[int]:
        """Yield the row numbers of the epoch for this rank, in random order."""
        seed = int(np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)[0])
        rows = np.asarray(weighted_sample(self.weights, self.size, replace=self.replace, random_state=seed))
        return iter(rows[self.rank :: self.world_size].tolist())


class SelectedSubset:
    """A data set of the selected examples and their weights: item j is `(dataset[indices[j]], weight)`.

    A plain object with a length and items, which `torch.utils.data.DataLoader` takes; torch is not needed.

    Examples:
        >>> import numpy as np
        >>> from argrad.selection import SelectedSubset
        >>> subset = SelectedSubset(["a", "b", "c"], np.array([2, 0]), np.array([1.5, 3.0]))
        >>> len(subset), subset[0]
        (2, ('c', 1.5))
    """

    def __init__(self, dataset: Any, indices: Array, weights: Array) -> None:
        """Keep the data set, the rows and their weights.

        Args:
            dataset: anything with items.
            indices: row numbers, shape (s,), integer.
            weights: shape (s,), floating or integer.

        Raises:
            TypeError: not arrays of these dtypes.
            ValueError: shapes that do not fit.
            RuntimeError: an array on a device.
        """
        name = "SelectedSubset"
        _check.array(name, "indices", indices)
        rows = _array.raw(indices)
        if rows.dtype.kind not in "iu":
            raise TypeError(f"{name}: indices must be of an integer dtype, got {_check.dtype_name(indices)}")
        if rows.ndim != 1:
            raise ValueError(f"{name}: indices must be 1-dimensional, got {rows.ndim} dimension(s)")
        _check.weights_form(name, "weights", weights, len(rows))
        if weights is None:
            raise TypeError(f"{name}: weights must be {_array.EXPECTED}, got None")
        self.dataset = dataset
        self.indices = rows
        self.weights = _array.raw(weights)

    def __len__(self) -> int:
        """The number of selected examples."""
        return len(self.indices)

    def __getitem__(self, j: int) -> tuple[Any, float]:
        """Return example and weight number j."""
        return self.dataset[int(self.indices[j])], float(self.weights[j])
