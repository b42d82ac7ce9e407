"""Neutral requests as bodies of Chat Completions, with the official SDK's types as the judge."""

import attrs
import pytest
from openai.types.chat import completion_create_params as params
from palaver import (
    AudioPart,
    ChatRequest,
    EmbeddingRequest,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    RefusalPart,
    ResponseFormat,
    ResponseKind,
    Role,
    Sampling,
    Secret,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
    ToolSpec,
    UnknownPart,
    Unsupported,
)
from palaver_openai.codec import call_ids, encode_embedding, encode_request
from palaver_openai.config import OpenAIConfig, Quirks, quirks_of
from pydantic import TypeAdapter

OPENAI = quirks_of(OpenAIConfig(api_key=Secret("k")))
COMMON = Quirks()
JUDGE = TypeAdapter(params.CompletionCreateParams)


def user(*parts):
    return Message(Role.USER, parts)


def encode(*messages, quirks=OPENAI, judged=True, **fields):
    body = encode_request(ChatRequest("gpt-4o", messages or (Message(Role.USER, "hi"),), **fields), quirks)
    if judged:
        JUDGE.validate_python(body)
    return body


def messages(*given, **how):
    return encode(*given, **how)["messages"]


def content(*parts, **how):
    return messages(user(*parts), **how)[0]["content"]


# --- the frame ---------------------------------------------------------------


def test_a_streaming_request_asks_for_usage():
    assert {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    } == encode()


def test_a_request_that_does_not_stream_says_nothing_of_streams():
    assert {"model", "messages"} == encode(streaming=False).keys()


