"""Every recorded Chat Completions exchange through the openai plugin, compared with what the official SDK reads."""

import json
import re

import pytest
from palaver import (
    AnswerKind,
    ContextTooLong,
    FinishReason,
    Fold,
    PalaverError,
    ProviderAuthFailed,
    ProviderRejected,
    QuotaExhausted,
    RateLimited,
    ResponseFinished,
    Secret,
    UnknownUpstreamModel,
    UpstreamFailed,
    UpstreamInterrupted,
)
from palaver.testing.fake_upstream import End, Framing
from palaver.testing.replay import Replayer, decode, decode_until, split_everywhere
from palaver_openai.config import OpenAIConfig
from palaver_openai.provider import OPENAI
from palaver_openai.stream import Mapper

from .recordings import dialect_of, expected, load, name_of, needs_recordings, paths

pytestmark = needs_recordings

PATHS = paths("openai/chat-completions", "openai_compatible/chat-completions")
CONFIG = OpenAIConfig(api_key=Secret("none"))

#: The SDK's stop words (the vendors' own) as ours.
STOPS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    None: FinishReason.UNKNOWN,
}

#: The SDK's error classes, with the vendor's type where it says more, as ours.
ERRORS = {
    ("BadRequestError", "invalid_request_error"): ProviderRejected,
    ("BadRequestError", "too_many_prompt_tokens"): ContextTooLong,
    ("BadRequestError", None): ProviderRejected,
    ("AuthenticationError", "invalid_request_error"): ProviderAuthFailed,
    ("AuthenticationError", "authentication_error"): ProviderAuthFailed,
    ("AuthenticationError", "invalid_api_key"): ProviderAuthFailed,
    ("AuthenticationError", None): ProviderAuthFailed,
    ("NotFoundError", "invalid_request_error"): UnknownUpstreamModel,
    ("RateLimitError", "insufficient_quota"): QuotaExhausted,
    ("RateLimitError", "tokens"): RateLimited,
    ("RateLimitError", None): RateLimited,
}
#: Errors inside a 200 answer: the SDK has one class for all of them, so each says its own.
ERRORS_IN_STREAMS = {
    "Tool choice is required, but model did not call a tool": ProviderRejected,
    "Internal server error": UpstreamFailed,
}

LEGACY = "the SDK does not count the function calls of 2023 among tool calls; here they are calls like any other"
APART = "xAI counts reasoning beside completion_tokens; ours include it, as everywhere"
PARTS = "the SDK hands Mistral's list of content parts through as it is; here the text is text, the thinking reasoning"
#: What differs on purpose: the fields, and why. A line that no longer differs fails.
EXCEPTIONS = {
    "openai/chat-completions/dd-openai-chat-completions-post-5bb04f9e-0.json": ({"tool_calls"}, LEGACY),
    "openai/chat-completions/oll-test-openai-functions-0.json": ({"tool_calls"}, LEGACY),
    "openai/chat-completions/llm-test-tools-streaming-variant-a-0.json": (
        {"tool_calls"},
        "the vendor repeats the name in every delta and the SDK glues the repetitions together",
    ),
    "openai/chat-completions/ver-xai-text-0.json": ({"usage"}, APART),
    "openai/chat-completions/ver-xai-text-0-2.json": ({"usage"}, APART),
    "openai/chat-completions/ver-xai-tool-call-0.json": ({"usage"}, APART),
    "openai/chat-completions/ver-xai-tool-call-0-2.json": ({"usage"}, APART),
    "openai_compatible/chat-completions/dd-mistral-v1-chat-completions-post-20aaaaf3-0.json": ({"text"}, PARTS),
    "openai_compatible/chat-completions/"
    "rllm-chat-mistral-hybrid-reasoning-replays-thinking-chunks-across-turns-0.json": ({"text"}, PARTS),
    "openai_compatible/chat-completions/"
    "rllm-chat-mistral-hybrid-reasoning-replays-thinking-chunks-across-turns-1.json": ({"text"}, PARTS),
    "openai_compatible/chat-completions/"
    "rllm-chat-mistral-hybrid-reasoning-streams-thinking-separately-from-content-0.json": (
        {"text"},
        "the SDK loses the text that came as a content part",
    ),
    "openai_compatible/chat-completions/oll-test-mistralai-async-chat-with-events-with-content-0.json": (
        {"sdk_error"},
        "a whole document for a streaming request: the SDK stumbles, here it is an answer",
    ),
}


def read(completion):
    """Say a completion the way EXPECTED.json does."""
    message, usage = completion.message, completion.usage
    return {
        "text": message.text,
        "refusal": message.refusal or None,
        "tool_calls": [[call.name, arguments_of(call)] for call in message.tool_calls],
        "stop": completion.finish_reason,
        "usage": usage and [usage.input_tokens, usage.output_tokens],
    }


def arguments_of(call):
    try:
        return json.loads(call.arguments)
    except ValueError:
        return call.arguments


