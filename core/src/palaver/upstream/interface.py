"""The narrow interface between a provider plugin and HTTP, so that the HTTP client can be replaced.

A plugin asks an ``Upstream`` to post a body and reads an ``Answer``: all frames of one read from the
socket at a time. What the vendor really sent decides ``Answer.kind``, whatever was asked for: a vendor
that answers a streaming request with one JSON document is still understood.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import attrs
import orjson

from palaver.errors import ProviderError, UpstreamInterrupted, UpstreamMalformed

__all__ = [
    "Answer",
    "AnswerKind",
    "Deadlines",
    "Failures",
    "Frame",
    "HttpFailure",
    "Upstream",
]


#: Half of a UTF-16 pair; ``json.loads`` has joined the whole ones.
_SURROGATE = re.compile("[\ud800-\udfff]")


class Frame(NamedTuple):
    """One message of a stream: an SSE event, an NDJSON line, or a whole JSON document."""

    data: bytes
    event: str = "message"
    id: str | None = None
    #: ``False`` when the body ended before the frame did: what is here may be cut short.
    complete: bool = True

    def json(self) -> Any:
        """Read the data as JSON; bytes that are not UTF-8 and lone surrogates become U+FFFD.

        Raises:
            UpstreamMalformed: it is not JSON.
            UpstreamInterrupted: it is not JSON because the body ended within it.
        """
        try:
            return orjson.loads(self.data)
        except ValueError:
            return self._lenient_json()

    def _lenient_json(self) -> Any:
        # The slow way, for what real vendors send: broken UTF-8, half an emoji, NaN among the logprobs.
        try:
            text = json.dumps(json.loads(self.data.decode("utf-8", "replace")), ensure_ascii=False)
            return json.loads(_SURROGATE.sub("\ufffd", text))
        except (ValueError, RecursionError) as error:
            if not self.complete:
                raise UpstreamInterrupted("the connection ended in the middle of a message") from error
            raise UpstreamMalformed(f"the vendor sent {len(self.data)} bytes that are not JSON") from error


class AnswerKind(StrEnum):
    """How the body is framed."""

    SSE = "sse"
    NDJSON = "ndjson"
    JSON = "json"


@attrs.frozen
class Deadlines:
    """Limits in seconds: to connect, to the first byte of the answer, between content events, in all."""

    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 60.0
    total: float = 600.0


@attrs.frozen
class HttpFailure:
    """An answer with an error status: everything a failure table needs, body already read and capped."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: The parsed JSON body, ``None`` when it is not JSON.
    data: Any
    provider: str
    #: Wall time as POSIX seconds, for ``Retry-After`` dates.
    now: float


#: Turns a vendor's error answer into the core error; pure.
Failures = Callable[[HttpFailure], ProviderError]


class Answer(Protocol):
    """An open answer; iterate it for the frames of each read. It ends when the body ends.

    Raises while iterated: UpstreamInterrupted (connection lost), UpstreamMalformed (over the frame cap,
    corrupt compression).
    """

    kind: AnswerKind
    status: int
    headers: Mapping[str, str]

    def __aiter__(self) -> AsyncIterator[Sequence[Frame]]: ...


class Upstream(Protocol):
    """One vendor account's HTTP: base URL, standing headers, failure table and deadlines already known."""

    def post(
        self,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        accept: AnswerKind = AnswerKind.SSE,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Answer]:
        """Post *json* (or raw *body*) and open the answer.

        Raises on entry: the failure table's error for a status of 300 and above (redirects are never
        followed), UpstreamUnreachable, UpstreamTimeout, UpstreamMalformed for a body that is neither
        JSON, SSE nor NDJSON.
        """
        ...

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Any:
        """Get a JSON document; same errors as ``post``."""
        ...
