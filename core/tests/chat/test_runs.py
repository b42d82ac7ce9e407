"""Runs outlive their watchers: detach, stop, drain, slow readers, a storage that is slow or away, leases."""

import asyncio

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from palaver import (
    FinishReason,
    Message,
    NotFound,
    ResponseFinished,
    Role,
    RunEvent,
    RunFinished,
    RunStatus,
    StorageFull,
    StorageUnavailable,
    StoredMessage,
    TextDelta,
)
from palaver.chat import Send, Turn
from palaver.codec import Codec
from palaver.contracts.storage import AppendEvents, BeginSend, DeleteSession, FinishRun, Lease, RenewLease
from palaver.events import RunEnded
from palaver.testing.clock import settle


def appended(chat):
    return [op for op in chat.storage.writes if isinstance(op, AppendEvents)]


async def test_leaving_changes_nothing_and_coming_back_misses_nothing(chat, chat_kit):
    started = await chat.send()
    watcher = await chat.service.watch(chat.ann, started.run_id)
    chat.vendor.say("one ")
    await settle()
    seen = list(await anext(watcher))
    watcher.close()
    chat.vendor.say("two ", "three")
    await settle()
    assert 1 == chat.vendor.open
    chat.vendor.finish()
    seen += await chat.read(started.run_id, after_seq=seen[-1].seq)
    assert seen == await chat.read(started.run_id)
    assert "one two three" == chat_kit.text_of(seen)


async def test_what_came_in_between_is_read_at_once(chat):
    started = await chat.send()
    watcher = await chat.service.watch(chat.ann, started.run_id, after_seq=1)
    chat.vendor.say(*"abcde")
    await settle()
    assert 5 == len(await anext(watcher))
    assert () == watcher.ready()
    chat.vendor.say("f", "g")
    await settle()
    assert [(TextDelta("f"),), (TextDelta("g"),)] == [event.body for event in watcher.ready()]


async def test_a_waiting_reader_is_let_go_by_close(chat, chat_kit):
    started = await chat.send()
    watcher = await chat.service.watch(chat.ann, started.run_id, after_seq=1)
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(chat_kit.to_end(watcher))
        await settle()
        assert not reader.done()
        watcher.close()
    assert [] == reader.result()


@settings(max_examples=15, deadline=None)
@given(
    words=st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=12),
    window=st.sampled_from([600, 2000, 100_000]),
    flush=st.sampled_from([1, 20, 2048]),
    retention=st.sampled_from([600.0, -1.0]),
)
async def test_any_cursor_resumes_without_gap_or_duplicate(chat_kit, words, window, flush, retention):
    # A retention in the past makes the run leave memory at once: then every byte comes from storage.
    async with chat_kit.open(window_bytes=window, flush_bytes=flush, stream_retention=retention) as chat:
        started = await chat.send()
        watcher = await chat.service.watch(chat.ann, started.run_id)
        live = []
        for word in words:
            chat.vendor.say(word)
            await settle(4)
            live += watcher.ready()
        chat.vendor.finish()
        live += await chat_kit.to_end(watcher)
        assert "".join(words) == chat_kit.text_of(live)
        assert list(range(1, len(live) + 1)) == [event.seq for event in live]
        if retention < 0:
            await _expires_later(chat, started.run_id)
        for cursor in range(len(live) + 1):
            assert live[cursor:] == await chat.read(started.run_id, after_seq=cursor)
        (beyond,) = await chat.read(started.run_id, after_seq=len(live) + 7)
        assert live[-1].body == beyond.body
        assert beyond.seq > len(live) + 7


async def _expires_later(chat, run_id):
    """Let the run be gone from memory and still be in its time of retention."""
    assert chat.service.runs.find(chat.ann.owner, run_id) is None
    run = chat.storage._runs[chat.ann.owner, run_id]
    run.run = attrs.evolve(run.run, ended_at=None)


async def test_a_reader_too_slow_for_the_window_reads_the_rest_from_storage(chat_kit):
    async with chat_kit.open(window_bytes=4096, flush_bytes=64) as chat:
        started = await chat.send()
        watcher = await chat.service.watch(chat.ann, started.run_id)
        for number in range(200):
            chat.vendor.say(f"word {number} ")
            if number % 10 == 0:
                await settle()
        chat.vendor.finish()
        await settle(60)
        log = chat.service.runs.find(chat.ann.owner, started.run_id).log
        assert log.after(0) is None
        assert log.size <= 4096 + 300
        events = await chat_kit.to_end(watcher)
        assert "".join(f"word {number} " for number in range(200)) == chat_kit.text_of(events)
        assert list(range(1, len(events) + 1)) == [event.seq for event in events]


