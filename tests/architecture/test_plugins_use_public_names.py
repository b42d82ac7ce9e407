"""A plugin of ours may import only what anybody's may, or the promise to third parties would go untested."""

import ast
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import palaver
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

# Doors beside `palaver` itself: whole modules whose `__all__` is public.
PUBLIC_MODULES = ("palaver.storage", "palaver.codec")
TEST_KIT = "palaver.testing"

# What the public interface of a package is made of comes with it: aiohttp gives and takes these.
COMES_WITH = {"aiohttp": {"multidict", "yarl"}}


@cache
def names_of(module):
    __import__(module)
    return frozenset(sys.modules[module].__all__)


def violations(tree, package, sisters, *, in_tests=False):
    """Tell which imports of a plugin reach past the public doors.

    Args:
        package: The plugin's own import package.
        sisters: Import packages of the distributions that it declares.
    """
    doors = ("palaver", *PUBLIC_MODULES)
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            wanted = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in wanted:
            top = module.partition(".")[0]
            if not top.startswith("palaver") or top == package:
                continue
            if top != "palaver":
                if top not in sisters:
                    problems.append(f"{node.lineno}: {top} is not declared in its pyproject.toml")
            elif module in doors or (in_tests and f"{module}.".startswith(f"{TEST_KIT}.")):
                is_door = f"{module}.{name}" in doors
                if name is not None and not is_door and name not in names_of(module):
                    problems.append(f"{node.lineno}: {name} is not in the __all__ of {module}")
            else:
                problems.append(f"{node.lineno}: {module} is not public")
    return problems


@cache
def declared(folder):
    """Return the import packages of the distributions that the pyproject.toml in *folder* requires."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    optional = [row for rows in project.get("optional-dependencies", {}).values() for row in rows]
    required = {canonicalize_name(Requirement(row).name) for row in [*project["dependencies"], *optional]}
    third_parties = {
        package
        for package, distributions in packages_distributions().items()
        if required & {canonicalize_name(name) for name in distributions}
    }
    # What is installed editable does not tell its packages.
    ours = {name.replace("-", "_") for name in required if name.startswith("palaver-")}
    third_parties |= {inner for package in third_parties for inner in COMES_WITH.get(package, ())}
    return third_parties | ours | ({"palaver"} if "palaver-core" in required else set())


def test_plugins_import_only_public_names(shipped):
    plugins = [source for source in shipped if source.distribution.parent.name == "plugins"]
    problems = [
        f"{source.shown}:{problem}"
        for source in plugins
        for problem in violations(source.tree, source.module.partition(".")[0], declared(source.distribution))
    ]
    assert plugins
    assert [] == problems, "\n".join(problems)


def test_the_tests_of_plugins_import_only_public_names_and_the_kit(plugin_tests):
    problems = [
        f"{source.shown}:{problem}"
        for source in plugin_tests
        for problem in violations(
            source.tree,
            f"palaver_{source.distribution.name}",
            declared(source.distribution),
            in_tests=True,
        )
    ]
    assert [] == problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from palaver.domain import Message", "palaver.domain is not public"),
        ("import palaver.pipeline.retry", "palaver.pipeline.retry is not public"),
        ("from palaver import Runtimes", "Runtimes is not in the __all__ of palaver"),
        ("def f():\n    from palaver.codec import converter", "converter is not in the __all__"),
        ("from palaver.testing import FakeClock", "palaver.testing is not public"),
        ("from palaver_other import thing", "palaver_other is not declared"),
    ],
)
def test_an_import_past_the_public_doors_is_found(code, expected):
    (problem,) = violations(ast.parse(code), "palaver_acme", {"palaver", "palaver_sql"})
    assert expected in problem


@pytest.mark.parametrize(
    "code",
    [
        "from palaver import ChatRequest, hookimpl",
        "import palaver",
        "from palaver.codec import Codec",
        "from palaver import storage",
        "from palaver_acme.config import AcmeConfig",
        "from . import codec",
        "from palaver_sql.anything import rows",
        "import yaml",
    ],
)
def test_an_import_through_a_public_door_is_allowed(code):
    assert [] == violations(ast.parse(code), "palaver_acme", {"palaver", "palaver_sql"})


def test_the_kit_is_allowed_in_tests():
    tree = ast.parse("from palaver.testing import FakeClock\nfrom palaver.testing.clock import FakeClock")
    assert [] == violations(tree, "palaver_acme", {"palaver"}, in_tests=True)


def test_what_the_kit_keeps_to_itself_is_found_in_tests():
    tree = ast.parse("from palaver.testing.clock import settle")
    assert 1 == len(violations(tree, "palaver_acme", {"palaver"}, in_tests=True))


def undeclared(tree, package, allowed):
    """Tell which third-party packages a module imports that its distribution does not require."""
    known = sys.stdlib_module_names | {package} | allowed
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            tops = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            tops = {node.module.partition(".")[0]}
        else:
            continue
        problems += [f"{node.lineno}: {top} is not required by its pyproject.toml" for top in sorted(tops - known)]
    return problems


def test_every_import_is_declared(shipped):
    problems = [
        f"{source.shown}:{problem}"
        for source in shipped
        for problem in undeclared(source.tree, source.module.partition(".")[0], declared(source.distribution))
    ]
    assert [] == problems, "\n".join(problems)


def test_an_undeclared_import_is_found():
    tree = ast.parse("import json, requests\nfrom yaml import safe_load\nfrom palaver_acme import x")
    expected = ["1: requests is not required by its pyproject.toml"]
    assert expected == undeclared(tree, "palaver_acme", {"yaml"})


def test_all_lists_exactly_the_public_names():
    own = {
        name for name, value in vars(palaver).items() if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert sorted(own) == sorted(palaver.__all__)
    assert len(palaver.__all__) == len(set(palaver.__all__))
