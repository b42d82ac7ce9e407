"""Rules of storage conformance about messages: their order, pages and branches, and that they come back unchanged."""

from datetime import UTC, datetime

import attrs

from palaver import (
    Attachment,
    AudioPart,
    FilePart,
    FinishReason,
    ImagePart,
    Message,
    MessageStatus,
    ReasoningPart,
    RefusalPart,
    Role,
    ServedBy,
    StoredMessage,
    TextPart,
    ToolCallPart,
    ToolExecution,
    ToolResultPart,
    UnknownPart,
    Usage,
)
from palaver.storage import ClaimToolCall, MessageId, Missing, NotClaimed, RenameSession, RunId, SettleToolCall
from palaver.testing.storage_case import ALICE, CALL, SESSION, StorageCase, answer, begin, finish, said, texts

__all__ = [
    "check_big_message",
    "check_branches",
    "check_content",
    "check_history",
    "check_order",
    "check_pages",
    "check_unstorable_text",
]

_DEPTH = 60


async def check_order(case: StorageCase) -> None:
    """Messages are numbered without gaps, each hangs below the one before, and time does not run back."""
    question = said("be brief", "system", role=Role.SYSTEM), said("question 1", "q-1")
    begun = await case.begun(begin(1, messages=question))
    finished = await case.finished(finish(1))
    await case.turn(2)
    messages = await case.messages()
    assert ["be brief", "question 1", "answer 1", "question 2", "answer 2"] == texts(messages)
    assert [1, 2, 3, 4, 5] == [message.seq for message in messages]
    assert [None, "system", "q-1", "a-1", "q-2"] == [message.parent_id for message in messages]
    assert ["r-1", "r-1", "r-1", "r-2", "r-2"] == [message.run_id for message in messages]
    times = [message.created_at for message in messages if message.created_at is not None]
    assert 5 == len(times)
    assert sorted(times) == times
    assert messages[:2] == begun.messages, "a result shows what is stored"
    assert messages[2:3] == finished.messages
    session = await case.storage.get_session(ALICE, SESSION)
    assert session is not None
    assert (5, 5, "a-2", False) == (session.message_count, session.last_seq, session.head_id, session.branched)
    assert session.updated_at >= times[-1]


async def check_pages(case: StorageCase) -> None:
    """Messages come in pages, by offset and after a number, with the total of the session."""
    for number in range(1, 4):
        await case.turn(number)

    async def seqs(limit: int, offset: int = 0, after_seq: int = 0) -> tuple[list[int], bool, int | None]:
        page = await case.storage.list_messages(ALICE, SESSION, limit=limit, offset=offset, after_seq=after_seq)
        assert page is not None
        return [message.seq for message in page.items], page.has_more, page.total

    assert ([1, 2, 3, 4, 5, 6], False, 6) == await seqs(10)
    assert ([1, 2], True, 6) == await seqs(2)
    assert ([5, 6], False, 6) == await seqs(2, offset=4)
    assert ([3, 4], True, 6) == await seqs(2, after_seq=2)
    assert ([4, 5], True, 6) == await seqs(2, offset=1, after_seq=2)
    assert ([], False, 6) == await seqs(2, offset=6)


async def check_history(case: StorageCase) -> None:
    """The newest messages come oldest first; an unknown session has none."""
    for number in range(1, 4):
        await case.turn(number)
    newest = await case.storage.history(ALICE, SESSION, limit=3)
    assert ["answer 2", "question 3", "answer 3"] == texts(newest)
    assert 6 == len(await case.storage.history(ALICE, SESSION, limit=100))
    assert () == await case.storage.history(ALICE, type(SESSION)("nowhere"), limit=3)


async def check_branches(case: StorageCase) -> None:
    """A send below an earlier message opens a branch; pages, history and counts follow the newest one."""
    for number in range(1, 4):
        await case.turn(number)
    # Asked again: another answer to the second question.
    begun = await case.begun(begin(4, messages=(), parent_id="q-2"))
    assert begun.session.branched
    await case.finished(finish(4))
    assert ["question 1", "answer 1", "question 2", "answer 4"] == texts(await case.messages())
    # Edited: another second question.
    await case.begun(begin(5, parent_id="a-1"))
    await case.finished(finish(5))
    await case.turn(6)
    wanted = ["question 1", "answer 1", "question 5", "answer 5", "question 6", "answer 6"]
    messages = await case.messages()
    assert wanted == texts(messages)
    assert [1, 2, 8, 9, 10, 11] == [message.seq for message in messages]
    assert wanted[-3:] == texts(await case.storage.history(ALICE, SESSION, limit=3))
    page = await case.storage.list_messages(ALICE, SESSION, limit=2, offset=1, after_seq=1)
    assert page is not None
    assert (wanted[2:4], True, 6) == (texts(page.items), page.has_more, page.total)
    session = await case.storage.get_session(ALICE, SESSION)
    assert session is not None
    assert (6, 11, "a-6", True) == (session.message_count, session.last_seq, session.head_id, session.branched)
    assert Missing() == await case.storage.write(begin(7, parent_id="nowhere"))
    assert 6 == len(await case.messages())


