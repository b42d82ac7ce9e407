"""Assertions the rules of provider conformance share, and the words they use when one is broken."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from palaver.domain import Completion, FinishReason
from palaver.errors import PalaverError, ProviderError
from palaver.events import CONTENT_EVENTS, ResponseFinished, StreamEvent
from palaver.settings import Secret
from palaver.testing.conformance_case import Played, as_batch

__all__ = [
    "PROMPT",
    "assert_answer",
    "assert_closed",
    "assert_error",
    "assert_expected",
    "assert_foreign",
    "assert_json",
    "form",
    "kinds",
    "neutral",
    "revealed",
    "until_content",
    "within",
]

T = TypeVar("T")
#: Seconds within which a closed stream must have closed its upstream, and content must have arrived.
PROMPT = 1.0


def form(streaming: bool) -> str:
    """Name the form of an answer."""
    return "streamed" if streaming else "whole"


def kinds(events: Iterable[StreamEvent]) -> list[str]:
    """Name the kinds of *events*, for messages."""
    return [type(event).__name__ for event in events]


def neutral(answer: Completion) -> dict[str, Any]:
    """Reduce an answer to what its forms have in common."""
    message = answer.message
    return {
        "text": message.text,
        "reasoning": message.reasoning,
        "refusal": message.refusal,
        "tool_calls": [[call.name, call.arguments] for call in message.tool_calls],
        "finish": str(answer.finish_reason),
    }


def assert_answer(answer: Completion, expected: Mapping[str, Any]) -> None:
    """Check that a text came, for a known reason, as expected."""
    assert answer.message.text, "the answer has no text"
    assert answer.finish_reason is not FinishReason.UNKNOWN, f"the vendor's word {answer.finish_raw!r} is not known"
    assert_expected(answer, expected)


def assert_expected(answer: Completion, expected: Mapping[str, Any], where: str = "") -> None:
    """Compare with the ``expected`` of an exchange or scenario: the keys of ``neutral()``, and ``usage``."""
    got = neutral(answer)
    for key, value in expected.items():
        if key == "usage":
            for name, tokens in value.items():
                counted = getattr(answer.usage, name, None)
                assert tokens == counted, f"{where}usage.{name}: expected {tokens!r}, got {counted!r}"
        elif key != "error":
            assert key in got, f"{where}expected.{key}: unknown; known: {', '.join(got)}, usage, error"
            assert value == got[key], f"{where}{key}: expected {value!r}, got {got[key]!r}"


def assert_json(text: str, what: str) -> None:
    """Check that *text* is JSON."""
    try:
        json.loads(text)
    except ValueError as error:
        raise AssertionError(f"{what} are not JSON: {text!r} ({error})") from error


def assert_error(
    status: int, allowed: Sequence[type[ProviderError]], events: Sequence[StreamEvent], error: object, where: str
) -> None:
    """Check that *status* became one of the *allowed* errors, told what it knows, and no content came."""
    assert not any(isinstance(event, CONTENT_EVENTS) for event in events), f"{where}: content came: {kinds(events)}"
    assert not any(isinstance(event, ResponseFinished) for event in events), f"{where}: taken for a finished answer"
    names = " or ".join(kind.__name__ for kind in allowed)
    assert isinstance(error, tuple(allowed)), f"{where}: expected {names}, got {error!r}"
    assert isinstance(error, ProviderError)
    assert error.message, f"{where}: the error has no message"
    assert error.upstream_status == status, f"{where}: upstream_status is {error.upstream_status!r}"


def assert_foreign(events: Sequence[StreamEvent], error: object, where: str) -> None:
    """Check that what went wrong outside came out as a ``PalaverError``, and was not taken for an answer."""
    assert not any(isinstance(event, ResponseFinished) for event in events), f"{where}: taken for a finished answer"
    assert error is not None, f"{where}: the stream ended without an error"
    assert isinstance(error, PalaverError), f"{where}: {type(error).__name__} left the provider: {error}"


async def assert_closed(played: Played, before: set[asyncio.Task[Any]]) -> None:
    """Check that no connection to the vendor and no task is left, a second after the stream was closed."""
    vendor = played.vendor
    left: list[asyncio.Task[Any]] = []
    for _ in range(200):
        left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
        if not left and not (vendor and vendor.busy):
            return
        await asyncio.sleep(PROMPT / 200)
    assert not (vendor and vendor.busy), f"the connection to the vendor is still open {PROMPT:g} s after closing"
    raise AssertionError(f"tasks are left {PROMPT:g} s after closing: {', '.join(task.get_name() for task in left)}")


async def within(seconds: float, awaitable: Awaitable[T], otherwise: str) -> T:
    """Await for so long; then fail with the words *otherwise*."""
    try:
        async with asyncio.timeout(seconds):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"{otherwise} (waited {seconds:g} s)") from None


async def until_content(stream: AsyncGenerator[Any, None]) -> None:
    """Read *stream* until content has come."""
    async for item in stream:
        if any(isinstance(event, CONTENT_EVENTS) for event in as_batch(item)):
            return
    raise AssertionError("the stream ended without content")


def revealed(config: Any) -> list[str]:
    """List the secrets a configuration holds."""
    found: list[str] = []
    waiting = [getattr(config, field.name) for field in attrs.fields(type(config))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Secret):
            found.append(value.reveal())
        elif isinstance(value, (list, tuple, set, frozenset)):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
    return found
