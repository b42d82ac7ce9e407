"""Reading Chat Completions requests: every field and every kind of content part, and errors that name the field."""

import base64
from typing import Any

import pytest
from palaver import (
    AudioPart,
    FilePart,
    ImagePart,
    InvalidRequest,
    Message,
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
)
from palaver_server.surfaces.openai_request import read_request

PIXEL = base64.b64encode(b"pixel").decode()
HI = {"role": "user", "content": "hi"}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [HI], **fields}


def message(item: dict[str, Any]) -> Message:
    return read_request(body(messages=[item])).chat.messages[0]


def test_a_plain_request() -> None:
    wanted = read_request(body())
    assert ("m", (Message(Role.USER, "hi"),)) == (wanted.chat.model, wanted.chat.messages)
    assert (False, False, False) == (wanted.streaming, wanted.include_usage, wanted.chat.streaming)
    assert {} == wanted.chat.vendor


def test_every_sampling_field_has_its_place() -> None:
    sampling = read_request(
        body(
            temperature=0.5,
            top_p=1,
            max_completion_tokens=7,
            stop=["a", "b"],
            seed=3,
            presence_penalty=-1,
            frequency_penalty=2,
            reasoning_effort="low",
        )
    ).chat.sampling
    assert Sampling(0.5, 1.0, 7, ("a", "b"), 3, -1.0, 2.0, "low") == sampling


def test_the_older_name_of_the_token_limit_counts_when_the_newer_is_absent() -> None:
    assert 5 == read_request(body(max_tokens=5)).chat.sampling.max_tokens
    assert 6 == read_request(body(max_tokens=5, max_completion_tokens=6)).chat.sampling.max_tokens


def test_null_is_the_same_as_absent() -> None:
    names = "temperature top_p stop seed tools tool_choice response_format stream stream_options n user metadata"
    assert read_request(body()) == read_request(body(**dict.fromkeys([*names.split(), "logit_bias"])))


def test_unknown_fields_are_kept_for_targets_that_speak_the_dialect() -> None:
    wanted = read_request(body(logit_bias={"5": 1}, service_tier="flex", brand_new=[1]))
    assert {"openai": {"logit_bias": {"5": 1}, "service_tier": "flex", "brand_new": [1]}} == wanted.chat.vendor


def test_usage_in_the_stream_is_asked_for_by_stream_options() -> None:
    assert read_request(body(stream=True, stream_options={"include_usage": True})).include_usage
    assert not read_request(body(stream=True)).include_usage


def test_a_developer_message_is_a_system_message_that_remembers_its_name() -> None:
    expected = Message(Role.SYSTEM, "be kind", vendor={"openai": {"role": "developer"}})
    assert expected == message({"role": "developer", "content": "be kind"})


def test_every_kind_of_user_content() -> None:
    content = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PIXEL}"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    assert (
        TextPart("look"),
        ImagePart(url="https://example.com/a.png", detail="low"),
        ImagePart(b"pixel", mime_type="image/png"),
        AudioPart(b"pixel", mime_type="audio/wav"),
        FilePart(b"pixel", mime_type="application/pdf", filename="a.pdf"),
        FilePart(file_id="file-1"),
    ) == message({"role": "user", "content": content}).parts


def test_a_cache_mark_is_ours_and_unknown_part_fields_are_kept() -> None:
    part = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "odd": 1}
    assert (TextPart("a", True, {"openai": {"odd": 1}}),) == message({"role": "user", "content": [part]}).parts


def test_an_assistant_message_with_everything() -> None:
    item = {
        "role": "assistant",
        "reasoning_content": "hm",
        "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
        "refusal": "never",
        "audio": {"id": "audio_1"},
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
    }
    assert (
        ReasoningPart("hm"),
        TextPart("a"),
        RefusalPart("no"),
        RefusalPart("never"),
        AudioPart(audio_id="audio_1"),
        ToolCallPart("c1", "f", '{"a":1}'),
    ) == message(item).parts


def test_an_assistant_message_of_calls_alone_has_no_text() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]
    assert (ToolCallPart("c", "f", ""),) == message({"role": "assistant", "content": None, "tool_calls": calls}).parts


