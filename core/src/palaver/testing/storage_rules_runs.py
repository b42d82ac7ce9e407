"""Rules of storage conformance about runs: one at a time, begun and finished once, logged, leased, accounted."""

import asyncio

from palaver import RunStatus, StorageError
from palaver.storage import (
    AlreadyEnded,
    Appended,
    AppendEvents,
    Begun,
    Busy,
    CreateSession,
    DeleteSession,
    Done,
    EventRow,
    Finished,
    Idempotency,
    Lease,
    Mismatched,
    Missing,
    RecordUsage,
    RenewLease,
    Replayed,
    RunId,
    SessionId,
)
from palaver.testing.storage_case import (
    ALICE,
    BOB,
    GONE,
    LEASE,
    SESSION,
    StorageCase,
    answer,
    begin,
    finish,
    said,
    texts,
    usage_row,
)

__all__ = [
    "check_begin",
    "check_begin_again",
    "check_busy",
    "check_check",
    "check_events",
    "check_failure_is_alone",
    "check_finish",
    "check_finish_again",
    "check_given_up",
    "check_idempotency",
    "check_lease",
    "check_overtaken",
    "check_reopening",
    "check_usage",
]

RUN = RunId("r-1")


async def check_begin(case: StorageCase) -> None:
    """A send stores the question and a running run; it makes a session only when it has a title for it."""
    assert Missing() == await case.storage.write(begin(1, title=None))
    assert await case.storage.get_session(ALICE, SESSION) is None
    assert await case.storage.get_run(ALICE, RUN) is None
    begun = await case.begun(begin(1))
    assert begun.created_session
    assert ("A chat", True) == (begun.session.title, begun.session.title_is_default)
    assert (RunStatus.RUNNING, "q-1", "a-1", "test-model", 0) == (
        begun.run.status,
        begun.run.user_message_id,
        begun.run.message_id,
        begun.run.model,
        begun.run.last_seq,
    )
    assert begun.run == await case.storage.get_run(ALICE, RUN)
    assert begun.run == await case.storage.active_run(ALICE, SESSION)
    assert begun.messages == await case.messages()
    assert begun.session == await case.storage.get_session(ALICE, SESSION)
    await case.finished(finish(1))
    assert await case.storage.active_run(ALICE, SESSION) is None
    again = await case.begun(begin(2, title=None))
    assert not again.created_session


async def check_begin_again(case: StorageCase) -> None:
    """The same send repeated, because nobody knew whether it was committed, begins nothing new."""
    first = await case.begun(begin(1))
    again = await case.begun(begin(1))
    assert (first.run, first.messages, first.session) == (again.run, again.messages, again.session)
    assert ["question 1"] == texts(await case.messages())
    await case.finished(finish(1))
    late = await case.begun(begin(1))
    assert RunStatus.DONE is late.run.status
    assert ["question 1", "answer 1"] == texts(await case.messages())


async def check_busy(case: StorageCase) -> None:
    """Of ten sends at once into one session one begins, and the others hear which."""
    await case.storage.write(CreateSession(ALICE, SESSION, "A chat"))
    results = await asyncio.gather(*(case.storage.write(begin(number)) for number in range(10)))
    begun = [result for result in results if isinstance(result, Begun)]
    assert 1 == len(begun), f"{len(begun)} runs were begun in one session"
    assert 9 == results.count(Busy(begun[0].run.id))
    assert 1 == len(await case.messages())
    assert isinstance(await case.storage.write(begin(11, session_id=SessionId("s-2"))), Begun)


async def check_idempotency(case: StorageCase) -> None:
    """One key is one send of its owner: the same body replays, another is refused, even while it runs."""
    key = Idempotency("key-1", "hash-1")
    begun = await case.begun(begin(1, key=key))
    assert Replayed(begun.run) == await case.storage.write(begin(2, key=key))
    assert Mismatched(RUN) == await case.storage.write(begin(3, key=Idempotency("key-1", "hash-2")))
    await case.finished(finish(1))
    elsewhere = SessionId("s-2")
    replayed = await case.storage.write(begin(4, session_id=elsewhere, key=key))
    assert isinstance(replayed, Replayed)
    assert (RUN, RunStatus.DONE) == (replayed.run.id, replayed.run.status)
    assert await case.storage.get_session(ALICE, elsewhere) is None
    assert ["question 1", "answer 1"] == texts(await case.messages())
    assert isinstance(await case.storage.write(begin(5, owner=BOB, key=key)), Begun), "a key is its owner's"
    # Both at once, as a proxy that sends twice does.
    other = Idempotency("key-2", "hash-1")
    twice = await asyncio.gather(*(case.storage.write(begin(number, key=other)) for number in (6, 7)))
    assert {Begun, Replayed} == {type(result) for result in twice}


