"""Every hook has a heading with its exact arguments in docs/reference/hooks.md, an example that works, and a test."""

import ast
import importlib.metadata
import inspect
import re
import sys
from pathlib import Path

import attrs
import click
import palaver_server.hookspecs
import pytest
from click.testing import CliRunner
from packaging.specifiers import SpecifierSet
from palaver import Secret, hookspecs
from palaver.assembly import PluginState, assemble
from palaver.config.second_phase import plugin_config
from palaver.settings import describe
from palaver.testing import fake_context
from palaver.testing.wheels import build_wheel, install_wheel, installed_in

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")

SPECIFIED = {
    name: value
    for module in (hookspecs, palaver_server.hookspecs)
    for name, value in vars(module).items()
    if hasattr(value, "palaver_spec")
}
#: What a hook of the server returns.
PROMISED = {"palaver_routes": palaver_server.hookspecs.RouteSpec, "palaver_commands": click.Command}

each_hook = pytest.mark.parametrize("hook", SPECIFIED)


def section(hook):
    """Give the text below the hook's heading."""
    _, heading, rest = PAGE.partition(f"\n## {hook}(")
    assert heading, f"docs/reference/hooks.md has no heading for {hook}"
    return rest.partition("\n## ")[0]


def example(hook):
    """Give the Python of the hook's section: one complete plugin module."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", section(hook), re.MULTILINE | re.DOTALL)
    return block


@pytest.fixture
def assembled(tmp_path, monkeypatch):
    """Install a module as a plugin and assemble it."""
    monkeypatch.syspath_prepend(tmp_path / "site")

    def install(source):
        wheel = build_wheel(
            tmp_path, "palaver-example", "1.0", {"palaver_example.py": source}, {"example": "palaver_example"}
        )
        install_wheel(wheel, tmp_path / "site")
        return assemble(
            distributions=installed_in(tmp_path / "site"), hookspecs=[palaver_server.hookspecs], environment={}
        )

    yield install
    sys.modules.pop("palaver_example", None)


@each_hook
def test_every_hook_is_a_heading_with_its_exact_arguments(hook):
    arguments = ", ".join(inspect.signature(SPECIFIED[hook]).parameters)
    assert f"\n## {hook}({arguments})\n" in PAGE


def test_no_heading_is_left_of_a_hook_that_is_gone():
    assert set(SPECIFIED) == set(re.findall(r"^## (palaver_\w+)\(", PAGE, re.MULTILINE))


@each_hook
def test_every_hook_is_in_the_table(hook):
    assert f"| [`{hook}()`](#{hook}) |" in PAGE


@each_hook
def test_every_hook_says_when_it_is_called_what_to_return_and_what_happens_on_failure(hook):
    text = " ".join(section(hook).split())
    assert [] == [word for word in ("**Called**", "**Return**", "**On failure**") if word not in text]


@each_hook
def test_the_example_of_a_hook_is_a_plugin_that_loads_and_offers_something(hook, assembled):
    assembly = assembled(example(hook))
    (report,) = assembly.plugins
    assert (PluginState.LOADED, "", (hook,), ()) == (report.state, report.reason, report.hooks, report.notes)
    if hook in PROMISED:
        (answer,) = assembly.call(hook, PROMISED[hook])
        assert "" == answer.reason
        assert answer.items
    else:
        assert report.provides


@pytest.mark.parametrize("hook", [hook for hook in SPECIFIED if hook not in PROMISED])
async def test_the_spec_of_an_example_opens(hook, assembled):
    assembly = assembled(example(hook))
    found = (value for value in attrs.asdict(assembly, recurse=False).values() if isinstance(value, dict))
    (spec,) = {spec for specs in found for spec in specs.values() if hasattr(spec, "open")}
    required = {info.name: Secret("a value that works") for info in describe(spec.config) if info.required}
    config = plugin_config(spec.config, required, {}, path="example")
    async with spec.open(config, fake_context()) as opened:
        assert opened is not None


@each_hook
def test_every_hook_has_a_test_of_its_name(hook):
    files = [
        *ROOT.glob("*/tests/**/test_*.py"),
        *ROOT.glob("plugins/*/tests/**/test_*.py"),
        *ROOT.glob("tests/**/test_*.py"),
    ]
    names = {
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert [name for name in names if name.startswith(f"test_hook_{hook}_")], f"write a test_hook_{hook}_…"


def test_hook_palaver_routes_gives_routes_that_nobody_but_the_server_asks_for(assembled):
    (answer,) = assembled(example("palaver_routes")).call("palaver_routes", palaver_server.hookspecs.RouteSpec)
    assert [("GET", "/acme/who", "user")] == [(route.method, route.path, route.access) for route in answer.items]


def test_hook_palaver_commands_gives_commands_that_run(assembled):
    (answer,) = assembled(example("palaver_commands")).call("palaver_commands", click.Command)
    (command,) = answer.items
    assert "hello moon\n" == CliRunner().invoke(command, ["moon"]).output


def test_the_page_states_the_hook_api_and_the_installed_version_fits_the_range_it_shows(assembled):
    assert f"`HOOK_API_VERSION` is {hookspecs.HOOK_API_VERSION}." in PAGE
    (statement,) = re.findall(r"^PALAVER_HOOK_API = \d+$", PAGE, re.MULTILINE)
    (report,) = assembled(f"{statement}\n").plugins
    assert (hookspecs.HOOK_API_VERSION, PluginState.LOADED) == (report.hook_api, report.state)
    (shown,) = set(re.findall(r"palaver-core(>=[\d.]+,<[\d.]+)", PAGE))
    assert SpecifierSet(shown).contains(importlib.metadata.version("palaver-core"))


@pytest.mark.parametrize("state", PluginState)
def test_every_state_of_a_plugin_is_explained(state):
    assert f"| `{state.value}` |" in PAGE
