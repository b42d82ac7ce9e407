"""What the rules of storage conformance play with: an opened storage, owners, and the operations of a chat.

May touch: the storage under test only.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

from palaver import (
    Approval,
    Message,
    Page,
    Role,
    RunStatus,
    ServedBy,
    Storage,
    StoredMessage,
    ToolCallPart,
    Usage,
)
from palaver.storage import (
    ApprovalId,
    BeginSend,
    Begun,
    Finished,
    FinishRun,
    Idempotency,
    Lease,
    MessageId,
    Owner,
    RunId,
    SessionId,
    UsageRow,
)

__all__ = [
    "ALICE",
    "BOB",
    "CALL",
    "GONE",
    "LEASE",
    "NotApplicable",
    "SESSION",
    "StorageCase",
    "StorageSuite",
    "answer",
    "approval",
    "begin",
    "finish",
    "said",
    "texts",
    "usage_row",
]

ALICE, BOB = Owner("alice"), Owner("bob")
SESSION = SessionId("s-1")
LEASE = Lease("server-1", seconds=600.0)
#: A lease that is over at once: its server fell silent. So rules need no clock of the database's.
GONE = Lease("server-1", seconds=-1.0)
#: Arguments that a database which parses them would change.
CALL = ToolCallPart("call-1", "delete_file", '{ "path":"/tmp/a", "path":"/tmp/b", "n": 1.0 }')


class NotApplicable(Exception):
    """A rule has nothing to look at in this kind of storage; the message says why."""


class StorageSuite(Protocol):
    """What a conformance class tells about the storage under test."""

    @property
    def durable(self) -> bool: ...

    def open_storage(self, folder: Path) -> AbstractAsyncContextManager[Storage]: ...

    async def usage_rows(self, storage: Any, owner: Owner) -> Sequence[str] | None: ...


class StorageCase:
    """The storage under test, open; ``reopen()`` closes it and opens it again on what it kept."""

    def __init__(self, suite: StorageSuite, folder: Path) -> None:
        self.suite = suite
        self.storage: Storage
        self._folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "StorageCase":
        self.storage = await self._stack.enter_async_context(self.suite.open_storage(self._folder))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def reopen(self) -> None:
        """Close the storage and open it again; only for durable ones."""
        if not self.suite.durable:
            raise NotApplicable("the storage is not durable")
        await self._stack.aclose()
        self.storage = await self._stack.enter_async_context(self.suite.open_storage(self._folder))

    async def usage_rows(self, owner: Owner) -> Sequence[str]:
        """List the call ids whose usage is kept for *owner*."""
        rows = await self.suite.usage_rows(self.storage, owner)
        if rows is None:
            raise NotApplicable("the suite does not tell how to look at usage: override usage_rows()")
        return rows

    async def messages(self, owner: Owner = ALICE, session_id: SessionId = SESSION) -> tuple[StoredMessage, ...]:
        """Read the whole session."""
        page = await self.storage.list_messages(owner, session_id, limit=1000)
        assert isinstance(page, Page), f"session {session_id!r} of {owner!r} is not there"
        return page.items

    async def begun(self, op: BeginSend) -> Begun:
        """Write *op*, which must begin a run."""
        result = await self.storage.write(op)
        assert isinstance(result, Begun), f"expected the send to begin, got {result!r}"
        return result

    async def finished(self, op: FinishRun) -> Finished:
        """Write *op*, which must finish a run."""
        result = await self.storage.write(op)
        assert isinstance(result, Finished), f"expected the run to finish, got {result!r}"
        return result

    async def turn(self, number: int, *, owner: Owner = ALICE, session_id: SessionId = SESSION) -> None:
        """Play a whole turn: a question and its answer."""
        await self.begun(begin(number, owner=owner, session_id=session_id))
        await self.finished(finish(number, owner=owner, session_id=session_id))


def said(text: str, id: str, *, role: Role = Role.USER, session_id: SessionId = SESSION) -> StoredMessage:
    """Make a message as a caller hands it in: without number, parent and time."""
    return StoredMessage(MessageId(id), session_id, Message(role, text))


def answer(number: int, *, session_id: SessionId = SESSION, text: str = "") -> StoredMessage:
    """Make the answer of turn *number*."""
    return said(text or f"answer {number}", f"a-{number}", role=Role.ASSISTANT, session_id=session_id)


def begin(
    number: int,
    *,
    owner: Owner = ALICE,
    session_id: SessionId = SESSION,
    messages: tuple[StoredMessage, ...] | None = None,
    title: str | None = "A chat",
    lease: Lease = LEASE,
    parent_id: str | None = None,
    key: Idempotency | None = None,
    run_id: str = "",
) -> BeginSend:
    """Begin turn *number*: run ``r-<number>``, question ``q-<number>``."""
    if messages is None:
        messages = (said(f"question {number}", f"q-{number}", session_id=session_id),)
    return BeginSend(
        owner,
        session_id,
        RunId(run_id or f"r-{number}"),
        MessageId(f"a-{number}"),
        messages,
        lease,
        title=title,
        parent_id=None if parent_id is None else MessageId(parent_id),
        model="test-model",
        idempotency=key,
    )


def finish(
    number: int,
    *,
    owner: Owner = ALICE,
    session_id: SessionId = SESSION,
    status: RunStatus = RunStatus.DONE,
    messages: tuple[StoredMessage, ...] | None = None,
    **more: Any,
) -> FinishRun:
    """Finish turn *number* with its answer ``a-<number>``."""
    if messages is None:
        messages = (answer(number, session_id=session_id),)
    return FinishRun(owner, session_id, RunId(f"r-{number}"), status, messages, **more)


def approval(number: int = 1, *, calls: tuple[ToolCallPart, ...] = (CALL,)) -> Approval:
    """Make a request for approval as run *number* hands it in."""
    return Approval(ApprovalId(f"approval-{number}"), ALICE, SESSION, RunId(f"r-{number}"), calls)


def usage_row(call_id: str, tokens: int = 7) -> UsageRow:
    """Make the usage of one call."""
    return UsageRow(call_id, Usage(tokens, 2), ServedBy("main", "test-model", "test"), cost="0.000014")


def texts(messages: Sequence[StoredMessage]) -> list[str]:
    """List what the messages say."""
    return [message.message.text for message in messages]
