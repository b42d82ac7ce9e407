"""What every test run shares: in CI, nothing that drives a real part may be skipped."""

import os

import pytest

IN_CI = bool(os.environ.get("CI"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    """Fail a test marked `real_part` that was skipped in CI, with the reason of the skip."""
    report = yield
    if IN_CI and report.skipped and item.get_closest_marker("real_part") and not hasattr(report, "wasxfail"):
        fail(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    """Fail a whole module with such tests that was skipped while it was imported."""
    report = yield
    if IN_CI and report.skipped and "real_part" in collector.path.read_text():
        fail(report)
    return report


def fail(report):
    *_, reason = report.longrepr if isinstance(report.longrepr, tuple) else (report.longrepr,)
    report.outcome = "failed"
    report.longrepr = f"a real part must not be skipped in CI: {reason}"
