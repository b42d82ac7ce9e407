"""Sending and reading: order of events, refusals before anything is stored, one run per session, isolation."""

import attrs
import pytest
from palaver import (
    Conflict,
    FinishReason,
    ImagePart,
    InvalidRequest,
    Message,
    MessageStatus,
    ModelNotFound,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ProviderRejected,
    Role,
    RunStatus,
    SessionBusy,
    ShuttingDown,
    StorageUnavailable,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallStarted,
    UpstreamInterrupted,
    Usage,
    UsageReported,
)
from palaver.chat import Send
from palaver.config.schema import LlmConfig
from palaver.contracts.storage import FinishRun, Idempotency
from palaver.events import LegEnded, ResponseFinished, RunEnded, RunStarted
from palaver.testing.clock import settle


async def test_a_run_tells_its_ids_then_batches_then_its_end(chat, chat_kit):
    started = await chat.send()
    chat.vendor.say("fi", "ne")
    chat.vendor.send(UsageReported(Usage(3, 2)), ResponseFinished(FinishReason.STOP, "stop"))
    events = await chat.read(started.run_id)

    assert list(range(1, len(events) + 1)) == [event.seq for event in events]
    assert RunStarted("s1", started.user_message_id, started.message_id, "m") == events[0].body
    assert "fine" == chat_kit.text_of(events)
    assert isinstance(events[-2].body, LegEnded)
    assert (FinishReason.STOP, Usage(3, 2)) == (events[-2].body.finish_reason, events[-2].body.usage)
    assert RunEnded(RunStatus.DONE) == events[-1].body
    assert [("user", "hello", "complete"), ("assistant", "fine", "complete")] == await chat.texts()


async def test_the_answer_is_stored_with_the_id_the_first_event_promised(chat):
    started = await chat.answer()
    page = await chat.service.list_messages(chat.ann, "s1", limit=10)
    assert [started.user_message_id, started.message_id] == [row.id for row in page.items]
    answer = page.items[1]
    assert (FinishReason.STOP, "acme", "m") == (
        answer.finish_reason,
        answer.served_by.instance,
        answer.served_by.model,
    )


async def test_the_end_is_told_only_after_the_commit(chat, chat_kit):
    committed = []
    write = chat.storage.write

    async def slow_write(op):
        if isinstance(op, FinishRun):
            await settle()
            committed.append("before the commit")
        return await write(op)

    chat.storage.write = slow_write
    started = await chat.send()
    watcher = await chat.service.watch(chat.ann, started.run_id)
    chat.vendor.say("fine")
    chat.vendor.finish()
    async for events in watcher:
        if isinstance(events[-1].body, RunEnded):
            assert ["before the commit"] == committed
            assert ("assistant", "fine", "complete") in await chat.texts()


async def test_a_final_write_that_fails_is_told_and_tried_a_few_times(chat, chat_kit):
    started = await chat.send()
    chat.storage.failing = StorageUnavailable("the database is away")
    chat.vendor.say("fine")
    chat.vendor.finish()
    await settle()
    await chat.clock.advance(30.0)
    messages, run = await chat.service.result(chat.ann, started)
    end = chat_kit.end_of(await chat.read(started.run_id))
    assert (RunStatus.FAILED, False, "storage_unavailable") == (end.status, end.stored, end.error["code"])
    assert ["fine"] == [row.message.text for row in messages]
    assert RunStatus.FAILED is run.status
    tries = [op for op in chat.storage.writes if isinstance(op, FinishRun)]
    assert 6 == len(tries)
    assert 1 == len({op.row.data for op in tries})


async def test_a_database_that_comes_back_in_time_gets_the_answer(chat, chat_kit):
    started = await chat.send()
    chat.storage.failing = StorageUnavailable("restarting")
    chat.vendor.say("fine")
    chat.vendor.finish()
    await settle()
    await chat.clock.advance(5.0)
    chat.storage.failing = None
    await chat.clock.advance(4.0)
    end = chat_kit.end_of(await chat.read(started.run_id))
    assert RunEnded(RunStatus.DONE, None, True) == end
    assert ("assistant", "fine", "complete") in await chat.texts()


async def test_a_commit_whose_answer_was_lost_counts_as_stored(chat, chat_kit):
    write = chat.storage.write
    lost = []

    async def forgetful_write(op):
        answer = await write(op)
        if isinstance(op, FinishRun) and not lost:
            lost.append(answer)
            raise StorageUnavailable("connection lost at commit")
        return answer

    chat.storage.write = forgetful_write
    started = await chat.send()
    chat.vendor.say("fine")
    chat.vendor.finish()
    await settle()
    await chat.clock.advance(1.0)
    assert RunEnded(RunStatus.DONE, None, True) == chat_kit.end_of(await chat.read(started.run_id))
    assert [("user", "hello", "complete"), ("assistant", "fine", "complete")] == await chat.texts()


