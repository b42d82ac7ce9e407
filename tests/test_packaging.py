"""The distributions agree with each other, with constraints.txt, and with what their wheels have to hold."""

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import attrs
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


@attrs.frozen
class Distribution:
    folder: Path
    project: dict
    tool: dict

    @classmethod
    def read(cls, file):
        content = tomllib.loads(file.read_text())
        return cls(file.parent, content["project"], content["tool"])

    @property
    def name(self):
        return self.project["name"]

    @property
    def package(self):
        return self.folder / "src" / self.tool["uv"]["build-backend"]["module-name"]

    @property
    def requirements(self):
        optional = self.project.get("optional-dependencies", {}).values()
        return [Requirement(text) for group in (self.project["dependencies"], *optional) for text in group]

    @property
    def entry_points(self):
        groups = {"console_scripts": self.project.get("scripts", {}), **self.project.get("entry-points", {})}
        return {(group, name, value) for group, entries in groups.items() for name, value in entries.items()}


FOLDERS = [ROOT / "core", ROOT / "server", ROOT / "migrations", *sorted((ROOT / "plugins").iterdir())]
ALL = [Distribution.read(folder / "pyproject.toml") for folder in FOLDERS if folder.is_dir()]
VERSIONS = {dist.name: dist.project["version"] for dist in ALL}

each = pytest.mark.parametrize("dist", ALL, ids=lambda dist: dist.name)


def pins():
    rows = re.split(r"\n(?=\S)", (ROOT / "constraints.txt").read_text().strip())
    return {name: version for name, version in (re.match(r"([^=]+)==(\S+)", row).groups() for row in rows)}


def test_all_distributions_have_one_version():
    assert 1 == len(set(VERSIONS.values())), VERSIONS


@each
def test_names_follow_the_folder(dist):
    expected = f"palaver-{dist.folder.name}"
    assert expected == dist.name
    assert dist.package.name in {expected.replace("-", "_"), "palaver"}


@each
def test_siblings_are_required_in_the_range_of_this_version(dist):
    for requirement in dist.requirements:
        if requirement.name.startswith("palaver"):
            assert requirement.name in VERSIONS
            assert requirement.specifier.contains(VERSIONS[requirement.name])
            assert {">=", "<"} == {part.operator for part in requirement.specifier}


@each
def test_third_parties_are_pinned_within_the_required_range(dist):
    pinned = pins()
    for requirement in dist.requirements:
        if requirement.name not in VERSIONS:
            assert requirement.specifier, f"{requirement} has no lower bound"
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


@each
def test_entry_points_name_what_can_be_imported(dist):
    for _, _, value in dist.entry_points:
        module, _, attribute = value.partition(":")
        imported = importlib.import_module(module)
        assert not attribute or callable(getattr(imported, attribute))


@each
def test_what_is_installed_is_what_is_written(dist):
    installed = importlib.metadata.distribution(dist.name)
    assert dist.project["version"] == installed.version
    assert dist.entry_points == {(point.group, point.name, point.value) for point in installed.entry_points}


def test_every_plugin_but_the_library_has_an_entry_point_of_its_name():
    plugins = {dist.folder.name for dist in ALL if dist.folder.parent.name == "plugins"}
    offered = {name for dist in ALL for group, name, _ in dist.entry_points if group == "palaver"}
    assert plugins - {"sql"} == offered


@each
def test_every_distribution_says_what_it_is(dist):
    assert (dist.folder / "README.md").read_text().startswith(f"# {dist.name}\n")
    assert (ROOT / "LICENSE").read_bytes() == (dist.folder / "LICENSE").read_bytes()
    assert "Apache-2.0" == dist.project["license"]
    assert ">=3.11" == dist.project["requires-python"]
    assert dist.project["description"]


@each
def test_wheel_holds_every_file_of_its_package(dist, tmp_path):
    build = "import sys, uv_build; uv_build.build_wheel(sys.argv[1])"
    # The backend finds its own program on PATH.
    env = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=dist.folder, env=env, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    source = dist.package.parent
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    expected = {name for name in files if "__pycache__" not in name}
    assert f"{dist.package.name}/py.typed" in expected
    assert set() == expected - held
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in held)


def test_constraints_name_no_host_and_nothing_of_ours():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-(?!-hash=sha256:)", text, re.MULTILINE)
    assert set() == {name for name in pins() if name.startswith("palaver")}


def test_constraints_hash_every_row():
    rows = re.split(r"\n(?=\S)", (ROOT / "constraints.txt").read_text().strip())
    assert [] == [row for row in rows if "--hash=sha256:" not in row]


def test_everything_asked_for_by_developers_is_pinned():
    lines = (line.partition("#")[0].strip() for line in (ROOT / "dev-requirements.in").read_text().splitlines())
    pinned = pins()
    for requirement in (Requirement(line) for line in lines if line):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_no_file_that_names_hosts_is_kept():
    assert {"uv.lock", "package-lock.json"} <= set((ROOT / ".gitignore").read_text().splitlines())
