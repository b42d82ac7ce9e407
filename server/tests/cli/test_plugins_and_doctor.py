"""``palaver plugins`` and ``palaver doctor``: what is there, what is wrong, and they work when everything is."""

import json

from palaver.testing.broken_plugins import BROKEN

KEY = "0123456789abcdef"


def test_plugins_lists_name_distribution_version_state_time_and_what_each_provides(call):
    result = call("plugins")
    assert 0 == result.exit_code
    head, *rows = [line.split() for line in result.output.splitlines()]
    assert ["NAME", "DISTRIBUTION", "VERSION", "STATE", "TIME", "PROVIDES"] == head
    mock = next(row for row in rows if row[0] == "mock")
    assert ["mock", "palaver-mock", "0.1.0", "loaded"] == mock[:4]
    assert ["ms", "provider:mock"] == mock[5:]
    assert [row[0] for row in rows] == [line.split()[0] for line in call("plugins", "list").output.splitlines()[1:]]


def test_plugins_as_json_holds_everything(call):
    plugins = {plugin["name"]: plugin for plugin in json.loads(call("plugins", "--json").output)}
    assert "loaded" == plugins["mock"]["state"]
    assert ["provider:mock"] == plugins["mock"]["provides"]


def test_every_way_to_be_broken_is_listed_with_its_reason_and_serving_goes_on(place):
    quick = [name for name in BROKEN if "sleeps" not in name and name != "never_ends"]
    place.plug_in_broken(*quick)
    done = place.run("plugins", "list", "--verbose")
    assert (0, "") == (done.returncode, done.stderr)
    for name in quick:
        assert BROKEN[name].reason in done.stdout, name
    assert "Traceback (most recent call last)" in done.stdout
    assert "provider:mock" in done.stdout
    assert 0 == place.run("chat", "--provider", "mock", "hello").returncode


def test_a_blocked_plugin_is_listed_and_not_imported(place):
    place.plug_in("marked", "import pathlib\npathlib.Path('imported').touch()\n")
    done = place.run("plugins", AICHAT_PLUGINS_BLOCK="marked")
    assert "marked  palaver-marked  1.0      blocked" in done.stdout
    assert not (place.folder / "imported").exists()
    place.run("plugins")
    assert (place.folder / "imported").exists()


def test_doctor_finds_nothing_wrong_in_a_good_set_up(call):
    result = call("doctor", AICHAT_LLM_PROVIDER="mock")
    assert 0 == result.exit_code, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "ok provider mock ready" in lines
    assert "ok providers requests that name no model go to mock/echo" in lines
    assert "nothing is wrong" == lines[-1]


NO_SCHEMA = """\
from contextlib import asynccontextmanager

from palaver import Secret, StorageSpec, StorageUnavailable, hookimpl, setting
import attrs


@attrs.frozen
class Config:
    url: Secret = setting()


@asynccontextmanager
async def open_box(config, context):
    if "down" in config.url.reveal():
        raise StorageUnavailable("the box is shut")
    if "odd" in config.url.reveal():
        raise ValueError("what is this")
    yield None


@hookimpl
def palaver_storages():
    return [StorageSpec("box", ("box",), Config, open_box)]
"""


def test_doctor_opens_a_storage_that_has_no_schema(place):
    place.plug_in("box", NO_SCHEMA)
    for address, expected in (
        ("box://here", "ok       storage        box://here opens"),
        ("box://down", "FAILED   storage        box://down: the box is shut"),
        ("box://odd", "FAILED   storage        box://odd: ValueError: what is this"),
    ):
        assert expected in place.run("doctor", AICHAT_LLM_PROVIDER="mock", AICHAT_DATABASE_URL=address).stdout
    refused = place.run("migrate", AICHAT_DATABASE_URL="box://here")
    assert (1, "palaver: error: box://here has no schema steps\n") == (refused.returncode, refused.stderr)


def test_doctor_does_not_make_the_database_while_it_looks(call, place):
    result = call("doctor", AICHAT_LLM_PROVIDER="mock")
    assert "schema steps are not applied" in result.output
    assert not (place.folder / ".palaver").exists()


def test_doctor_says_what_would_configure_a_provider(call):
    result = call("doctor")
    assert 1 == result.exit_code
    assert "openai not configured: set OPENAI_API_KEY" in result.output
    assert "no provider is ready" in result.output
    assert "1 thing is wrong" in result.output


def test_doctor_tells_every_broken_thing_at_once(place):
    place.plug_in_broken("raises_at_import", "misspelt_hook")
    place.write(
        "server: {port: soon}\n"
        "llm: {provider: mock}\n"
        "providers: {gone: {plugin: acme}}\n"
        "storage: {url: 'sqlite:///x.db'}\n"
    )
    place.write("this is no database " * 100, "x.db")
    done = place.run("doctor", "-v", AICHAT_LLM_MODLE="x")
    assert 1 == done.returncode
    for expected in (
        "server.port: expected an integer, got 'soon' (from config.yaml:1)",
        "AICHAT_LLM_MODLE means nothing to Palaver",
        "raises_at_import (palaver-raises-at-import 1.0) quarantined",
        "RuntimeError: no luck today",
        "Traceback (most recent call last)",
        "misspelt_hook (palaver-misspelt-hook 1.0) quarantined",
        "providers.gone: no provider 'acme' is installed",
        "FAILED   storage",
    ):
        assert expected in done.stdout, expected
    assert "" == done.stderr


def test_doctor_works_when_every_plugin_is_broken(place):
    place.plug_in_broken("raises_at_import")
    done = place.run("doctor", AICHAT_PLUGINS_ALLOW="raises_at_import")
    assert 1 == done.returncode
    assert "no provider is ready" in done.stdout
    assert "storage.url: no installed storage has the scheme 'sqlite'" in done.stdout
    assert "Traceback" not in done.stderr


def test_doctor_says_that_a_bind_is_unsafe(call):
    result = call("doctor", AICHAT_LLM_PROVIDER="mock", AICHAT_HOST="0.0.0.0")
    assert 1 == result.exit_code
    assert "server.host: '0.0.0.0' is reachable from elsewhere" in result.output
    assert 0 == call("doctor", AICHAT_LLM_PROVIDER="mock", AICHAT_HOST="0.0.0.0", AICHAT_API_KEYS=f"a={KEY}").exit_code


def test_what_plugins_say_cannot_steer_the_terminal(place):
    place.plug_in("painted", 'raise RuntimeError("\\x1b[31mred\\x1b]0;title\\x07")\n')
    for command in ("plugins", "doctor"):
        assert "\x1b" not in place.run(command, *(("list", "-v") if command == "plugins" else ("-v",))).stdout
