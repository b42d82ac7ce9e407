"""``palaver chat``: answers in the terminal without a server, and says clearly why when it cannot."""

import os
import pty
import select
import signal
import subprocess

import pytest

NO_PROVIDER = (
    "palaver: error: no provider is configured: set OPENAI_API_KEY (openai), "
    "or try --provider mock, which needs no key\n"
)


@pytest.mark.parametrize("flags", [(), ("--no-stream",)])
def test_an_answer_is_printed(call, flags):
    result = call("chat", "--provider", "mock", "hello there", *flags)
    assert 0 == result.exit_code
    assert "Mock streaming response to: 'hello there'. Available tools: 0 \n" == result.output


@pytest.mark.parametrize("args", [(), ("-",)])
def test_a_message_may_come_on_stdin(call, args):
    result = call("chat", "-p", "mock", *args, given="from a pipe\n")
    assert "Mock streaming response to: 'from a pipe'. Available tools: 0 \n" == result.output


def test_an_empty_message_is_refused(call):
    result = call("chat", "-p", "mock", given=" \n")
    assert (1, "palaver: error: there is no message: give one as an argument or on stdin\n") == (
        result.exit_code,
        result.output,
    )


def test_without_a_provider_it_says_what_would_configure_one_and_does_not_pretend(call):
    result = call("chat", "hello")
    assert (1, NO_PROVIDER) == (result.exit_code, result.output)


def test_the_configuration_decides_who_answers(call, place):
    place.write("llm: {provider: mock}\n")
    assert 0 == call("chat", "hello").exit_code
    assert 0 == call("chat", "-m", "mock/any", "hello").exit_code
    unknown = call("chat", "-m", "gpt-9", "hello")
    assert 1 == unknown.exit_code
    assert unknown.output.startswith("palaver: error: model 'gpt-9' is not known here; known: ")


@pytest.mark.parametrize(
    ("args", "variables", "expected"),
    [
        (
            ("-p", "nope"),
            {},
            "provider nope failed: llm.provider: no provider 'nope' is installed; installed: mock, openai",
        ),
        ((), {"AICHAT_LLM_TOP_P": "big"}, "llm.top_p: expected a number, got 'big' (from AICHAT_LLM_TOP_P)"),
        (("-p", "mock"), {"PALAVER_MOCK_SCRIPT": "gone.yaml"}, "gone.yaml"),
    ],
)
def test_an_error_is_one_clear_line_on_stderr(place, args, variables, expected):
    done = place.run("chat", *args, "hello", **variables)
    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("palaver: error: ")
    assert expected in done.stderr
    assert 1 == done.stderr.count("\n")


def test_a_failure_in_the_middle_keeps_what_came_and_ends_with_1(place):
    place.plug_in("breaker", BREAKER)
    done = place.run("chat", "-p", "breaker", "-m", "x", "hello")
    assert (1, "half an answer\n") == (done.returncode, done.stdout)
    assert "palaver: error: no capacity now\n" == done.stderr


def test_a_server_that_could_not_be_started_is_no_reason_not_to_chat(place):
    done = place.run("chat", "-p", "mock", "hello", AICHAT_HOST="0.0.0.0")
    assert 0 == done.returncode
    assert "palaver: warning: server.host: '0.0.0.0' is reachable from elsewhere" in done.stderr


def test_nothing_is_stored(call, place):
    call("chat", "-p", "mock", "hello")
    assert [] == list(place.folder.iterdir())


def test_ctrl_c_stops_cleanly(place):
    place.plug_in("breaker", BREAKER)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
    with place.start("chat", "-p", "breaker", "-m", "stall", "hello", **pipes) as chat:
        assert b"half an answer" == chat.stdout.read(14)
        chat.send_signal(signal.SIGINT)
        rest, errors = chat.communicate(timeout=20)
    assert (b"\n", b"\n", 130) == (rest, errors, chat.returncode)


def test_a_terminal_asks_for_messages_until_the_end_of_input_and_remembers(place):
    place.plug_in("breaker", BREAKER)
    master, terminal = pty.openpty()
    streams = {"stdin": terminal, "stdout": terminal, "stderr": subprocess.PIPE}
    with place.start("chat", "-p", "breaker", "-m", "count", **streams) as chat:
        os.close(terminal)
        said = read_until(master, b"> ")
        os.write(master, b"one\n")
        said += read_until(master, b"1 messages\r\n> ")
        os.write(master, b"two\n")
        said += read_until(master, b"3 messages\r\n> ")
        assert b"\x1b" not in said
        os.write(master, b"\x04")
        assert 0 == chat.wait(timeout=20)
        assert b"breaker/count; end with Ctrl-D\n" == chat.stderr.read()
    os.close(master)


def read_until(terminal: int, expected: bytes) -> bytes:
    seen = b""
    while expected not in seen:
        ready, _, _ = select.select([terminal], [], [], 20)
        assert ready, f"{expected!r} does not come after {seen!r}"
        seen += os.read(terminal, 1000)
    return seen


BREAKER = """\
import asyncio
from contextlib import asynccontextmanager

from palaver import FinishReason, NoConfig, Overloaded, ProviderSpec, ResponseFinished, TextDelta, hookimpl


class Breaker:
    async def stream(self, request):
        if request.model == "count":
            yield [TextDelta(f"\\x1b[31m{len(request.messages)} messages"), ResponseFinished(FinishReason.STOP)]
            return
        yield [TextDelta("half an answer")]
        if request.model == "stall":
            await asyncio.get_running_loop().create_future()
        raise Overloaded("no capacity now")


@asynccontextmanager
async def open_breaker(config, context):
    yield Breaker()


@hookimpl
def palaver_providers():
    return [ProviderSpec("breaker", config=NoConfig, open=open_breaker)]
"""
