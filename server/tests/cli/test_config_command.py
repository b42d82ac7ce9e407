"""``palaver config``: origins, masking, problems."""

import json

import pytest

from .conftest import CANARY

KEY = "0123456789abcdef"


def test_show_prints_every_value_with_its_origin(call, place):
    place.write(
        "server:\n  port: 8000\nllm: {system_prompt: ' Be brief. '}\n"
        "providers:\n  eu:\n    plugin: openai\n    base_url: http://eu\n"
    )
    result = call("config", "show", AICHAT_LOG_LEVEL="debug", OPENAI_API_KEY=CANARY)
    assert 0 == result.exit_code
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines()}
    assert ["8000", "config.yaml:2"] == rows["server.port"]
    assert ["127.0.0.1", "default"] == rows["server.host"]
    assert ["debug", "AICHAT_LOG_LEVEL"] == rows["logging.level"]
    assert ["openai", "config.yaml:6"] == rows["providers.eu.plugin"]
    assert ["http://eu", "config.yaml:7"] == rows["providers.eu.base_url"]
    assert ["***", "OPENAI_API_KEY"] == rows["providers.eu.api_key"]
    assert ["sqlite:///.palaver/palaver.db", "default"] == rows["storage.url"]
    assert "' Be brief. '" in result.output
    assert CANARY not in result.output


def test_show_can_leave_out_defaults_and_print_json(call):
    result = call("config", "show", "--changed", "--json", AICHAT_PORT="8000", AICHAT_API_KEYS=f"me={KEY}")
    assert [
        {"path": "server.port", "value": "8000", "origin": "AICHAT_PORT"},
        {"path": "server.api_keys", "value": "[***]", "origin": "AICHAT_API_KEYS"},
    ] == json.loads(result.output)


def test_show_is_what_config_does_when_nothing_else_is_named(call):
    assert (
        call("config", "show", "--changed", AICHAT_PORT="1").output
        == call("config", "--changed", AICHAT_PORT="1").output
    )
    assert "check" in call("config", "--help").output


def test_a_wrong_value_is_shown_as_wrong_and_not_as_its_default(call):
    result = call("config", "--changed", AICHAT_PORT="soon")
    assert "server.port  (expected an integer, got 'soon')  AICHAT_PORT\n" in result.output


def test_what_llm_lends_to_its_provider_keeps_its_origin(call):
    result = call("config", "show", "--changed", AICHAT_LLM_PROVIDER="openai", AICHAT_API_KEY=CANARY)
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines()}
    assert ["***", "AICHAT_API_KEY"] == rows["providers.openai.api_key"] == rows["llm.api_key"]


def test_check_of_a_good_configuration_says_so(call, place):
    place.write("server: {port: 8000}\n")
    result = call("config", "check")
    assert (0, "no problems, no warnings (config.yaml)\n") == (result.exit_code, result.output)


def test_check_lists_problems_of_core_and_plugins_and_ends_with_1(call, place):
    place.write(
        "server: {port: soon}\n"
        "providers:\n"
        "  eu: {plugin: openai, api_key: k, colour: red}\n"
        "  us: {plugin: openai}\n"
        "  gone: {plugin: acme}\n"
        "middlewares: [filter]\n"
        "tools: {none: {}}\n"
        "llm: {model: '${NOPE}'}\n"
    )
    result = call("config", "check")
    assert 1 == result.exit_code
    assert [
        "error: server.port: expected an integer, got 'soon' (from config.yaml:1)",
        "error: providers.eu.colour: unknown setting (from config.yaml:3)",
        "error: providers.us: not configured; set OPENAI_API_KEY or providers.us.api_key",
        "error: providers.gone: no provider 'acme' is installed and working (there: mock, openai); see palaver plugins"
        " (from config.yaml:5)",
        "error: tools.none: no tool source 'none' is installed and working (there: none); see palaver plugins"
        " (from config.yaml:7)",
        "error: middlewares[0]: no middleware 'filter' is installed and working (there: none); see palaver plugins"
        " (from config.yaml:6)",
        "warning: llm.model: NOPE is not set, so the line counts as absent (from config.yaml:8)",
        "6 problems, 1 warning (config.yaml)",
    ] == result.output.splitlines()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AICHAT_HOST": "0.0.0.0"}, "server.host: '0.0.0.0' is reachable from elsewhere"),
        ({"AICHAT_API_KEYS": "short"}, "server.api_keys: key 1 of 1: the key has 5 characters"),
        ({"AICHAT_DATABASE_URL": "redis://x/0"}, "storage.url: no installed storage has the scheme 'redis'"),
        ({"AICHAT_LLM_PROVIDER": "opnai"}, "llm.provider: no provider 'opnai' is installed"),
        ({"AICHAT_LLM_PROVIDER": "openai"}, "providers.openai: not configured; set OPENAI_API_KEY"),
        ({"AICHAT_CONFIG": "gone.yaml"}, "file 'gone.yaml' cannot be read"),
    ],
)
def test_check_finds(call, variables, expected):
    result = call("config", "check", **variables)
    assert 1 == result.exit_code
    assert f"error: {expected}" in result.output


def test_check_warns_about_swapped_keys_and_ends_with_0(call):
    result = call("config", "check", AICHAT_API_KEYS="me=sk-0123456789abcdef")
    assert 0 == result.exit_code
    assert "are AICHAT_API_KEY and AICHAT_API_KEYS swapped?" in result.output


@pytest.mark.parametrize("command", ["show", "check"])
def test_it_works_when_every_plugin_is_broken(place, command):
    place.plug_in_broken("raises_at_import", "calls_exit", "misspelt_hook")
    place.write("providers: {x: {plugin: raises_at_import, api_key: a-canary, region: eu}}\n")
    done = place.run("config", command, AICHAT_PLUGINS_ALLOW="raises_at_import,calls_exit,misspelt_hook")
    assert "Traceback" not in done.stderr
    assert "a-canary" not in done.stdout
    assert ("providers.x.region" in done.stdout) == (command == "show")
    assert (0 if command == "show" else 1) == done.returncode
