"""In CI, a skipped test that drives a real part is a failed one; elsewhere it is skipped."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

TESTS = """
import pytest

@pytest.mark.real_part
def test_skips_itself():
    pytest.skip("no browser here")

@pytest.mark.real_part
@pytest.mark.skipif(True, reason="no nginx here")
def test_is_skipped_by_a_mark(): pass

@pytest.mark.real_part
@pytest.mark.xfail(reason="known")
def test_is_expected_to_fail(): assert False

@pytest.mark.real_part
def test_runs(): pass

def test_of_no_real_part():
    pytest.skip("not now")
"""

MODULE = """
import pytest
pytestmark = pytest.mark.real_part
pytest.skip("no Node here", allow_module_level=True)
"""


@pytest.mark.parametrize(
    ("ci", "expected"),
    [
        ("", {"passed": 1, "skipped": 4, "xfailed": 1}),
        ("true", {"passed": 1, "skipped": 1, "xfailed": 1, "failed": 1, "errors": 2}),
    ],
    ids=["at home", "in ci"],
)
def test_skipped_real_part(tmp_path, ci, expected):
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = real_part: drives something\n")
    (tmp_path / "test_tests.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra", "--continue-on-collection-errors"]
    run = subprocess.run(command, cwd=tmp_path, env={**os.environ, "CI": ci}, capture_output=True, text=True)
    *_, closing = run.stdout.strip().splitlines()
    found = {name: int(number) for number, name in re.findall(r"(\d+) ([a-z]+)(?=,| in)", closing)}
    assert expected == found, run.stdout
    if ci:
        for reason in ("no browser here", "no nginx here", "no Node here"):
            assert reason in run.stdout