async def test_an_error_before_content_invents_nothing(chat, chat_kit):
    chat.vendor.fail(Overloaded("come back later", provider="acme"))
    started = await chat.send()
    end = chat_kit.end_of(await chat.read(started.run_id))
    assert RunStatus.FAILED is end.status
    assert {"code": "overloaded", "message": "come back later", "retryable": True} == end.error
    assert [("user", "hello", "complete")] == await chat.texts()
    run = await chat.service.get_run(chat.ann, started.run_id)
    assert (RunStatus.FAILED, "overloaded") == (run.status, run.error["code"])


async def test_an_error_after_content_keeps_what_was_seen(chat, chat_kit):
    started = await chat.send()
    chat.vendor.say("half an ")
    chat.vendor.fail(UpstreamInterrupted("cut", provider="acme"))
    events = await chat.read(started.run_id)
    assert "half an " == chat_kit.text_of(events)
    assert (RunStatus.FAILED, "upstream_interrupted") == (
        chat_kit.end_of(events).status,
        chat_kit.end_of(events).error["code"],
    )
    assert [("user", "hello", "complete"), ("assistant", "half an ", "interrupted")] == await chat.texts()


async def test_a_foreign_exception_tells_the_client_nothing_of_itself(chat, chat_kit):
    chat.vendor.fail(RuntimeError("password=hunter2"))
    started = await chat.send()
    end = chat_kit.end_of(await chat.read(started.run_id))
    assert RunStatus.FAILED is end.status
    assert "hunter2" not in str(end.error)


async def test_calls_that_nobody_here_can_run_end_the_turn_and_are_stored(chat):
    started = await chat.send()
    chat.vendor.send(
        ToolCallStarted(0, "c1", "look"),
        ToolCallDelta(0, '{"at": 1}'),
        ResponseFinished(FinishReason.TOOL_CALLS, "tool_calls"),
    )
    messages, run = await chat.service.result(chat.ann, started)
    assert RunStatus.DONE is run.status
    assert FinishReason.TOOL_CALLS is messages[0].finish_reason
    assert [("c1", '{"at": 1}')] == [(call.id, call.arguments) for call in messages[0].message.tool_calls]


async def test_usage_is_a_row_of_the_final_write(chat):
    started = await chat.send()
    chat.vendor.send(TextDelta("x"), UsageReported(Usage(7, 1)), ResponseFinished(FinishReason.STOP))
    await chat.service.result(chat.ann, started)
    assert [(Usage(7, 1), "acme", started.run_id)] == [
        (row.usage, row.served_by.instance, row.run_id) for row in chat.storage.usage_rows("ann")
    ]


async def test_the_request_carries_history_prompt_time_and_sampling(chat_kit):
    llm = LlmConfig(provider="acme", model="m", system_prompt="Be kind.", temperature=0.5, max_tokens=99, top_p=0.9)
    async with chat_kit.open(llm=llm) as chat:
        await chat.answer("one", "first")
        await chat.clock.advance(60.0)
        await chat.answer("two", "second")
        request = chat.vendor.chats[1]
        assert ["system", "user", "assistant", "user"] == [message.role.value for message in request.messages]
        assert "Be kind.\n\nCURRENT CONTEXT\nCurrent time: 2026-01-01T00:01:00" in request.messages[0].text
        assert ["one", "first", "two"] == [message.text for message in request.messages[1:]]
        assert (0.5, 99, 0.9) == (
            request.sampling.temperature,
            request.sampling.max_tokens,
            request.sampling.top_p,
        )


async def test_a_conversations_own_system_prompt_is_stored_once(chat):
    chat.vendor.say("a")
    chat.vendor.finish()
    first = await chat.send("one", "s1", system_prompt="Talk like a pirate.")
    await chat.service.result(chat.ann, first)
    chat.vendor.say("b")
    chat.vendor.finish()
    second = await chat.send("two", "s1", system_prompt="Talk like a lawyer.")
    await chat.service.result(chat.ann, second)
    assert ["Talk like a pirate.", "one", "a", "two", "b"] == [text for _, text, _ in await chat.texts()]
    assert ["Talk like a pirate.", "one", "a", "two"] == [message.text for message in chat.vendor.requests[1].messages]


async def test_a_long_conversation_keeps_its_system_prompt(chat_kit):
    async with chat_kit.open(history_limit=4) as chat:
        chat.vendor.say("a")
        chat.vendor.finish()
        first = await chat.send("q0", "s1", system_prompt="Rhyme.")
        await chat.service.result(chat.ann, first)
        for number in range(1, 4):
            await chat.answer(f"q{number}", "a")
        assert ["Rhyme.", "q2", "a", "q3"] == [message.text for message in chat.vendor.requests[-1].messages]


