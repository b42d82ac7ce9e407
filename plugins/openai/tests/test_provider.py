"""The provider over real sockets, where the network has its part in it."""

import asyncio
import base64
import struct
import subprocess
import sys
import zlib
from contextlib import aclosing
from pathlib import Path

import pytest
from palaver import (
    ChatRequest,
    Deadlines,
    Embedder,
    EmbeddingRequest,
    FinishReason,
    HealthProbe,
    Message,
    ModelLister,
    Overloaded,
    Provider,
    ProviderAuthFailed,
    RateLimited,
    Role,
    Secret,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UpstreamFailed,
    UpstreamInterrupted,
    UpstreamMalformed,
    UpstreamTimeout,
)
from palaver.testing.fake_upstream import STALL, End, FakeUpstream, Framing
from palaver.testing.replay import Replayer, load_exchange, replay
from palaver_openai import palaver_providers
from palaver_openai.config import OpenAIConfig
from palaver_openai.provider import OPENAI

WIRE = Path(__file__).parent / "wire"
CONFIG = OpenAIConfig(api_key=Secret("sk-test"))


def ask(*messages, **fields):
    return ChatRequest("gpt-4o-mini", messages or (Message(Role.USER, "hello"),), **fields)


def event(body):
    return b"data: " + body + b"\n\n"


def said(words, finish=b"null"):
    return event(b'{"id":"c","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}' % (words, finish))


DONE = event(b"[DONE]")


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


# --- what it is ----------------------------------------------------------------


def test_the_hook_offers_it():
    (spec,) = palaver_providers()
    assert (OPENAI, "openai", "openai") == (spec, spec.name, spec.dialect)
    assert "gpt-" in spec.model_prefixes


async def test_it_chats_embeds_lists_and_tells_its_health(replayer):
    assert all(isinstance(replayer.provider, each) for each in (Provider, Embedder, ModelLister, HealthProbe))


def test_loading_the_plugin_loads_no_http_client():
    code = "import sys, palaver_openai; assert not {'aiohttp', 'openai', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_the_request_goes_where_it_belongs(replayer):
    replayer.upstream.answer(said(b"hi", b'"stop"') + DONE)
    await replayer.events(ask())
    (request,) = replayer.upstream.requests
    assert ("POST", "/v1/chat/completions", "Bearer sk-test") == (
        request.method,
        request.path,
        request.header("authorization"),
    )
    assert request.json["stream"] is True


async def test_without_streaming_there_is_one_batch(replayer):
    load_exchange(WIRE / "tools.json").serve(replayer.upstream)
    batches = [batch async for batch in replayer.provider.stream(ask(streaming=False))]
    assert 1 == len(batches)
    assert "stream" not in replayer.upstream.requests[0].json


async def test_a_server_without_keys_gets_none():
    config = OpenAIConfig(api_key=Secret("none"))
    async with Replayer.open(OPENAI, config) as keyless:
        keyless.upstream.answer(said(b"hi", b'"stop"'))
        await keyless.events(ask())
        assert keyless.upstream.requests[0].header("authorization") is None


async def test_connections_are_kept_from_answer_to_answer(replayer):
    replayer.upstream.answer(said(b"hi", b'"stop"') + DONE)
    for _ in range(5):
        await replayer.events(ask())
    assert 1 == replayer.upstream.connections


async def test_ids_of_earlier_turns_are_not_used_again(replayer):
    load_exchange(WIRE / "tools-stream.json").serve(replayer.upstream)
    earlier = (
        Message(Role.ASSISTANT, (ToolCallPart("call_one", "f", "{}"),)),
        Message(Role.TOOL, (ToolResultPart("call_one", (TextPart("x"),)),)),
    )
    batches = [batch async for batch in replayer.provider.stream(ask(Message(Role.USER, "x"), *earlier))]
    ids = [event.id for batch in batches for event in batch if hasattr(event, "name")]
    assert "call_one" not in ids
    assert "call_two" in ids


