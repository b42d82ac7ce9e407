"""A plugin's own settings: from options, then from the environment, checked, masked."""

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from palaver import NoConfig, Secret, setting
from palaver.config import ConfigInvalid, NotConfigured, Origin, OriginKind, load, plugin_config
from palaver.config.second_phase import shown_options, shown_settings
from palaver.errors import ConfigError


class Speed(enum.Enum):
    SLOW = "slow"
    FAST = "fast"


@attrs.frozen
class Nested:
    size: int
    token: Secret | None = None


def _even(_: object, attribute: Any, value: int) -> None:
    if value % 2:
        raise ValueError(f"expected an even number, got {value}", attribute)


@attrs.frozen
class Acme:
    api_key: Secret = setting(env=("ACME_API_KEY", "ACME_KEY"), help="key of the account")
    base_url: str = setting(default="https://acme.example", env="ACME_BASE_URL")
    timeout: float = setting(default=30.0)
    retries: int = setting(default=2, env="ACME_RETRIES", validator=_even)
    strict: bool = setting(default=False, env="ACME_STRICT")
    tags: tuple[str, ...] = setting(default=(), env="ACME_TAGS")
    extra_keys: tuple[Secret, ...] = setting(default=())
    headers: Mapping[str, str] = setting(factory=dict)
    speed: Speed = setting(default=Speed.SLOW)
    mode: Literal["chat", "raw"] = setting(default="chat")
    region: str | None = setting(default=None)
    home: Path | None = setting(default=None)
    nested: Nested | None = setting(default=None)
    anything: Any = setting(default=None)
    upper: str = setting(default="", converter=str.upper)


def build(raw=None, environment=None, **options) -> Acme:
    return plugin_config(Acme, {"api_key": "k", **(raw or {})}, environment or {}, path="providers.acme", **options)


def test_the_environment_fills_what_no_option_gives_first_name_first():
    environment = {"ACME_KEY": "second", "ACME_BASE_URL": "https://env", "ACME_TAGS": "a, b", "ACME_STRICT": "on"}
    config = plugin_config(Acme, {}, environment, path="providers.acme")
    assert ("second", "https://env", ("a", "b"), True) == (
        config.api_key.reveal(),
        config.base_url,
        config.tags,
        config.strict,
    )
    assert "first" == plugin_config(Acme, {}, {**environment, "ACME_API_KEY": "first"}, path="p").api_key.reveal()


def test_an_option_wins_over_the_environment():
    config = build({"base_url": "https://given"}, {"ACME_API_KEY": "env", "ACME_BASE_URL": "https://env"})
    assert ("k", "https://given") == (config.api_key.reveal(), config.base_url)


def test_a_secret_that_is_one_already_stays_one():
    assert "s" == build({"api_key": Secret("s")}).api_key.reveal()


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("timeout", 5, 5.0),
        ("timeout", "2.5", 2.5),
        ("retries", "4", 4),
        ("strict", "no", False),
        ("headers", {"a": "b"}, {"a": "b"}),
        ("speed", "fast", Speed.FAST),
        ("mode", "raw", "raw"),
        ("region", "", None),
        ("region", "eu", "eu"),
        ("home", "x/y", Path("x/y")),
        ("extra_keys", "a,b", (Secret("a"), Secret("b"))),
        ("nested", {"size": 3, "token": "t"}, Nested(3, Secret("t"))),
        ("anything", {"a": [1]}, {"a": [1]}),
        ("upper", "abc", "ABC"),
    ],
)
def test_options_are_converted_to_the_type_of_their_field(name, given, expected):
    value = getattr(build({name: given}), name)
    assert expected == value
    assert type(expected) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("timeout", "soon", "timeout: expected a number, got 'soon'"),
        ("retries", 2.5, "retries: expected an integer, got 2.5"),
        ("retries", 3, "retries: expected an even number, got 3"),
        ("retries", True, "retries: expected an integer, got true"),
        ("strict", "perhaps", "strict: expected true or false, got 'perhaps'"),
        ("base_url", 5, "base_url: expected text, got 5: put it in quotes"),
        ("tags", ["a", 5], "tags[1]: expected text, got 5: put it in quotes"),
        ("headers", {"a": 5}, "headers.a: expected text, got 5: put it in quotes"),
        ("headers", "a", "headers: expected settings by name, got 'a'"),
        ("speed", "warp", "speed: expected one of slow, fast, got 'warp'"),
        ("mode", "cooked", "mode: expected one of chat, raw, got 'cooked'"),
        ("api_key", 12345, "api_key: expected a secret text, got int: put it in quotes"),
        ("timeuot", 3, "timeuot: unknown setting; did you mean 'timeout'?"),
        ("nested", {"size": "big"}, "nested: does not fit at size"),
        ("nested", {"size": 1, "sise": 2}, "nested.sise: unknown setting"),
        ("timeout", float("nan"), "timeout: expected a number, got nan"),
    ],
)
def test_a_wrong_option_is_told_with_its_path(name, given, expected):
    with pytest.raises(ConfigInvalid) as caught:
        build({name: given})
    assert f"providers.acme.{expected}" == str(caught.value)


