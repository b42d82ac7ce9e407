"""What importing costs: the library and every plugin start without HTTP client, YAML, test tools or vendors' code."""

import importlib.metadata
import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "yaml", "pytest", "cattrs", "typed_settings", "jsonschema", "multidict", "hypothesis"}
# A plugin may need its own small things, but not what core loads lazily for it, nor a database driver.
HEAVY_FOR_A_PLUGIN = {"aiohttp", "pytest", "hypothesis", "typed_settings", "yoyo", "multidict", "jsonschema"}
PLUGINS = sorted({point.value for point in importlib.metadata.entry_points(group="palaver")})


def loaded_by(module):
    """Return the top-level packages that a fresh interpreter has after importing *module*."""
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_palaver_loads_nothing_heavy():
    loaded = loaded_by("palaver")
    assert "attrs" in loaded
    assert set() == loaded & HEAVY


@pytest.mark.parametrize("module", PLUGINS)
def test_importing_a_plugin_loads_no_http_client(module):
    assert set() == loaded_by(module) & HEAVY_FOR_A_PLUGIN


def test_importing_the_pytest_plugin_loads_no_more_of_core_than_it_needs():
    code = "import sys, palaver.testing.plugin; print(*sorted(name for name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "palaver.testing.plugin" in loaded
    assert not loaded & {"aiohttp", "palaver.runtime", "palaver.codec", "palaver.testing.clock"}


def test_something_heavy_would_be_seen():
    assert "yaml" in loaded_by("yaml")