def test_sampling_options_have_the_vendors_names():
    sampling = Sampling(0.5, 0.9, 100, ("END", "STOP"), 7, 0.1, -0.1, "low", 1000)
    body = encode(sampling=sampling, streaming=False, user="u")
    assert {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 100,
        "stop": ["END", "STOP"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "reasoning_effort": "low",
        "user": "u",
    } == {key: value for key, value in body.items() if key not in ("model", "messages")}


def test_zeros_are_sent():
    assert 0.0 == encode(sampling=Sampling(temperature=0.0))["temperature"]


def test_compatible_servers_get_the_old_name_of_the_limit():
    assert 5 == encode(sampling=Sampling(max_tokens=5), quirks=COMMON)["max_tokens"]


def test_a_server_that_refuses_stream_options_does_not_get_them():
    quirks = quirks_of(OpenAIConfig(api_key=Secret("k"), base_url="https://api.mistral.ai/v1"))
    body = encode(sampling=Sampling(seed=3), quirks=quirks, judged=False)
    assert "stream_options" not in body
    assert 3 == body["random_seed"]


def test_fields_we_have_no_word_for_are_sent_as_they_are():
    vendor = {"openai": {"logprobs": True, "top_logprobs": 2, "service_tier": "flex"}, "anthropic": {"x": 1}}
    body = encode(vendor=vendor)
    assert (True, 2, "flex") == (body["logprobs"], body["top_logprobs"], body["service_tier"])
    assert "x" not in body


def test_vendor_fields_do_not_overrule_the_request():
    vendor = {"openai": {"model": "x", "messages": [], "stream": False, "n": 3, "temperature": 2, "stream_options": {}}}
    body = encode(vendor=vendor, sampling=Sampling(temperature=0.1))
    assert ("gpt-4o", True, 0.1) == (body["model"], body["stream"], body["temperature"])
    assert {"include_usage": True} == body["stream_options"]
    assert "n" not in body


def test_a_caller_who_wants_no_usage_does_not_take_it_from_us():
    vendor = {"openai": {"stream_options": {"include_usage": False, "include_obfuscation": False}}}
    assert {"include_usage": True, "include_obfuscation": False} == encode(vendor=vendor)["stream_options"]
    assert "stream_options" not in encode(vendor=vendor, streaming=False)


def test_metadata_stays_here():
    assert "metadata" not in encode(metadata={"purpose": "title"})


# --- messages ----------------------------------------------------------------


def test_roles_and_names_are_kept():
    given = (Message(Role.SYSTEM, "be brief"), Message(Role.USER, "hi", name="ann"))
    assert [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi", "name": "ann"},
    ] == messages(*given)


def test_developer_is_a_system_message_with_the_vendors_word():
    given = Message(Role.SYSTEM, "be brief", vendor={"openai": {"role": "developer"}})
    assert "developer" == messages(given)[0]["role"]
    wanted = attrs.evolve(COMMON, developer_role=True)
    assert "developer" == messages(Message(Role.SYSTEM, "x"), quirks=wanted)[0]["role"]


def test_another_dialects_words_are_not_sent():
    given = Message(Role.SYSTEM, "be brief", vendor={"anthropic": {"role": "x"}})
    assert "system" == messages(given)[0]["role"]


def test_images_go_as_urls():
    assert [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAE=", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ] == content(
        TextPart("look"),
        ImagePart(b"\0\1", mime_type="image/jpeg", detail="low"),
        ImagePart(url="https://example.com/a.png"),
    )


@pytest.mark.parametrize(("mime", "form"), [("audio/wav", "wav"), ("audio/mpeg", "mp3"), (None, "wav")])
def test_sound_goes_as_base64_with_its_format(mime, form):
    (entry,) = content(AudioPart(b"\0\1", mime_type=mime))
    assert {"type": "input_audio", "input_audio": {"data": "AAE=", "format": form}} == entry


def test_files_go_by_data_or_by_id():
    assert [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAE="}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ] == content(FilePart(b"\0\1", filename="a.pdf"), FilePart(file_id="file-1"))


@pytest.mark.parametrize("part", [ImagePart(), AudioPart(), FilePart(), ToolCallPart("a", "f", "{}")])
def test_a_part_that_cannot_be_sent_is_refused_not_dropped(part):
    with pytest.raises(Unsupported):
        content(part)


def test_a_part_that_nobody_knows_any_more_leaves_a_note():
    (entry,) = content(UnknownPart("acme.map", {"x": 1}))
    assert {"type": "text", "text": "[content of type 'acme.map' left out]"} == entry


def test_an_answer_goes_back_with_its_calls_and_their_results():
    given = (
        user(TextPart("weather?")),
        Message(Role.ASSISTANT, (TextPart("I will "), TextPart("look"), ToolCallPart("a", "f", '{"x": 1}'))),
        Message(Role.TOOL, (ToolResultPart("a", (TextPart("sun"), TextPart("ny"))),)),
    )
    assert [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "I will look",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
    ] == messages(*given)


def test_calls_alone_have_no_content():
    (entry,) = messages(Message(Role.ASSISTANT, (ToolCallPart("a", "f", ""),)))
    assert (None, "{}") == (entry["content"], entry["tool_calls"][0]["function"]["arguments"])


def test_an_empty_answer_is_an_empty_text():
    assert [{"role": "assistant", "content": ""}] == messages(Message(Role.ASSISTANT, ()))


def test_several_results_in_one_message_become_a_message_each():
    results = tuple(ToolResultPart(name, (TextPart(name),)) for name in "ab")
    assert [("tool", "a"), ("tool", "b")] == [
        (entry["role"], entry["tool_call_id"]) for entry in messages(Message(Role.TOOL, results))
    ]


def test_an_image_in_a_result_follows_as_the_users():
    results = (
        ToolResultPart("a", (TextPart("here"), ImagePart(b"\0", mime_type="image/png"))),
        ToolResultPart("b", (TextPart("x"),)),
    )
    first, second, third = messages(Message(Role.TOOL, results))
    assert ("tool", "tool", "user") == (first["role"], second["role"], third["role"])
    assert first["content"].startswith("here\n")
    assert ["text", "image_url"] == [entry["type"] for entry in third["content"]]
    assert "a" in third["content"][0]["text"]


def test_what_is_no_result_has_no_place_in_a_tool_message():
    with pytest.raises(Unsupported, match="tool message"):
        messages(Message(Role.TOOL, (TextPart("x"),)))


def test_a_refusal_and_a_sound_go_back_by_their_own_fields():
    (refusal,) = messages(Message(Role.ASSISTANT, (RefusalPart("no"),)))
    assert (None, "no") == (refusal["content"], refusal["refusal"])
    (spoken,) = messages(Message(Role.ASSISTANT, (AudioPart(b"x", audio_id="au1"),)))
    assert {"id": "au1"} == spoken["audio"]


def test_extra_fields_of_a_call_go_back_but_not_its_first_id():
    call = ToolCallPart("a2", "f", "{}", vendor={"openai": {"id": "a", "extra_content": {"google": {}}}})
    (entry,) = messages(Message(Role.ASSISTANT, (call,)), judged=False)
    assert [
        {
            "id": "a2",
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"google": {}},
        }
    ] == entry["tool_calls"]


def test_a_custom_call_goes_back_as_one():
    call = ToolCallPart("a", "run", "ls", vendor={"openai": {"custom_tool": True}})
    (entry,) = messages(Message(Role.ASSISTANT, (call,)))
    assert [{"id": "a", "type": "custom", "custom": {"name": "run", "input": "ls"}}] == entry["tool_calls"]


# --- reasoning goes back where it is wanted -----------------------------------

THOUGHT = ReasoningPart("hm", vendor={"openai": {"field": "reasoning_content"}})
TURN = (
    user(TextPart("one")),
    Message(Role.ASSISTANT, (THOUGHT, TextPart("1"))),
    user(TextPart("two")),
    Message(Role.ASSISTANT, (THOUGHT, ToolCallPart("a", "f", "{}"))),
    Message(Role.TOOL, (ToolResultPart("a", (TextPart("x"),)),)),
)


@pytest.mark.parametrize(("when", "sent"), [("never", []), ("turn", [3]), ("always", [1, 3])])
def test_reasoning_goes_back_when_the_server_wants_it(when, sent):
    body = messages(*TURN, quirks=attrs.evolve(COMMON, reasoning_back=when), judged=False)
    assert sent == [place for place, entry in enumerate(body) if entry.get("reasoning_content") == "hm"]
    assert all("thinking" not in str(entry) for entry in body)


def test_openai_itself_never_gets_reasoning():
    assert all("reasoning_content" not in entry for entry in messages(*TURN))


def test_reasoning_details_and_thinking_go_back_as_they_came():
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s"}]
    parts = (ReasoningPart("hm", "s", vendor={"openai": {"reasoning_details": details}}), TextPart("a"))
    (entry,) = messages(Message(Role.ASSISTANT, parts), quirks=COMMON, judged=False)
    assert (details, "a") == (entry["reasoning_details"], entry["content"])
    parts = (ReasoningPart("hm", "s", vendor={"openai": {"field": "thinking"}}), TextPart("a"))
    (entry,) = messages(Message(Role.ASSISTANT, parts), quirks=COMMON, judged=False)
    assert [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "s"},
        {"type": "text", "text": "a"},
    ] == entry["content"]


