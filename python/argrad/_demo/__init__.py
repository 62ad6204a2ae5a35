"""The main job on real data: seed, select, train, report. Run it with `python -m argrad._demo`."""
