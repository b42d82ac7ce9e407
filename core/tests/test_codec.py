"""The neutral JSON form: everything survives the round trip, and what is wrong is told, all of it, with its place."""

import json
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NewType, Union, get_args, get_origin

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from palaver import (
    Approval,
    Attachment,
    ChatRequest,
    Completion,
    DecodeError,
    EmbeddingRequest,
    Embeddings,
    Message,
    ModelInfo,
    Part,
    Price,
    Role,
    Run,
    RunEvent,
    RunFact,
    Session,
    StoredMessage,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolExecution,
    ToolResultPart,
    ToolSpec,
    UnknownPart,
    Usage,
)
from palaver.codec import Codec, write_time

CODEC = Codec()

# --- strategies: a value of any domain class, from its annotations --------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
SCALARS = {
    str: st.text(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(),
    datetime: st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    Any: JSON,
}


def subclasses(root):
    return [cls for cls in root.__subclasses__() if cls.__module__.startswith("palaver.") and cls is not UnknownPart]


def value_of(annotation):
    """A strategy for values of *annotation*."""
    if annotation in SCALARS:
        return SCALARS[annotation]
    if isinstance(annotation, NewType):
        return value_of(annotation.__supertype__)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return st.one_of(value_of(argument) for argument in arguments)
    if annotation is types.NoneType:
        return st.none()
    if origin is tuple:
        return st.lists(value_of(arguments[0]), max_size=2).map(tuple)
    if origin is frozenset:
        return st.frozensets(value_of(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(st.text(), value_of(arguments[1]), max_size=2)
    if issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    if annotation is Part:
        # Results hold parts in turn; one level is enough.
        return st.one_of(instance(cls) for cls in subclasses(Part) if cls is not ToolResultPart)
    if annotation in (StreamEvent, RunFact):
        return st.one_of(instance(cls) for cls in subclasses(annotation))
    return instance(annotation)


def instance(cls):
    attrs.resolve_types(cls)
    return st.builds(cls, **{field.name: value_of(field.type) for field in attrs.fields(cls) if field.init})


def run_events():
    bodies = st.lists(value_of(StreamEvent), max_size=3).map(tuple) | value_of(RunFact)
    return st.builds(RunEvent, st.integers(0, 2**53), st.integers(0, 9), bodies)


quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# --- round trips ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [*subclasses(Part), *subclasses(StreamEvent), *subclasses(RunFact)])
def test_every_part_event_and_fact_survives_the_round_trip(cls):
    root = next(base for base in cls.__mro__ if base in (Part, StreamEvent, RunFact))

    @quick
    @given(instance(cls))
    def check(item):
        assert item == CODEC.loads(CODEC.dumps(item), root)

    check()


@pytest.mark.parametrize(
    "cls",
    [
        Approval,
        Attachment,
        ChatRequest,
        Completion,
        EmbeddingRequest,
        Embeddings,
        Message,
        ModelInfo,
        Run,
        Session,
        StoredMessage,
        ToolExecution,
        ToolSpec,
        Usage,
    ],
)
def test_every_stored_class_survives_the_round_trip(cls):
    @quick
    @given(instance(cls))
    def check(item):
        assert item == CODEC.loads(CODEC.dumps(item), cls)

    check()


@quick
@given(run_events())
def test_every_run_event_survives_the_round_trip(event):
    assert event == CODEC.loads(CODEC.dumps(event), RunEvent)


@given(st.text(min_size=1).map("future.".__add__), st.dictionaries(st.text().filter("type".__ne__), JSON, max_size=3))
@quick
def test_a_part_of_an_unknown_kind_is_kept_whole(tag, fields):
    data = {"type": tag, **fields}
    part = CODEC.from_data(data, Part)
    assert UnknownPart(tag, fields) == part
    assert data == CODEC.to_data(part)


def test_a_message_with_an_unknown_part_survives():
    message = Message(Role.USER, (TextPart("see"), UnknownPart("acme.drawing", {"strokes": [1, 2]})))
    assert message == CODEC.loads(CODEC.dumps(message), Message)


def test_a_plugins_own_part_is_read_once_it_is_registered():
    @attrs.frozen
    class Drawing(Part):
        strokes: tuple[int, ...]

    codec = Codec()
    before = codec.from_data({"type": "acme.drawing", "strokes": [1]}, Part)
    codec.register_part("acme.drawing", Drawing)
    assert UnknownPart("acme.drawing", {"strokes": [1]}) == before
    assert Drawing((1,)) == codec.from_data({"type": "acme.drawing", "strokes": [1]}, Part)
    assert {"type": "acme.drawing", "strokes": [1]} == codec.to_data(Drawing((1,)))


def test_a_tag_belongs_to_one_class():
    with pytest.raises(ValueError, match="Part tag 'text' already belongs to TextPart"):
        Codec().register_part("text", ToolCallPart)


def test_a_part_without_a_tag_cannot_be_stored():
    @attrs.frozen
    class Drawing(Part):
        pass

    with pytest.raises(ValueError, match="Drawing has no tag: register it before it is stored"):
        Codec().dumps(Drawing())


def test_null_usage_and_zero_usage_are_not_the_same():
    assert b"{}" == CODEC.dumps(Usage())
    assert b'{"input_tokens":0}' == CODEC.dumps(Usage(0))


def test_bytes_are_base64_times_utc_and_money_exact():
    data = CODEC.to_data(
        ToolExecution(
            "c1",
            "clock",
            "{}",
            "now",
            datetime.fromisoformat("2026-01-31T13:00:00+01:00"),
            datetime(2026, 1, 31, 12, 0, 1, 500, tzinfo=UTC),
        )
    )
    assert ("2026-01-31T12:00:00.000000Z", "2026-01-31T12:00:01.000500Z") == (data["started_at"], data["ended_at"])
    assert {"type": "image", "data": "//4="} == CODEC.to_data(CODEC.from_data({"type": "image", "data": "//4="}, Part))
    assert b'{"input":"0.10","output":"3"}' == CODEC.dumps(Price(Decimal("0.10"), Decimal("3")))
    assert "2026-01-31T12:00:00.000000Z" == write_time(datetime(2026, 1, 31, 12, tzinfo=UTC))


def test_half_a_surrogate_pair_becomes_a_replacement_character():
    # What json.loads makes of a model's "\\ud83d" cut in two.
    assert {"type": "text", "text": "a\ufffdb"} == json.loads(CODEC.dumps(TextPart("a\ud83db")))
    assert {"type": "text", "text": "\U0001f600"} == json.loads(CODEC.dumps(TextPart("\ud83d\ude00")))


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "data", "problem"),
    [
        (TextPart, {"type": "text", "text": 5}, "expected a string, got int @ body.text"),
        (Usage, {"input_tokens": True}, "expected an integer, got bool @ body.input_tokens"),
        (Usage, {"input_tokens": "5"}, "expected an integer, got str @ body.input_tokens"),
        (Usage, {"input_tokens": 1.5}, "expected an integer, got float @ body.input_tokens"),
        (Usage, {"estimated": 1}, "expected true or false, got int @ body.estimated"),
        (
            Message,
            {"role": "boss", "parts": []},
            "one of system, user, assistant, tool, got 'boss' @ body.role",
        ),
        (Message, {"role": 1, "parts": []}, "expected one of system, user, assistant, tool, got 1 @ body.role"),
        (Message, {"role": "user", "parts": "hello"}, "expected a list, got str @ body.parts"),
        (Message, {"role": "user", "parts": {}}, "expected a list, got dict @ body.parts"),
        (Message, {"role": "user"}, "required field missing @ body.parts"),
        (EmbeddingRequest, {"model": "m", "inputs": "abc"}, "expected a list, got str @ body.inputs"),
        (ChatRequest, {"model": "m", "messages": [], "sampling": 5}, "expected an object, got int @ body.sampling"),
        (
            ChatRequest,
            {"model": "m", "messages": [], "metadata": {"a": 1}},
            "expected a string, got int @ body.metadata['a']",
        ),
        (ChatRequest, [], "expected an object, got list @ body"),
        (Part, {"text": "x"}, "field 'type' is missing or not a string @ body"),
        (Part, {"type": "image", "data": "**"}, "not base64: Only base64 data is allowed @ body.data"),
        (Price, {"input": "one", "output": "1"}, "not a decimal number: 'one' @ body.input"),
        (Price, {"input": "NaN", "output": "1"}, "not a finite number: 'NaN' @ body.input"),
        (Price, {"input": True, "output": "1"}, "expected a decimal number, got bool @ body.input"),
        (RunEvent, {"leg": 0, "events": []}, "required field missing @ body.seq"),
        (RunEvent, {"seq": 1, "leg": 0, "events": [{"type": "text", "text": 1}]}, "got int @ body.events[0].text"),
        (
            RunEvent,
            {"seq": 1, "leg": 0, "fact": {"type": "nonsense"}},
            "'nonsense'; known: approval_asked",
        ),
        (StreamEvent, {"type": "nonsense"}, "unknown type 'nonsense'; known: part, reasoning"),
        (ToolCallPart, {"type": "text", "text": "x"}, "expected a ToolCallPart, got type 'text' @ body"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(cls, data, problem):
    with pytest.raises(DecodeError) as caught:
        CODEC.from_data(data, cls)
    assert problem in str(caught.value)
    assert problem in caught.value.problems[0]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("yesterday", "expected a time such as 2026-01-31T12:00:00Z, got 'yesterday'"),
        ("2026-01-31T12:00:00", "time '2026-01-31T12:00:00' has no zone: end it with Z"),
        (5, "expected a time such as 2026-01-31T12:00:00Z, got int"),
    ],
)
def test_a_time_without_zone_or_sense_is_refused(value, problem):
    with pytest.raises(DecodeError, match=problem):
        CODEC.from_data({"id": "r", "owner": "o", "session_id": "s", "status": "done", "created_at": value}, Run)


def test_all_problems_of_a_body_are_listed_one_per_field():
    body = {
        "role": 5,
        "name": 3,
        "parts": [{"type": "text", "text": 5}, {"type": "tool_call", "id": "x"}, 7, {"text": "x"}, {"type": "text"}],
    }
    with pytest.raises(DecodeError) as caught:
        CODEC.from_data(body, Message, path="messages[0]")
    assert [
        "messages[0].name",
        "messages[0].parts[0].text",
        "messages[0].parts[1].arguments",
        "messages[0].parts[1].name",
        "messages[0].parts[2]",
        "messages[0].parts[3]",
        "messages[0].parts[4].text",
        "messages[0].role",
    ] == sorted(problem.rpartition(" @ ")[2] for problem in caught.value.problems)
    assert str(caught.value).endswith("; and 3 more")


@pytest.mark.parametrize("raw", [b"", b"{", b'{"role": "user", "parts": []', b"\xff", '{"a": NaN}'])
def test_what_is_not_json_is_refused(raw):
    with pytest.raises(DecodeError, match="not JSON") as caught:
        CODEC.loads(raw, Message, path="row 5")
    assert caught.value.problems[0].endswith(" @ row 5")


@quick
@given(JSON, st.sampled_from([ChatRequest, Message, Part, StreamEvent, RunEvent, RunFact, Usage, StoredMessage]))
def test_whatever_comes_is_read_or_refused_with_problems(data, cls):
    problems = ("none",)
    try:
        CODEC.from_data(data, cls)
    except DecodeError as error:
        problems = error.problems
    assert problems


def test_an_integer_may_stand_for_a_number():
    request = CODEC.from_data({"model": "m", "messages": [], "sampling": {"temperature": 1}}, ChatRequest)
    assert request.sampling.temperature == 1


def test_defaults_are_left_out_and_events_carry_their_tag():
    assert {"seq": 3, "leg": 0, "events": [{"type": "text", "text": "hi"}]} == CODEC.to_data(
        RunEvent(3, 0, (TextDelta("hi"),))
    )
