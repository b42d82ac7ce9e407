"""A canary in every place that may hold a secret, and in some that may not: no command ever prints it."""

import subprocess

import pytest

from .conftest import CANARY

CONFIG = f"""\
server:
  proxy_secret: {CANARY}
  api_keys: [ann={CANARY}, {CANARY}]
  trusted_peers: [{CANARY}]
llm:
  provider: openai
  api_key: {CANARY}
  temperature: {CANARY}
  base_url: https://user:{CANARY}@example.org/v1
  options: {{token: {CANARY}}}
storage:
  url: postgresql://user:{CANARY}@127.0.0.1:1/chat?password={CANARY}
  options: {{sslpassword: {CANARY}}}
providers:
  eu: {{plugin: openai, api_key: [{CANARY}], headers: {{authorization: {CANARY}}}}}
  us: {{plugin: openai, api_key: {CANARY}, timeuot: {CANARY}, organization: [{CANARY}]}}
  gone: {{plugin: acme, api_key: {CANARY}, password: {CANARY}, address: 'https://u:{CANARY}@h', x: '${{X}}'}}
  mock: {{delay_ms: {CANARY}}}
tools: {{mcp: {{env: {{TOKEN: {CANARY}}}}}}}
observers: {{log: {{token: {CANARY}}}}}
middlewares: [{{filter: {{api_key: {CANARY}}}}}]
authenticators: [{{oidc: {{client_secret: {CANARY}}}}}]
logging: {{level: {CANARY}}}
"""

LEAKY = """\
from contextlib import asynccontextmanager

from palaver import ProviderSpec, Secret, StorageSpec, hookimpl, setting
import attrs


@attrs.frozen
class Config:
    token: Secret = setting(env="LEAKY_TOKEN")
    url: Secret = setting(default=Secret("-"))


@asynccontextmanager
async def open_leaky(config, context):
    raise RuntimeError(f"cannot use {config.token.reveal()}")
    yield


class Steps:
    def __init__(self, config):
        self.config = config

    def status(self):
        raise RuntimeError(f"cannot reach {self.config.url.reveal()} with {self.config.token.reveal()}")

    up = status

    def down(self, steps=1):
        self.status()


@hookimpl
def palaver_providers():
    return [ProviderSpec("leaky", config=Config, open=open_leaky)]


@hookimpl
def palaver_storages():
    return [StorageSpec("leaky", schemes=("leaky",), config=Config, open=open_leaky, migrations=Steps)]
"""

VARIABLES = {
    "AICHAT_LLM_MAX_TOKENS": CANARY,
    "AICHAT_METRICS": CANARY,
    "OPENAI_API_KEY": CANARY,
    "AICHAT_DB_PASSWORD": CANARY,
    "X": CANARY,
}


@pytest.mark.parametrize(
    "args",
    [
        ("config", "show"),
        ("config", "show", "--json"),
        ("config", "check"),
        ("doctor", "-v"),
        ("plugins", "-v"),
        ("migrate", "status"),
        ("serve",),
        ("chat", "hello"),
    ],
)
def test_no_command_prints_a_secret_of_a_configuration_full_of_problems(call, place, args):
    place.write(CONFIG)
    result = call(*args, **VARIABLES)
    assert CANARY not in result.output
    assert result.output


@pytest.mark.parametrize(
    "args",
    [
        ("doctor", "-v"),
        ("migrate", "status"),
        ("migrate", "up"),
        ("migrate", "down", "--yes"),
        ("serve",),
        ("chat", "hi"),
    ],
)
def test_a_plugin_that_tells_its_secret_is_masked(place, args):
    place.plug_in("leaky", LEAKY)
    place.write(
        f"storage: {{url: 'leaky://user:{CANARY}@host/name'}}\nproviders: {{a: {{plugin: leaky, token: {CANARY}}}}}\n"
    )
    done = place.run(*args, LEAKY_TOKEN=CANARY)
    assert 1 == done.returncode
    assert CANARY not in done.stdout + done.stderr


def test_the_log_of_the_server_masks_what_plugins_say_in_their_exceptions(place):
    place.plug_in("leaky", LEAKY)
    place.write(f"providers: {{a: {{plugin: leaky, token: {CANARY}}}, mock: {{}}}}\nllm: {{provider: mock}}\n")
    said = ""
    with (place.folder / "log").open("w") as log:
        streams = {"stdout": subprocess.PIPE, "stderr": log, "text": True}
        with place.start("serve", "--port", "0", **streams) as server:
            while "\ntry " not in said and (line := server.stdout.readline()):
                said += line
    logged = (place.folder / "log").read_text()
    assert "RuntimeError: cannot use ***" in logged
    assert CANARY not in logged + said


@pytest.mark.parametrize("flag", ["--port", "--log-level", "--base-url", "--database-url", "--dev-user", "--api-key"])
def test_a_secret_behind_the_wrong_flag_of_serve_is_not_printed(call, flag):
    result = call("serve", flag, CANARY, "--host", "256.256.256.256")
    assert 1 == result.exit_code
    assert CANARY not in result.output


@pytest.mark.parametrize(
    "text",
    [f"llm: {{api_key: *{CANARY}}}", f"{CANARY}", f"llm: [{CANARY}", f"!{CANARY} x: y", f"llm: {{api_key: !{CANARY}}}"],
)
def test_a_file_that_is_no_yaml_is_not_quoted(call, place, text):
    place.write(text)
    result = call("config", "check")
    assert 1 == result.exit_code
    assert CANARY not in result.output
