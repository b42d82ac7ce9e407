"""Replaying exchanges: files in the recordings' shape, purely and through a provider over a socket."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
from palaver import (
    AnswerKind,
    Completion,
    FinishReason,
    ProviderSpec,
    RateLimited,
    ResponseFinished,
    TextDelta,
    UpstreamInterrupted,
    setting,
)
from palaver.testing.fake_upstream import End, Framing
from palaver.testing.replay import decode, decode_until, load_exchange, replay, split_everywhere


class Parrot:
    """A mapper that says each frame; the frame `end` is the terminal marker."""

    def __init__(self):
        self.over = False

    def feed(self, frames):
        words = [frame.data.decode() for frame in frames]
        self.over = "end" in words
        return [
            ResponseFinished(FinishReason.STOP) if word == "end" else TextDelta(word) for word in words if word != "{}"
        ]

    def finish(self):
        if not self.over:
            raise UpstreamInterrupted("no end")
        return ()


@attrs.frozen
class ParrotConfig:
    base_url: str = setting(default="http://127.0.0.1:1")


@asynccontextmanager
async def open_parrot(config, context) -> AsyncIterator[object]:
    class Provider:
        async def stream(self, request):
            async with upstream.post("/say", json={}) as answer:
                mapper = Parrot()
                async for frames in answer:
                    yield mapper.feed(frames)
                yield mapper.finish()

    async with context.upstream(config.base_url) as upstream:
        yield Provider()


PARROT = ProviderSpec("parrot", ParrotConfig, open_parrot)
BODY = "data: a\n\ndata: b\n\ndata: end\n\n"


@pytest.fixture
def exchange(tmp_path):
    def make(response, **more):
        path = tmp_path / "some.json"
        path.write_text(json.dumps({"request": None, "response": {"status": 200, "headers": {}, **response}, **more}))
        return load_exchange(path)

    return make


def test_a_stream_is_read_as_it_was_stored(exchange):
    found = exchange(
        {"stream": "sse", "body_text": BODY, "headers": {"content-type": "x", "content-length": "9"}}, features=["text"]
    )
    assert ("some", 200, BODY.encode(), "sse", {"content-type": "x"}, {"text"}) == (
        found.id,
        found.status,
        found.body,
        found.stream,
        found.headers,
        found.features,
    )


def test_a_document_is_written_as_json(exchange):
    assert {"é": [None]} == json.loads(exchange({"stream": None, "body": {"é": [None]}}).body)


def test_a_body_is_decoded_without_a_socket():
    assert [TextDelta("a"), TextDelta("b"), ResponseFinished(FinishReason.STOP)] == decode([BODY.encode()], Parrot())


def test_every_split_is_tried():
    pairs = list(split_everywhere(b"abc"))
    assert [(b"", b"abc"), (b"a", b"bc"), (b"ab", b"c"), (b"abc", b"")] == pairs


def test_a_cut_body_gives_its_events_and_the_error():
    events, error = decode_until([b"data: a\n\nda"], Parrot())
    assert ([TextDelta("a")], UpstreamInterrupted) == (events, type(error))
    with pytest.raises(UpstreamInterrupted):
        decode([b"data: a\n\n"], Parrot())


def test_lines_and_documents_are_decoded_too():
    assert 3 == len(decode([b"a\nb\n", b"end"], Parrot(), kind=AnswerKind.NDJSON))
    assert [ResponseFinished(FinishReason.STOP)] == decode([b"en", b"d"], Parrot(), kind=AnswerKind.JSON)


@pytest.mark.parametrize("byte_by_byte", [False, True])
async def test_an_exchange_is_replayed_through_a_provider(exchange, byte_by_byte):
    found = exchange({"stream": "sse", "body_text": BODY})
    got = await replay(PARROT, ParrotConfig(), found, byte_by_byte=byte_by_byte)
    assert isinstance(got, Completion)
    assert ("ab", FinishReason.STOP) == (got.message.text, got.finish_reason)


async def test_an_error_is_given_not_raised(exchange):
    got = await replay(PARROT, ParrotConfig(), exchange({"status": 429, "body": {"error": "slow"}}))
    assert RateLimited is type(got)


@pytest.mark.parametrize(("framing", "end"), [(Framing.CHUNKED, End.CUT), (Framing.CLOSE, End.FINISH)])
async def test_an_exchange_can_be_cut(exchange, framing, end):
    found = exchange({"stream": "sse", "body_text": BODY})
    got = await replay(PARROT, ParrotConfig(), found, cut_at=12, framing=framing, end=end)
    assert UpstreamInterrupted is type(got)
