"""Runs of dead processes become interrupted messages; live ones are left alone; odd logs do not stop the sweep."""

from datetime import UTC, datetime

from palaver import (
    FinishReason,
    MessageStatus,
    ReasoningDelta,
    ResponseFinished,
    Role,
    RunEvent,
    RunStatus,
    ServedBy,
    StorageUnavailable,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolExecution,
    Usage,
)
from palaver.chat import Send
from palaver.chat.sweep import fold_log
from palaver.contracts.storage import AppendEvents, EventRow, FinishRun
from palaver.events import LegEnded, RoundStarted, RunEnded, RunStarted, ToolExecuted
from palaver.testing.clock import settle


async def abandon(chat, *words, flushed=True):
    """Begin a run, let it say *words*, and lose its process: nothing of it is written any more."""
    started = await chat.send()
    chat.vendor.say(*words)
    await settle()
    if flushed:
        await chat.clock.advance(1.0)
    return started


async def test_an_abandoned_run_is_interrupted_with_what_its_log_holds(chat, chat_kit):
    started = await abandon(chat, "half ", "an answer")
    async with chat_kit.open(storage=chat.storage, clock=chat.clock, server_id="server-2") as other:
        assert 0 == await other.service.sweep.once()
        chat.service.runs._beat.cancel()
        await chat.clock.advance(31.0)
        assert [("user", "hello", "complete"), ("assistant", "half an answer", "interrupted")] == await other.texts()
        run = await other.service.get_run(other.ann, started.run_id)
        assert RunStatus.INTERRUPTED is run.status
        page = await other.storage.list_messages("ann", "s1", limit=10)
        assert started.message_id == page.items[1].id
        await other.answer("again", "whole", session_id="s1")


async def test_two_servers_that_sweep_at_once_store_one_answer(chat, chat_kit):
    await abandon(chat, "half")
    chat.service.runs._beat.cancel()
    async with (
        chat_kit.open(storage=chat.storage, clock=chat.clock, server_id="server-2") as one,
        chat_kit.open(storage=chat.storage, clock=chat.clock, server_id="server-3") as two,
    ):
        await chat.clock.advance(35.0)
        assert [("user", "hello", "complete"), ("assistant", "half", "interrupted")] == await one.texts()
        assert 0 == await two.service.sweep.once()


async def test_a_run_without_any_text_leaves_no_empty_answer(chat, chat_kit):
    await abandon(chat, flushed=False)
    chat.service.runs._beat.cancel()
    async with chat_kit.open(storage=chat.storage, clock=chat.clock, server_id="server-2") as other:
        await chat.clock.advance(35.0)
        assert [("user", "hello", "complete")] == await other.texts()


async def test_our_own_run_is_not_swept_when_the_lease_lapsed_with_the_database_away(chat, chat_kit):
    started = await abandon(chat, "half ")
    chat.storage.failing = StorageUnavailable("away")
    await chat.clock.advance(40.0)
    chat.storage.failing = None
    assert 0 == await chat.service.sweep.once()
    chat.vendor.say("whole")
    chat.vendor.finish()
    events = await chat.read(started.run_id)
    assert RunEnded(RunStatus.DONE) == chat_kit.end_of(events)
    assert ("assistant", "half whole", "complete") in await chat.texts()


async def test_a_row_that_cannot_be_read_does_not_keep_the_session_busy(chat, chat_kit):
    started = await abandon(chat, "half")
    await chat.storage.write(AppendEvents("ann", "s1", started.run_id, EventRow(3, 9, b"rubbish")))
    chat.service.runs._beat.cancel()
    async with chat_kit.open(storage=chat.storage, clock=chat.clock, server_id="server-2") as other:
        await chat.clock.advance(35.0)
        assert ("assistant", "half", "interrupted") in await other.texts()


async def test_the_sweep_goes_on_after_the_database_was_away(chat_kit, chat):
    chat.storage.failing = StorageUnavailable("away")
    await chat.clock.advance(20.0)
    chat.storage.failing = None
    begun = await chat.service.send(chat.ann, Send("hi", "s1"))
    assert begun.run_id