def test_a_tool_message_answers_its_call() -> None:
    expected = (ToolResultPart("c1", (TextPart("42"),)),)
    assert expected == message({"role": "tool", "tool_call_id": "c1", "content": "42"}).parts


def test_tools_and_the_choice_among_them() -> None:
    function = {"name": "f", "description": "does f", "parameters": {"type": "object"}, "strict": True}
    tools = [{"type": "function", "function": function}]
    named = {"type": "function", "function": {"name": "f"}}
    chat = read_request(body(tools=tools, tool_choice=named, parallel_tool_calls=False)).chat
    assert (ToolSpec("f", "does f", {"type": "object"}, True),) == chat.tools
    assert (ToolChoice(ToolChoiceMode.NAMED, "f"), False) == (chat.tool_choice, chat.parallel_tool_calls)
    assert ToolChoice(ToolChoiceMode.REQUIRED) == read_request(body(tool_choice="required")).chat.tool_choice


def test_a_form_of_tool_choice_of_the_vendors_own_is_kept() -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    chat = read_request(body(tool_choice=choice)).chat
    assert (None, {"openai": {"tool_choice": choice}}) == (chat.tool_choice, chat.vendor)


def test_response_formats() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    expected = ResponseFormat(ResponseKind.SCHEMA, "n", {"type": "object"}, True)
    assert expected == read_request(body(response_format=schema)).chat.response_format
    json_object = read_request(body(response_format={"type": "json_object"})).chat.response_format
    assert ResponseFormat(ResponseKind.JSON) == json_object


def test_a_caller_cannot_speak_as_the_server() -> None:
    assert {"a": "b"} == read_request(body(metadata={"a": "b", "palaver.purpose": "title"})).chat.metadata


def user(*parts: Any) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": list(parts)}])


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"model": "m"}, "messages"),
        (body(messages=[]), "messages"),
        (body(messages="hi"), "messages"),
        (body(messages=["hi"]), "messages[0]"),
        (body(messages=[HI, {"content": "x"}]), "messages[1].role"),
        (body(messages=[{"role": "robot", "content": "x"}]), "messages[0].role"),
        (body(messages=[{"role": ["user"], "content": "x"}]), "messages[0].role"),
        (body(messages=[{"role": "user"}]), "messages[0].content"),
        (body(messages=[{"role": "user", "content": []}]), "messages[0].content"),
        (body(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
        (body(messages=[{"role": "tool", "content": "x"}]), "messages[0].tool_call_id"),
        (body(messages=[{"role": "assistant", "tool_calls": [{"id": "c"}]}]), "messages[0].tool_calls[0].function"),
        (user({"type": "text"}), "messages[0].content[0].text"),
        (user({"type": "video"}), "messages[0].content[0].type"),
        (user({"type": "image_url", "image_url": {"url": "file:///etc"}}), "messages[0].content[0].image_url.url"),
        (
            user({"type": "image_url", "image_url": {"url": "data:image/png;base64,%%"}}),
            "messages[0].content[0].image_url.url",
        ),
        (user({"type": "file", "file": {}}), "messages[0].content[0].file"),
        (body(model=5), "model"),
        (body(n=2), "n"),
        (body(n=0), "n"),
        (body(n="1"), "n"),
        (body(temperature="hot"), "temperature"),
        (body(temperature=3), "temperature"),
        (body(temperature=True), "temperature"),
        (body(max_tokens=0), "max_tokens"),
        (body(max_tokens=1.5), "max_tokens"),
        (body(stream="yes"), "stream"),
        (body(stream_options={"include_usage": True}), "stream_options"),
        (body(stop=5), "stop"),
        (body(stop=[5]), "stop[0]"),
        (body(tools={}), "tools"),
        (body(tools=[{"type": "function"}]), "tools[0].function"),
        (body(tools=[{"type": "function", "function": {"name": ""}}]), "tools[0].function.name"),
        (body(tool_choice="maybe"), "tool_choice"),
        (body(response_format={"type": "xml"}), "response_format.type"),
        (body(metadata={"a": 1}), "metadata.a"),
        (body(user=5), "user"),
    ],
)
def test_an_error_names_the_field(wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_request(wrong)
    assert param == caught.value.param
