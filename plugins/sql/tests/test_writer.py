"""The write queue: batches within limits, one failure for one caller, and nobody left waiting."""

import asyncio

import pytest
from palaver import StorageError, StorageUnavailable
from palaver_sql import GroupWriter


class Database:
    """Commits what it is given, when it is let."""

    def __init__(self, *, poison=()):
        self.poison = set(poison)
        self.batches = []
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def commit(self, ops):
        self.batches.append(list(ops))
        self.asked.set()
        await self.open.wait()
        for op in ops:
            if op in self.poison:
                raise StorageError(f"no {op}")
        return [f"did {op}" for op in ops]


def writer(database, **limits):
    return GroupWriter(database.commit, place=lambda op: op[0], weight=len, **limits)


async def hold(database, queue, tasks):
    """Let one write get into the database and stay there, so that what follows waits together."""
    database.open.clear()
    first = tasks.create_task(queue.write("0"))
    await database.asked.wait()
    return first


async def test_what_waits_together_is_committed_together_in_the_order_of_places():
    database = Database()
    async with writer(database) as queue, asyncio.TaskGroup() as tasks:
        await hold(database, queue, tasks)
        writes = [tasks.create_task(queue.write(op)) for op in ("b1", "a1", "b2", "a2")]
        await asyncio.sleep(0)
        database.open.set()
    assert [["0"], ["a1", "a2", "b1", "b2"]] == database.batches
    assert ["did b1", "did a1", "did b2", "did a2"] == [write.result() for write in writes]


async def test_a_batch_keeps_within_its_units_and_bytes():
    database = Database()
    async with writer(database, batch_units=3, batch_bytes=10) as queue, asyncio.TaskGroup() as tasks:
        await hold(database, queue, tasks)
        for op in ("a", "b", "c", "d", "eeee", "ffffff", "g" * 99, "h"):
            tasks.create_task(queue.write(op))
        await asyncio.sleep(0)
        database.open.set()
    assert [1, 3, 2, 1, 1, 1] == [len(batch) for batch in database.batches]


async def test_a_full_queue_refuses_at_once_and_recovers():
    database = Database()
    async with writer(database, queue_units=2, queue_bytes=100) as queue, asyncio.TaskGroup() as tasks:
        await hold(database, queue, tasks)
        waiting = [tasks.create_task(queue.write(op)) for op in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(StorageUnavailable, match="2 writes are waiting already") as refused:
            await queue.write("c")
        assert refused.value.retryable
        assert 1 == refused.value.retry_after
        database.open.set()
        await asyncio.gather(*waiting)
        assert "did c" == await queue.write("c")


async def test_bytes_that_wait_are_limited_too_but_one_big_write_always_goes():
    database = Database()
    async with writer(database, queue_bytes=10) as queue, asyncio.TaskGroup() as tasks:
        await hold(database, queue, tasks)
        tasks.create_task(queue.write("x" * 50))
        await asyncio.sleep(0)
        with pytest.raises(StorageUnavailable):
            await queue.write("y")
        database.open.set()
    assert "x" * 50 == database.batches[1][0]


async def test_only_the_guilty_caller_hears_of_a_failure():
    database = Database(poison=["b"])
    async with writer(database) as queue:
        results = await asyncio.gather(*map(queue.write, "abc"), return_exceptions=True)
    assert ["did a", "did c"] == results[::2]
    assert isinstance(results[1], StorageError)
    assert [["a", "b", "c"], ["a"], ["b"], ["c"]] == database.batches


async def test_a_database_that_is_away_is_asked_once_for_all():
    class Away(Database):
        async def commit(self, ops):
            self.batches.append(list(ops))
            raise StorageUnavailable("gone")

    database = Away()
    async with writer(database) as queue:
        results = await asyncio.gather(*map(queue.write, "abc"), return_exceptions=True)
    assert ["gone"] * 3 == [str(result) for result in results]
    assert 3 == len({id(result) for result in results}), "an error each: tracebacks must not mix"
    assert 1 == len(database.batches)


async def test_a_caller_cancelled_before_its_batch_writes_nothing():
    database = Database()
    async with writer(database) as queue, asyncio.TaskGroup() as tasks:
        await hold(database, queue, tasks)
        given_up, kept = tasks.create_task(queue.write("a")), tasks.create_task(queue.write("b"))
        await asyncio.sleep(0)
        given_up.cancel()
        database.open.set()
    assert given_up.cancelled()
    assert "did b" == kept.result()
    assert [["0"], ["b"]] == database.batches


async def test_a_caller_cancelled_during_its_batch_harms_nobody():
    database = Database()
    async with writer(database) as queue, asyncio.TaskGroup() as tasks:
        first = await hold(database, queue, tasks)
        first.cancel()
        await asyncio.sleep(0)
        database.open.set()
        assert "did a" == await queue.write("a")
    assert first.cancelled()


async def test_closing_commits_what_waits_and_refuses_what_comes():
    database = Database()
    queue = writer(database)
    async with asyncio.TaskGroup() as tasks:
        async with queue:
            await hold(database, queue, tasks)
            late = tasks.create_task(queue.write("a"))
            await asyncio.sleep(0)
            closing = tasks.create_task(queue.close())
            await asyncio.sleep(0)
            with pytest.raises(StorageUnavailable, match="closed"):
                await queue.write("b")
            database.open.set()
            await closing
        assert "did a" == late.result()
    with pytest.raises(StorageUnavailable, match="closed"):
        await queue.write("c")


async def test_a_closer_who_gives_up_loses_nothing():
    database = Database()
    async with writer(database) as queue, asyncio.TaskGroup() as tasks:
        first = await hold(database, queue, tasks)
        closing = tasks.create_task(queue.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.sleep(0)
        database.open.set()
        assert "did 0" == await first


async def test_a_driver_that_miscounts_is_found_out():
    async def commit(ops):
        return []

    async with GroupWriter(commit, place=str, weight=len) as queue:
        with pytest.raises(StorageError, match="committed 1 operations but got 0 results"):
            await queue.write("a")
