"""What the model is sent: calls and results always pair, whatever was stored and however much is left out."""

from hypothesis import given
from hypothesis import strategies as st
from palaver import (
    ImagePart,
    Message,
    MessageStatus,
    ReasoningPart,
    Role,
    StoredMessage,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from palaver.chat.history import fit_history, pair_tools


def row(role, *parts, status=MessageStatus.COMPLETE, **fields):
    return StoredMessage("id", "s1", Message(role, parts), status=status, **fields)


def user(text):
    return row(Role.USER, TextPart(text))


def says(text, **fields):
    return row(Role.ASSISTANT, TextPart(text), **fields)


def calls(*ids, **fields):
    return row(Role.ASSISTANT, *(ToolCallPart(call_id, "look", "{}") for call_id in ids), **fields)


def result(call_id, text="42"):
    return row(Role.TOOL, ToolResultPart(call_id, (TextPart(text),)))


def shape(messages):
    """Write messages as short words: ``u:hi``, ``a:hi``, ``c:1,2``, ``r:1=42``, ``r:1!`` for an error."""
    words = []
    for message in messages:
        if message.role is Role.TOOL:
            words += [f"r:{p.call_id}" + ("!" if p.is_error else f"={p.text}") for p in message.parts]
        elif message.tool_calls:
            words.append("c:" + ",".join(call.id for call in message.tool_calls))
        else:
            words.append(f"{message.role.value[0]}:{message.text}")
    return words


def fitted(*rows, limit=100):
    return shape(fit_history(rows, limit=limit))


def test_a_plain_conversation_passes_unchanged():
    assert ["u:a", "a:b", "u:c"] == fitted(user("a"), says("b"), user("c"))


def test_system_messages_come_first():
    assert ["s:be kind", "u:a"] == fitted(user("a"), row(Role.SYSTEM, TextPart("be kind")))


def test_answers_without_content_are_left_out():
    assert ["u:a", "u:b"] == fitted(
        user("a"),
        says("", status=MessageStatus.FAILED),
        row(Role.ASSISTANT, status=MessageStatus.FAILED),
        row(Role.ASSISTANT, ReasoningPart("hm", signature="s")),
        user("b"),
    )


def test_a_part_answer_is_kept_without_what_vendors_refuse():
    parts = (ReasoningPart("hm"), TextPart("half"), ToolCallPart("1", "look", '{"a'))
    messages = fit_history(
        [user("a"), row(Role.ASSISTANT, *parts, status=MessageStatus.INTERRUPTED), user("b")], limit=100
    )
    assert (TextPart("half"),) == messages[1].parts
    assert ["u:a", "a:half", "u:b"] == shape(messages)


def test_signed_reasoning_of_a_whole_answer_goes_back():
    parts = (ReasoningPart("hm", signature="s"), TextPart("whole"))
    assert parts == fit_history([user("a"), row(Role.ASSISTANT, *parts)], limit=9)[1].parts


def test_an_answer_that_is_an_image_is_kept():
    picture = row(Role.ASSISTANT, ImagePart(url="https://example.org/x.png"))
    assert picture.message == fit_history([user("a"), picture], limit=9)[1]


def test_the_row_that_shows_a_request_for_approval_is_not_said():
    asked = row(Role.ASSISTANT, ToolCallPart("1", "look", "{}"), approval_id="ap")
    assert ["u:a", "c:1", "r:1=42"] == fitted(user("a"), calls("1"), asked, result("1"))


def test_calls_without_a_result_get_an_error_result():
    assert ["u:a", "c:1,2", "r:1!", "r:2=42", "u:b"] == fitted(user("a"), calls("1", "2"), result("2"), user("b"))


def test_results_without_a_call_and_second_results_are_dropped():
    assert ["u:a", "c:1", "r:1=one", "u:b", "a:c"] == fitted(
        user("a"), result("0"), calls("1"), result("1", "one"), result("1", "two"), user("b"), result("1"), says("c")
    )


def test_results_come_in_the_order_of_the_calls():
    assert ["u:a", "c:1,2", "r:1=42", "r:2=42"] == fitted(user("a"), calls("1", "2"), result("2"), result("1"))


def test_an_id_used_in_two_turns_pairs_in_each():
    assert ["u:a", "c:1", "r:1=x", "u:b", "c:1", "r:1=y"] == fitted(
        user("a"), calls("1"), result("1", "x"), user("b"), calls("1"), result("1", "y")
    )


def test_an_id_used_twice_in_one_message_is_made_unique():
    assert ["u:a", "c:1,1_3,1_2", "r:1=x", "r:1_3=y", "r:1_2!"] == fitted(
        user("a"), calls("1", "1", "1_2"), result("1", "x"), result("1", "y")
    )


def test_whole_turns_are_left_out_oldest_first():
    turns = [user("a"), calls("1"), result("1"), says("b"), user("c"), says("d"), user("e")]
    assert ["u:e"] == fitted(*turns, limit=1)
    assert ["u:c", "a:d", "u:e"] == fitted(*turns, limit=6)
    assert ["u:a", "c:1", "r:1=42", "a:b", "u:c", "a:d", "u:e"] == fitted(*turns, limit=7)


def test_the_last_turn_stays_whole_even_if_it_is_long():
    turns = [user("a"), calls("1"), result("1"), calls("2"), result("2")]
    assert ["u:a", "c:1", "r:1=42", "c:2", "r:2=42"] == fitted(user("old"), *turns, limit=2)


def test_what_is_left_of_a_cut_turn_is_not_said():
    assert ["u:b"] == fitted(result("1"), says("tail of a turn"), user("b"))


ids = st.sampled_from(["1", "2", "3", "1_2"])
rows = st.one_of(
    st.text(max_size=3).map(user),
    st.builds(says, st.text(max_size=3), status=st.sampled_from(MessageStatus)),
    st.lists(ids, min_size=1, max_size=3).flatmap(
        lambda chosen: st.builds(lambda status: calls(*chosen, status=status), st.sampled_from(MessageStatus))
    ),
    ids.map(result),
    st.lists(ids, max_size=3).map(
        lambda chosen: row(Role.TOOL, *(ToolResultPart(call_id, (TextPart("x"),)) for call_id in chosen))
    ),
    st.builds(lambda text: row(Role.SYSTEM, TextPart(text)), st.text(max_size=3)),
)


@given(st.lists(rows, max_size=20), st.integers(1, 12))
def test_any_history_is_one_that_providers_accept(stored, limit):
    messages = fit_history(stored, limit=limit)
    spoken = [message for message in messages if message.role is not Role.SYSTEM]
    assert list(messages) == [m for m in messages if m.role is Role.SYSTEM] + spoken
    if spoken:
        assert Role.USER is spoken[0].role
    index = 0
    while index < len(spoken):
        message = spoken[index]
        index += 1
        assert Role.TOOL is not message.role
        wanted = [call.id for call in message.tool_calls]
        assert len(wanted) == len(set(wanted))
        given_ids = []
        while index < len(spoken) and spoken[index].role is Role.TOOL:
            given_ids += [part.call_id for part in spoken[index].parts]
            index += 1
        assert wanted == given_ids
    turns = [m for m in spoken if m.role is Role.USER]
    assert len(spoken) <= limit or len(turns) == 1
    assert messages[len(messages) - len(spoken) :] == pair_tools(spoken)


@given(st.lists(rows, max_size=20))
def test_what_users_said_is_never_changed_or_reordered(stored):
    said = [item.message for item in stored if item.message.role is Role.USER and item.message.parts]
    assert said == [m for m in fit_history(stored, limit=1000) if m.role is Role.USER]