async def test_stop_closes_the_upstream_and_keeps_the_part(chat, chat_kit):
    started = await chat.send()
    chat.vendor.say("half ")
    await settle()
    run = await chat.service.stop(chat.ann, run_id=started.run_id)
    assert (RunStatus.CANCELLED, 0) == (run.status, chat.vendor.open)
    assert [("user", "hello", "complete"), ("assistant", "half ", "cancelled")] == await chat.texts()
    assert RunEnded(RunStatus.CANCELLED) == chat_kit.end_of(await chat.read(started.run_id))
    assert RunStatus.CANCELLED is (await chat.service.stop(chat.ann, run_id=started.run_id)).status


async def test_stop_before_the_first_content_stores_no_empty_answer(chat):
    started = await chat.service.send(chat.ann, Send("hello", "s1"))
    run = await chat.service.stop(chat.ann, session_id="s1")
    assert (started.run_id, RunStatus.CANCELLED) == (run.id, run.status)
    assert [("user", "hello", "complete")] == await chat.texts()
    assert 0 == chat.vendor.open


async def test_a_run_stopped_before_its_task_began_asks_nobody(chat, chat_kit):
    said = StoredMessage("u1", "s1", Message(Role.USER, "hi"))
    begun = await chat.storage.write(BeginSend("ann", "s1", "r1", "a1", (said,), Lease("server-1"), title="t"))
    active = chat.service.runs.start(begun.run, [lambda emit: Turn(None, None, emit=emit)])
    active.stop(RunStatus.CANCELLED)
    await active.wait()
    assert RunEnded(RunStatus.CANCELLED) == chat_kit.end_of(await chat.read("r1"))


async def test_a_caller_that_goes_away_while_the_words_are_committed_still_gets_a_run(chat):
    begun = asyncio.Event()
    write = chat.storage.write

    async def watched_write(op):
        begun.set()
        return await write(op)

    chat.storage.write = watched_write
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(chat.service.send(chat.ann, Send("hello", "s1")))
        await begun.wait()
        sending.cancel()
    await settle()
    assert 1 == chat.vendor.open
    chat.vendor.say("fine")
    chat.vendor.finish()
    await settle()
    assert [("user", "hello", "complete"), ("assistant", "fine", "complete")] == await chat.texts()


async def test_an_answer_that_could_not_be_stored_is_stored_when_the_database_is_back(chat, chat_kit):
    started = await chat.send()
    chat.storage.failing = StorageUnavailable("away")
    chat.vendor.say("all of ", "this")
    chat.vendor.finish()
    await settle()
    await chat.clock.advance(60.0)
    assert not chat_kit.end_of(await chat.read(started.run_id)).stored
    chat.storage.failing = None
    await chat.clock.advance(5.0)
    assert [("user", "hello", "complete"), ("assistant", "all of this", "complete")] == await chat.texts()
    events = await chat.read(started.run_id)
    assert "all of this" == chat_kit.text_of(events)
    assert RunEnded(RunStatus.DONE) == chat_kit.end_of(events)
    assert list(range(1, len(events) + 1)) == [event.seq for event in events]


async def test_nothing_to_stop_is_a_conflict(chat):
    await chat.answer()
    with pytest.raises(Exception, match="nothing is being generated"):
        await chat.service.stop(chat.ann, session_id="s1")


async def test_drain_lets_runs_finish_and_interrupts_the_late_ones(chat, chat_kit):
    await chat.send("q", "quick")
    chat.vendor.say("qu")
    await settle()
    # One queue: the reader that has waited longest gets the next batch.
    await chat.send("s", "slow")
    chat.vendor.finish()
    chat.vendor.say("sl")
    async with asyncio.TaskGroup() as group:
        drained = group.create_task(chat.service.drain(30.0))
        await settle()
        assert not drained.done()
        await chat.clock.advance(30.0)
    assert [("user", "q", "complete"), ("assistant", "qu", "complete")] == await chat.texts("quick")
    assert [("user", "s", "complete"), ("assistant", "sl", "interrupted")] == await chat.texts("slow")
    assert 0 == chat.vendor.open