def differences(got, wanted):
    """Name the fields in which an outcome differs from what the SDK reads."""
    if isinstance(got, PalaverError):
        if "error" not in wanted:
            return {f"an error: {got!r}"}
        error = wanted["error"]
        if error["status"] == 200:
            kind = ERRORS_IN_STREAMS[error["message"]]
        else:
            kind = ERRORS[error["kind"], error["type"]]
            if got.upstream_status != error["status"]:
                return {"status"}
        return set() if type(got) is kind else {f"error class {type(got).__name__}"}
    if "stop" not in wanted:
        return set(wanted)
    theirs = {**wanted, "stop": STOPS[wanted["stop"]]}
    ours = read(got)
    return {field for field in theirs if theirs[field] != ours[field]}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
async def test_each_exchange_gives_what_the_official_sdk_reads(path):
    name = name_of(path)
    async with Replayer.open(OPENAI, CONFIG, path="/v1") as replayer:
        got = await replayer.replay(load(path))
    excepted, _ = EXCEPTIONS.get(name, (set(), ""))
    assert excepted == differences(got, expected()[name])


def test_every_exception_is_a_recording_and_has_a_reason():
    assert set(EXCEPTIONS) <= {name_of(path) for path in PATHS}
    assert all(reason for _, reason in EXCEPTIONS.values())


# --- every byte, purely ------------------------------------------------------

#: Bytes that one recording may be decoded again and again, so that the module takes seconds.
BUDGET = 2_000_000
STREAMS = [path for path in PATHS if load(path).stream and load(path).body[:1] != b"{"]
DOCUMENTS = [path for path in PATHS if path not in STREAMS and load(path).status == 200]
TERMINAL = re.compile(rb'"finish_reason":\s*"[^"]|data: ?\[DONE\]')


def mapper(*, whole=False):
    numbers = iter(range(10**6))
    return Mapper(new_id=lambda kind: f"{kind}-{next(numbers)}", whole=whole)


def outcome(pieces, **how):
    events, error = decode_until(pieces, mapper(**how), kind=AnswerKind.JSON if how else AnswerKind.SSE)
    return events, error and (type(error), str(error))


def positions(body):
    """Every position, or as many evenly spread ones as the budget allows."""
    step = max(1, len(body) * len(body) // BUDGET)
    return range(0, len(body) + 1, step)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_any_split_gives_the_same_events(path):
    body = load(path).body
    whole = outcome([body])
    assert whole == outcome(body[place : place + 1] for place in range(len(body)))
    # Frames decide, and a split moves only those around it: so only there must it be looked at every byte.
    for place in positions(body):
        assert whole == outcome([body[:place], body[place:]]), place


def test_a_small_stream_is_split_everywhere():
    body = min((load(path).body for path in STREAMS if "error-in-stream" not in load(path).features), key=len)
    whole = decode([body], mapper())
    for pieces in split_everywhere(body):
        assert whole == decode(pieces, mapper())


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_no_cut_stream_is_finished_before_its_terminal_marker(path):
    body = load(path).body
    marker = TERMINAL.search(body)
    end = marker.start() if marker else len(body) + 1
    text = text_of(outcome([body])[0])
    for place in positions(body):
        events, error = outcome([body[:place]])
        finished = bool(events) and isinstance(events[-1], ResponseFinished)
        assert finished is (error is None)
        assert not finished or place > end
        assert text.startswith(text_of(events))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_a_cut_document_is_interrupted(path):
    body = load(path).body.rstrip()
    for place in positions(body):
        if place < len(body):
            events, error = outcome([body[:place]], whole=True)
            assert ([], UpstreamInterrupted) == (events, error[0])


def text_of(events):
    fold = Fold()
    fold.feed(events)
    return fold.text


# --- some over a socket ------------------------------------------------------

#: The shortest stream of each vendor.
PER_DIALECT = {
    dialect_of(load(path)): path
    for path in sorted(STREAMS, key=lambda path: len(load(path).body), reverse=True)
    if "error-in-stream" not in load(path).features
}


@pytest.mark.parametrize("path", PER_DIALECT.values(), ids=PER_DIALECT.keys())
async def test_one_byte_at_a_time_is_the_same_answer(path):
    async with Replayer.open(OPENAI, CONFIG) as replayer:
        whole = await replayer.replay(load(path))
        assert whole == await replayer.replay(load(path), byte_by_byte=True)


@pytest.mark.parametrize(
    ("framing", "end"), [(Framing.CHUNKED, End.CUT), (Framing.CHUNKED, End.RESET), (Framing.CLOSE, End.FINISH)]
)
@pytest.mark.parametrize("path", PER_DIALECT.values(), ids=PER_DIALECT.keys())
async def test_a_stream_cut_on_the_wire_is_interrupted(path, framing, end):
    exchange = load(path)
    place = TERMINAL.search(exchange.body).start()
    async with Replayer.open(OPENAI, CONFIG) as replayer:
        for cut in (place, place // 2):
            got = await replayer.replay(exchange, cut_at=cut, framing=framing, end=end)
            assert isinstance(got, UpstreamInterrupted)