# --- the kit's own fixtures ------------------------------------------------------


CHATS = [path for path in sorted(WIRE.glob("*.json")) if load_exchange(path).request["url"].endswith("/completions")]


@pytest.mark.parametrize("path", CHATS, ids=lambda path: path.stem)
async def test_each_fixture_replays_to_what_it_expects(path):
    exchange = load_exchange(path)
    got = await replay(OPENAI, CONFIG, exchange)
    expected = exchange.data["expected"]
    assert expected.get("error", "Completion") == type(got).__name__


# --- faults on the wire ------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ProviderAuthFailed), (429, RateLimited), (500, UpstreamFailed), (503, Overloaded), (529, Overloaded)],
)
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_error_status_is_an_error_before_any_event(replayer, status, kind, streaming):
    replayer.upstream.answer({"error": {"message": "no"}}, status=status)
    events, error = await replayer.events(ask(streaming=streaming))
    assert ([], kind) == (events, type(error))


async def test_done_ends_the_answer_though_the_socket_stays_open(replayer):
    replayer.upstream.answer([said(b"hi", b'"stop"') + DONE, STALL])
    events, error = await asyncio.wait_for(replayer.events(ask()), 1)
    assert (None, "hi") == (error, text_of(events))


@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.CLOSE])
async def test_a_finish_reason_is_enough_when_the_body_ends(replayer, framing):
    replayer.upstream.answer(said(b"hi", b'"stop"'), framing=framing)
    events, error = await replayer.events(ask())
    assert (None, FinishReason.STOP) == (error, events[-1].reason)


@pytest.mark.parametrize("end", [End.CUT, End.RESET])
async def test_a_connection_lost_in_the_middle_is_interrupted(replayer, end):
    # The loss waits until the text was read: a reset may overtake what was sent before it.
    was_read = asyncio.Event()
    replayer.upstream.answer([said(b"hi"), was_read], end=end)
    texts = []
    with pytest.raises(UpstreamInterrupted, match="openai: the connection was lost"):
        async for batch in replayer.provider.stream(ask()):
            texts.append(text_of(batch))
            was_read.set()
    assert ["hi"] == texts


@pytest.mark.parametrize("end", [End.CUT, End.RESET])
async def test_a_connection_lost_after_the_finish_reason_loses_nothing(replayer, end):
    was_read = asyncio.Event()
    replayer.upstream.answer([said(b"hi", b'"stop"'), was_read], end=end)
    events = []
    async for batch in replayer.provider.stream(ask()):
        events += batch
        was_read.set()
    assert ("hi", FinishReason.STOP) == (text_of(events), events[-1].reason)
    assert events[-1].warnings


@pytest.mark.parametrize("cut", [b"", b'data: {"id":"c","choi'])
async def test_an_unframed_body_that_just_ends_is_interrupted(replayer, cut):
    replayer.upstream.answer(said(b"hi") + cut, framing=Framing.CLOSE)
    events, error = await replayer.events(ask())
    assert ("hi", UpstreamInterrupted) == (text_of(events), type(error))


async def test_a_document_cut_in_an_unframed_body_is_interrupted(replayer):
    body = load_exchange(WIRE / "text.json").body
    replayer.upstream.answer(body[:-20], framing=Framing.CLOSE, content_type="application/json")
    _, error = await replayer.events(ask(streaming=False))
    assert UpstreamInterrupted is type(error)


async def test_text_before_an_error_in_the_same_read_is_delivered(replayer):
    replayer.upstream.answer(said(b"hi") + event(b'{"error":{"message":"m","type":"server_error"}}'))
    events, error = await replayer.events(ask())
    assert ("hi", UpstreamFailed) == (text_of(events), type(error))


async def test_a_web_page_is_no_answer(replayer):
    replayer.upstream.answer(b"<html>hello</html>", content_type="text/html")
    assert UpstreamMalformed is type((await replayer.events(ask()))[1])


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("name", ["text", "text-stream"])
async def test_what_the_vendor_sent_is_understood_whatever_was_asked(replayer, name, streaming):
    exchange = load_exchange(WIRE / f"{name}.json")
    got = await replayer.replay(exchange, request=ask(streaming=streaming))
    assert exchange.data["expected"]["text"] == got.message.text


