"""A pytest plugin: counts skips, and fails the run for each one outside the file that needs a GPU.

A missing library or a misspelt name must not turn a suite green.
"""

import pytest

ALLOWED = "test_gpu.py"


class SkipCounter:
    def __init__(self):
        self.skipped = []

    def pytest_runtest_logreport(self, report):
        # An expected failure is reported as skipped too, but it ran.
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    def pytest_collectreport(self, report):
        if report.skipped:
            self.skipped.append(report.nodeid)

    @property
    def refused(self):
        return [nodeid for nodeid in self.skipped if not nodeid.split("::")[0].endswith(ALLOWED)]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if self.refused and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.write_line(f"skipped: {len(self.skipped)}, of these outside {ALLOWED}: {len(self.refused)}")
        for nodeid in self.refused:
            terminalreporter.write_line(f"refused skip: {nodeid}", red=True)


def pytest_configure(config):
    config.pluginmanager.register(SkipCounter())
