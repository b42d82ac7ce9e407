"""Rules of storage conformance about sessions: made once, listed, named, cleared, deleted."""

from palaver import Run, RunStatus, Session
from palaver.storage import (
    AppendEvents,
    Busy,
    ClearSession,
    CreateSession,
    DeleteSession,
    Done,
    EventRow,
    Idempotency,
    Missing,
    RenameSession,
    RenewLease,
    Replayed,
    RunId,
    SessionId,
    SessionMade,
)
from palaver.testing.storage_case import ALICE, LEASE, SESSION, StorageCase, approval, begin, finish, texts

__all__ = [
    "check_clear",
    "check_clear_while_busy",
    "check_create",
    "check_delete",
    "check_delete_while_running",
    "check_list",
    "check_rename",
    "check_rename_default",
]

OTHER = SessionId("s-2")


async def check_create(case: StorageCase) -> None:
    """A session is made once, however often it is asked for."""
    made = await case.storage.write(CreateSession(ALICE, SESSION, "First"))
    assert isinstance(made, SessionMade)
    assert made.created
    assert (SESSION, ALICE, "First", True) == (
        made.session.id,
        made.session.owner,
        made.session.title,
        made.session.title_is_default,
    )
    assert (0, 0, None, False) == (
        made.session.message_count,
        made.session.last_seq,
        made.session.head_id,
        made.session.branched,
    )
    assert made.session.created_at.tzinfo is not None, "times are aware"
    again = await case.storage.write(CreateSession(ALICE, SESSION, "Second", title_is_default=False))
    assert SessionMade(made.session, created=False) == again
    assert made.session == await case.storage.get_session(ALICE, SESSION)
    assert await case.storage.get_session(ALICE, OTHER) is None


async def check_rename(case: StorageCase) -> None:
    """A person's title replaces any other."""
    await case.storage.write(CreateSession(ALICE, SESSION, "First"))
    assert Done() == await case.storage.write(RenameSession(ALICE, SESSION, "Mine"))
    session = await case.storage.get_session(ALICE, SESSION)
    assert session is not None
    assert ("Mine", False) == (session.title, session.title_is_default)
    assert Done() == await case.storage.write(RenameSession(ALICE, SESSION, "Mine")), "a repetition is no error"
    assert Missing() == await case.storage.write(RenameSession(ALICE, OTHER, "Mine"))
    assert await case.storage.get_session(ALICE, OTHER) is None, "renaming must not make a session"


async def check_rename_default(case: StorageCase) -> None:
    """A found title only replaces a default one."""
    await case.storage.write(CreateSession(ALICE, SESSION, "New chat"))
    assert Done() == await case.storage.write(RenameSession(ALICE, SESSION, "Found", only_default=True))
    assert Missing() == await case.storage.write(RenameSession(ALICE, SESSION, "Later", only_default=True))
    assert Missing() == await case.storage.write(RenameSession(ALICE, OTHER, "Found", only_default=True))
    session = await case.storage.get_session(ALICE, SESSION)
    assert session is not None
    assert "Found" == session.title
    await case.storage.write(CreateSession(ALICE, OTHER, "Mine", title_is_default=False))
    assert Missing() == await case.storage.write(RenameSession(ALICE, OTHER, "Found", only_default=True))


async def check_list(case: StorageCase) -> None:
    """Sessions are listed newest activity first, page by page, by offset and by place."""
    for number in range(5):
        await case.storage.write(CreateSession(ALICE, SessionId(f"s-{number}"), f"chat {number}"))
    await case.turn(1, session_id=SessionId("s-0"))
    wanted = ["s-0", "s-4", "s-3", "s-2", "s-1"]

    def ids(sessions: tuple[Session, ...]) -> list[str]:
        return [session.id for session in sessions]

    whole = await case.storage.list_sessions(ALICE, limit=10, count=True)
    assert (wanted, False, 5) == (ids(whole.items), whole.has_more, whole.total)
    first = await case.storage.list_sessions(ALICE, limit=2)
    assert (wanted[:2], True, None) == (ids(first.items), first.has_more, first.total)
    skipped = await case.storage.list_sessions(ALICE, limit=2, offset=3)
    assert (wanted[3:], False) == (ids(skipped.items), skipped.has_more)
    followed = await case.storage.list_sessions(ALICE, limit=2, after=SessionId("s-4"))
    assert (wanted[2:4], True) == (ids(followed.items), followed.has_more)
    last = await case.storage.list_sessions(ALICE, limit=2, after=SessionId("s-1"))
    assert ([], False) == (ids(last.items), last.has_more)
    unknown = await case.storage.list_sessions(ALICE, limit=2, after=SessionId("nowhere"))
    assert ([], False) == (ids(unknown.items), unknown.has_more)


