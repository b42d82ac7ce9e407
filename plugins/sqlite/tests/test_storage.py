"""What is SQLite's own: the file, its lock, its end, and what survives when the process does not."""

import asyncio
import contextlib
import functools
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from palaver import (
    ConfigError,
    Message,
    Role,
    RunStatus,
    StorageError,
    StorageFull,
    StorageUnavailable,
    StoredMessage,
    SystemClock,
)
from palaver.storage import (
    BeginSend,
    Begun,
    Busy,
    CreateSession,
    FinishRun,
    Idempotency,
    Lease,
    Mismatched,
    Replayed,
    SessionMade,
)
from palaver.testing import FakeClock, fake_context
from palaver_sqlite.config import SqliteConfig
from palaver_sqlite.driver import SqliteDriver
from palaver_sqlite.opening import migrations, open_storage


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "palaver.db"


@asynccontextmanager
async def opened(path, *, clock=None, **options):
    config = SqliteConfig(url=f"sqlite:///{path}", **options)
    async with open_storage(config, fake_context(clock=clock or SystemClock())) as storage:
        yield storage


class WallClock(SystemClock):
    """A clock that somebody sets."""

    def __init__(self):
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self):
        return self.moment


def said(id, session_id, text="hello", role=Role.USER):
    return StoredMessage(id, session_id, Message(role, text))


def send(number, session="s-{}", *, text="hello", lease=600.0, key=None):
    session_id = session.format(number)
    message = said(f"q-{number}", session_id, text)
    return BeginSend(
        "alice",
        session_id,
        f"r-{number}",
        f"a-{number}",
        (message,),
        Lease("server", lease),
        title="chat",
        idempotency=key,
    )


# --- the file ------------------------------------------------------------------------------------------------------


async def test_conversations_are_for_our_own_user_only(path):
    old = os.umask(0)
    try:
        async with opened(path) as storage:
            await storage.write(send(1))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert {"palaver.db", "palaver.db-wal", "palaver.db-shm", "palaver.db.migrate.lock"} == set(modes)
    assert {0o600} == set(modes.values())
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


async def test_a_relative_address_is_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with open_storage(SqliteConfig(), fake_context()) as storage:
        await storage.check(write=True)
    assert (tmp_path / ".palaver" / "palaver.db").exists()


async def test_a_folder_that_cannot_be_made_is_the_operators_matter(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"storage\.url: cannot open .*; name a file that this user may write"):
        async with opened(tmp_path / "file" / "palaver.db"):
            pass


async def test_a_file_that_is_no_database_is_left_alone(path):
    path.parent.mkdir()
    path.write_text("somebody's text " * 100)
    with pytest.raises(StorageError, match="not a database"):
        async with opened(path):
            pass
    assert "somebody's text " * 100 == path.read_text()


async def test_a_newer_schema_is_refused_and_the_file_is_closed(path):
    async with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO _yoyo_migration VALUES ('x', 'palaver-0999-tomorrow', '2030-01-01')")
    with pytest.raises(StorageError, match=r"does not know: palaver-0999-tomorrow; upgrade palaver"):
        async with opened(path):
            pass


def test_migrations_go_down_and_up_with_errors_of_our_own(path):
    schema = migrations(SqliteConfig(url=f"sqlite:///{path}"))
    assert () == schema.down()
    assert 3 == len(schema.up())
    assert 1 == len(schema.down())
    assert [True, True, False] == [applied for _, applied in schema.status()]
    path.write_text("no database at all, but long enough to be looked at" * 50)
    with pytest.raises(StorageError):
        schema.status()


