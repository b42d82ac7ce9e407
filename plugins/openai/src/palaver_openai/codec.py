"""A neutral request as the JSON body of Chat Completions. Pure.

Wire format: https://platform.openai.com/docs/api-reference/chat/create. What the dialect cannot say is said another
way (images in tool results) or refused with ``Unsupported``; it is never dropped silently.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from palaver import (
    AudioPart,
    ChatRequest,
    EmbeddingRequest,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    ResponseFormat,
    ResponseKind,
    Role,
    Sampling,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
    ToolSpec,
    UnknownPart,
    Unsupported,
)

from palaver_openai.config import Quirks
from palaver_openai.media import data_url

__all__ = ["DIALECT", "encode_embedding", "encode_request"]

#: The key of this dialect in every ``vendor`` mapping.
DIALECT = "openai"

_AUDIO_FORMATS: Mapping[str, str] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
#: Fields of ``ChatRequest.vendor["openai"]`` that are decided here.
_OWN_FIELDS = frozenset({"model", "messages", "stream", "n"})


def encode_request(request: ChatRequest, quirks: Quirks) -> dict[str, Any]:
    """Build the body of ``POST /chat/completions``.

    Raises:
        Unsupported: a part has no form in this dialect.
    """
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request.messages, quirks)}
    if request.streaming:
        body["stream"] = True
        if quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
    if request.sampling is not _NO_SAMPLING:  # the default is one object
        _sampling(request.sampling, quirks, body)
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        # Both are refused where there are no tools.
        if request.tool_choice is not None:
            body["tool_choice"] = _tool_choice(request.tool_choice)
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.response_format is not None and request.response_format.kind is not ResponseKind.TEXT:
        body["response_format"] = _response_format(request.response_format)
    if request.user is not None:
        body["user"] = request.user
    if vendor := request.vendor.get(DIALECT):
        _merge_vendor(vendor, body)
    return body


def encode_embedding(request: EmbeddingRequest) -> dict[str, Any]:
    """Build the body of ``POST /embeddings``. Base64 is a quarter of the bytes and much less work to read."""
    body: dict[str, Any] = {
        "model": request.model,
        "input": list(request.inputs),
        "encoding_format": "base64",
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user is not None:
        body["user"] = request.user
    for key, value in request.vendor.get(DIALECT, {}).items():
        body.setdefault(key, value)
    return body


_NO_SAMPLING = attrs.fields(ChatRequest).sampling.default


def _sampling(sampling: Sampling, quirks: Quirks, body: dict[str, Any]) -> None:
    for name, value in (
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        (quirks.max_tokens_field, sampling.max_tokens),
        ("stop", list(sampling.stop) or None),
        (quirks.seed_field, sampling.seed),
        ("presence_penalty", sampling.presence_penalty),
        ("frequency_penalty", sampling.frequency_penalty),
        ("reasoning_effort", sampling.reasoning_effort),
    ):
        if value is not None:
            body[name] = value


def _merge_vendor(vendor: Mapping[str, Any], body: dict[str, Any]) -> None:
    """Add the caller's own fields as they are; what the neutral request says already stands."""
    for key, value in vendor.items():
        if key in _OWN_FIELDS:
            continue
        if key == "stream_options":
            # Usage is always asked for: whether the caller sees it is the surface's matter.
            if "stream" in body and isinstance(value, Mapping):
                body[key] = {**value, **body.get(key, {})}
        else:
            body.setdefault(key, value)


# --- messages --------------------------------------------------------------------------------------------------------


def _messages(messages: tuple[Message, ...], quirks: Quirks) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    last_user = max((index for index, message in enumerate(messages) if message.role is Role.USER), default=-1)
    for index, message in enumerate(messages):
        match message.role:
            case Role.ASSISTANT:
                back = quirks.reasoning_back == "always" or (quirks.reasoning_back == "turn" and index > last_user)
                out.append(_assistant(message, quirks, back))
            case Role.TOOL:
                _tool_results(message, out)
            case Role.SYSTEM:
                role = "developer" if quirks.developer_role else "system"
                out.append(_message(message, role, _contents(message.parts), quirks))
            case Role.USER:
                out.append(_message(message, "user", _contents(message.parts), quirks))
    return out


def _message(message: Message, role: str, content: Any, quirks: Quirks) -> dict[str, Any]:
    """Build a message that is role, content and name; a vendor's other word for the role is kept."""
    kept = message.vendor.get(DIALECT)
    if kept and isinstance(kept.get("role"), str):
        role = kept["role"]
    entry = {"role": role, "content": content}
    if message.name is not None and quirks.names:
        entry["name"] = message.name
    return entry


def _contents(parts: tuple[Part, ...]) -> str | list[dict[str, Any]]:
    """Give plain text where that says it all, else the list of typed parts."""
    if len(parts) == 1 and parts[0].__class__ is TextPart:
        return parts[0].text
    return [entry for part in parts if (entry := _content(part)) is not None]


def _content(part: Part) -> dict[str, Any] | None:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            url = part.url or (data_url(part.data, part.mime_type or "image/png") if part.data is not None else None)
            if url is None:
                raise Unsupported("an image needs data or a url", param="messages")
            image = {"url": url} if part.detail is None else {"url": url, "detail": part.detail}
            return {"type": "image_url", "image_url": image}
        case AudioPart():
            return _audio(part)
        case FilePart():
            return _file(part)
        case RefusalPart():
            return {"type": "refusal", "refusal": part.text}
        case ReasoningPart():
            return None  # sent back beside the content, where the vendor wants it at all
        case UnknownPart():
            # Its plugin is gone: the conversation goes on, and the model knows that something was here.
            return {"type": "text", "text": f"[content of type {part.tag!r} left out]"}
        case _:
            raise Unsupported(f"a {type(part).__name__} cannot be sent to this vendor", param="messages")


