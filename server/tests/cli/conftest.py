"""A place to run ``palaver`` in: an empty folder and an environment that names no provider."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result
from palaver.testing.broken_plugins import install_broken, install_working
from palaver_server.cli.group import palaver

#: What must never be printed, wherever it was put.
CANARY = "canary-5ecret-5ecret-5ecret"

PALAVER = Path(sys.executable).with_name("palaver")
#: Only what a process needs to run at all.
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}


@attrs.frozen
class Place:
    """A working directory, and a folder of plugins that only processes started here can see."""

    folder: Path
    site: Path

    def write(self, text: str, name: str = "config.yaml") -> None:
        (self.folder / name).write_text(text)

    def plug_in(self, name: str, source: str = "") -> None:
        install_working(self.folder / "wheels", self.site, name, source=source)

    def plug_in_broken(self, *names: str) -> None:
        install_broken(self.folder / "wheels", self.site, names)

    def environment(self, **variables: str) -> dict[str, str]:
        return {**ENVIRONMENT, "PYTHONPATH": str(self.site), **variables}

    def run(self, *args: str, given: str | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run the real command in a process of its own."""
        return subprocess.run(
            [str(PALAVER), *args],
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            input=given or "",
        )

    @contextmanager
    def start(self, *args: str, environment: Mapping[str, str] | None = None, **streams: Any) -> Iterator[Any]:
        """Start the real command; whatever the test did, the process is gone afterwards."""
        process = subprocess.Popen(
            [str(PALAVER), *args], cwd=self.folder, env=self.environment(**(environment or {})), **streams
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()


@pytest.fixture
def place(tmp_path) -> Place:
    site = tmp_path / "site"
    site.mkdir()
    folder = tmp_path / "here"
    folder.mkdir()
    return Place(folder, site)


@pytest.fixture
def call(place, monkeypatch) -> Callable[..., Result]:
    """Run a command within this process, in an empty folder."""
    monkeypatch.chdir(place.folder)
    for name in tuple(os.environ):
        if name.startswith(("AICHAT_", "AI_", "OPENAI_", "PALAVER_")) or name in ("PORT", "API_KEYS", "CORS_ORIGINS"):
            monkeypatch.delenv(name)

    def run(*args: str, given: str | None = None, **variables: str) -> Result:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            return CliRunner().invoke(palaver, args, input=given, prog_name="palaver")

    return run