async def test_stopping_a_run_of_another_server_ends_it_on_both(chat, chat_kit):
    started = await abandon(chat, "half")
    async with chat_kit.open(storage=chat.storage, clock=chat.clock, server_id="server-2") as other:
        run = await other.service.stop(other.ann, session_id="s1")
        assert (started.run_id, RunStatus.CANCELLED) == (run.id, run.status)
        assert ("assistant", "half", "cancelled") in await other.texts()
        chat.vendor.say(" more")
        await chat.clock.advance(1.0)
        assert 0 == chat.vendor.open
        assert RunStatus.CANCELLED is chat_kit.end_of(await chat.read(started.run_id)).status
    finishes = [op for op in chat.storage.writes if isinstance(op, FinishRun)]
    assert 2 == len(finishes)


async def test_a_run_of_another_server_is_watched_through_storage(chat, chat_kit):
    started = await abandon(chat, "one ")
    async with chat_kit.open(storage=chat.storage, clock=chat.clock, server_id="server-2") as other:
        watcher = await other.service.watch(other.ann, started.run_id)
        assert "one " == chat_kit.text_of(list(await anext(watcher)))
        chat.vendor.say("two")
        chat.vendor.finish()
        await settle()
        events = await chat_kit.to_end(watcher)
        assert "two" == chat_kit.text_of(events)
        assert RunEnded(RunStatus.DONE) == chat_kit.end_of(events)


async def test_rows_that_come_while_the_end_is_looked_up_are_not_missed(chat, chat_kit):
    started = await abandon(chat, "one ")
    async with chat_kit.open(storage=chat.storage, clock=chat.clock, server_id="server-2") as other:
        watcher = await other.service.watch(other.ann, started.run_id, after_seq=2)
        get_run = chat.storage.get_run

        async def late_get_run(owner, run_id):
            chat.storage.get_run = get_run
            chat.vendor.say("two")
            chat.vendor.finish()
            await settle()
            return await get_run(owner, run_id)

        chat.storage.get_run = late_get_run
        assert "two" == chat_kit.text_of(await chat_kit.to_end(watcher))


async def test_a_run_that_is_deleted_while_another_server_watches_it_ends(chat, chat_kit):
    started = await abandon(chat, "one ")
    async with chat_kit.open(storage=chat.storage, clock=chat.clock, server_id="server-2") as other:
        watcher = await other.service.watch(other.ann, started.run_id, after_seq=2)
        await other.service.delete_session(other.ann, "s1")
        assert RunEnded(RunStatus.CANCELLED, None, False) == chat_kit.end_of(await chat_kit.to_end(watcher))


def test_a_log_folds_into_rounds_tools_and_legs():
    when = datetime(2026, 1, 1, tzinfo=UTC)
    ran = ToolExecution("c1", "look", "{}", "42", when, when)
    served_by = ServedBy("acme", "m")
    events = [
        RunEvent(1, 0, RunStarted("s1", "u1", "a1")),
        RunEvent(2, 0, (ToolCallStarted(0, "c1", "look"), ToolCallDelta(0, "{}"))),
        RunEvent(3, 1, (TextDelta("other "),)),
        RunEvent(4, 0, (ResponseFinished(FinishReason.TOOL_CALLS),)),
        RunEvent(5, 0, ToolExecuted((ran,))),
        RunEvent(6, 0, RoundStarted(2)),
        RunEvent(7, 0, (ReasoningDelta("hm"), TextDelta("it is 4"))),
        RunEvent(8, 1, (TextDelta("leg"), ResponseFinished(FinishReason.STOP))),
        RunEvent(9, 1, LegEnded(FinishReason.STOP, Usage(1, 2), served_by)),
    ]
    legs = fold_log(events, MessageStatus.INTERRUPTED)
    assert [(Role.ASSISTANT, "complete"), (Role.TOOL, "complete"), (Role.ASSISTANT, "interrupted")] == [
        (step.message.role, step.status.value) for step in legs[0]
    ]
    assert "42" == legs[0][1].message.parts[0].text
    assert "it is 4" == legs[0][2].message.text
    assert [("other leg", MessageStatus.COMPLETE, Usage(1, 2), served_by)] == [
        (step.message.text, step.status, step.usage, step.served_by) for step in legs[1]
    ]