async def check_events(case: StorageCase) -> None:
    """A log is read above a number, in order; a flush repeated or grown counts once."""
    await case.begun(begin(1))

    async def append(first: int, last: int, data: bytes) -> object:
        return await case.storage.write(AppendEvents(ALICE, SESSION, RUN, EventRow(first, last, data)))

    assert Appended(2) == await append(1, 2, b"\x00one\xff")
    assert Appended(5) == await append(3, 5, b"two")
    assert Appended(5) == await append(3, 5, b"two")
    assert Appended(7) == await append(3, 7, b"two and more")
    rows = await case.storage.read_events(ALICE, RUN)
    assert (EventRow(1, 2, b"\x00one\xff"), EventRow(3, 7, b"two and more")) == rows
    assert rows[1:] == await case.storage.read_events(ALICE, RUN, after_seq=2)
    assert rows[1:] == await case.storage.read_events(ALICE, RUN, after_seq=6)
    assert () == await case.storage.read_events(ALICE, RUN, after_seq=7)
    assert rows[:1] == await case.storage.read_events(ALICE, RUN, limit=1)
    await case.finished(finish(1, row=EventRow(8, 9, b"end")))
    assert Missing() == await append(10, 11, b"late")
    rows = await case.storage.read_events(ALICE, RUN)
    assert [(1, 2), (3, 7), (8, 9)] == [(row.first_seq, row.last_seq) for row in rows]
    run = await case.storage.get_run(ALICE, RUN)
    assert run is not None
    assert 9 == run.last_seq


async def check_finish(case: StorageCase) -> None:
    """The end of a run stores its messages, its state and its error together."""
    await case.begun(begin(1))
    error = {"code": "overloaded", "message": "try later", "retryable": True}
    finished = await case.finished(finish(1, status=RunStatus.FAILED, error=error))
    assert ["answer 1"] == texts(finished.messages)
    assert finished.messages == (await case.messages())[1:]
    assert finished.session == await case.storage.get_session(ALICE, SESSION)
    run = await case.storage.get_run(ALICE, RUN)
    assert run is not None
    assert (RunStatus.FAILED, error) == (run.status, run.error)
    assert run.ended_at is not None
    await case.begun(begin(2))
    silent = await case.finished(finish(2, messages=(), status=RunStatus.CANCELLED))
    assert () == silent.messages
    assert Missing() == await case.storage.write(finish(3)), "a run that never was cannot end"


async def check_finish_again(case: StorageCase) -> None:
    """A run ends once, however often that is tried and by whom."""
    await case.begun(begin(1))
    tries = (finish(1), finish(1), finish(1, status=RunStatus.INTERRUPTED, messages=(answer(9),)))
    results = await asyncio.gather(*(case.storage.write(op) for op in tries))
    assert 1 == sum(isinstance(result, Finished) for result in results)
    assert 2 == sum(isinstance(result, AlreadyEnded) for result in results)
    assert 2 == len(await case.messages())
    run = await case.storage.get_run(ALICE, RUN)
    assert run is not None
    assert AlreadyEnded(run.status) == await case.storage.write(finish(1))


async def check_lease(case: StorageCase) -> None:
    """A run belongs to its server while the lease lasts; afterwards the sweep of any server finds it."""
    await case.begun(begin(1))
    assert () == await case.storage.expired_runs()
    assert Done() == await case.storage.write(RenewLease(ALICE, SESSION, RUN, GONE))
    assert await case.storage.active_run(ALICE, SESSION) is None
    assert [RUN] == [run.id for run in await case.storage.expired_runs()]
    assert Missing() == await case.storage.write(RenewLease(ALICE, SESSION, RUN, Lease("server-2", 600.0)))
    assert Done() == await case.storage.write(RenewLease(ALICE, SESSION, RUN, LEASE))
    assert () == await case.storage.expired_runs()
    await case.begun(begin(2, owner=BOB, lease=GONE))
    assert [(BOB, "r-2")] == [(run.owner, run.id) for run in await case.storage.expired_runs()]
    await case.finished(finish(2, owner=BOB, status=RunStatus.INTERRUPTED))
    assert () == await case.storage.expired_runs()
    await case.finished(finish(1))
    assert Missing() == await case.storage.write(RenewLease(ALICE, SESSION, RUN, LEASE))