def _audio(part: AudioPart) -> dict[str, Any]:
    if part.data is not None:
        form = _AUDIO_FORMATS.get(part.mime_type or "", (part.mime_type or "").removeprefix("audio/") or "wav")
        data = base64.b64encode(part.data).decode("ascii")
        return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
    if part.url is not None:
        # Mistral, OpenRouter and others take a URL where OpenAI wants data.
        return {"type": "input_audio", "input_audio": {"data": part.url, "format": "url"}}
    if part.transcript is not None:
        return {"type": "text", "text": part.transcript}
    raise Unsupported("a sound needs data, a url or a transcript", param="messages")


def _file(part: FilePart) -> dict[str, Any]:
    if part.file_id is not None:
        return {"type": "file", "file": {"file_id": part.file_id}}
    data = part.url if part.data is None else data_url(part.data, part.mime_type or "application/pdf")
    if data is None:
        raise Unsupported("a file needs data, a url or a file_id", param="messages")
    return {"type": "file", "file": {"filename": part.filename or "file", "file_data": data}}


def _assistant(message: Message, quirks: Quirks, reasoning_back: bool) -> dict[str, Any]:
    content: list[Part] = []
    calls: list[dict[str, Any]] = []
    refusals: list[str] = []
    extra: dict[str, Any] = {}
    thinking: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case ToolCallPart():
                calls.append(_call(part))
            case ReasoningPart():
                if reasoning_back:
                    _reasoning(part, extra, thinking)
            case RefusalPart():
                refusals.append(part.text)
            case AudioPart() if part.audio_id is not None:
                extra["audio"] = {"id": part.audio_id}
            case _:
                content.append(part)
    entry = _message(message, "assistant", None, quirks)
    if thinking:
        entry["content"] = thinking + [item for part in content if (item := _content(part)) is not None]
    elif content and all(part.__class__ is TextPart for part in content):
        # A list of texts is legal, but many servers that speak the dialect take only a string here.
        entry["content"] = "".join(part.text for part in content)  # type: ignore[attr-defined]
    elif content:
        entry["content"] = _contents(tuple(content))
    if refusals:
        entry["refusal"] = "".join(refusals)
    if calls:
        entry["tool_calls"] = calls
    entry.update(extra)
    if entry["content"] is None and not calls and not extra and not refusals:
        entry["content"] = ""
    return entry


def _reasoning(part: ReasoningPart, extra: dict[str, Any], thinking: list[dict[str, Any]]) -> None:
    """Send reasoning back the way it came; what another dialect thought stays here."""
    kept = part.vendor.get(DIALECT) or {}
    if details := kept.get("reasoning_details"):
        extra.setdefault("reasoning_details", []).extend(details)
        return
    field = kept.get("field")
    if field == "thinking":
        block: dict[str, Any] = {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
        if part.signature is not None:
            block["signature"] = part.signature
        thinking.append(block)
    elif isinstance(field, str):
        extra[field] = extra.get(field, "") + part.text


def _call(part: ToolCallPart) -> dict[str, Any]:
    kept = dict(part.vendor.get(DIALECT) or {})
    for name in ("id", "legacy"):
        kept.pop(name, None)
    if kept.pop("custom_tool", False):
        return {"id": part.id, "type": "custom", "custom": {"name": part.name, "input": part.arguments}, **kept}
    # A call without arguments is an empty object: the empty string is refused as JSON.
    function = {"name": part.name, "arguments": part.arguments or "{}"}
    return {"id": part.id, "type": "function", "function": function, **kept}


def _tool_results(message: Message, out: list[dict[str, Any]]) -> None:
    """Add a message per result; what is no text follows as the user's, because results may hold only text."""
    shown: list[dict[str, Any]] = []
    for part in message.parts:
        if not isinstance(part, ToolResultPart):
            raise Unsupported(f"a tool message cannot hold a {type(part).__name__}", param="messages")
        others = [item for item in part.content if not isinstance(item, TextPart)]
        text = part.text
        if others:
            note = f"The other content of the result of tool call {part.call_id} follows."
            text = f"{text}\n{note}" if text else note
            shown.append({"type": "text", "text": f"Result of tool call {part.call_id}:"})
            shown += [entry for item in others if (entry := _content(item)) is not None]
        out.append({"role": "tool", "tool_call_id": part.call_id, "content": text})
    if shown:
        out.append({"role": "user", "content": shown})


# --- tools and the form of the answer --------------------------------------------------------------------------------


def _tool(tool: ToolSpec) -> dict[str, Any]:
    kept = tool.vendor.get(DIALECT) or {}
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function, **kept}


def _tool_choice(choice: ToolChoice) -> Any:
    if choice.mode is ToolChoiceMode.NAMED:
        if not choice.name:
            raise Unsupported("tool_choice named needs a name", param="tool_choice")
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode.value


def _response_format(form: ResponseFormat) -> dict[str, Any]:
    if form.kind is ResponseKind.JSON:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": form.name, "schema": form.schema or {"type": "object"}}
    if form.strict is not None:
        schema["strict"] = form.strict
    if form.description is not None:
        schema["description"] = form.description
    return {"type": "json_schema", "json_schema": schema}


def call_ids(messages: Iterable[Message]) -> set[str]:
    """Collect the ids of the tool calls that a conversation holds."""
    return {part.id for message in messages for part in message.parts if isinstance(part, ToolCallPart)}
