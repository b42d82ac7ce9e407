from contextlib import asynccontextmanager

import attrs
import pytest
from palaver import (
    AuthenticatorSpec,
    MiddlewareSpec,
    ModelInfo,
    NoConfig,
    ObserverSpec,
    ProviderSpec,
    StorageSpec,
    ToolSourceSpec,
    setting,
)
from palaver.assembly.checking import RULES, Unusable, check_spec
from palaver.assembly.examine import HOOKS


@asynccontextmanager
async def opened(config, context):
    yield object()


@asynccontextmanager
async def takes_config_only(config):
    yield object()


async def bare_generator(config, context):
    yield object()


async def coroutine(config, context):
    return object()


class Opener:
    """A class is callable, too; what it makes may be the context manager."""

    def __init__(self, config, context):
        pass


@attrs.frozen
class Unreadable:
    value: "NoSuchClass" = setting()  # noqa: F821


GOOD = {
    ProviderSpec: {"catalog": (ModelInfo("m"),), "aliases": ("b",), "model_prefixes": ("m-",), "dialect": "openai"},
    StorageSpec: {"schemes": ("acme",), "migrations": lambda config: None},
    MiddlewareSpec: {"place": "target"},
    ToolSourceSpec: {},
    AuthenticatorSpec: {},
    ObserverSpec: {},
}


@pytest.mark.parametrize("spec", GOOD)
def test_a_spec_that_is_what_its_class_says_passes(spec):
    check_spec("hook", spec("acme", config=NoConfig, open=opened, **GOOD[spec]))
    check_spec("hook", spec("acme-2.x_y", config=NoConfig, open=Opener, **GOOD[spec]))


@pytest.mark.parametrize(
    ("spec", "field", "value", "problem"),
    [
        (ProviderSpec, "name", 5, "expected up to 64 letters"),
        (ProviderSpec, "name", "", "expected up to 64 letters"),
        (ProviderSpec, "name", "acme/x", "expected up to 64 letters"),
        (ProviderSpec, "name", "acme\n", "expected up to 64 letters"),
        (ProviderSpec, "name", "a" * 65, "expected up to 64 letters"),
        (ProviderSpec, "config", dict, "expected an attrs class"),
        (ProviderSpec, "config", NoConfig(), "expected an attrs class"),
        (ProviderSpec, "config", None, "expected an attrs class"),
        (ProviderSpec, "config", Unreadable, "its settings cannot be read: NameError: name 'NoSuchClass'"),
        (ProviderSpec, "open", "opened", "expected a function"),
        (ProviderSpec, "open", bare_generator, "decorate it with contextlib.asynccontextmanager"),
        (ProviderSpec, "open", coroutine, "it has to return an async context manager"),
        (ProviderSpec, "open", takes_config_only, "it cannot be called with (config, context)"),
        (ProviderSpec, "aliases", "claude", "expected a tuple of strings"),
        (ProviderSpec, "aliases", ["claude"], "expected a tuple of strings"),
        (ProviderSpec, "model_prefixes", ("",), "expected a tuple of strings"),
        (ProviderSpec, "catalog", ("gpt",), "expected a tuple of ModelInfo"),
        (ProviderSpec, "catalog", [], "expected a tuple of ModelInfo"),
        (ProviderSpec, "automatic", 1, "expected True or False"),
        (ProviderSpec, "dialect", None, "expected a string"),
        (StorageSpec, "schemes", (), "expected a tuple of one or more strings"),
        (StorageSpec, "schemes", "sqlite", "expected a tuple of strings"),
        (StorageSpec, "migrations", 3, "expected a function or None"),
        (StorageSpec, "migrations", lambda: None, "it cannot be called with (config)"),
        (MiddlewareSpec, "place", "middle", "expected 'call' or 'target'"),
        (MiddlewareSpec, "place", [], "expected 'call' or 'target'"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(spec, field, value, problem):
    fields = {"name": "acme", "config": NoConfig, "open": opened, **GOOD[spec], field: value}
    with pytest.raises(Unusable) as caught:
        check_spec("palaver_hook", spec(**fields))
    assert f"whose {field} is wrong: " in str(caught.value)
    assert problem in str(caught.value)
    assert str(caught.value).startswith("returned rubbish: palaver_hook() gave ")


def test_every_field_of_every_spec_has_a_rule():
    fields = {field.name for _, spec in HOOKS.values() for field in attrs.fields(spec)}
    assert fields == set(RULES)
