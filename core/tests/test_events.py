"""The vocabulary itself: frozen, open to matching, and errors that know what they are."""

import inspect
from datetime import UTC, datetime

import attrs
import palaver
import pytest
from palaver import (
    FinishReason,
    Message,
    PalaverError,
    PartAdded,
    ProviderError,
    ReasoningPart,
    RefusalPart,
    ResponseFinished,
    Role,
    RunFact,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolExecution,
    ToolResultPart,
    UpstreamTimeout,
    Usage,
)
from palaver.events import CONTENT_EVENTS

EVENTS = [*StreamEvent.__subclasses__(), *RunFact.__subclasses__()]


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
def test_an_event_is_frozen_data(cls):
    event = cls(**{field.name: None for field in attrs.fields(cls) if field.default is attrs.NOTHING})
    names = [field.name for field in attrs.fields(cls)]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(event, names[0], "changed")


def test_content_is_what_a_client_can_see():
    assert isinstance(TextDelta("a"), CONTENT_EVENTS)
    assert isinstance(PartAdded(TextPart("a")), CONTENT_EVENTS)
    assert not isinstance(ResponseFinished(FinishReason.STOP), CONTENT_EVENTS)


def test_a_message_tells_its_text_reasoning_refusal_and_calls_apart():
    call = ToolCallPart("c1", "look", "{}")
    parts = (ReasoningPart("hm"), TextPart("a"), call, TextPart("b"), RefusalPart("no"))
    message = Message(Role.ASSISTANT, iter(parts))
    assert (parts, "ab", "hm", "no", (call,)) == (
        message.parts,
        message.text,
        message.reasoning,
        message.refusal,
        message.tool_calls,
    )


def test_a_plain_string_is_one_text_part():
    assert Message(Role.USER, (TextPart("hello"),)) == Message(Role.USER, "hello")


def test_a_tool_result_tells_its_text():
    assert "ab" == ToolResultPart("c1", (TextPart("a"), ReasoningPart("no"), TextPart("b"))).text


def test_a_tool_execution_tells_how_long_it_took():
    started, ended = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 1, 500_400, tzinfo=UTC)
    assert 1500 == ToolExecution("c1", "look", "{}", "", started, ended).duration_ms


@pytest.mark.parametrize(
    ("usage", "total"), [(Usage(), None), (Usage(3), 3), (Usage(output_tokens=0), 0), (Usage(3, 4, 2, 1), 7)]
)
def test_a_total_is_known_when_a_part_of_it_is(usage, total):
    assert total == usage.total_tokens


# --- errors --------------------------------------------------------------------------------------------------------


def all_errors(root=PalaverError):
    for cls in root.__subclasses__():
        if cls.__module__ == "palaver.errors":
            yield cls
            yield from all_errors(cls)


@pytest.mark.parametrize("cls", sorted(set(all_errors()), key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
def test_every_error_is_public_and_knows_code_status_and_whether_to_retry(cls):
    assert cls is getattr(palaver, cls.__name__)
    assert (str, int, bool) == (type(cls.code), type(cls.status), type(cls.retryable))
    assert 400 <= cls.status < 600
    assert inspect.getdoc(cls)


def test_an_error_shows_its_message_and_keeps_the_vendors_words():
    error = UpstreamTimeout("acme: no answer", phase="idle", provider="acme", vendor_code="slow", retry_after=2.5)
    assert ("acme: no answer", "idle", "acme", "slow", 2.5) == (
        str(error),
        error.phase,
        error.provider,
        error.vendor_code,
        error.retry_after,
    )
    assert isinstance(error, ProviderError)