async def test_the_second_start_imports_no_yoyo(path):
    async with opened(path):
        pass
    code = f"""
import asyncio, sys
from palaver.testing import fake_context
from palaver_sqlite.config import SqliteConfig
from palaver_sqlite.opening import open_storage
async def main():
    async with open_storage(SqliteConfig(url="sqlite:///{path}"), fake_context()) as storage:
        await storage.check(write=True)
asyncio.run(main())
print("yoyo" in sys.modules)
"""
    run = functools.partial(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False\n" == (await asyncio.to_thread(run)).stdout


def test_the_hook_module_loads_nothing_heavy():
    heavy = ("sqlite3", "cattrs", "palaver_sql", "palaver_migrations", "yoyo")
    loads = "import sys, palaver; had = {*sys.modules}; import palaver_sqlite; new = {*sys.modules} - had"
    code = f"{loads}; print(new & set({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "set()\n" == done.stdout


STARTER = """
import asyncio, sys
from palaver import SystemClock
from palaver.storage import CreateSession
from palaver.testing import fake_context
from palaver_sqlite.config import SqliteConfig
from palaver_sqlite.opening import open_storage
async def main():
    async with open_storage(SqliteConfig(url=sys.argv[1]), fake_context(clock=SystemClock())) as storage:
        for number in range(10):
            await storage.write(CreateSession(sys.argv[2], f"s-{number}", "chat"))
asyncio.run(main())
"""


def test_four_servers_that_start_at_once_on_nothing_all_come_up(path):
    command = [sys.executable, "-c", STARTER, f"sqlite:///{path}"]
    servers = [subprocess.Popen([*command, f"owner-{n}"], stderr=subprocess.PIPE, text=True) for n in range(4)]
    assert [""] * 4 == [server.communicate(timeout=60)[1] for server in servers]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert [(40,)] == connection.execute("SELECT COUNT(*) FROM chat_sessions").fetchall()


async def test_looking_at_an_open_file_does_not_drop_its_locks(path):
    """POSIX forgets a process's locks on a file whenever the process closes it, however often it is open."""
    take = (
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute('BEGIN IMMEDIATE')"
    )
    other = functools.partial(subprocess.run, [sys.executable, "-c", take, path], capture_output=True, text=True)
    async with opened(path) as storage:
        storage._driver._writer.execute("BEGIN IMMEDIATE")
        assert () == migrations(SqliteConfig(url=f"sqlite:///{path}")).up()
        assert "database is locked" in (await asyncio.to_thread(other)).stderr
        storage._driver._writer.execute("ROLLBACK")
        assert 0 == (await asyncio.to_thread(other)).returncode


# --- trouble -------------------------------------------------------------------------------------------------------


async def test_a_full_disk_refuses_writes_keeps_reads_and_recovers(path):
    async with opened(path) as storage:
        await storage.write(send(1))
        driver = storage._driver
        pages = driver._writer.execute("PRAGMA page_count").fetchone()[0]
        driver._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageFull, match="full"):
            await storage.write(send(2, text="x" * 100_000))
        assert await storage.get_session("alice", "s-2") is None
        assert await storage.get_session("alice", "s-1") is not None
        # The others in its batch find room.
        results = await asyncio.gather(
            storage.write(send(3, text="x" * 100_000)),
            storage.write(CreateSession("alice", "s-4", "small")),
            return_exceptions=True,
        )
        assert [StorageFull, SessionMade] == [type(result) for result in results]
        driver._writer.execute("PRAGMA max_page_count = 1000000")
        assert isinstance(await storage.write(send(2, text="x" * 100_000)), Begun)


async def test_a_lock_that_another_process_holds_too_long_is_unavailable_and_blocks_nobody(path):
    async with opened(path, busy_timeout=0.2) as storage:
        await storage.write(send(1))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            write, session = await asyncio.gather(
                storage.write(send(2)), storage.get_session("alice", "s-1"), return_exceptions=True
            )
            assert "s-1" == session.id, "readers go on"
            assert isinstance(write, StorageUnavailable)
            assert "locked" in str(write)
            with pytest.raises(StorageUnavailable, match="locked"):
                await storage.check(write=True)
            await storage.check()
            other.execute("ROLLBACK")
        assert isinstance(await storage.write(send(2)), Begun)


