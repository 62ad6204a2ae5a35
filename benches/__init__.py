"""Measurements: the asv suite, the table of the README, and the guard against slow-downs."""
