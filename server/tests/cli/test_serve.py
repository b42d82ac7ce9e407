"""``palaver serve``: tells what loaded and how to try it, ends in order, and refuses what it cannot serve."""

import json
import shlex
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

KEY = "0123456789abcdef"


@contextmanager
def serving(place, *args: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run the server on a free port; gives what it printed by the first word of each line."""
    environment = {"AICHAT_LLM_PROVIDER": "mock", **variables}
    with (place.folder / "log").open("w") as log:
        streams = {"stdout": subprocess.PIPE, "stderr": log, "text": True}
        with place.start("serve", "--port", "0", *args, environment=environment, **streams) as server:
            printed: dict[str, str] = {}
            while "try" not in printed:
                line = server.stdout.readline()
                assert line, (place.folder / "log").read_text()
                about, _, text = line.partition(" ")
                printed[about] = f"{printed.get(about, '')}{text.strip()}\n"
            yield server, {about: text.strip() for about, text in printed.items()}
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=20)


def follow(line: str, **replaced: str) -> dict:
    """Do what a printed curl line says."""
    for placeholder, value in replaced.items():
        line = line.replace(placeholder.replace("_", "-"), value)
    words = shlex.split(line)
    assert ["curl", "-sS"] == words[:2]
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    request = urllib.request.Request(words[2], words[words.index("-d") + 1].encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


@pytest.mark.parametrize(
    ("args", "variables", "replaced"),
    [
        ((), {}, {}),
        (("--dev-user", "ann"), {}, {}),
        ((), {"AICHAT_API_KEYS": f"ann={KEY}"}, {"YOUR_KEY": KEY}),
        ((), {"AICHAT_PROXY_SECRET": KEY}, {"YOUR_PROXY_SECRET": KEY}),
        ((), {"AICHAT_PROXY_SECRET": KEY, "AICHAT_API_KEYS": KEY}, {"YOUR_KEY": KEY}),
        ((), {"AICHAT_HOST": "0.0.0.0", "AICHAT_TRUSTED_PEERS": "10.0.0.0/8"}, {}),
    ],
)
def test_the_printed_curl_line_works_in_every_way_to_be_identified(place, args, variables, replaced):
    with serving(place, *args, **variables) as (_, printed):
        answer = follow(printed["try"], **replaced)
    assert answer["message"]["content"].startswith("Mock streaming response to: 'Hello'.")


def test_it_tells_what_loaded_where_the_data_lies_and_ends_with_0(place):
    place.plug_in_broken("raises_at_import")
    with serving(place) as (server, printed):
        assert "mock 0.1.0, openai 0.1.0, sqlite 0.1.0" in printed["plugins"]
        assert "raises_at_import (palaver-raises-at-import 1.0) quarantined: at import: RuntimeError" in printed[""]
        assert "mock ready" == printed["providers"]
        assert "openai not configured: set OPENAI_API_KEY" in printed[""]
        assert f"sqlite:///.palaver/palaver.db ({place.folder}/.palaver/palaver.db)" == printed["data"]
        assert printed["address"].startswith("http://127.0.0.1:")
        assert (place.folder / ".palaver" / "palaver.db").exists()
    assert 0 == server.returncode


def test_a_wrong_option_of_one_provider_is_told_with_its_line_and_the_others_serve(place):
    place.write("providers:\n  eu:\n    plugin: openai\n    api_key: k\n    colour: red\n")
    with serving(place) as (_, printed):
        expected = "eu (openai) failed: providers.eu.colour: unknown setting (from config.yaml:5)"
        assert expected in printed["providers"] + printed[""]
        assert "message" in follow(printed["try"])


def test_a_development_user_is_said_out_loud(place):
    with serving(place, "--dev-user", "ann") as (_, printed):
        assert "everybody else is 'ann'" in printed["identity"]
    assert "everybody without credentials is the user 'ann': for development only" in (place.folder / "log").read_text()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--port", "soon"), "server.port: expected an integer, got 'soon' (from --port)"),
        (("--host", "0.0.0.0"), "server.host: '0.0.0.0' is reachable from elsewhere"),
        (("--host", "0.0.0.0", "--dev-user", "ann"), "server.dev_user: only a loopback bind"),
        (("--log-level", "loud"), "logging.level: expected debug, info, warn or error, got 'loud' (from --log-level)"),
        (("-c", "gone.yaml"), "file 'gone.yaml' cannot be read: no such file or directory"),
        (("--database-url", "redis://x"), "no installed storage has the scheme 'redis'"),
        (("--database-url", "sqlite:////proc/nowhere/x.db"), "palaver: error: "),
    ],
)
def test_what_cannot_be_served_ends_with_1_and_one_line(place, args, expected):
    done = place.run("serve", *args, AICHAT_LLM_PROVIDER="mock")
    assert 1 == done.returncode
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use_is_one_line(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = place.run("serve", "--port", str(port))
    assert 1 == done.returncode
    assert f"palaver: error: cannot listen on 127.0.0.1:{port}: " in done.stderr
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_problems_are_told_at_once(place):
    place.write("server: {port: soon, prot: 1}\nllm: {temperature: hot}\n")
    done = place.run("serve")
    assert 3 == done.stderr.count("palaver: error: ")
    assert "" == done.stdout
