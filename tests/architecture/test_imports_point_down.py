"""Imports point one way: a module imports only what stands below it, so that each layer can be read alone."""

import ast

import pytest

# From the bottom up. Each row is an arrow group; within a group the right one may import the left one.
GROUPS = (
    ("errors", "ids", "clock", "domain", "events", "fold"),
    ("settings",),
    ("codec",),
    ("upstream",),
    ("contracts", "storage"),  # `palaver.storage` shows `contracts/storage.py` to plugins
    ("specs", "hookspecs"),
    ("assembly", "config", "pipeline", "chat"),
    ("runtime", "client"),
)
ORDER = [room for group in GROUPS for room in group]

# No room of ours on the way out may need what reads bytes from a socket, or the loop.
PURE = ("palaver.errors", "palaver.ids", "palaver.domain", "palaver.events", "palaver.fold", "palaver.settings")
PURE += ("palaver.codec", "palaver.specs", "palaver.hookspecs", "palaver.pipeline.routing")
PURE_ROOMS_OF_A_PLUGIN = ("codec", "stream", "failures", "catalog")
IMPURE = ("asyncio", "aiohttp", "socket", "ssl", "threading", "subprocess")

VENDOR_SDKS = ("openai", "anthropic", "google", "mistralai", "cohere", "ollama", "litellm", "boto3")


def imports(tree, module, *, is_package=False):
    """List ``(line, dotted name)`` of everything a module imports, wherever the statement stands in it.

    ``from a.b import c`` is listed as ``a.b:c``, because only the reader knows whether ``c`` is a module.
    """
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, *([base] if base else [])])
            found += [(node.lineno, f"{base}:{alias.name}") for alias in node.names]
    return found


def room_of(name):
    """Name the room of core that an import reaches: ``palaver:domain`` and ``palaver.domain.call`` are ``domain``."""
    dotted = name.replace(":", ".")
    parts = dotted.split(".")
    if parts[0] != "palaver":
        return None
    return parts[1] if len(parts) > 1 else ""


def violations(tree, module, *, is_package=False):
    """Tell which imports of *module* point up or sideways."""
    package, _, rest = module.partition(".")
    room = rest.partition(".")[0]
    problems = []
    for line, name in imports(tree, module, is_package=is_package):
        target = name.replace(":", ".").partition(".")[0]
        if not target.startswith("palaver"):
            continue
        reached = room_of(name)
        if package == "palaver" and target != "palaver":
            problems.append(f"{line}: core imports {target}")
        elif package == "palaver_migrations" and target != package:
            problems.append(f"{line}: the migrations know nothing of {target}")
        elif package == "palaver_server" and target not in ("palaver", package):
            problems.append(f"{line}: the server imports the plugin {target}; plugins are found, not named")
        elif reached == "testing" and not (package == "palaver" and room == "testing"):
            problems.append(f"{line}: what ships imports the test kit")
        elif package == "palaver" and reached is not None and room not in ("", "testing"):
            problems += [f"{line}: {problem}" for problem in _within_core(room, reached, name)]
    return problems


def _within_core(room, reached, name):
    if room not in ORDER:
        return [f"{room} has no place in the order of rooms: give it one in GROUPS"]
    if reached not in ORDER:
        return [f"{room} imports {name} from the root, which stands above everything"]
    if ORDER.index(reached) > ORDER.index(room):
        return [f"{room} imports {reached}, which stands above it"]
    return []


def test_imports_point_down(shipped):
    problems = [
        f"{source.shown}:{problem}"
        for source in shipped
        for problem in violations(source.tree, source.module, is_package=source.is_package)
    ]
    assert [] == problems, "\n".join(problems)


def test_every_room_of_core_has_its_place(shipped):
    rooms = {source.module.split(".")[1] for source in shipped if source.module.startswith("palaver.")}
    assert set() == rooms - {*ORDER, "testing"}


