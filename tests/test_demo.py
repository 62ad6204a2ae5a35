"""The demo runs, writes one report that refers to nothing else, and lets the numbers speak."""

import re
import subprocess
import sys

import numpy as np
import pytest

from argrad._demo import __main__ as demo
from argrad._demo import data, intervals, jobs, report
from argrad._demo.__main__ import main


def test_quick_run(tmp_path):
    words = [sys.executable, "-W", "error::RuntimeWarning", "-m", "argrad._demo", "--quick", "--out", "report"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("patches", "text", "digits", "scikit-learn", "uniform", "report/index.html"):
        assert word in done.stdout
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count('src="data:image/png;base64,') == 4
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "nan" not in re.sub(r'src="[^"]*"', "", page)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["index.html"]


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        main(["--quick", "--out", str(tmp_path / "file")])
    assert "--out must be a folder" in capsys.readouterr().err


def test_a_missing_package_is_named_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "rich" else True)
    with pytest.raises(SystemExit, match="2"):
        main(["--quick", "--out", str(tmp_path)])
    assert "the demo needs rich: pip install argrad[sklearn,plot,cli]" in capsys.readouterr().err


class TestIntervals:
    def test_covers_the_mean_about_95_times_in_100(self, rng):
        found = [intervals.interval(rng.normal(3.0, 2.0, size=6)) for _ in range(2000)]
        assert 0.93 < np.mean([abs(one.mean - 3.0) <= one.half for one in found]) < 0.97

    @pytest.mark.parametrize(
        ("mean", "half", "expected"),
        [(2.0, 1.0, "ours"), (-2.0, 1.0, "theirs"), (1.0, 2.0, "no difference to be seen")],
    )
    def test_verdict_follows_the_interval(self, mean, half, expected):
        assert intervals.verdict(intervals.Interval(mean, half), "ours", "theirs") == expected


def estimates(errors):
    return jobs.Estimates("rows", "loss", 100, np.array(errors), uniform_rmse=0.1, covered=3, warned=1)


def training(ours, uniform):
    accuracy = {"uniform": np.array([uniform]), "distances": np.array([ours]), "losses": np.array([ours])}
    return jobs.Training("rows", (50,), accuracy, everything=0.9)


class TestReportSaysWhatTheNumbersSay:
    def test_when_selection_wins(self):
        assert "times less variance" in report.estimate_row(estimates([0.01, -0.01, 0.012])).outcome
        row = next(report.training_rows(training([0.8, 0.81, 0.79], [0.7, 0.71, 0.7])))
        assert row.outcome == "9.7 points better"

    def test_when_uniform_wins(self):
        assert "times more variance" in report.estimate_row(estimates([0.5, -0.5, 0.52])).outcome
        row = next(report.training_rows(training([0.7, 0.71, 0.7], [0.8, 0.81, 0.79])))
        assert row.outcome == "uniform 9.7 better"

    def test_the_summary_counts(self):
        text = report.summary([estimates([0.5, -0.5, 0.52])], [training([0.8, 0.81, 0.79], [0.7, 0.71, 0.7])])
        assert "ahead in 2 of 3 comparisons, behind in 1, and in 0" in text

    def test_potentials_of_one_law(self):
        def seeds(name, potential):
            return jobs.Seeds(name, 100, 10, intervals.Interval(0.1, 0.0), intervals.Interval(potential, 0.1))

        rows = report.seeding_rows("rows", [seeds("a", 1.0), seeds("u", 1.5), seeds("a", 2.0), seeds("s", 2.05)])
        assert [row.outcome for row in rows] == ["50% more with uniform", "1 times as fast", "no difference to be seen"]


def test_patches_are_cut_from_the_photographs():
    photos = data.photographs()
    rows = data.patches(photos, step=8)
    np.testing.assert_allclose(rows[0].reshape(3, 8, 8), photos[0][:8, :8].transpose(2, 0, 1) / 255, rtol=1e-6)
    assert len(photos[0]) == 427
    assert sum((photo.shape[0] - 7) * (photo.shape[1] - 7) for photo in photos) == 531_720


def test_reconstruction_losses_are_what_projection_loses(rng):
    rows = rng.normal(size=(300, 20)).astype(np.float32)
    losses = jobs.reconstruction_losses(rows, n_directions=5)
    assert (losses >= 0).all()
    np.testing.assert_allclose(jobs.reconstruction_losses(rows, n_directions=20), 0, atol=1e-3)
    assert losses.mean() < np.square(rows - rows.mean(axis=0)).sum(axis=1).mean()


def test_a_task_is_split_into_rows_to_learn_from_and_rows_to_test_on():
    task = data.digits()
    assert len(task.rows) + len(task.test_rows) == 1797
    assert not {row.tobytes() for row in task.rows} & {row.tobytes() for row in task.test_rows}


@pytest.mark.filterwarnings("ignore::argrad.selection.SelectionWarning")  # digits' pilots of so few clusters say little
def test_every_method_asks_for_the_same_number_of_labels(monkeypatch):
    """Count the rows whose labels are read, drawn and piloted."""
    task, budget = data.digits(), 200
    asked = []
    original = jobs._log_loss

    def counting(model, task):
        losses = original(model, task)

        def count(indices):
            asked.append(len(indices))
            return losses(indices)

        return count

    monkeypatch.setattr(jobs, "_log_loss", counting)
    assert len(jobs._uniform(task, budget, 0)[0]) == budget
    assert len(jobs._by_distances(task, budget, 0)[0]) == budget
    chosen, weights = jobs._by_losses(task, budget, 0)
    assert budget - 4 <= len(chosen) <= budget
    assert len(chosen) == budget // 4 + sum(asked) + (budget - budget // 4 - 3 * (budget // 16))
    np.testing.assert_allclose(weights.sum(), len(chosen), rtol=0.2)  # weights of mean about 1


def test_k_means_paints_better_than_its_seeds():
    seeds, lloyd = jobs.paint(data.photographs()[1][::4, ::4], n_colours=8)[1:]
    assert lloyd.error < seeds.error
    assert len(np.unique(lloyd.picture.reshape(-1, 3), axis=0)) <= 8