async def check_content(case: StorageCase) -> None:
    """Every part, vendor data and everything known of an answer comes back as it went in."""
    deep: object = "core"
    for _ in range(_DEPTH):
        deep = {"in": [deep]}
    vendor = {"openai": {"logprobs": [{"token": "h", "logprob": -0.25}], "big": 2**53}}
    parts = (
        TextPart("héllo \U0001f468\u200d\U0001f469 \u202ertl", cache_breakpoint=True, vendor=vendor),
        ReasoningPart("hm", signature="sig==", redacted="xyz", id="rs_1"),
        RefusalPart("no"),
        ImagePart(data=b"\x00\xff\x89PNG", mime_type="image/png", detail="low"),
        FilePart(file_id="file-1", filename="a.pdf"),
        AudioPart(data=b"RIFF", mime_type="audio/wav", transcript="hi", audio_id="audio-1"),
        CALL,
        ToolResultPart("call-1", (TextPart("42"), ImagePart(url="https://example.org/x.png")), is_error=True),
        UnknownPart("acme_map", {"deep": deep, "null": None, "flag": False}),
    )
    started = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    full = StoredMessage(
        MessageId("a-1"),
        SESSION,
        Message(Role.ASSISTANT, parts, name="helper", vendor={"anthropic": {"container": "c-1"}}),
        status=MessageStatus.INTERRUPTED,
        finish_reason=FinishReason.LENGTH,
        usage=Usage(10, 20, 5, 3, 0, estimated=True, vendor={"openai": {"tier": "flex"}}),
        served_by=ServedBy("eu", "test-model-2", "test"),
        tool_executions=(ToolExecution("call-1", "t", "{}", "42", started, started, error="odd"),),
        attachments=(Attachment("f-1", "a.txt", "text/plain", 3, "00ff"),),
    )
    await case.begun(begin(1))
    await case.finished(finish(1, messages=(full,)))
    stored = (await case.messages())[1]
    expected = attrs.evolve(full, seq=2, parent_id=MessageId("q-1"), run_id=RunId("r-1"), created_at=stored.created_at)
    assert expected == stored


async def check_unstorable_text(case: StorageCase) -> None:
    """NUL and lone surrogates are replaced by U+FFFD wherever text enters."""
    bad, good = "a\0b\ud800c", "a\ufffdb\ufffdc"
    parts = (
        TextPart(bad, vendor={"openai": {"x": [bad]}}),
        ToolCallPart("call-1", "t", bad),
        ToolResultPart("call-1", (TextPart(bad),)),
        TextPart("a backslash: \\u0000"),
    )
    clean = (
        TextPart(good, vendor={"openai": {"x": [good]}}),
        ToolCallPart("call-1", "t", good),
        ToolResultPart("call-1", (TextPart(good),)),
        TextPart("a backslash: \\u0000"),
    )
    question = StoredMessage(MessageId("q-1"), SESSION, Message(Role.USER, parts))
    begun = await case.begun(begin(1, messages=(question,), title=bad))
    assert good == begun.session.title
    assert clean == begun.messages[0].message.parts
    await case.storage.write(ClaimToolCall(ALICE, SESSION, RunId("r-1"), "call-1"))
    await case.storage.write(SettleToolCall(ALICE, SESSION, RunId("r-1"), "call-1", bad))
    again = await case.storage.write(ClaimToolCall(ALICE, SESSION, RunId("r-1"), "call-1"))
    assert isinstance(again, NotClaimed)
    assert good == again.result
    await case.finished(finish(1, error={"code": "x", "message": bad}))
    assert clean == (await case.messages())[0].message.parts
    run = await case.storage.get_run(ALICE, RunId("r-1"))
    assert run is not None
    assert {"code": "x", "message": good} == run.error
    await case.storage.write(RenameSession(ALICE, SESSION, "\ud83d" + bad))
    session = await case.storage.get_session(ALICE, SESSION)
    assert session is not None
    assert "\ufffd" + good == session.title
    assert await case.storage.get_session(ALICE, type(SESSION)(bad)) is None


async def check_big_message(case: StorageCase) -> None:
    """A message of a mebibyte comes back whole."""
    text = "0123456789abcdeé" * (1 << 16)
    await case.begun(begin(1))
    await case.finished(finish(1, messages=(answer(1, text=text),)))
    assert text == (await case.messages())[1].message.text