def test_another_dialects_reasoning_stays_here():
    part = ReasoningPart("hm", "sig", vendor={"anthropic": {"x": 1}})
    quirks = attrs.evolve(COMMON, reasoning_back="always")
    assert [{"role": "assistant", "content": "a"}] == messages(
        Message(Role.ASSISTANT, (part, TextPart("a"))), quirks=quirks
    )


# --- tools and the form of the answer -----------------------------------------

TOOL = ToolSpec("f", "does f", {"type": "object", "properties": {"x": {"type": "integer"}}}, strict=True)


def test_tools_are_functions():
    body = encode(tools=(TOOL,), parallel_tool_calls=False)
    function = {"name": "f", "description": "does f", "parameters": TOOL.input_schema, "strict": True}
    assert ([{"type": "function", "function": function}], False) == (body["tools"], body["parallel_tool_calls"])


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(ToolChoiceMode.AUTO), "auto"),
        (ToolChoice(ToolChoiceMode.NONE), "none"),
        (ToolChoice(ToolChoiceMode.REQUIRED), "required"),
        (ToolChoice(ToolChoiceMode.NAMED, "f"), {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_the_choice_of_tools_is_mapped(choice, sent):
    assert sent == encode(tools=(TOOL,), tool_choice=choice)["tool_choice"]


def test_without_tools_nothing_is_said_of_them():
    body = encode(tool_choice=ToolChoice(), parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        (ResponseFormat(), None),
        (ResponseFormat(ResponseKind.JSON), {"type": "json_object"}),
        (
            ResponseFormat(ResponseKind.SCHEMA, "person", {"type": "object"}, True, "a person"),
            {
                "type": "json_schema",
                "json_schema": {
                    "name": "person", "schema": {"type": "object"}, "strict": True, "description": "a person",
                },
            },
        ),
    ],
)  # fmt: skip
def test_the_form_of_the_answer_is_mapped(form, sent):
    assert sent == encode(response_format=form).get("response_format")


# --- the rest ------------------------------------------------------------------


def test_an_embedding_request_asks_for_base64():
    request = EmbeddingRequest("e", ("a", "b"), dimensions=3, user="u", vendor={"openai": {"x": 1, "model": "y"}})
    assert {
        "model": "e",
        "input": ["a", "b"],
        "encoding_format": "base64",
        "dimensions": 3,
        "user": "u",
        "x": 1,
    } == encode_embedding(request)


def test_the_ids_of_a_conversation_are_found():
    assert {"a"} == call_ids(TURN)