async def check_overtaken(case: StorageCase) -> None:
    """A send interrupts a run whose server fell silent; the sweep can still store what it had said."""
    await case.begun(begin(1, lease=GONE))
    await case.storage.write(AppendEvents(ALICE, SESSION, RUN, EventRow(1, 1, b"partial")))
    begun = await case.begun(begin(2))
    assert RunId("r-2") == begun.run.id
    expired = [(run.id, run.status) for run in await case.storage.expired_runs()]
    assert [(RUN, RunStatus.INTERRUPTED)] == expired, "its text would never reach a message"
    assert (EventRow(1, 1, b"partial"),) == await case.storage.read_events(ALICE, RUN)
    late = AppendEvents(ALICE, SESSION, RUN, EventRow(2, 2, b"late"))
    assert Missing() == await case.storage.write(late), "its server has lost it"
    await case.finished(finish(1, status=RunStatus.INTERRUPTED))
    assert () == await case.storage.expired_runs()
    assert AlreadyEnded(RunStatus.INTERRUPTED) == await case.storage.write(finish(1))
    await case.finished(finish(2))
    messages = await case.messages()
    assert {"question 1", "question 2", "answer 1", "answer 2"} == set(texts(messages))
    assert [1, 2, 3, 4] == [message.seq for message in messages]


async def check_usage(case: StorageCase) -> None:
    """Usage is a row per call, kept once, and outlives its session."""
    await case.begun(begin(1))
    await case.finished(finish(1, usage=(usage_row("c-1"), usage_row("c-2"))))
    await case.storage.write(finish(1, usage=(usage_row("c-1"), usage_row("c-2"))))
    assert Done() == await case.storage.write(RecordUsage(ALICE, (usage_row("c-2"), usage_row("c-3"))))
    assert ["c-1", "c-2", "c-3"] == sorted(await case.usage_rows(ALICE))
    await case.begun(begin(2))
    await case.storage.write(DeleteSession(ALICE, SESSION))
    assert Missing() == await case.storage.write(finish(2, usage=(usage_row("c-4"),)))
    assert ["c-1", "c-2", "c-3", "c-4"] == sorted(await case.usage_rows(ALICE))
    assert [] == list(await case.usage_rows(BOB))


async def check_failure_is_alone(case: StorageCase) -> None:
    """Of fifty writes at once one is impossible: its caller alone hears of it, and nothing of it is stored."""
    await case.turn(0)
    clash = begin(99, session_id=SessionId("s-99"), messages=(said("clash", "q-0", session_id=SessionId("s-99")),))
    ops = [begin(number, session_id=SessionId(f"s-{number}")) for number in range(10, 59)]
    ops.insert(25, clash)
    results = await asyncio.gather(*(case.storage.write(op) for op in ops), return_exceptions=True)
    assert 49 == sum(isinstance(result, Begun) for result in results)
    assert isinstance(results[25], StorageError), f"an id that is taken must be refused, got {results[25]!r}"
    assert await case.storage.get_session(ALICE, SessionId("s-99")) is None
    assert await case.storage.get_run(ALICE, RunId("r-99")) is None


async def check_given_up(case: StorageCase) -> None:
    """A caller that stops waiting leaves the whole of its write or nothing, and harms nobody."""
    async with asyncio.TaskGroup() as tasks:
        writes = [
            tasks.create_task(case.storage.write(begin(number, session_id=SessionId(f"s-{number}"))))
            for number in range(20)
        ]
        await asyncio.sleep(0)
        for write in writes[::2]:
            write.cancel()
    assert all(isinstance(write.result(), Begun) for write in writes[1::2])
    for number in range(0, 20, 2):
        session = await case.storage.get_session(ALICE, SessionId(f"s-{number}"))
        run = await case.storage.get_run(ALICE, RunId(f"r-{number}"))
        assert (session is None) == (run is None), "half a write was stored"
    await case.turn(30, session_id=SessionId("s-30"))


async def check_check(case: StorageCase) -> None:
    """An open storage says that it answers, and that it accepts a write."""
    await case.storage.check()
    await case.storage.check(write=True)
    page = await case.storage.list_sessions(ALICE, limit=10)
    assert () == page.items, "a check leaves nothing behind that a user could see"


async def check_reopening(case: StorageCase) -> None:
    """What was acknowledged is there after closing and opening again."""
    await case.turn(1)
    await case.begun(begin(2, key=Idempotency("key-1", "hash-1")))
    await case.storage.write(AppendEvents(ALICE, SESSION, RunId("r-2"), EventRow(1, 3, b"log")))
    messages, session = await case.messages(), await case.storage.get_session(ALICE, SESSION)
    runs = [await case.storage.get_run(ALICE, RunId(run_id)) for run_id in ("r-1", "r-2")]
    await case.reopen()
    assert messages == await case.messages()
    assert session == await case.storage.get_session(ALICE, SESSION)
    assert runs == [await case.storage.get_run(ALICE, RunId(run_id)) for run_id in ("r-1", "r-2")]
    assert (EventRow(1, 3, b"log"),) == await case.storage.read_events(ALICE, RunId("r-2"))
    assert Busy(RunId("r-2")) == await case.storage.write(begin(3))
    assert isinstance(await case.storage.write(begin(4, key=Idempotency("key-1", "hash-1"))), Replayed)
    await case.finished(finish(2))
