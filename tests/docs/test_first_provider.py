"""The tutorial is true: its page shows the example's files, and the example works as a wheel that nobody here knows."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from palaver.testing.conformance import RULES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-provider.md"
EXAMPLE = ROOT / "docs" / "examples" / "first-provider"
BIN = Path(sys.executable).parent
SNIPPET = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)


def files():
    """The files of the example that a reader writes."""
    return sorted(
        path.relative_to(EXAMPLE).as_posix()
        for path in EXAMPLE.rglob("*")
        if path.is_file() and not {"__pycache__", ".pytest_cache"} & set(path.parts)
    )


# The page ------------------------------------------------------------------------------------------------------------


def test_the_page_shows_every_file_once():
    assert files() == sorted(name for name, _ in SNIPPET.findall(PAGE.read_text("utf-8")))


@pytest.mark.parametrize("name", files())
def test_a_snippet_is_the_file(name):
    shown = dict(SNIPPET.findall(PAGE.read_text("utf-8")))
    assert (EXAMPLE / name).read_text("utf-8") == shown[name]


def test_the_page_lists_every_rule_as_the_kit_says_it():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE))
    assert {name: rule.__doc__.strip().replace("``", "`") for name, rule in RULES.items()} == {
        name: rows.get(name) for name in RULES
    }


def test_the_example_names_no_file_of_this_repository():
    text = "".join((EXAMPLE / name).read_text("utf-8") for name in files())
    assert [] == re.findall(r"\.\./|docs/|palaver_mock|palaver_openai", text)


# The wheel -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The reader's folder."""
    folder = tmp_path_factory.mktemp("reader") / "palaver-shout"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    return folder


@pytest.fixture(scope="module")
def site(project, tmp_path_factory):
    """A folder that holds nothing but the installed wheel."""
    dist = tmp_path_factory.mktemp("dist")
    code = "import sys, uv_build; print(uv_build.build_wheel(sys.argv[1]))"
    built = run(sys.executable, "-c", code, str(dist), cwd=project)
    assert 0 == built.returncode, built.stderr
    (wheel,) = dist.glob("*.whl")
    folder = tmp_path_factory.mktemp("site")
    options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    installed = run(pip_python(), "-m", "pip", "install", *options, "--target", str(folder), str(wheel))
    assert 0 == installed.returncode, installed.stderr
    return folder


def pip_python():
    """An interpreter of this version that has pip: a virtual environment made by uv has none."""
    for python in (sys.executable, getattr(sys, "_base_executable", None)):
        if python and 0 == run(python, "-c", "import pip").returncode:
            return python
    pytest.skip("neither the virtual environment nor the interpreter behind it has pip")


def environment(site=None, **more):
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AICHAT_", "AI_", "OPENAI_", "PALAVER_", "PYTEST_", "PYTHON", "COV_", "SHOUT_"))
    }
    keep["PATH"] = f"{BIN}{os.pathsep}{keep.get('PATH', '')}"
    if site is not None:
        keep["PYTHONPATH"] = str(site)
    return {**keep, **more}


def run(*command, cwd=None, env=None):
    env = environment() if env is None else env
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def pytest_in(project, site, *options):
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", *options)
    return run(*command, cwd=project, env=environment(site))


def test_the_wheel_holds_the_package_and_the_entry_point(site):
    assert {"palaver_shout"} == {path.name for path in site.iterdir() if path.is_dir() and "dist-info" not in path.name}
    (points,) = site.glob("palaver_shout-*.dist-info/entry_points.txt")
    assert "[palaver]\nshout = palaver_shout\n" == points.read_text("utf-8").strip() + "\n"


def test_its_own_conformance_tests_pass(project, site):
    # The sources are taken away: what is tested is what was installed.
    shutil.rmtree(project / "src", ignore_errors=True)
    tested = pytest_in(project, site, "-rs")
    assert 0 == tested.returncode, tested.stdout + tested.stderr
    skipped = re.findall(r"^SKIPPED .*?: (.*)$", tested.stdout, re.MULTILINE)
    nothing_to_ask = [f"the provider is no {name}" for name in ("Embedder", "HealthProbe", "ModelLister")]
    assert ["Shout shouts; it calls no tools", *nothing_to_ask] == sorted(skipped)
    assert f"{len(RULES) - len(skipped)} passed" in tested.stdout


def test_a_broken_rule_is_noticed(project, site, tmp_path):
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    provider = broken / "palaver_shout" / "provider.py"
    last_line = '        raise UpstreamInterrupted("shout: the answer ended in the middle")\n'
    source = provider.read_text("utf-8")
    assert last_line in source
    provider.write_text(source.replace(last_line, ""), "utf-8")
    tested = pytest_in(project, broken, "-k", "terminal_marker")
    assert 1 == tested.returncode, tested.stdout + tested.stderr
    assert "a cut stream ended with None" in tested.stdout


ASSEMBLE = """
from palaver.assembly import assemble
assembly = assemble()
print(assembly.report("shout").state, assembly.report("shout").distribution, "shout" in assembly.providers)
"""


def test_palaver_finds_it(site):
    found = run(sys.executable, "-c", ASSEMBLE, env=environment(site))
    assert "loaded palaver-shout True" == found.stdout.strip(), found.stdout + found.stderr


def test_palaver_does_not_know_it_without_the_wheel():
    found = run(sys.executable, "-c", "from palaver.assembly import assemble; print('shout' in assemble().providers)")
    assert "False" == found.stdout.strip(), found.stdout + found.stderr


def test_the_command_line_lists_it_as_loaded(site, tmp_path):
    env = environment(site, HOME=str(tmp_path), COLUMNS="160")
    listed = run(str(BIN / "palaver"), "plugins", cwd=tmp_path, env=env)
    assert 0 == listed.returncode, listed.stdout + listed.stderr
    (line,) = [line for line in listed.stdout.splitlines() if "palaver-shout" in line]
    assert "loaded" in line


# From the terminal to the vendor -------------------------------------------------------------------------------------


@contextmanager
def shout_server():
    """Shout itself on a free port; gives its address."""
    command = (sys.executable, str(EXAMPLE / "shout_server.py"), "0")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait(timeout=10)
        server.stdout.close()


@pytest.fixture(scope="module")
def shout():
    with shout_server() as address:
        yield address


def chat(site, folder, address, *words, key="please"):
    env = environment(site, HOME=str(folder), NO_COLOR="1", SHOUT_BASE_URL=address, SHOUT_API_KEY=key)
    return run(str(BIN / "palaver"), "chat", *words, cwd=folder, env=env)


@pytest.mark.parametrize("form", [(), ("--no-stream",)])
def test_the_terminal_answers_through_it(site, shout, tmp_path, form):
    answered = chat(site, tmp_path, shout, *form, "--model", "shout/loud", "hello there")
    assert 0 == answered.returncode, answered.stdout + answered.stderr
    assert "HELLO THERE" == answered.stdout.strip()


def test_a_wrong_key_is_told_and_not_shown(site, shout, tmp_path):
    answered = chat(site, tmp_path, shout, "--model", "shout/loud", "hello", key="now-or-never-0123456789")
    assert 0 != answered.returncode
    assert "say please" in answered.stderr + answered.stdout
    assert "now-or-never" not in answered.stderr + answered.stdout


def test_a_vendor_that_is_not_there_is_told(site, tmp_path):
    with shout_server() as address:
        pass
    answered = chat(site, tmp_path, address, "--model", "shout/loud", "hello")
    assert 0 != answered.returncode
    assert "shout" in answered.stderr + answered.stdout
    assert "Traceback" not in answered.stderr
