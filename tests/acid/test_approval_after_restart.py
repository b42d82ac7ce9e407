"""Acid test: an approval outlives the server that asked, is decided once, and only its stored arguments come back."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from palaver import Approval, ApprovalState, Message, Role, RunStatus, StoredMessage, SystemClock, ToolCallPart
from palaver.storage import (
    AlreadyDecided,
    BeginSend,
    Claimed,
    ClaimToolCall,
    DecideApproval,
    Decided,
    FinishRun,
    Lease,
    Missing,
    NotClaimed,
)
from palaver.testing import fake_context
from palaver_sqlite.config import SqliteConfig
from palaver_sqlite.opening import open_storage

# Twice the same key, odd spaces: whoever parses and writes this again changes what was shown to the person.
DELETE = ToolCallPart("call-1", "delete_file", '{ "path": "/tmp/a",  "path": "/tmp/b" }')
READ = ToolCallPart("call-2", "read_file", '{"path":"/etc/hosts"}')


@asynccontextmanager
async def server(folder):
    config = SqliteConfig(url=f"sqlite:///{folder / 'palaver.db'}")
    async with open_storage(config, fake_context(clock=SystemClock())) as storage:
        yield storage


@pytest.fixture
async def asked(tmp_path):
    """Ask on one server, and shut it down."""
    question = StoredMessage("q-1", "s-1", Message(Role.USER, "delete it"))
    wish = StoredMessage("a-1", "s-1", Message(Role.ASSISTANT, (DELETE, READ)))
    approval = Approval("approval-1", "alice", "s-1", "r-1", (DELETE, READ))
    async with server(tmp_path) as storage:
        await storage.write(BeginSend("alice", "s-1", "r-1", "a-1", (question,), Lease("one"), title="chat"))
        await storage.write(
            FinishRun("alice", "s-1", "r-1", RunStatus.AWAITING_APPROVAL, (wish,), approvals=(approval,))
        )
    return tmp_path


async def test_it_is_still_pending_after_the_restart(asked):
    async with server(asked) as storage:
        (pending,) = await storage.list_approvals("alice")
    assert (ApprovalState.PENDING, (DELETE, READ)) == (pending.state, pending.calls)


async def test_two_who_decide_at_once_after_the_restart_decide_once(asked):
    # Two server processes on one file, as far as the file can tell.
    async with server(asked) as one, server(asked) as two:
        results = await asyncio.gather(
            one.write(DecideApproval("alice", "s-1", "approval-1", ("call-1",))),
            two.write(DecideApproval("alice", "s-1", "approval-1", ("call-1", "call-2"))),
        )
        decided = [result for result in results if isinstance(result, Decided)]
        assert 1 == len(decided)
        assert 1 == results.count(AlreadyDecided(decided[0].approval))
        assert (DELETE, READ) == decided[0].approval.calls, "only the stored arguments come back"

        claims = await asyncio.gather(
            *(storage.write(ClaimToolCall("alice", "s-1", "r-1", "call-1")) for storage in (one, two))
        )
        assert {Claimed, NotClaimed} == {type(claim) for claim in claims}, "and they run once"


async def test_what_was_never_asked_for_cannot_be_approved(asked):
    async with server(asked) as storage:
        result = await storage.write(DecideApproval("alice", "s-1", "approval-1", ("call-9",)))
    assert (ApprovalState.DENIED, ()) == (result.approval.state, result.approval.approved_ids)


async def test_nobody_else_can_decide(asked):
    async with server(asked) as storage:
        foreign = DecideApproval("mallory", "s-1", "approval-1", ("call-1",))
        assert Missing() == await storage.write(foreign)
        (pending,) = await storage.list_approvals("alice")
    assert ApprovalState.PENDING is pending.state
