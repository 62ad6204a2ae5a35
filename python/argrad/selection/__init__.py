"""Selection: rows that stand for all others, with weights that keep estimates unbiased."""

from argrad.selection._estimate import Estimate
from argrad.selection._result import Diagnostics, Selection, SelectionWarning
from argrad.selection._selector import SensitivitySelector
from argrad.selection._sensitivity import sensitivity_sample
from argrad.selection._training import SelectedSubset, WeightedSubsetSampler, training_weights
from argrad.selection._weighted import weighted_sample

__all__ = [
    "Diagnostics",
    "Estimate",
    "SelectedSubset",
    "Selection",
    "SelectionWarning",
    "SensitivitySelector",
    "WeightedSubsetSampler",
    "sensitivity_sample",
    "training_weights",
    "weighted_sample",
]
