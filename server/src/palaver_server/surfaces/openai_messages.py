"""The messages of OpenAI's Chat Completions, with every kind of content part, read into ours. Pure.

Wire format: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from palaver.domain import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from palaver.errors import InvalidRequest

from palaver_server.surfaces.fields import Fields

__all__ = ["plain_message", "read_messages"]

_DIALECT = "openai"
_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}
_PLAIN = {"system": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def read_messages(body: Fields) -> tuple[Message, ...]:
    """Read the field ``messages``, at least one message."""
    items = body.array("messages")
    if items is None:
        raise InvalidRequest("missing required field messages", param="messages")
    if not items:
        raise InvalidRequest("messages is empty: send at least one message", param="messages")
    return tuple(_message(item, f"messages[{index}]") for index, item in enumerate(items))


def plain_message(item: Any) -> Message | None:
    """Read a message that is a role and a text and nothing else; ``None`` for any other."""
    if item.__class__ is not dict or len(item) != 2:
        return None
    word, text = item.get("role"), item.get("content")
    if text.__class__ is str and text and word.__class__ is str and word in _PLAIN:
        return Message(_PLAIN[word], (TextPart(text),))
    return None


def _message(item: Any, path: str) -> Message:
    if (plain := plain_message(item)) is not None:
        return plain
    fields = Fields(item, path)
    word = fields.required_text("role")
    role = _ROLES.get(word)
    if role is None:
        fields.unknown("role", word, ", ".join(_ROLES))
    name = fields.text("name")
    vendor: dict[str, Any] = {} if word == role else {"role": word}
    parts: tuple[Part, ...]
    if role is Role.TOOL:
        call_id = fields.required_text("tool_call_id")
        parts = (ToolResultPart(call_id, _content(fields, required=True), name),)
    elif role is Role.ASSISTANT:
        parts = _assistant(fields)
    else:
        parts = _content(fields, required=True)
    vendor.update(fields.rest())
    vendor.pop("cache_control", None)
    return Message(role, parts, name, {_DIALECT: vendor} if vendor else {})


def _assistant(fields: Fields) -> tuple[Part, ...]:
    parts: list[Part] = []
    # How compatible servers hand out reasoning; they want it back in the next turn of a tool loop.
    reasoning = fields.text("reasoning_content")
    if reasoning:
        parts.append(ReasoningPart(reasoning))
    parts.extend(_content(fields, required=False))
    refusal = fields.text("refusal")
    if refusal:
        parts.append(RefusalPart(refusal))
    audio = fields.object("audio")
    if audio is not None:
        parts.append(AudioPart(audio_id=Fields(audio, fields.at("audio")).required_text("id")))
    for index, call in enumerate(fields.array("tool_calls") or ()):
        parts.append(_tool_call(call, fields.at(f"tool_calls[{index}]")))
    return tuple(parts)


def _tool_call(item: Any, path: str) -> ToolCallPart:
    call = Fields(item, path)
    call_id = call.required_text("id")
    kind = call.text("type") or "function"
    if kind == "custom":
        own = call.fields("custom")
        name, arguments = own.required_text("name"), own.text("input") or ""
        return ToolCallPart(call_id, name, arguments, vendor={_DIALECT: {"type": "custom", **call.rest()}})
    if kind != "function":
        call.unknown("type", kind, "function, custom")
    function = call.fields("function")
    name = function.required_text("name")
    arguments = function.text("arguments") or ""
    call.raw("index")
    rest = call.rest()
    return ToolCallPart(call_id, name, arguments, vendor={_DIALECT: dict(rest)} if rest else {})


def _content(fields: Fields, *, required: bool) -> tuple[Part, ...]:
    content = fields.raw("content")
    if content.__class__ is str:
        return (TextPart(content),) if content or required else ()
    if content is None:
        if required:
            raise InvalidRequest(f"missing required field {fields.at('content')}", param=fields.at("content"))
        return ()
    if not isinstance(content, list):
        fields.wrong("content", "a string or an array of parts", content)
    if required and not content:
        raise InvalidRequest(f"{fields.at('content')} is empty", param=fields.at("content"))
    return tuple(_part(item, fields.at(f"content[{index}]")) for index, item in enumerate(content))


def _part(item: Any, path: str) -> Part:
    fields = Fields(item, path)
    kind = fields.required_text("type")
    read = _PARTS.get(kind)
    if read is None:
        fields.unknown("type", kind, ", ".join(_PARTS))
    cached = fields.raw("cache_control") is not None
    return read(fields, cached)


def _kept(fields: Fields) -> Mapping[str, Any]:
    rest = fields.rest()
    return {_DIALECT: dict(rest)} if rest else {}


def _text(fields: Fields, cached: bool) -> Part:
    text = fields.required_text("text")
    return TextPart(text, cached, _kept(fields))


def _refusal(fields: Fields, cached: bool) -> Part:
    text = fields.required_text("refusal")
    return RefusalPart(text, _kept(fields))


def _image(fields: Fields, cached: bool) -> Part:
    value = fields.raw("image_url")
    if isinstance(value, str):
        url, detail, at = value, None, fields.at("image_url")
    else:
        if value is None:
            raise InvalidRequest(f"missing required field {fields.at('image_url')}", param=fields.at("image_url"))
        image = Fields(value, fields.at("image_url"))
        url, detail, at = image.required_text("url"), image.text("detail"), image.at("url")
    if url[:5].lower() == "data:":
        mime_type, data = _data_url(url, at)
        return ImagePart(data, None, mime_type, detail, cached, _kept(fields))
    if not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"invalid value for {at}: expected an http, https or data URL", param=at)
    return ImagePart(None, url, None, detail, cached, _kept(fields))


def _audio(fields: Fields, cached: bool) -> Part:
    audio = fields.fields("input_audio")
    form = audio.required_text("format")
    if form not in _AUDIO_TYPES:
        audio.unknown("format", form, ", ".join(_AUDIO_TYPES))
    data = _base64(audio.required_text("data"), audio.at("data"))
    return AudioPart(data, mime_type=_AUDIO_TYPES[form], cache_breakpoint=cached, vendor=_kept(fields))


def _file(fields: Fields, cached: bool) -> Part:
    file = fields.fields("file")
    file_id, filename, encoded = file.text("file_id"), file.text("filename"), file.text("file_data")
    data, mime_type = None, None
    if encoded is not None:
        at = file.at("file_data")
        if encoded[:5].lower() == "data:":
            mime_type, data = _data_url(encoded, at)
        else:
            data = _base64(encoded, at)
    elif file_id is None:
        raise InvalidRequest(f"{fields.at('file')}: send file_data or file_id", param=fields.at("file"))
    return FilePart(
        data,
        file_id=file_id,
        mime_type=mime_type,
        filename=filename,
        cache_breakpoint=cached,
        vendor=_kept(fields),
    )


def _data_url(url: str, at: str) -> tuple[str, bytes]:
    """Take a ``data:`` URL apart (RFC 2397); only base64 is taken."""
    head, comma, encoded = url[5:].partition(",")
    mime_type, *parameters = head.split(";")
    if not comma or "base64" not in (parameter.strip().lower() for parameter in parameters):
        raise InvalidRequest(f"invalid value for {at}: expected data:<type>;base64,<data>", param=at)
    return mime_type.strip().lower() or "text/plain", _base64(encoded, at)


def _base64(encoded: str, at: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"invalid value for {at}: not base64 ({error})", param=at) from error


_PARTS: Mapping[str, Callable[[Fields, bool], Part]] = {
    "text": _text,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "refusal": _refusal,
}
