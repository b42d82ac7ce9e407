"""Our events, written as OpenAI's chunks, and a folded answer as OpenAI's object. Pure: events in, bytes out.

Wire format: https://platform.openai.com/docs/api-reference/chat/streaming
A chunk of text is built from two ready-made halves around one JSON string: this is the hottest code of the server.
"""

import base64
from collections.abc import Mapping
from typing import Any

from orjson import dumps
from palaver.domain import (
    AudioPart,
    Completion,
    FinishReason,
    ImagePart,
    Message,
    Part,
    TextPart,
    ToolCallPart,
    Usage,
)
from palaver.events import (
    Batch,
    PartAdded,
    ReasoningDelta,
    RefusalDelta,
    ResponseFinished,
    ResponseStarted,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)

from palaver_server.sse import DONE

__all__ = ["ChunkWriter", "completion_object", "usage_object"]

_DIALECT = "openai"
#: Fields of the vendor's envelope that clients of this API know; anything else stays inside.
_ENVELOPE = ("system_fingerprint", "service_tier")

_FINISH = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    # There is no word for a refusal here; this one tells clients that the answer was withheld.
    FinishReason.REFUSAL: "content_filter",
    FinishReason.PAUSE: "length",
}


class ChunkWriter:
    """Writes one answer as chunks that share one id and one time.

    Args:
        model: What to call the model when the vendor does not say.
        include_usage: Whether the client asked for a last chunk with the usage.
    """

    __slots__ = (
        "_calls",
        "_created",
        "_envelope",
        "_head",
        "_id",
        "_include_usage",
        "_model",
        "_tail",
        "_text",
        "_text_tail",
        "_usage",
    )

    def __init__(self, answer_id: str, created: int, model: str, *, include_usage: bool) -> None:
        self._id = answer_id
        self._created = created
        self._model = model
        self._include_usage = include_usage
        self._usage: Usage | None = None
        self._calls: dict[int, int] = {}
        self._head = self._text = b""
        self._tail = b',"finish_reason":null}],"usage":null}\n\n' if include_usage else b',"finish_reason":null}]}\n\n'
        self._text_tail = b"}" + self._tail

    def feed(self, batch: Batch) -> bytes:
        """Write all events of a batch as one block; with the terminal event comes everything that ends the stream."""
        out: list[bytes] = []
        if not self._head:
            self._begin(batch)
            out.append(self._delta({"role": "assistant", "content": ""}))
        for event in batch:
            if event.__class__ is TextDelta and not event.vendor:
                out.append(self._text + dumps(event.text) + self._text_tail)
            else:
                out.append(self._other(event))
        return b"".join(out)

    def _begin(self, batch: Batch) -> None:
        envelope: dict[str, Any] = {}
        for event in batch:
            if isinstance(event, ResponseStarted):
                self._model = event.model or self._model
                envelope = _envelope(event.vendor)
        fields = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            **envelope,
        }
        self._envelope = dumps(fields)[:-1]
        self._head = b"data: " + self._envelope + b',"choices":[{"index":0,"delta":'
        self._text = self._head + b'{"content":'

    def _delta(self, delta: Mapping[str, Any], logprobs: Any = None) -> bytes:
        if logprobs is not None:
            return self._head + dumps(delta) + b',"logprobs":' + dumps(logprobs) + self._tail
        return self._head + dumps(delta) + self._tail

    def _other(self, event: StreamEvent) -> bytes:
        match event:
            case TextDelta(text, vendor):
                return self._delta({"content": text}, _own(vendor).get("logprobs"))
            case ReasoningDelta(text):
                return self._delta({"reasoning_content": text}) if text else b""
            case RefusalDelta(text):
                return self._delta({"refusal": text})
            case ToolCallStarted(index, call_id, name):
                number = self._calls.setdefault(index, len(self._calls))
                function = {"name": name, "arguments": ""}
                call = {"index": number, "id": call_id, "type": "function", "function": function}
                return self._delta({"tool_calls": [call]})
            case ToolCallDelta(index, arguments):
                number = self._calls.setdefault(index, len(self._calls))
                return self._delta({"tool_calls": [{"index": number, "function": {"arguments": arguments}}]})
            case PartAdded(part):
                delta = _part_fields(part)
                return self._delta(delta) if delta else b""
            case UsageReported(usage):
                self._usage = usage
                return b""
            case ResponseFinished():
                return self._end(event)
            case _:
                return b""

    def _end(self, finished: ResponseFinished) -> bytes:
        reason = dumps(finish_word(finished.reason, finished.raw, bool(self._calls)))
        usage = b',"usage":null' if self._include_usage else b""
        out = self._head + b'{},"finish_reason":' + reason + b"}]" + usage + b"}\n\n"
        if self._include_usage:
            out += b"data: " + self._envelope + b',"choices":[],"usage":' + dumps(usage_object(self._usage)) + b"}\n\n"
        return out + DONE


