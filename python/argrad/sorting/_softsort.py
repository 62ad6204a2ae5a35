"""SoftSort: rows exp(-|s_r - x_j| / temperature), s the sorted scores, each divided by its sum."""

from argrad.sorting import _lists, _scans
from argrad.sorting._lists import Lists


def enter(lists: Lists, *, descending: bool, temperature: object) -> _scans.Scans:
    """Check the options."""
    return _scans.Scans(
        lists, descending, _lists.per_list(lists, "temperature", temperature, low=0, open_low=True), "softsort"
    )
