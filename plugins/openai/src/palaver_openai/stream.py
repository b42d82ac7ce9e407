"""Frames of a Chat Completions answer to events: a pure state machine.

Wire format: https://platform.openai.com/docs/api-reference/chat-streaming, read as liberally as the servers that
speak the dialect make necessary. An answer is complete when a finish reason or ``[DONE]`` came; a connection that
ends before is interrupted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import orjson
from palaver import (
    Batch,
    FinishReason,
    Frame,
    PalaverError,
    RefusalDelta,
    ResponseFinished,
    ResponseStarted,
    StreamEvent,
    TextDelta,
    UpstreamInterrupted,
    UpstreamMalformed,
    UsageReported,
    build_error,
)

from palaver_openai import failures
from palaver_openai.around import Around
from palaver_openai.calls import Calls
from palaver_openai.finish import FINISH_ERRORS, FINISH_REASONS
from palaver_openai.media import AudioPieces, read_image
from palaver_openai.plain import plain_answer
from palaver_openai.reasoning import Reasoning
from palaver_openai.usage import read_usage

__all__ = ["Mapper"]

#: Top-level fields that are read, or are noise made to be thrown away (paddings against traffic analysis).
_TOP = frozenset({"id", "object", "model", "choices", "usage", "error", "obfuscation", "p"})
_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "logprobs"})
_DELTA = frozenset(
    {
        "role",
        "content",
        "refusal",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "tool_calls",
        "function_call",
        "annotations",
        "audio",
        "images",
    }
)
#: Fields of a delta that say nothing of reasoning.
_PLAIN = frozenset({"role", "content", "refusal", "annotations", "tool_calls"})
#: What some servers say to keep a connection awake.
_PINGS = frozenset({b"", b"ping", b"PING", b"keepalive", b"keep-alive", b"heartbeat", b"null"})
_PING_EVENTS = frozenset({"ping", "keepalive", "keep-alive", "heartbeat"})
_NO_IDS: frozenset[str] = frozenset()


class Mapper:
    """Maps one answer. Feed it every read until ``over``, then finish it.

    Args:
        new_id: Makes ids for calls that have none of their own.
        taken: Gives the call ids that the conversation has used already.
        whole: The answer is one JSON document, not a stream.
        provider: The instance's name, for errors.
    """

    __slots__ = (
        "_answered",
        "_around",
        "_audio",
        "_calls",
        "_choice",
        "_ended",
        "_error",
        "_finish",
        "_late",
        "_message",
        "_new_id",
        "_provider",
        "_reasoning",
        "_refused",
        "_started",
        "_taken",
        "_top",
        "_usage",
        "_warnings",
        "_whole",
        "_widths",
        "over",
    )

    def __init__(
        self,
        *,
        new_id: Callable[[str], str],
        taken: Callable[[], Collection[str]] = lambda: _NO_IDS,
        whole: bool = False,
        provider: str = "",
    ) -> None:
        #: Whether nothing more is to be read: the terminal marker came, or an error.
        self.over = False
        self._error: PalaverError | None = None
        self._whole = whole
        self._provider = provider
        self._new_id = new_id
        self._taken = taken
        # Made when needed: most answers have neither.
        self._calls: Calls | None = None
        self._reasoning: Reasoning | None = None
        self._audio: AudioPieces | None = None
        self._started = False
        self._ended = False
        self._answered = False
        # Chunks with this many fields held no news so far: (top level, choice).
        self._widths = (0, 0)
        self._around = Around()
        self._top: dict[str, Any] = {}
        self._late: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._usage: Any = None
        self._finish: str | None = None
        self._refused = False
        self._warnings: dict[str, None] = {}

    def feed(self, frames: Sequence[Frame]) -> Batch:
        """Map the frames of one read. An error among them is kept for ``finish``, after what came before it."""
        out: list[StreamEvent] = []
        if self.over:
            return out
        around = self._around
        try:
            for frame in frames:
                data = frame[0]
                if data.startswith(around.before) and data.endswith(around.after):
                    # Byte for byte the chunk that was read before, but for one string: only that is parsed.
                    try:
                        text = orjson.loads(data[around.start : around.end])
                    except ValueError:
                        text = None
                    if text.__class__ is str and text:
                        out.append(TextDelta(text))
                        continue
                if data[:1] != b"{":
                    word = data.strip()
                    if word == b"[DONE]":
                        self.over = True
                        self._end(out)
                        break
                    if word in _PINGS or frame.event in _PING_EVENTS:
                        continue
                chunk = frame.json()
                if self._whole and self._plain_document(chunk, out):
                    continue
                text = self._plain_text(chunk)
                if text:
                    around.learn(data, text)
                    out.append(TextDelta(text))
                    continue
                self._chunk(chunk, frame, out)
                if self._whole:
                    self.over = True
                    self._end(out)
        except PalaverError as error:
            if self._finish is not None and isinstance(error, UpstreamInterrupted):
                self._warn("the connection was lost after the finish reason")
            else:
                self.over = True
                self._error = error
        return out

    def _plain_document(self, document: Any, out: list[StreamEvent]) -> bool:
        """Map a whole answer of nothing but text, which most are, in one go; tells whether it was one."""
        if (plain := plain_answer(document)) is None:
            return False
        text, finish = plain
        self._start(document, out)
        out.append(TextDelta(text))
        if (usage := read_usage(document.get("usage"))) is not None:
            out.append(UsageReported(usage))
        out.append(ResponseFinished(FINISH_REASONS[finish], finish))
        self.over = self._ended = True
        return True

    def _plain_text(self, chunk: Any) -> str | None:
        """Give the text of ``{"choices": [{"delta": {"content": "…"}}]}`` when nothing else in the chunk is new."""
        try:
            (choice,) = chunk["choices"]
            delta = choice["delta"]
            text = delta["content"]
            if (
                text.__class__ is str
                and len(delta) == 1
                and (len(chunk), len(choice)) == self._widths
                and choice["index"] == 0
                and choice.get("finish_reason") is None
                and choice.get("logprobs") is None
                and chunk.get("usage") is None
            ):
                plain: str = text
                return plain
        except (KeyError, TypeError, ValueError):
            pass
        return None

    def finish(self, lost: UpstreamInterrupted | None = None) -> Batch:
        """End the answer: its body has ended, or *lost* says how the connection broke.

        Raises:
            PalaverError: what was found on the way; UpstreamInterrupted when no terminal marker came.
        """
        if self._error is not None:
            raise self._error
        if self._ended:
            return ()
        if self._finish is None:
            raise lost or UpstreamInterrupted(
                f"{self._name}: the connection ended before the answer did", provider=self._provider
            )
        if lost is not None:
            self._warn("the connection was lost after the finish reason")
        out: list[StreamEvent] = []
        self.over = True
        self._end(out)
        return out

    # --- one chunk -------------------------------------------------------------------------------------------------

    def _chunk(self, chunk: Any, frame: Frame, out: list[StreamEvent]) -> None:
        if not isinstance(chunk, dict):
            self._warn("a chunk that is not an object was ignored")
            return
        choices = chunk.get("choices")
        if chunk.get("error") or chunk.get("object") == "error" or (not choices and _is_failure(chunk, frame)):
            raise failures.from_document(chunk, provider=self._provider)
        if not self._started:
            self._start(chunk, out)
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and not choice.get("index"):
                news = self._take_choice(choice, out)
                widths = (len(chunk), len(choice))
                if widths != self._widths and not self._whole:
                    self._note_top(chunk)
                    if not news:
                        self._widths = widths
            else:
                self._warn("choices after the first were ignored")
        if (self._finish is not None or not choices) and not self._whole:
            self._note_top(chunk)
        raw = chunk.get("usage")
        if raw and raw != self._usage:
            # At once, not once a read: however the bytes are split, the events are the same.
            self._usage = raw
            if (usage := read_usage(raw)) is not None:
                out.append(UsageReported(usage))

    def _start(self, chunk: Mapping[str, Any], out: list[StreamEvent]) -> None:
        self._started = True
        self._top = {key: value for key, value in chunk.items() if key not in _TOP and value is not None}
        vendor = {"openai": dict(self._top)} if self._top else {}
        out.append(ResponseStarted(_string(chunk.get("id")), _string(chunk.get("model")), vendor))

    def _note_top(self, chunk: Mapping[str, Any]) -> None:
        """Keep top-level fields that came or changed since the start."""
        for key, value in chunk.items():
            if key not in _TOP and value is not None and self._top.get(key) != value:
                self._top[key] = self._late[key] = value

    def _take_choice(self, choice: Mapping[str, Any], out: list[StreamEvent]) -> bool:
        """Map the first choice; tells whether it held more than the common fields."""
        delta = choice.get("delta")
        message = choice.get("message")
        if self._whole or not isinstance(delta, dict):
            # Some servers send both: then the delta is what is new, and the message of a document all there is.
            delta = message if isinstance(message, dict) else delta
        self._answered = True
        news = False
        if isinstance(delta, dict) and delta:
            self._take_delta(delta, choice.get("logprobs"), out)
        finish = choice.get("finish_reason")
        if finish and isinstance(finish, str):
            if (kind := FINISH_ERRORS.get(finish.lower())) is not None:
                raise build_error(kind, "", what=f"ended its answer with {finish[:40]!r}", provider=self._provider)
            self._finish = finish
        for key in choice:
            if key not in _CHOICE and choice[key] is not None:
                news = True
                self._choice[key] = choice[key]
        return news

    def _take_delta(self, delta: Mapping[str, Any], logprobs: Any, out: list[StreamEvent]) -> None:
        if not delta.keys() <= _PLAIN:
            self._take_reasoning(delta, out)
        content = delta.get("content")
        refusal = delta.get("refusal")
        extra: dict[str, Any] = {}
        if logprobs and any(logprobs.values() if isinstance(logprobs, dict) else (logprobs,)):
            extra["logprobs"] = logprobs
        if annotations := delta.get("annotations"):
            extra["annotations"] = annotations
        vendor = {"openai": extra} if extra else {}
        if refusal and isinstance(refusal, str):
            self._refused = True
            out.append(RefusalDelta(refusal, vendor))
            vendor = {}
        if isinstance(content, list):
            self._take_parts(content, out)
        elif isinstance(content, str) and (content or (vendor and not delta.get("tool_calls"))):
            out.append(TextDelta(content, vendor))
            vendor = {}
        if vendor:
            self._choice.update(extra)
        if images := delta.get("images"):
            self._take_parts(images, out)
        if calls := delta.get("tool_calls"):
            self._take_calls(calls if isinstance(calls, list) else (), out)
        if isinstance(legacy := delta.get("function_call"), dict):
            # https://platform.openai.com/docs/api-reference/chat/object: what tool calls were before 2023.
            self._take_calls(({"index": 0, "function": legacy, "legacy": True},), out)
        if isinstance(audio := delta.get("audio"), dict):
            self._audio = self._audio or AudioPieces()
            self._audio.feed(audio)
        if not delta.keys() <= _DELTA:
            self._message.update(
                {key: value for key, value in delta.items() if key not in _DELTA and value is not None}
            )

    def _take_calls(self, calls: Sequence[Any], out: list[StreamEvent]) -> None:
        if self._calls is None:
            self._calls = Calls(self._new_id, self._taken)
        for call in calls:
            if isinstance(call, dict):
                self._calls.feed(call, out, whole=self._whole)

    def _take_reasoning(self, delta: Mapping[str, Any], out: list[StreamEvent]) -> None:
        if self._reasoning is None:
            self._reasoning = Reasoning()
        self._reasoning.feed(delta, out)

    def _take_parts(self, parts: Any, out: list[StreamEvent]) -> None:
        """Map content that is a list of typed parts."""
        for part in parts if isinstance(parts, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "text" and isinstance(part.get("text"), str):
                out.append(TextDelta(part["text"]))
            elif kind == "thinking":
                self._reasoning = self._reasoning or Reasoning()
                self._reasoning.feed_thinking(part, out)
            elif kind == "refusal" and isinstance(part.get("refusal"), str):
                self._refused = True
                out.append(RefusalDelta(part["refusal"]))
            elif kind == "image_url" and (image := read_image(part)) is not None:
                out.append(image)
            else:
                self._message.setdefault("parts", []).append(part)
                self._warn(f"a content part of type {str(kind)[:40]!r} was kept aside")

    # --- the end ---------------------------------------------------------------------------------------------------

    def _end(self, out: list[StreamEvent]) -> None:
        if not self._answered:
            raise UpstreamMalformed(f"{self._name} ended without an answer", provider=self._provider)
        if self._calls is not None:
            self._calls.flush(out)
        if self._reasoning is not None:
            self._reasoning.finish(out)
        if self._audio is not None:
            out.append(self._audio.part())
        reason = self._reason()
        kept = {**self._late}
        if self._choice:
            kept["choice"] = self._choice
        if self._message:
            kept["message"] = self._message
        vendor = {"openai": kept} if kept else {}
        self._ended = True
        out.append(ResponseFinished(reason, self._finish, vendor, tuple(self._warnings)))

    def _reason(self) -> FinishReason:
        if self._finish is None:
            self._warn("the answer ended without a finish reason")
            return FinishReason.UNKNOWN
        reason = FINISH_REASONS.get(self._finish.lower())
        if reason is None:
            self._warn(f"unknown finish reason {self._finish[:40]!r}")
            return FinishReason.UNKNOWN
        if reason is FinishReason.STOP and self._refused:
            return FinishReason.REFUSAL
        return reason

    @property
    def _name(self) -> str:
        return self._provider or "the vendor"

    def _warn(self, text: str) -> None:
        if len(self._warnings) < 20:
            self._warnings[text] = None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _is_failure(chunk: Mapping[str, Any], frame: Frame) -> bool:
    """Tell whether a chunk without choices is an error that does not call itself one."""
    if frame.event == "error":
        return True
    says = isinstance(chunk.get("message"), str) or isinstance(chunk.get("detail"), str)
    return says and "choices" not in chunk
