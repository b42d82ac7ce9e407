"""Each hook of core: an installed plugin offers something by it, and it is there under its name."""

import pytest
from palaver import (
    AuthenticatorSpec,
    MiddlewareSpec,
    ObserverSpec,
    ProviderSpec,
    StorageSpec,
    ToolSourceSpec,
    hookspecs,
)
from palaver.assembly.examine import HOOKS

SOURCE = """\
from contextlib import asynccontextmanager

from palaver import NoConfig, {spec}, hookimpl


@asynccontextmanager
async def open_acme(config, context):
    yield object()


@hookimpl
def {hook}():
    yield {spec}("acme", config=NoConfig, open=open_acme{further})
"""


def offered(site, hook, spec, further=""):
    site.plugin("acme", SOURCE.format(hook=hook, spec=spec.__name__, further=further))
    assembly = site.assemble()
    (report,) = assembly.plugins
    assert ("", (hook,)) == (report.reason, report.hooks)
    return assembly


def test_hook_palaver_providers_offers_a_provider(site):
    assembly = offered(site, "palaver_providers", ProviderSpec, ', aliases=("a",), model_prefixes=("acme-",)')
    assert ("acme", ("a",)) == (assembly.providers["acme"].name, assembly.providers["acme"].aliases)
    assert {"provider:acme": "acme"} == assembly.origins


def test_hook_palaver_tool_sources_offers_a_tool_source(site):
    assembly = offered(site, "palaver_tool_sources", ToolSourceSpec)
    assert isinstance(assembly.tool_sources["acme"], ToolSourceSpec)
    assert {"tool_source:acme": "acme"} == assembly.origins


def test_hook_palaver_storages_offers_a_storage(site):
    assembly = offered(site, "palaver_storages", StorageSpec, ', schemes=("acme",)')
    assert ("acme",) == assembly.storages["acme"].schemes
    assert {"storage:acme": "acme"} == assembly.origins


def test_hook_palaver_middlewares_offers_a_middleware(site):
    assembly = offered(site, "palaver_middlewares", MiddlewareSpec, ', place="target"')
    assert "target" == assembly.middlewares["acme"].place
    assert {"middleware:acme": "acme"} == assembly.origins


def test_hook_palaver_authenticators_offers_an_authenticator(site):
    assembly = offered(site, "palaver_authenticators", AuthenticatorSpec)
    assert isinstance(assembly.authenticators["acme"], AuthenticatorSpec)
    assert {"authenticator:acme": "acme"} == assembly.origins


def test_hook_palaver_observers_offers_an_observer(site):
    assembly = offered(site, "palaver_observers", ObserverSpec)
    assert isinstance(assembly.observers["acme"], ObserverSpec)
    assert {"observer:acme": "acme"} == assembly.origins


def test_every_hook_of_core_is_called():
    specified = {name for name, value in vars(hookspecs).items() if hasattr(value, "palaver_spec")}
    assert specified == set(HOOKS)


def test_one_plugin_may_implement_several_hooks_under_names_of_its_own(site):
    site.plugin(
        "acme",
        """\
from palaver import MiddlewareSpec, NoConfig, ObserverSpec, hookimpl


@hookimpl
def palaver_middlewares():
    return (MiddlewareSpec("cut", NoConfig, lambda config, context: None),)


@hookimpl(specname="palaver_observers")
def watchers():
    return [ObserverSpec("watch", NoConfig, lambda config, context: None)]
""",
    )
    (report,) = site.assemble().plugins
    assert ("middleware:cut", "observer:watch") == report.provides
    assert ("palaver_middlewares", "palaver_observers") == report.hooks


# --- hooks that core does not know ------------------------------------------------------------------

ROUTES = """\
from palaver import hookimpl


@hookimpl(optionalhook=True)
def palaver_routes({arguments}):
    {body}
"""


def with_routes(site, name, body, arguments=""):
    site.plugin(name, ROUTES.format(body=body, arguments=arguments))


def test_an_optional_hook_loads_without_anybody_to_call_it_and_can_be_called_later(site):
    with_routes(site, "b", "return ['/b', '/bb']")
    with_routes(site, "a", "yield '/a'")
    site.plugin("none")
    assembly = site.assemble()
    assert ["a", "b", "none"] == list(assembly.modules)
    assert "offers palaver_routes" in assembly.report("a").summary()
    answers = assembly.call("palaver_routes", str)
    assert [("a", ("/a",), ""), ("b", ("/b", "/bb"), "")] == [(one.plugin, one.items, one.reason) for one in answers]
    assert () == assembly.call("palaver_commands")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise OSError('no')", "in palaver_routes(): OSError: no"),
        ("raise SystemExit", "in palaver_routes(): it called sys.exit(None)"),
        ("return [1]", "returned rubbish: palaver_routes() gave 1, not a str"),
        ("return 'alone'", "returned rubbish: palaver_routes() gave one str by itself; put it in a list"),
        ("return 3", "returned rubbish: palaver_routes() gave 3, not an iterable of str"),
        ("__import__('time').sleep(60)", "in palaver_routes(): still running after 0.2 s, abandoned"),
    ],
)
def test_a_later_hook_that_fails_spoils_only_its_own_plugin(site, body, reason):
    with_routes(site, "a", body)
    with_routes(site, "b", "return ['/b']")
    bad, good = site.assemble().call("palaver_routes", str, limit=0.2 if "sleep" in body else 5.0)
    assert ("a", (), reason) == (bad.plugin, bad.items, bad.reason)
    assert ("b", ("/b",), "") == (good.plugin, good.items, good.reason)


def server_hookspecs():
    import types

    module = types.ModuleType("server_hookspecs")

    @hookspecs.hookspec
    def palaver_routes():
        """Offer routes."""

    module.palaver_routes = palaver_routes
    return module


def test_the_signature_of_a_hook_of_the_server_is_checked_where_the_server_is(site):
    with_routes(site, "acme", "return []", arguments="app")
    assert "" == site.assemble().report("acme").reason
    reason = "wrong hook signature: palaver_routes(app) does not fit palaver_routes(): hooks take no arguments"
    assert reason == site.assemble(hookspecs=[server_hookspecs()]).report("acme").reason


def test_a_misspelt_optional_hook_is_noted_where_its_hook_is_known(site):
    site.plugin("acme", ROUTES.format(arguments="", body="return []").replace("_routes", "_route"))
    assert () == site.assemble().report("acme").notes
    report = site.assemble(hookspecs=[server_hookspecs()]).report("acme")
    assert ("unknown hook palaver_route; did you mean palaver_routes?",) == report.notes