def completion_object(answer: Completion, answer_id: str, created: int, model: str) -> dict[str, Any]:
    """Build the answer to a request without streaming."""
    message = answer.message
    calls = [_call_object(call) for call in message.tool_calls]
    shape: dict[str, Any] = {
        "role": "assistant",
        "content": message.text or (None if calls or message.refusal else ""),
        "refusal": message.refusal or None,
    }
    if message.reasoning:
        shape["reasoning_content"] = message.reasoning
    if calls:
        shape["tool_calls"] = calls
    for part in message.parts:
        if part.__class__ is TextPart:
            continue
        for name, value in _part_fields(part).items():
            shape[name] = shape[name] + value if name in shape else value
    choice = {
        "index": 0,
        "message": shape,
        "logprobs": _logprobs(message),
        "finish_reason": finish_word(answer.finish_reason, answer.finish_raw, bool(calls)),
    }
    return {
        "id": answer_id,
        "object": "chat.completion",
        "created": created,
        "model": answer.model or model,
        **_envelope(answer.vendor),
        "choices": [choice],
        "usage": usage_object(answer.usage),
    }


def usage_object(usage: Usage | None) -> dict[str, Any] | None:
    """Write usage; clients want numbers, so what the vendor left out of a report counts as 0."""
    if usage is None:
        return None
    shape: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or 0,
    }
    if usage.cache_read_tokens is not None or usage.cache_write_tokens is not None:
        shape["prompt_tokens_details"] = {"cached_tokens": usage.cache_read_tokens or 0}
        if usage.cache_write_tokens is not None:
            shape["prompt_tokens_details"]["cache_write_tokens"] = usage.cache_write_tokens
    if usage.reasoning_tokens is not None:
        shape["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return shape


def finish_word(reason: FinishReason, raw: str | None, has_calls: bool) -> str:
    """Give the word for why it ended: a word nobody here knows is passed on rather than called ``stop``."""
    word = _FINISH.get(reason)
    if word is not None:
        return word
    return raw or ("tool_calls" if has_calls else "stop")


def _own(vendor: Mapping[str, Any]) -> Mapping[str, Any]:
    own = vendor.get(_DIALECT)
    return own if isinstance(own, Mapping) else {}


def _envelope(vendor: Mapping[str, Any]) -> dict[str, Any]:
    if not vendor:
        return {}
    own = _own(vendor)
    return {name: own[name] for name in _ENVELOPE if isinstance(own.get(name), str)}


def _logprobs(message: Message) -> Any:
    for part in message.parts:
        vendor = getattr(part, "vendor", None)
        if vendor and (logprobs := _own(vendor).get("logprobs")) is not None:
            return logprobs
    return None


def _call_object(call: ToolCallPart) -> dict[str, Any]:
    if _own(call.vendor).get("type") == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _part_fields(part: Part) -> dict[str, Any]:
    """Write a part that is not text: sound as OpenAI does, images as compatible servers do."""
    match part:
        case AudioPart(data=data) if data is not None or part.audio_id is not None:
            audio = {"id": part.audio_id, "data": _encoded(data), "transcript": part.transcript}
            return {"audio": {name: value for name, value in audio.items() if value is not None}}
        case ImagePart(data=None, url=str() as url):
            return {"images": [{"type": "image_url", "image_url": {"url": url}}]}
        case ImagePart(data=bytes() as data):
            url = f"data:{part.mime_type or 'image/png'};base64,{_encoded(data)}"
            return {"images": [{"type": "image_url", "image_url": {"url": url}}]}
        case _:
            return {}


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")
