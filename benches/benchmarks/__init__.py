"""The asv suite: time, peak memory and quality, ours beside the rivals."""
