"""The benchmarks' own logic: the guard catches a planted slow-down, and the table says what was extrapolated.

Nothing here reads a clock: the planted times are numbers, and the planted workers count their work.
"""

import importlib
import itertools
import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

WORKER = """
import json, pathlib, sys
log = pathlib.Path("calls")
for line in sys.stdin:
    name = line.strip()
    seen = log.read_text().split() if log.exists() else []
    log.write_text(" ".join([*seen, name]))
    work = json.loads(pathlib.Path("work.json").read_text()).get(name)
    if isinstance(work, list):                          # one entry for each measurement of 30 samples
        work = work[min(seen.count(name) // 30, len(work) - 1)]
    print(json.dumps(work), flush=True)
"""


@pytest.fixture(scope="module")
def benches():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        names = (
            "compare",
            "guards",
            "rows",
            "beside",
            "rows_logits",
            "rows_sorting",
            "rows_topology",
            "table",
            "benchmarks._quality",
        )
        yield types.SimpleNamespace(**{n.split(".")[-1]: importlib.import_module(f"benches.{n}") for n in names})


@pytest.fixture
def judged(benches, tmp_path):
    """Judge planted workers: a dictionary of work for each side -> (flagged twice, calls on head)."""
    (tmp_path / "worker.py").write_text(WORKER)

    def judge(base, head):
        folders = {}
        for side, work in (("base", base), ("head", head)):
            folders[side] = tmp_path / side
            folders[side].mkdir()
            (folders[side] / "work.json").write_text(repr(work).replace("'", '"').replace("None", "null"))
        worker = (sys.executable, "-P", str(tmp_path / "worker.py"))
        slow = benches.compare.judge(folders["base"], folders["head"], list(base), worker)
        return slow, (folders["head"] / "calls").read_text().split()

    return judge


def test_equal_times_pass(benches):
    noisy = [1.0, 1.1, 1.4, 1.0, 3.0]
    assert benches.compare.flagged({"same": (noisy, noisy[::-1])}) == []


@pytest.mark.parametrize(("factor", "caught"), [(0.5, False), (1.0, False), (1.25, False), (1.35, True), (2.0, True)])
def test_a_slow_down_is_flagged_beyond_the_factor(benches, factor, caught):
    base = [1.0, 1.02, 1.05, 1.1, 1.2]
    head = [factor * value for value in base]
    assert benches.compare.flagged({"guard": (base, head)}) == (["guard"] if caught else [])


def test_one_disturbed_statistic_does_not_flag(benches):
    base = [1.0] * 5
    assert benches.compare.flagged({"minimum only": (base, [1.0, 2.0, 2.0, 2.0, 2.0])}) == []
    assert benches.compare.flagged({"median only": ([0.5, *base], [0.9] * 6)}) == []


def test_a_planted_slow_down_is_caught_twice(judged):
    slow, calls = judged({"steady": 1.0, "planted": 1.0}, {"steady": 1.0, "planted": 2.0})
    assert slow == ["planted"]
    assert calls.count("planted") == 60, "the flagged guard is measured again"
    assert calls.count("steady") == 30, "only the flagged guard is measured again"


def test_an_equal_pair_passes(judged):
    slow, calls = judged({"steady": 1.0}, {"steady": 1.0})
    assert slow == []
    assert len(calls) == 30


def test_what_is_flagged_only_once_passes(judged):
    slow, calls = judged({"shaken": 1.0}, {"shaken": [2.0, 1.0]})
    assert slow == []
    assert len(calls) == 60


def test_a_guard_missing_from_base_passes_and_from_head_fails(judged, tmp_path):
    assert judged({"new": None}, {"new": 1.0})[0] == []
    for side in ("base", "head"):
        for file in (tmp_path / side).iterdir():
            file.unlink()
        (tmp_path / side).rmdir()
    with pytest.raises(SystemExit, match="head cannot run lost"):
        judged({"lost": 1.0}, {"lost": None})


def test_exit_code_of_a_planted_slow_down(benches, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benches.compare, "judge", lambda *_: ["planted"])
    folders = ["--base", str(tmp_path), "--head", str(tmp_path)]
    with pytest.raises(SystemExit, match=re.escape("slower than 1.3x twice: planted")):
        benches.compare.main(folders)
    monkeypatch.setattr(benches.compare, "judge", lambda *_: [])
    benches.compare.main(folders)
    assert "took" in capsys.readouterr().out


def test_base_names_a_commit_or_none(benches):
    assert re.fullmatch(r"none|[0-9a-f]{40}", benches.compare.BASE_FILE.read_text().split("#")[0].strip())


def test_base_none_compares_head_with_itself(benches, monkeypatch, tmp_path):
    monkeypatch.setattr(benches.compare, "BASE_FILE", tmp_path / "BASE")
    (tmp_path / "BASE").write_text("none\n")
    assert benches.compare.build_base(tmp_path) == (None, "benches/BASE says none")
    (tmp_path / "BASE").write_text("0" * 40)
    assert benches.compare.build_base(tmp_path)[0] is None


def test_every_guard_runs_on_this_build(benches):
    for name in benches.guards.GUARDS:
        assert benches.guards.sample(name) > 0, name


