"""Which instances the configuration and the installed plugins make together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from palaver import ModelInfo, ProviderSpec, Secret, setting
from palaver.config.schema import Config, LlmConfig, ProviderEntry, RoutingConfig
from palaver.pipeline import Target
from palaver.runtime.plan import plan_instances, plan_routes


@attrs.frozen
class KeyConfig:
    api_key: Secret = setting(env="ACME_KEY")
    base_url: str = setting(default="https://acme.example")


@asynccontextmanager
async def never(config: Any, context: Any) -> AsyncIterator[object]:
    raise AssertionError("planning opens nothing")
    yield


ACME = ProviderSpec("acme", KeyConfig, never, aliases=("roadrunner",), model_prefixes=("acme-",))
QUIET = ProviderSpec("quiet", KeyConfig, never, automatic=False, catalog=(ModelInfo("hush"),))
SPECS = {"acme": ACME, "quiet": QUIET}


def names(config: Config) -> list[str]:
    return [plan.name for plan in plan_instances(config, SPECS)[0]]


def test_a_plugin_no_entry_names_becomes_an_instance_unless_it_declines() -> None:
    assert ["acme"] == names(Config())


def test_an_entry_makes_an_instance_and_its_plugin_makes_none_of_its_own() -> None:
    providers = {"eu": ProviderEntry(plugin="acme"), "us": ProviderEntry(plugin="acme")}
    assert ["eu", "us"] == names(Config(providers=providers))


def test_the_default_provider_is_made_by_name_or_alias_even_when_it_would_not_by_itself() -> None:
    assert ["quiet", "acme"] == names(Config(llm=LlmConfig(provider="quiet")))
    assert ["acme"] == names(Config(llm=LlmConfig(provider="roadrunner")))


def test_the_default_provider_is_lent_the_key_and_address_of_llm() -> None:
    llm = LlmConfig(provider="acme", api_key=Secret("k"), base_url="http://here")
    (plan,), _ = plan_instances(Config(llm=llm), SPECS)
    assert {"api_key": Secret("k"), "base_url": "http://here"} == plan.options


def test_an_entry_keeps_its_own_options_over_what_llm_lends() -> None:
    llm = LlmConfig(provider="eu", api_key=Secret("k"), base_url="http://here")
    providers = {"eu": ProviderEntry(plugin="acme", options={"base_url": "http://there"})}
    (plan,), _ = plan_instances(Config(llm=llm, providers=providers), SPECS)
    assert {"api_key": Secret("k"), "base_url": "http://there"} == plan.options


def test_an_unknown_plugin_is_refused_with_what_is_installed() -> None:
    _, refused = plan_instances(Config(providers={"x": ProviderEntry(plugin="nope")}), SPECS)
    assert ["providers.x.plugin: no provider 'nope' is installed; installed: acme, quiet"] == [
        state.reason for state in refused
    ]


def test_a_disabled_entry_makes_nothing() -> None:
    planned, refused = plan_instances(Config(providers={"acme": ProviderEntry(plugin="acme", enabled=False)}), SPECS)
    assert ((), ["disabled"]) == (planned, [state.state for state in refused])


def test_an_entry_that_lists_models_claims_those_and_not_the_plugins_prefixes() -> None:
    entry = ProviderEntry(plugin="acme", models=("own-model",))
    (plan,), _ = plan_instances(Config(providers={"vllm": entry}), SPECS)
    assert (("own-model",), ()) == (plan.claims.models, plan.claims.prefixes)


def test_the_default_target_comes_from_the_provider_its_first_model_or_its_catalogue() -> None:
    def default(**llm: Any) -> Target | None:
        config = Config(llm=LlmConfig(**llm), routing=RoutingConfig())
        claims = {plan.name: plan.claims for plan in plan_instances(config, SPECS)[0]}
        return plan_routes(config, claims, SPECS).default

    assert Target("quiet", "hush") == default(provider="quiet")
    assert Target("acme", "acme-9") == default(provider="roadrunner", model="acme-9")
    assert Target("acme", "acme-9") == default(model="acme-9")
    assert Target("acme", "acme-9") == default(provider="acme", model="acme/acme-9")
    assert None is default(provider="acme")
    assert None is default(model="unknown")