async def test_one_byte_at_a_time_is_the_same_text(replayer):
    exchange = load_exchange(WIRE / "text-stream.json")
    got = await replayer.replay(exchange, byte_by_byte=True)
    assert exchange.data["expected"]["text"] == got.message.text


async def test_bytes_that_are_not_utf8_become_replacement_characters(replayer):
    replayer.upstream.answer(said(b"a\xffb", b'"stop"') + DONE)
    events, error = await replayer.events(ask())
    assert (None, "a�b") == (error, text_of(events))


async def test_a_compressed_stream_is_read_as_it_flushes(replayer):
    squeeze = zlib.compressobj(wbits=31)
    more = asyncio.Event()
    first = squeeze.compress(said(b"hi")) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    rest = squeeze.compress(said(b" you", b'"stop"') + DONE) + squeeze.flush()
    replayer.upstream.answer([first, more, rest], headers={"Content-Encoding": "gzip"})
    batches = []
    async for batch in replayer.provider.stream(ask()):
        batches.append(text_of(batch))
        more.set()
    assert "hi you" == "".join(batches)


async def test_closing_the_stream_closes_the_upstream(replayer):
    replayer.upstream.answer([said(b"hi"), STALL])
    async with aclosing(replayer.provider.stream(ask())) as stream:
        await anext(stream)
    await asyncio.wait_for(replayer.upstream.requests[0].closed.wait(), 1)


async def test_silence_is_a_timeout():
    async with Replayer.open(OPENAI, CONFIG, deadlines=Deadlines(first_byte=0.05)) as silent:
        silent.upstream.answer(b"", before=STALL)
        _, error = await silent.events(ask())
    assert (UpstreamTimeout, "first_byte") == (type(error), error.phase)


async def test_the_key_does_not_follow_a_redirect(replayer):
    async with FakeUpstream() as thief:
        replayer.upstream.answer(b"", status=307, headers={"Location": f"{thief.url}/v1/chat/completions"})
        _, error = await replayer.events(ask())
        assert (UpstreamMalformed, []) == (type(error), thief.requests)


# --- models, health, embeddings ----------------------------------------------------


async def test_models_are_listed_with_what_the_catalogue_knows(replayer):
    replayer.upstream.answer({"data": [{"id": "gpt-4o"}, {"id": "new-model"}, {"id": 7}, 7]})
    known, new = await replayer.provider.list_models()
    assert ("gpt-4o", 128_000, "new-model", None) == (known.id, known.context_window, new.id, new.context_window)
    assert "/v1/models" == replayer.upstream.requests[0].path


@pytest.mark.parametrize("document", [{}, {"data": None}, {"data": 7}, {"error": None}])
async def test_a_strange_list_of_models_is_empty(replayer, document):
    replayer.upstream.answer(document)
    assert () == await replayer.provider.list_models()


async def test_health_is_a_list_of_models_away(replayer):
    replayer.upstream.answer({"data": []}).answer({"error": {"code": "invalid_api_key"}}, status=401)
    await replayer.provider.check()
    with pytest.raises(ProviderAuthFailed):
        await replayer.provider.check()


async def test_texts_are_embedded(replayer):
    packed = base64.b64encode(struct.pack("<2f", 1.0, 0.5)).decode()
    replayer.upstream.answer({"data": [{"index": 0, "embedding": packed}], "model": "e", "usage": {"prompt_tokens": 2}})
    found = await replayer.provider.embed(EmbeddingRequest("e", ("hello",)))
    assert (((1.0, 0.5),), 2) == (found.vectors, found.usage.input_tokens)
    assert ("/v1/embeddings", ["hello"]) == (
        replayer.upstream.requests[0].path,
        replayer.upstream.requests[0].json["input"],
    )