def test_the_table_marks_misses_and_extrapolations(benches):
    row = {
        "job": "job", "data": "lsa", "hash": "abc", "n": 10, "d": 2, "k": 3, "threads": 1, "ours_s": 0.5,
        "rival": "them", "rival_s": 20.0, "extrapolated": True, "ratio": 40.0, "must": 100, "stretch": 170,
        "check": "same law", "control": False,
    }  # fmt: skip
    text = benches.table.markdown(
        [row, {**row, "ratio": 120.0, "extrapolated": False}, {**row, "must": None, "control": True}]
    )
    missed, met, control = (line for line in text.splitlines() if line.startswith("| job | lsa"))
    assert "20 s (extrapolated)" in missed
    assert "100x **missed**" in missed
    assert "extrapolated" not in met
    assert "100x met" in met
    assert "missed" not in control
    assert text.index("Negative controls") < text.index(control)


def test_potential_is_the_sum_of_nearest_squared_distances(benches):
    rng = np.random.default_rng(0)
    x, centers = rng.normal(size=(50, 3)) + 100, rng.normal(size=(7, 3)) + 100
    naive = sum(min(sum((a - b) ** 2) for b in centers) for a in x)
    assert benches._quality.potential(x, centers) == pytest.approx(naive, rel=1e-9)


def test_ratio_of_means_and_its_error(benches):
    assert benches._quality.ratio([2.0, 2.0], [1.0, 1.0]) == (2.0, 0.0)
    assert np.isnan(benches._quality.ratio([2.0], [1.0, 1.0])[1])


def planted_bench(benches, monkeypatch, full=False):
    """A rival that costs 2 s and 0.1 s a centre, by count instead of by clock."""
    rows = benches.rows
    monkeypatch.setitem(rows.RIVALS, "planted", lambda x, k, seed: x[:k])
    monkeypatch.setattr(rows, "timed", lambda function: (2 + 0.1 * len(function()), function()))
    monkeypatch.setattr(
        rows.Bench, "__init__", lambda self: self.__dict__.update(quick=False, full=full, rival_runs={})
    )
    return rows.Bench(), rows.Row("name", "job", "data", 1000, "planted", small=(50, 150))


def test_the_rival_is_extrapolated_by_its_cost_per_centre(benches, monkeypatch):
    bench, row = planted_bench(benches, monkeypatch)
    rival = bench.rival(row, np.random.default_rng(0).normal(size=(2000, 2)), 1000)
    assert rival.seconds == pytest.approx(102)
    assert (rival.extrapolated, rival.measured, len(rival.potentials)) == (True, 150, 3)


def test_full_runs_the_rival_whole_and_says_what_the_extrapolation_was(benches, monkeypatch):
    bench, row = planted_bench(benches, monkeypatch, full=True)
    rival = bench.rival(row, np.random.default_rng(0).normal(size=(2000, 2)), 1000)
    assert (rival.seconds, rival.extrapolated) == (pytest.approx(102), False)
    assert "says 102 s" in rival.note


def test_the_cost_of_a_centre_is_never_more_than_the_mean(benches):
    assert benches.rows.per_center((50, 150), 7.0, 17.0) == pytest.approx(0.1)
    assert benches.rows.per_center((50, 150), 0.1, 15.0) == pytest.approx(0.1), "a disturbed run must not inflate it"


def test_a_row_of_lists_reports_the_shortest_times_and_the_distance(benches, monkeypatch, capsys):
    module = benches.beside
    x = torch.ones(3)
    monkeypatch.setattr(module, "best", lambda jobs: [(0.5, jobs[0]()), (2.0, jobs[1]())])
    case = module.Case(lambda: [2 * x, x], lambda: [2 * x, 1.25 * x], module.apart, scale=3.0)
    row = module.Row("planted", "group", "job", "3", "rival", lambda quick: case, must=10, stretch=20)
    module._run(row, 1, quick=False)
    found = json.loads(capsys.readouterr().out)
    assert (found["ours_s"], found["rival_s"], found["ratio"], found["extrapolated"]) == (0.5, 6.0, 12.0, True)
    assert found["check"] == "relative difference: value 0.0e+00, gradient 2.0e-01"
    assert benches.table._line(found).count("|") == 13


def test_best_runs_in_turn_and_keeps_minima(benches, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(benches.beside.time, "perf_counter", lambda: clock[0])

    def job(name, durations):
        order.append(name)
        clock[0] += next(durations)
        return name

    order = []
    long, short = itertools.cycle([5.0, 4.0, 5.0]), itertools.cycle([0.008, 0.006, 0.007])
    found = benches.beside.best([lambda: job("long", long), lambda: job("short", short)])
    assert [value for _, value in found] == ["long", "short"]
    assert [seconds for seconds, _ in found] == pytest.approx([4.0, 0.006])
    # After the warm-up of both a short job runs until its turn is over, a long one once.
    assert order[:8] == ["long", "short", "long", "short", "short", "long", "short", "short"]


def test_forward_backward_gives_the_value_and_all_gradients(benches):
    x, y = torch.rand(4), torch.rand(4)
    value, to_x, to_y = benches.beside.forward_backward(lambda a, b: a * b, x, y)()
    upstream = torch.linspace(-1, 1, 4).cos()
    torch.testing.assert_close((value, to_x, to_y), (x * y, upstream * y, upstream * x))


def test_names_of_rows_of_lists_belong_to_one_group_each(benches):
    rows = benches.table._beside()
    groups = benches.beside.inputs(rows, [])
    assert groups == [
        *["soft ranks", "permutations", "top-k", "pairs and losses"],
        *["matchings of planes", "matchings of volumes", "topology losses", "barcodes"],
        *["largest logits", "bregman decoding", "truncation and draws", "projections", "generation"],
    ]
    assert not set(groups) & set(benches.rows.inputs([]))
    assert len({(row.name, row.size, row.rival, row.job) for row in rows}) == len(rows)
