"""A folder of installed distributions, importable for the time of a test."""

import sys

import attrs
import pytest
from palaver.assembly import assemble
from palaver.testing.broken_plugins import install_broken, install_working
from palaver.testing.wheels import build_wheel, install_wheel, installed_in


@attrs.frozen
class Site:
    """Install wheels here; ``assemble`` sees these and nothing else."""

    folder: object
    wheels: object

    def install(self, name, version="1.0", *, modules, entry_points, requires=()):
        install_wheel(build_wheel(self.wheels, name, version, modules, entry_points, requires), self.folder)

    def plugin(self, name, source="", *, requires=()):
        install_working(self.wheels, self.folder, name, source=source, requires=requires)

    def broken(self, *names):
        install_broken(self.wheels, self.folder, names)

    def assemble(self, **options):
        return assemble(**{"distributions": installed_in(self.folder), "environment": {}, **options})


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Site(folder, tmp_path / "wheels")
    for name in set(sys.modules) - before:
        if name.startswith("palaver_"):
            del sys.modules[name]