async def test_a_short_lock_is_waited_for_off_the_event_loop(path):
    async with opened(path) as storage, asyncio.TaskGroup() as tasks:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            write = tasks.create_task(storage.write(send(1)))
            for _ in range(1000):
                await asyncio.sleep(0)
            assert not write.done()
            other.execute("ROLLBACK")
        assert isinstance(await write, Begun)


async def test_twenty_writers_and_a_long_reader_never_meet_a_locked_database(path):
    async with opened(path) as one, opened(path) as two:
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM chat_sessions").fetchone()
        writes = [(one, two)[number % 2].write(send(number)) for number in range(20)]
        results = await asyncio.gather(*writes)
        reader.close()
        assert [Begun] * 20 == [type(result) for result in results]
        assert 20 == (await two.list_sessions("alice", limit=1, count=True)).total


async def test_a_write_to_a_closed_storage_says_so(path):
    async with opened(path) as storage:
        pass
    for use in (storage.write(send(1)), storage.get_session("alice", "s-1"), storage.check(write=True)):
        with pytest.raises(StorageUnavailable, match="closed"):
            await use


async def test_closing_leaves_no_thread_and_no_file_beside_the_database(path):
    before = {thread.name for thread in threading.enumerate() if thread.name.startswith("palaver-sqlite")}
    async with opened(path) as storage:
        await asyncio.gather(*(storage.get_session("alice", "s-1") for _ in range(8)))
        await storage.write(send(1))
    after = {thread.name for thread in threading.enumerate() if thread.name.startswith("palaver-sqlite")}
    assert before == after == set()
    assert {"palaver.db", "palaver.db.migrate.lock"} == {file.name for file in path.parent.iterdir()}


async def test_a_message_that_holds_something_foreign_fails_alone(path):
    @attrs.frozen
    class Odd:
        value: object

    odd = attrs.evolve(send(1).messages[0], message=Message(Role.USER, (Odd(object()),)))
    async with opened(path) as storage:
        with pytest.raises(StorageError, match="cannot be stored"):
            await storage.write(attrs.evolve(send(1), messages=(odd,)))
        assert await storage.get_session("alice", "s-1") is None


async def test_what_somebody_else_spoilt_in_the_file_is_a_storage_error(path):
    async with opened(path) as storage:
        await storage.write(send(1))
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("""UPDATE chat_messages SET content = '[{"type": 5}]'""")
        with pytest.raises(StorageError, match="message 'q-1'"):
            await storage.history("alice", "s-1", limit=1)


# --- time ----------------------------------------------------------------------------------------------------------


async def test_an_idempotency_key_is_kept_for_a_day(path):
    clock = FakeClock()
    key = Idempotency("key", "one")
    async with opened(path, clock=clock) as storage:
        await storage.write(send(1, key=key))
        await clock.advance(24 * 3600 - 1)
        assert isinstance(await storage.write(send(2, key=key)), Replayed)
        assert Mismatched("r-1") == await storage.write(send(2, key=attrs.evolve(key, body_hash="two")))
        await clock.advance(2)
        assert isinstance(await storage.write(send(3, key=attrs.evolve(key, body_hash="two"))), Begun)
        assert await storage.get_run("alice", "r-1") is not None


async def test_time_within_a_session_never_runs_back(path):
    clock = WallClock()
    async with opened(path, clock=clock) as storage:
        await storage.write(send(1, "s", lease=0.0))
        clock.moment -= timedelta(hours=1)
        assert isinstance(await storage.write(send(2, "s")), Busy), "the lease follows the clock, whatever it does"
        clock.moment += timedelta(hours=1, microseconds=5)
        await storage.write(send(2, "s", lease=0.0))
        clock.moment -= timedelta(hours=1)
        await storage.write(FinishRun("alice", "s", "r-2", RunStatus.DONE, (said("a-2", "s"),)))
        page = await storage.list_messages("alice", "s", limit=10)
        times = [message.created_at for message in page.items]
    assert ["q-1", "q-2", "a-2"] == [message.id for message in page.items]
    assert [timedelta(0), timedelta(microseconds=5), timedelta(microseconds=5)] == [at - times[0] for at in times]