async def test_drain_ends_as_soon_as_nothing_runs(chat):
    await chat.answer()
    await chat.service.drain(30.0)
    assert 30.0 not in chat.clock.slept


async def test_jobs_ended_from_outside_still_store_the_part(chat, chat_kit):
    started = await chat.send()
    chat.vendor.say("half ")
    await settle()
    await chat.runtime.jobs.drain(0.0)
    assert RunStatus.INTERRUPTED is chat_kit.end_of(await chat.read(started.run_id)).status
    assert ("assistant", "half ", "interrupted") in await chat.texts()


async def test_text_is_flushed_by_size(chat_kit):
    async with chat_kit.open(flush_bytes=10) as chat:
        await chat.send()
        assert [] == appended(chat)[1:]
        before = len(appended(chat))
        chat.vendor.say("0123456789")
        await settle()
        assert before + 1 == len(appended(chat))


async def test_text_is_flushed_within_a_second(chat, chat_kit):
    started = await chat.send()
    chat.vendor.say("few")
    await settle()
    assert [] == appended(chat)
    await chat.clock.advance(1.0)
    assert [(1, 2)] == [(op.row.first_seq, op.row.last_seq) for op in appended(chat)]
    chat.vendor.say("er")
    await settle()
    await chat.clock.advance(1.0)
    rows = await chat.storage.read_events(chat.ann.owner, started.run_id)
    assert "fewer" == chat_kit.text_of([event for row in rows for event in Codec().loads(row.data, list[RunEvent])])


async def test_the_answer_flows_while_the_database_is_away(chat, chat_kit):
    started = await chat.send()
    watcher = await chat.service.watch(chat.ann, started.run_id)
    chat.storage.failing = StorageUnavailable("away")
    chat.vendor.say("x" * 3000, "still ", "talking ")
    await settle()
    assert "x" * 3000 + "still talking " == chat_kit.text_of(list(await anext(watcher)))
    chat.storage.failing = None
    await chat.clock.advance(5.0)
    chat.vendor.finish()
    assert RunEnded(RunStatus.DONE) == chat_kit.end_of(await chat.read(started.run_id))
    assert chat.storage.writes[-1].row.first_seq > 1


async def test_unstored_text_is_capped_and_then_the_run_gives_up(chat_kit):
    async with chat_kit.open(unflushed_bytes=10_000) as chat:
        started = await chat.send()
        chat.storage.failing = StorageUnavailable("away")
        for _ in range(20):
            chat.vendor.say("x" * 1000)
            await settle(4)
        assert 0 == chat.vendor.open
        await chat.clock.advance(30.0)
        end = chat_kit.end_of(await chat.read(started.run_id))
        assert (RunStatus.FAILED, False, "storage_unavailable") == (end.status, end.stored, end.error["code"])


async def test_one_event_beyond_the_cap_is_no_reason_to_give_up_while_storage_works(chat_kit):
    async with chat_kit.open(unflushed_bytes=10_000) as chat:
        started = await chat.send()
        chat.vendor.say("x" * 50_000)
        chat.vendor.finish()
        end = chat_kit.end_of(await chat.read(started.run_id))
        assert (RunStatus.DONE, True, None) == (end.status, end.stored, end.error)


async def test_a_run_that_gives_up_with_its_last_event_still_ends_itself(chat_kit):
    async with chat_kit.open(unflushed_bytes=10_000) as chat:
        started = await chat.send()
        chat.storage.failing = StorageUnavailable("away")
        chat.vendor.say("x" * 3000)
        await settle(20)
        chat.vendor.send(TextDelta("x" * 20_000), ResponseFinished(FinishReason.STOP))
        await settle(20)
        chat.storage.failing = None
        await chat.clock.advance(30.0)
        end = chat_kit.end_of(await chat.read(started.run_id))
        assert (RunStatus.FAILED, True, "storage_unavailable") == (end.status, end.stored, end.error["code"])
        await chat.answer("and now?", "fine")


async def test_a_full_disk_is_told_at_once(chat, chat_kit):
    started = await chat.send()
    chat.storage.failing = StorageFull("no space left")
    chat.vendor.say("fine")
    chat.vendor.finish()
    end = chat_kit.end_of(await chat.read(started.run_id))
    assert (RunStatus.FAILED, False, "storage_full") == (end.status, end.stored, end.error["code"])