async def test_images_travel_with_the_message(chat):
    started = await chat.send("", parts=(ImagePart(data=b"png", mime_type="image/png"),))
    assert (ImagePart(data=b"png", mime_type="image/png"),) == chat.vendor.requests[0].messages[0].parts
    await chat.service.stop(chat.ann, run_id=started.run_id)


@pytest.mark.parametrize(
    ("send", "error"),
    [
        (Send("", "s1"), InvalidRequest),
        (Send(" \n", "s1"), InvalidRequest),
        (Send("a\0b", "s1"), InvalidRequest),
        (Send("a\ud800", "s1"), InvalidRequest),
        (Send("x" * 1_048_577, "s1"), PayloadTooLarge),
        (Send("é" * 600_000, "s1"), PayloadTooLarge),
        (Send("hi", "a/b"), InvalidRequest),
        (Send("hi", "x" * 129), InvalidRequest),
        (Send("hi", "s1", model="unheard-of"), ModelNotFound),
        (Send("hi", "s1", system_prompt="a\0b"), InvalidRequest),
        (Send("hi", "s1", create_missing=False), NotFound),
        (Send("hi", "s1", parent_id="nothing"), NotFound),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else (value.text or "empty")[:8],
)
async def test_a_refused_send_leaves_nothing_behind(chat, send, error):
    with pytest.raises(error):
        await chat.service.send(chat.ann, send)
    assert () == (await chat.service.list_sessions(chat.ann, limit=10)).items
    assert [] == chat.vendor.requests


async def test_a_send_without_a_session_makes_one_with_a_dated_title(chat):
    started = await chat.send(session_id="")
    session = await chat.service.get_session(chat.ann, started.session_id)
    assert ("Chat - Jan 1, 2026 at 12:00 AM", True) == (session.title, session.title_is_default)
    await chat.service.stop(chat.ann, session_id=started.session_id)


async def test_a_session_generates_one_answer_at_a_time(chat):
    started = await chat.send()
    with pytest.raises(SessionBusy) as caught:
        await chat.service.send(chat.ann, Send("and?", "s1"))
    assert started.run_id == caught.value.run_id
    with pytest.raises(SessionBusy):
        await chat.service.clear_session(chat.ann, "s1")
    chat.vendor.say("ok")
    chat.vendor.finish()
    await chat.service.result(chat.ann, started)
    await chat.answer("and?", "yes")
    assert ["hello", "ok", "and?", "yes"] == [text for _, text, _ in await chat.texts()]


async def test_the_same_key_and_body_come_back_to_the_same_run(chat, chat_kit):
    key = Idempotency("k1", "hash-1")
    first = await chat.send(idempotency=key)
    again = await chat.send(idempotency=key)
    assert attrs.evolve(first, replayed=True) == again
    chat.vendor.say("once")
    chat.vendor.finish()
    assert "once" == chat_kit.text_of(await chat.read(again.run_id))
    after = await chat.send(session_id="", idempotency=key)
    assert (first.run_id, "s1") == (after.run_id, after.session_id)
    assert "once" == chat_kit.text_of(await chat.read(after.run_id))
    assert [("user", "hello", "complete"), ("assistant", "once", "complete")] == await chat.texts()
    with pytest.raises(Conflict):
        await chat.send("other", idempotency=Idempotency("k1", "hash-2"))


async def test_a_replay_can_be_watched_long_after_the_stream_has_expired(chat, chat_kit):
    key = Idempotency("k1", "hash-1")
    first = await chat.send(idempotency=key)
    chat.vendor.say("once")
    chat.vendor.finish()
    live = await chat.read(first.run_id)
    await chat.clock.advance(7200.0)
    with pytest.raises(NotFound):
        await chat.service.watch(chat.ann, first.run_id)
    again = await chat.send(idempotency=key)
    assert live == await chat.read(again.run_id)
    messages, run = await chat.service.result(chat.ann, again)
    assert (["once"], RunStatus.DONE) == ([row.message.text for row in messages], run.status)
    await chat.clock.advance(601.0)
    with pytest.raises(NotFound):
        await chat.service.watch(chat.ann, first.run_id)


async def test_two_owners_use_one_session_id_and_never_meet(chat, chat_kit):
    mine = await chat.answer("mine", "for ann")
    chat.vendor.say("for bob")
    chat.vendor.finish()
    theirs = await chat.service.send(chat.bob, Send("theirs", "s1"))
    messages, _ = await chat.service.result(chat.bob, theirs)
    assert ["for bob"] == [row.message.text for row in messages]
    assert ["mine", "for ann"] == [text for _, text, _ in await chat.texts()]
    for attempt in (
        chat.service.watch(chat.bob, mine.run_id),
        chat.service.get_run(chat.bob, mine.run_id),
        chat.service.stop(chat.bob, run_id=mine.run_id),
        chat.service.get_run(chat.bob, "a\0b"),
        chat.service.watch(chat.bob, "x" * 300),
        chat.service.stop(chat.bob, session_id="unknown"),
        chat.service.get_session(chat.bob, "unknown"),
        chat.service.get_session(chat.bob, "not/an/id"),
        chat.service.rename_session(chat.bob, "unknown", "x"),
        chat.service.delete_session(chat.bob, "unknown"),
        chat.service.clear_session(chat.bob, "unknown"),
        chat.service.list_messages(chat.bob, "unknown", limit=10),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_sessions_are_made_named_cleared_and_deleted(chat):
    unnamed = await chat.service.create_session(chat.ann, "  ")
    named = await chat.service.create_session(chat.ann, " Plans ", session_id="plans")
    assert ("New Chat Session", True) == (unnamed.title, unnamed.title_is_default)
    assert ("plans", "Plans", False) == (named.id, named.title, named.title_is_default)
    with pytest.raises(Conflict):
        await chat.service.create_session(chat.ann, "again", session_id="plans")
    await chat.service.rename_session(chat.ann, "plans", "Better plans")
    assert "Better plans" == (await chat.service.get_session(chat.ann, "plans")).title
    await chat.answer("q", "a", session_id="plans")
    await chat.service.clear_session(chat.ann, "plans")
    assert [] == await chat.texts("plans")
    await chat.service.delete_session(chat.ann, "plans")
    page = await chat.service.list_sessions(chat.ann, limit=10, count=True)
    assert ([unnamed.id], 1) == ([session.id for session in page.items], page.total)


@pytest.mark.parametrize("title", ["", "  ", "x" * 256, "two\nlines", "a\0b", "a\ud800b", "a\u2028b"])
async def test_a_bad_title_is_refused(chat, title):
    session = await chat.service.create_session(chat.ann)
    with pytest.raises(InvalidRequest):
        await chat.service.rename_session(chat.ann, session.id, title)


async def test_deleting_a_session_stops_its_run_first(chat, chat_kit):
    started = await chat.send()
    chat.vendor.say("half")
    await settle()
    watcher = await chat.service.watch(chat.ann, started.run_id)
    await chat.service.delete_session(chat.ann, "s1")
    assert 0 == chat.vendor.open
    assert RunStatus.CANCELLED is chat_kit.end_of(await chat_kit.to_end(watcher)).status
    with pytest.raises(NotFound):
        await chat.service.get_session(chat.ann, "s1")


async def test_what_was_deleted_is_told_by_no_stream(chat):
    kept = await chat.answer("q", "kept", session_id="kept")
    deleted = await chat.answer("q", "deleted", session_id="deleted")
    await chat.service.delete_session(chat.ann, "deleted")
    with pytest.raises(NotFound):
        await chat.service.watch(chat.ann, deleted.run_id)
    with pytest.raises(NotFound):
        await chat.service.get_run(chat.ann, deleted.run_id)
    assert RunStatus.DONE is (await chat.service.get_run(chat.ann, kept.run_id)).status


async def test_what_was_cleared_is_told_by_no_stream_but_its_end_is(chat, chat_kit):
    cleared = await chat.answer("q", "cleared")
    await chat.service.clear_session(chat.ann, "s1")
    events = await chat.read(cleared.run_id)
    assert "" == chat_kit.text_of(events)
    assert RunStatus.DONE is chat_kit.end_of(events).status


async def test_a_draining_server_takes_no_new_work(chat):
    await chat.service.drain(0.0)
    with pytest.raises(ShuttingDown):
        await chat.service.send(chat.ann, Send("hi"))


async def test_a_storage_that_is_away_refuses_the_send(chat):
    chat.storage.failing = StorageUnavailable("away")
    with pytest.raises(StorageUnavailable):
        await chat.service.send(chat.ann, Send("hi", "s1"))
    assert [] == chat.vendor.requests


async def test_the_vendors_refusal_is_the_runs_error(chat, chat_kit):
    chat.vendor.fail(ProviderRejected("temperature is out of range", provider="acme"))
    started = await chat.send()
    end = chat_kit.end_of(await chat.read(started.run_id))
    assert ("provider_rejected", False) == (end.error["code"], end.error["retryable"])


async def test_failed_turns_do_not_spoil_the_next_one(chat):
    chat.vendor.fail(Overloaded("no"))
    first = await chat.send("one")
    await chat.service.result(chat.ann, first)
    await chat.answer("two", "fine")
    assert [(Role.USER, "one"), (Role.USER, "two")] == [
        (message.role, message.text) for message in chat.vendor.requests[-1].messages
    ]
    assert Message(Role.USER, (TextPart("two"),)) == chat.vendor.requests[-1].messages[-1]
    assert MessageStatus.COMPLETE.value == (await chat.texts())[-1][2]