def test_all_wrong_options_are_told_at_once_with_their_lines(tmp_path):
    (tmp_path / "config.yaml").write_text("providers:\n  eu:\n    plugin: acme\n    timeout: soon\n    colour: red\n")
    loaded = load(environment={"ACME_STRICT": "perhaps"}, folder=tmp_path)
    options = loaded.config.providers["eu"].options
    with pytest.raises(ConfigInvalid) as caught:
        plugin_config(Acme, options, loaded.environment, path="providers.eu", origins=loaded.config.origins)
    assert [
        "providers.eu.colour: unknown setting (from config.yaml:5)",
        "providers.eu.timeout: expected a number, got 'soon' (from config.yaml:4)",
        "providers.eu.strict: expected true or false, got 'perhaps' (from ACME_STRICT)",
    ] == str(caught.value).splitlines()


def test_a_missing_required_setting_is_not_configured_and_names_what_would_fill_it():
    with pytest.raises(NotConfigured) as caught:
        plugin_config(Acme, {"api_key": ""}, {"ACME_KEY": ""}, path="providers.acme")
    expected = "providers.acme: not configured; set ACME_API_KEY or ACME_KEY or providers.acme.api_key"
    assert expected == str(caught.value)
    assert ("ACME_API_KEY", "ACME_KEY") == caught.value.variables
    assert isinstance(caught.value, ConfigError)


def test_a_plugin_without_settings_takes_none():
    assert NoConfig() == plugin_config(NoConfig, {}, {}, path="observers.x")
    with pytest.raises(ConfigInvalid, match=r"observers\.x\.y: unknown setting"):
        plugin_config(NoConfig, {"y": 1}, {}, path="observers.x")


def _signing_key(value: object) -> Secret:
    if isinstance(value, str) and value.startswith("ed25519-"):
        return Secret(value)
    raise ValueError(f"{value} is no key")


@attrs.frozen
class Signed:
    signing: Secret = setting(env="SIGNING_KEY", converter=_signing_key)


def test_a_secret_for_a_converter_of_the_plugin_is_masked_too():
    config = plugin_config(Signed, {}, {"SIGNING_KEY": "ed25519-canary"}, path="providers.s")
    assert "ed25519-canary" == config.signing.reveal()
    (shown,) = shown_settings(Signed, {"signing": "ed25519-canary"}, {}, path="providers.s", origins={})
    assert "***" == shown.text
    with pytest.raises(ConfigInvalid) as caught:
        plugin_config(Signed, {"signing": "canary"}, {}, path="providers.s")
    assert "providers.s: *** is no key" == str(caught.value)


@attrs.frozen
class Leaky:
    token: Secret = setting(env="LEAKY_TOKEN")

    def __attrs_post_init__(self) -> None:
        raise ValueError(f"cannot use {self.token.reveal()}")


def test_what_a_plugin_says_about_its_secret_is_masked():
    with pytest.raises(ConfigInvalid) as caught:
        plugin_config(Leaky, {"token": "canary"}, {}, path="providers.leaky")
    assert "providers.leaky: cannot use ***" == str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["api_key", "extra_keys", "nested"])
@pytest.mark.parametrize("canary", [["canary", 5], {"token": ["canary"], "size": "canary"}, 5, {"canary": "canary"}])
def test_a_wrong_value_for_a_secret_is_never_repeated(name, canary):
    with pytest.raises(ConfigInvalid) as caught:
        build({name: canary})
    assert "canary" not in str(caught.value).replace(".canary", "")


def test_settings_are_shown_masked_with_origin_and_default():
    origins = {"providers.eu.api_key": Origin(OriginKind.FILE, "config.yaml:3")}
    shown = shown_settings(
        Acme,
        {"api_key": "canary", "extra_keys": ["canary"], "nested": {"size": 1, "token": "canary"}, "colour": "canary"},
        {"ACME_RETRIES": "4", "ACME_STRICT": "perhaps"},
        path="providers.eu",
        origins=origins,
    )
    rows = {row.path.removeprefix("providers.eu."): (row.text, str(row.origin)) for row in shown}
    assert ("***", "config.yaml:3") == rows["api_key"]
    assert ("4", "ACME_RETRIES") == rows["retries"]
    assert ("30", "default") == rows["timeout"]
    assert ("(expected true or false, got 'perhaps')", "ACME_STRICT") == rows["strict"]
    assert "(unknown setting)" == rows["colour"][0]
    assert "{}" == rows["headers"][0]
    assert "canary" not in str(shown)


def test_a_required_setting_that_is_not_there_is_shown_with_its_variables():
    shown = shown_settings(Acme, {}, {}, path="providers.acme", origins={})
    assert "(not set: ACME_API_KEY or ACME_KEY)" == shown[0].text


def test_options_without_their_plugin_are_masked_by_name_and_by_reference(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "providers: {eu: {plugin: gone, api_key: canary, region: eu, host: '${H}', url: 'https://u:canary@h'}}"
    )
    loaded = load(environment={"H": "canary"}, folder=tmp_path)
    options = loaded.config.providers["eu"].options
    rows = {row.path: row.text for row in shown_options(options, path="providers.eu", origins=loaded.origins)}
    assert {
        "providers.eu.api_key": "***",
        "providers.eu.region": "eu",
        "providers.eu.host": "***",
        "providers.eu.url": "https://u:***@h",
    } == rows
