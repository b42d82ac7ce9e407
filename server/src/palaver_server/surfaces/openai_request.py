"""OpenAI's Chat Completions request, read into ours. Pure: JSON values in, domain objects out.

Wire format: https://platform.openai.com/docs/api-reference/chat/create
What we have no word for is kept under ``vendor["openai"]`` and goes to targets that speak this dialect.
"""

from collections.abc import Mapping
from typing import Any

import attrs
from palaver.domain import (
    ChatRequest,
    Message,
    ResponseFormat,
    ResponseKind,
    Sampling,
    ToolChoice,
    ToolChoiceMode,
    ToolSpec,
)
from palaver.errors import InvalidRequest

from palaver_server.surfaces.fields import Fields
from palaver_server.surfaces.openai_messages import plain_message, read_messages

__all__ = ["DIALECT", "CompletionRequest", "read_request"]

DIALECT = "openai"
_COMMON = frozenset({"model", "messages", "stream"})
_SAMPLING = frozenset(
    {
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "reasoning_effort",
    }
)


@attrs.frozen
class CompletionRequest:
    """The request, and how its answer is wanted."""

    chat: ChatRequest
    streaming: bool
    include_usage: bool


def read_request(body: dict[str, Any]) -> CompletionRequest:
    """Read the body of ``POST /v1/chat/completions``.

    Raises:
        InvalidRequest: naming the field at fault.
    """
    if (plain := _plain(body)) is not None:
        return plain
    fields = Fields(body)
    model = fields.text("model") or ""
    messages = read_messages(fields)
    streaming = bool(fields.boolean("stream"))
    options = fields.object("stream_options")
    include_usage = False
    if options is not None:
        if not streaming:
            raise InvalidRequest("stream_options is only allowed with stream: true", param="stream_options")
        include_usage = bool(Fields(options, "stream_options").boolean("include_usage"))
    choices = fields.integer("n", 1)
    if choices is not None and choices > 1:
        raise InvalidRequest("n: only one choice is offered; send the request again for another", param="n")
    sampling = Sampling() if _SAMPLING.isdisjoint(body) else _sampling(fields)
    tools = tuple(_tool(item, f"tools[{index}]") for index, item in enumerate(fields.array("tools") or ()))
    tool_choice, kept_choice = _tool_choice(fields)
    response_format = _response_format(fields)
    parallel = fields.boolean("parallel_tool_calls")
    user = fields.text("user")
    metadata = _metadata(fields)
    rest = {**fields.rest(), **kept_choice}
    chat = ChatRequest(
        model=model,
        messages=messages,
        sampling=sampling,
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=parallel,
        response_format=response_format,
        streaming=streaming,
        user=user,
        metadata=metadata,
        vendor={DIALECT: rest} if rest else {},
    )
    return CompletionRequest(chat, streaming, include_usage)


def _plain(body: dict[str, Any]) -> CompletionRequest | None:
    """Read the request that says nothing out of the ordinary, as most do; ``None`` leaves it to the full reading."""
    if len(body) > 3 or not body.keys() <= _COMMON:
        return None
    model, streaming, items = body.get("model"), body.get("stream", False), body.get("messages")
    if model.__class__ is not str or streaming.__class__ is not bool or items.__class__ is not list or not items:
        return None
    messages: list[Message] = []
    for item in items:
        message = plain_message(item)
        if message is None:
            return None
        messages.append(message)
    return CompletionRequest(ChatRequest(model, messages, streaming=streaming), streaming, False)


def _sampling(fields: Fields) -> Sampling:
    completion_tokens = fields.integer("max_completion_tokens", 1)
    tokens = fields.integer("max_tokens", 1)
    return Sampling(
        temperature=fields.number("temperature", 0, 2),
        top_p=fields.number("top_p", 0, 1),
        max_tokens=completion_tokens if completion_tokens is not None else tokens,
        stop=_stop(fields),
        seed=fields.integer("seed"),
        presence_penalty=fields.number("presence_penalty", -2, 2),
        frequency_penalty=fields.number("frequency_penalty", -2, 2),
        reasoning_effort=fields.text("reasoning_effort"),
    )


def _stop(fields: Fields) -> tuple[str, ...]:
    value = fields.raw("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        fields.wrong("stop", "a string or an array of strings", value)
    for index, item in enumerate(value):
        if not isinstance(item, str):
            fields.wrong(f"stop[{index}]", "a string", item)
    return tuple(value)


def _tool(item: Any, path: str) -> ToolSpec:
    tool = Fields(item, path)
    kind = tool.text("type") or "function"
    if kind != "function":
        # A tool form of the vendor's own: named, so that a call can be matched, and kept whole.
        own = item.get(kind)
        name = own.get("name") if isinstance(own, dict) else None
        return ToolSpec(name if isinstance(name, str) else kind, vendor={DIALECT: dict(item)})
    function = tool.fields("function")
    name = function.required_text("name")
    if not name:
        raise InvalidRequest(f"{path}.function.name is empty", param=f"{path}.function.name")
    description = function.text("description") or ""
    parameters = function.object("parameters")
    strict = function.boolean("strict")
    rest = {**tool.rest(), **function.rest()}
    breakpoint_ = rest.pop("cache_control", None) is not None
    spec = ToolSpec(
        name, description, strict=strict, cache_breakpoint=breakpoint_, vendor={DIALECT: rest} if rest else {}
    )
    return spec if parameters is None else attrs.evolve(spec, input_schema=parameters)


def _tool_choice(fields: Fields) -> tuple[ToolChoice | None, Mapping[str, Any]]:
    value = fields.raw("tool_choice")
    if value is None:
        return None, {}
    if isinstance(value, str):
        if value not in ("auto", "none", "required"):
            fields.unknown("tool_choice", value, "auto, none, required, or an object that names a function")
        return ToolChoice(ToolChoiceMode(value)), {}
    choice = Fields(value, "tool_choice")
    if choice.text("type") != "function":
        return None, {"tool_choice": value}
    return ToolChoice(ToolChoiceMode.NAMED, choice.fields("function").required_text("name")), {}


def _response_format(fields: Fields) -> ResponseFormat | None:
    if fields.object("response_format") is None:
        return None
    form = fields.fields("response_format")
    kind = form.required_text("type")
    match kind:
        case "text":
            return ResponseFormat(ResponseKind.TEXT)
        case "json_object":
            return ResponseFormat(ResponseKind.JSON)
        case "json_schema":
            schema = form.fields("json_schema")
            return ResponseFormat(
                ResponseKind.SCHEMA,
                name=schema.required_text("name"),
                schema=schema.object("schema"),
                strict=schema.boolean("strict"),
                description=schema.text("description"),
            )
        case _:
            form.unknown("type", kind, "text, json_object, json_schema")


def _metadata(fields: Fields) -> dict[str, str]:
    metadata = fields.object("metadata")
    if metadata is None:
        return {}
    for name, value in metadata.items():
        if not isinstance(value, str):
            fields.wrong(f"metadata.{name[:40]}", "a string", value)
    # What the server says to its own providers cannot be said by a caller.
    return {name: value for name, value in metadata.items() if not name.startswith("palaver.")}