@pytest.mark.parametrize(
    ("module", "code", "expected"),
    [
        ("palaver.domain.call", "from palaver.pipeline.retry import Retry", "domain imports pipeline"),
        ("palaver.domain.call", "def f():\n    import palaver.runtime", "domain imports runtime"),
        ("palaver.pipeline.retry", "from palaver.chat import service", "pipeline imports chat"),
        ("palaver.specs", "from palaver import hookimpl", "from the root"),
        ("palaver.codec.tags", "from ..fold import Fold\nfrom ..runtime import Runtime", "codec imports runtime"),
        ("palaver.runtime.jobs", "from palaver.testing import FakeClock", "imports the test kit"),
        ("palaver.assembly.report", "import palaver_server", "core imports palaver_server"),
        ("palaver.gadgets", "from palaver.errors import PalaverError", "has no place in the order"),
        ("palaver_server.app", "from palaver_sqlite import config", "plugins are found, not named"),
        ("palaver_server.app", "from palaver.testing.clock import FakeClock", "imports the test kit"),
        ("palaver_migrations", "from palaver.errors import PalaverError", "know nothing of palaver"),
    ],
)
def test_an_import_that_points_up_is_found(module, code, expected):
    (problem,) = violations(ast.parse(code), module)
    assert expected in problem


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("palaver", "from palaver.runtime import Runtime"),
        ("palaver.codec.converter", "from palaver import domain, events"),
        ("palaver.hookspecs", "from palaver.specs import ProviderSpec"),
        ("palaver.testing.fakes", "from palaver.runtime import Runtime\nfrom palaver import ChatRequest"),
        ("palaver_server.app", "from palaver.runtime import Runtime\nfrom palaver_server.cli import main"),
        ("palaver_acme", "from palaver import hookimpl"),
    ],
)
def test_an_import_that_points_down_is_allowed(module, code):
    assert [] == violations(ast.parse(code), module)


def impurities(tree, module, *, is_package=False):
    """Tell which imports a module that must stay pure has no use for."""
    package, _, rest = module.partition(".")
    of_a_plugin = package not in ("palaver", "palaver_server", "palaver_migrations")
    pure = any(module == name or module.startswith(name + ".") for name in PURE)
    if not pure and not (of_a_plugin and rest in PURE_ROOMS_OF_A_PLUGIN):
        return []
    found = imports(tree, module, is_package=is_package)
    return [
        f"{line}: {name.partition(':')[0]} in a pure module"
        for line, name in found
        if name.replace(":", ".").partition(".")[0] in IMPURE
    ]


def test_what_is_pure_does_no_input_and_output(shipped):
    problems = [f"{source.shown}:{problem}" for source in shipped for problem in impurities(source.tree, source.module)]
    assert [] == problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("module", "code", "count"),
    [
        ("palaver.domain.call", "import asyncio", 1),
        ("palaver_acme.stream", "from aiohttp import ClientSession", 1),
        ("palaver_acme.provider", "import asyncio", 0),
        ("palaver.codec.tags", "import json", 0),
    ],
)
def test_input_and_output_in_a_pure_module_is_found(module, code, count):
    assert count == len(impurities(ast.parse(code), module))


def sdk_imports(tree, module):
    """Tell where a vendor's SDK is imported: providers speak HTTP (docs/decisions/0001-no-vendor-sdks.md)."""
    found = imports(tree, module)
    return [f"{line}: {name}" for line, name in found if name.replace(":", ".").partition(".")[0] in VENDOR_SDKS]


def test_nothing_that_ships_imports_a_vendor_sdk(shipped):
    assert [] == [f"{source.shown}:{problem}" for source in shipped for problem in sdk_imports(source.tree, "")]


def test_a_vendor_sdk_is_found():
    assert ["2: openai:AsyncOpenAI"] == sdk_imports(ast.parse("import re\nfrom openai import AsyncOpenAI"), "palaver_x")
