"""Acid test: one poisoned unit among fifty writes. They share a commit; one must not cost the others theirs."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from palaver import Message, Role, StorageError, StoredMessage, SystemClock
from palaver.storage import BeginSend, Begun, Lease
from palaver.testing import fake_context
from palaver_sql import GroupWriter
from palaver_sqlite.config import SqliteConfig
from palaver_sqlite.driver import SqliteDriver
from palaver_sqlite.opening import open_storage


@asynccontextmanager
async def opened(folder):
    async with open_storage(
        SqliteConfig(url=f"sqlite:///{folder / 'palaver.db'}"), fake_context(clock=SystemClock())
    ) as storage:
        yield storage


def send(number, *, question=None):
    session_id = f"s-{number}"
    message = StoredMessage(question or f"q-{number}", session_id, Message(Role.USER, f"question {number}"))
    return BeginSend("alice", session_id, f"r-{number}", f"a-{number}", (message,), Lease("server"), title="chat")


async def test_one_poisoned_write_among_fifty_fails_alone(tmp_path, monkeypatch):
    batches = []
    commit = SqliteDriver._commit

    def counted(driver, programs):
        batches.append(len(programs))
        return commit(driver, programs)

    monkeypatch.setattr(SqliteDriver, "_commit", counted)
    async with opened(tmp_path) as storage:
        await storage.write(send(0))
        batches.clear()
        # A message id that is taken already breaks the statement, and with it the whole transaction.
        ops = [send(number, question="q-0" if number == 25 else None) for number in range(1, 51)]
        results = await asyncio.gather(*(storage.write(op) for op in ops), return_exceptions=True)

        assert isinstance(results[24], StorageError)
        assert 49 == sum(isinstance(result, Begun) for result in results)
        assert 50 == batches[0], "one batch was tried first"
        assert [1] * 50 == batches[1:], "then each alone"

    async with opened(tmp_path) as storage:
        page = await storage.list_sessions("alice", limit=100, count=True)
        assert {f"s-{number}" for number in range(51)} - {"s-25"} == {session.id for session in page.items}
        assert await storage.get_run("alice", "r-25") is None


async def test_the_queue_alone_keeps_the_same_promise():
    """The same without a database: the writer knows only that a commit failed."""
    tried = []

    async def commit(ops):
        tried.append(list(ops))
        if 13 in ops:
            raise StorageError("thirteen")
        return [op * 2 for op in ops]

    async with GroupWriter(commit, place=lambda op: -op, weight=lambda op: 1) as writer:
        results = await asyncio.gather(*(writer.write(op) for op in range(50)), return_exceptions=True)
    assert [op * 2 for op in range(50) if op != 13] == [result for result in results if isinstance(result, int)]
    with pytest.raises(StorageError, match="thirteen"):
        raise results[13]
    assert list(range(49, -1, -1)) == tried[0], "in the order of their places"
    assert 51 == len(tried)