# --- the end of the process ----------------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from palaver import Message, Role, StoredMessage, SystemClock
from palaver.storage import AppendEvents, BeginSend, EventRow, Lease
from palaver.testing import fake_context
from palaver_sqlite.config import SqliteConfig
from palaver_sqlite.opening import open_storage

async def chat(storage, number):
    message = StoredMessage(f"q-{number}", f"s-{number}", Message(Role.USER, "x" * 2000))
    await storage.write(BeginSend(
        "alice", f"s-{number}", f"r-{number}", f"a-{number}", (message,), Lease("server"), title="chat"))
    print("begun", number, flush=True)
    for seq in range(1, 1_000_000):
        await storage.write(AppendEvents("alice", f"s-{number}", f"r-{number}", EventRow(seq, seq, b"x" * 200)))
        print("event", number, seq, flush=True)

async def main():
    async with open_storage(SqliteConfig(url=sys.argv[1]), fake_context(clock=SystemClock())) as storage:
        await asyncio.gather(*(chat(storage, number) for number in range(8)))

asyncio.run(main())
"""


def write_until_killed(path, lines):
    """Write from another process, kill it after so many acknowledgements, and give these."""
    command = [sys.executable, "-c", WRITER, f"sqlite:///{path}"]
    acknowledged = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            acknowledged.append(line.split())
            if len(acknowledged) == lines:
                child.send_signal(signal.SIGKILL)
    assert -signal.SIGKILL == child.returncode
    return acknowledged


async def test_what_was_acknowledged_survives_a_kill_in_the_middle_of_writing(path):
    path.parent.mkdir()
    acknowledged = await asyncio.to_thread(write_until_killed, path, 400)
    last = {}
    for kind, number, *seq in acknowledged:
        last[number] = int(seq[0]) if kind == "event" and seq else last.get(number, 0)
    async with opened(path) as storage:
        for number, seq in last.items():
            assert ["x" * 2000] == [m.message.text for m in await storage.history("alice", f"s-{number}", limit=9)]
            rows = await storage.read_events("alice", f"r-{number}", limit=100_000)
            seqs = [row.first_seq for row in rows]
            assert list(range(1, len(seqs) + 1)) == seqs, "a log has no holes"
            assert len(seqs) >= seq, "what was acknowledged is there"
            run = await storage.get_run("alice", f"r-{number}")
            assert len(seqs) == run.last_seq
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        assert [] == connection.execute("PRAGMA foreign_key_check").fetchall()


def test_an_old_sqlite_is_refused_by_name(path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 0))
    with pytest.raises(StorageError, match=r"too old: at least 3\.35 is needed"):
        SqliteDriver(path, SqliteConfig(), SystemClock())


async def test_every_read_uses_an_index(path):
    """A table scan on the way would make a long history slow for everybody."""
    from palaver_sql import approvals, runs, sessions

    async with opened(path) as storage:
        await storage.write(send(1))
        connection = storage._driver._writer
        statements = [
            (module.__name__, name, sql)
            for module in (approvals, runs, sessions)
            for name, sql in vars(module).items()
            if isinstance(sql, str) and sql.lstrip().startswith(("SELECT", "WITH", "UPDATE", "DELETE"))
        ]
        # `_BRANCH` is only the beginning of others.
        statements = [statement for statement in statements if statement[1] != "_BRANCH"]
        assert 20 < len(statements)
        for module, name, sql in statements:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", ("1",) * sql.count("?")).fetchall()
            scans = [row[3] for row in plan if row[3].startswith("SCAN") and "branch" not in row[3]]
            if name != "_EXPIRED":
                assert [] == scans, f"{module}.{name}"
            else:
                assert all("chat_runs_unswept" in scan for scan in scans)