async def check_clear(case: StorageCase) -> None:
    """Clearing takes what was said and keeps the session; a run's key still replays."""
    key = Idempotency("key-1", "hash-1")
    await case.begun(begin(1, key=key))
    await case.finished(
        finish(1, row=EventRow(1, 2, b"secret"), approvals=(approval(),), status=RunStatus.AWAITING_APPROVAL)
    )
    assert Done() == await case.storage.write(ClearSession(ALICE, SESSION))
    assert () == await case.messages()
    assert () == await case.storage.history(ALICE, SESSION, limit=10)
    assert () == await case.storage.read_events(ALICE, RunId("r-1")), "what was said is in the log too"
    assert () == await case.storage.list_approvals(ALICE)
    session = await case.storage.get_session(ALICE, SESSION)
    assert session is not None
    assert (0, None, "A chat") == (session.message_count, session.head_id, session.title)
    assert isinstance(await case.storage.write(begin(2, key=key)), Replayed)
    await case.turn(3)
    assert [1, 2] == [message.seq for message in await case.messages()]
    assert Done() == await case.storage.write(ClearSession(ALICE, SESSION))
    assert Done() == await case.storage.write(ClearSession(ALICE, SESSION)), "a repetition is no error"
    assert Missing() == await case.storage.write(ClearSession(ALICE, OTHER))


async def check_clear_while_busy(case: StorageCase) -> None:
    """A session is not cleared under a running answer."""
    await case.begun(begin(1))
    assert Busy(RunId("r-1")) == await case.storage.write(ClearSession(ALICE, SESSION))
    assert ["question 1"] == texts(await case.messages())


async def check_delete(case: StorageCase) -> None:
    """Deleting takes the session with everything that hangs on it, and nothing else."""
    await case.turn(1)
    await case.turn(2, session_id=OTHER)
    await case.begun(begin(3))
    await case.finished(
        finish(3, row=EventRow(1, 2, b"log"), approvals=(approval(3),), status=RunStatus.AWAITING_APPROVAL)
    )
    assert Done() == await case.storage.write(DeleteSession(ALICE, SESSION))
    assert await case.storage.get_session(ALICE, SESSION) is None
    assert await case.storage.list_messages(ALICE, SESSION, limit=10) is None
    assert () == await case.storage.history(ALICE, SESSION, limit=10)
    assert await case.storage.get_run(ALICE, RunId("r-1")) is None
    assert () == await case.storage.read_events(ALICE, RunId("r-3"))
    assert await case.storage.get_approval(ALICE, approval(3).id) is None
    assert Missing() == await case.storage.write(DeleteSession(ALICE, SESSION))
    assert ["question 2", "answer 2"] == texts(await case.messages(session_id=OTHER))


async def check_delete_while_running(case: StorageCase) -> None:
    """What a run still writes after its session was deleted brings nothing back."""
    await case.begun(begin(1))
    assert Done() == await case.storage.write(DeleteSession(ALICE, SESSION))
    run_id = RunId("r-1")
    row = EventRow(1, 1, b"late")
    assert Missing() == await case.storage.write(AppendEvents(ALICE, SESSION, run_id, row))
    assert Missing() == await case.storage.write(RenewLease(ALICE, SESSION, run_id, LEASE))
    assert Missing() == await case.storage.write(finish(1, row=row, approvals=(approval(),)))
    assert await case.storage.get_session(ALICE, SESSION) is None
    assert () == await case.storage.read_events(ALICE, run_id)
    assert await case.storage.get_approval(ALICE, approval().id) is None
    run: Run | None = await case.storage.get_run(ALICE, run_id)
    assert run is None