async def test_a_slow_storage_holds_the_upstream_back_instead_of_failing(chat_kit):
    async with chat_kit.open(unflushed_bytes=20_000) as chat:
        started = await chat.send()
        gate = asyncio.Event()
        write = chat.storage.write

        async def slow_write(op):
            if isinstance(op, AppendEvents):
                await gate.wait()
            return await write(op)

        chat.storage.write = slow_write
        for _ in range(50):
            chat.vendor.say("x" * 1000)
        chat.vendor.finish()
        await settle(200)
        log = chat.service.runs.find(chat.ann.owner, started.run_id).log
        assert log.size < 20_000
        gate.set()
        events = await chat.read(started.run_id)
        assert 50_000 == len(chat_kit.text_of(events))
        assert RunEnded(RunStatus.DONE) == chat_kit.end_of(events)


async def test_a_flush_whose_answer_was_lost_is_sent_again_as_it_was(chat_kit):
    async with chat_kit.open(flush_bytes=1) as chat:
        write = chat.storage.write
        lost = []

        async def forgetful_write(op):
            answer = await write(op)
            if isinstance(op, AppendEvents) and len(lost) < 2:
                lost.append(op.row)
                raise StorageUnavailable("connection lost at commit")
            return answer

        chat.storage.write = forgetful_write
        started = await chat.send()
        chat.vendor.say("a", "b", "c")
        await settle()
        chat.vendor.finish()
        await settle()
        assert 1 == len({row.data for row in lost})
        await chat.clock.advance(10.0)
        live = await chat.read(started.run_id)
        chat.service.runs._finished.clear()
        assert live == await chat.read(started.run_id)


async def test_a_session_deleted_elsewhere_ends_the_run_and_nothing_comes_back(chat, chat_kit):
    started = await chat.send()
    chat.vendor.say("half")
    await settle()
    await chat.storage.write(DeleteSession(chat.ann.owner, "s1"))
    chat.vendor.say(" more")
    await chat.clock.advance(1.0)
    assert 0 == chat.vendor.open
    assert RunEnded(RunStatus.CANCELLED, None, False) == chat_kit.end_of(await chat.read(started.run_id))
    assert await chat.storage.get_session(chat.ann.owner, "s1") is None
    assert await chat.storage.get_run(chat.ann.owner, started.run_id) is None


async def test_a_long_run_renews_its_lease(chat):
    started = await chat.send()
    await chat.clock.advance(65.0)
    renewals = [op for op in chat.storage.writes if isinstance(op, RenewLease)]
    assert int(65 / (chat.runtime.config.chat.lease_seconds / 3)) == len(renewals)
    assert started.run_id == (await chat.storage.active_run(chat.ann.owner, "s1")).id
    assert () == await chat.storage.expired_runs()
    assert 1 == chat.vendor.open


async def test_a_run_that_another_server_has_ended_stops(chat, chat_kit):
    started = await chat.send()
    chat.vendor.say("half")
    await chat.clock.advance(1.0)
    await chat.storage.write(FinishRun(chat.ann.owner, "s1", started.run_id, RunStatus.CANCELLED))
    await chat.clock.advance(11.0)
    assert 0 == chat.vendor.open
    assert RunEnded(RunStatus.CANCELLED, None, True) == chat_kit.end_of(await chat.read(started.run_id))


async def test_nothing_beats_while_nothing_runs(chat):
    await chat.answer()
    await chat.clock.advance(2.0)
    asked = chat.clock.slept.count(0.5)
    await chat.clock.advance(60.0)
    assert asked == chat.clock.slept.count(0.5)


async def test_a_finished_run_is_watched_from_memory_then_from_storage_then_no_more(chat, chat_kit):
    started = await chat.answer("q", "fine")
    live = await chat.read(started.run_id)
    chat.service.runs._finished.clear()
    assert live == await chat.read(started.run_id)
    await chat.clock.advance(599.0)
    assert live == await chat.read(started.run_id)
    await chat.clock.advance(2.0)
    with pytest.raises(NotFound):
        await chat.service.watch(chat.ann, started.run_id)
    assert RunStatus.DONE is (await chat.service.get_run(chat.ann, started.run_id)).status


async def test_the_end_of_a_run_is_observed(chat):
    seen = []

    class Observer:
        def observe(self, observation):
            if isinstance(observation, RunFinished):
                seen.append(observation)

    chat.runtime.add_observer(Observer())
    started = await chat.send()
    await chat.clock.advance(3.0)
    await chat.service.stop(chat.ann, run_id=started.run_id)
    assert [RunFinished("cancelled", 3.0)] == seen
