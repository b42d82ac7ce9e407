"""Rules of storage conformance about approvals, decided once, and tool calls, claimed once."""

import asyncio

from palaver import Approval, ApprovalState, RunStatus, ToolCallPart
from palaver.storage import (
    AlreadyDecided,
    Claimed,
    ClaimToolCall,
    DecideApproval,
    Decided,
    Done,
    Expired,
    Missing,
    NotClaimed,
    RunId,
    SessionId,
    SettleToolCall,
    ToolCallState,
)
from palaver.testing.storage_case import ALICE, CALL, GONE, SESSION, StorageCase, approval, begin, finish

__all__ = [
    "check_approval",
    "check_approval_expires",
    "check_approval_once",
    "check_approval_survives",
    "check_claim",
    "check_claim_of_ended_run",
]

SECOND = ToolCallPart("call-2", "read_file", '{"path": "/etc/hosts"}')
RUN = RunId("r-1")


def decide(*approved: str, session_id: SessionId = SESSION) -> DecideApproval:
    """Make the decision that allows the calls *approved*."""
    return DecideApproval(ALICE, session_id, approval().id, approved)


async def ask(case: StorageCase, seconds: float = 600.0) -> None:
    """Play a run that ends by asking for both calls."""
    await case.begun(begin(1))
    asked = approval(calls=(CALL, SECOND))
    await case.finished(finish(1, status=RunStatus.AWAITING_APPROVAL, approvals=(asked,), approval_seconds=seconds))


async def check_approval(case: StorageCase) -> None:
    """A request for approval keeps the very calls, is listed while pending, and allows only what it asked for."""
    await ask(case)
    asked = await case.storage.get_approval(ALICE, approval().id)
    assert isinstance(asked, Approval)
    assert (CALL, SECOND) == asked.calls, "the arguments come back to the letter"
    assert (ALICE, SESSION, RUN, ApprovalState.PENDING) == (asked.owner, asked.session_id, asked.run_id, asked.state)
    assert asked.expires_at is not None
    assert asked.created_at is not None
    assert asked.expires_at > asked.created_at
    assert (asked,) == await case.storage.list_approvals(ALICE)
    assert (asked,) == await case.storage.list_approvals(ALICE, session_id=SESSION)
    assert () == await case.storage.list_approvals(ALICE, session_id=SessionId("s-2"))
    assert Missing() == await case.storage.write(decide("call-1", session_id=SessionId("s-2")))
    assert Missing() == await case.storage.write(DecideApproval(ALICE, SESSION, type(asked.id)("none"), ("call-1",)))
    decided = await case.storage.write(decide("call-2", "call-never-asked"))
    assert isinstance(decided, Decided)
    assert (ApprovalState.APPROVED, ("call-2",)) == (decided.approval.state, decided.approval.approved_ids)
    assert (CALL, SECOND) == decided.approval.calls
    assert decided.approval.decided_at is not None
    assert decided.approval == await case.storage.get_approval(ALICE, approval().id)
    assert () == await case.storage.list_approvals(ALICE)


async def check_approval_once(case: StorageCase) -> None:
    """Of ten who decide at once one counts, and the others hear what was decided."""
    await ask(case)
    tries = [decide("call-1"), decide()] * 5
    results = await asyncio.gather(*(case.storage.write(op) for op in tries))
    decided = [result.approval for result in results if isinstance(result, Decided)]
    assert 1 == len(decided), f"{len(decided)} decisions counted"
    assert 9 == results.count(AlreadyDecided(decided[0]))
    assert decided[0] == await case.storage.get_approval(ALICE, approval().id)


async def check_approval_expires(case: StorageCase) -> None:
    """Nothing can be decided when the time is over."""
    await ask(case, seconds=-1.0)
    assert () == await case.storage.list_approvals(ALICE)
    for _ in range(2):
        expired = await case.storage.write(decide("call-1"))
        assert isinstance(expired, Expired)
        assert (ApprovalState.EXPIRED, ()) == (expired.approval.state, expired.approval.approved_ids)


async def check_approval_survives(case: StorageCase) -> None:
    """A request for approval outlives the server that asked."""
    await ask(case)
    await case.reopen()
    results = await asyncio.gather(*(case.storage.write(decide("call-1")) for _ in range(2)))
    assert [AlreadyDecided, Decided] == sorted((type(result) for result in results), key=lambda kind: kind.__name__)
    assert (CALL, SECOND) == results[0].approval.calls


async def check_claim(case: StorageCase) -> None:
    """Of ten who would run a call one may; the others hear how far it is, and its result."""
    await case.begun(begin(1))
    claim = ClaimToolCall(ALICE, SESSION, RUN, "call-1")
    results = await asyncio.gather(*(case.storage.write(claim) for _ in range(10)))
    assert 1 == results.count(Claimed())
    assert 9 == results.count(NotClaimed(ToolCallState.RUNNING))
    settle = SettleToolCall(ALICE, SESSION, RUN, "call-1", "broken", is_error=True)
    assert Done() == await case.storage.write(settle)
    assert Done() == await case.storage.write(SettleToolCall(ALICE, SESSION, RUN, "call-1", "again"))
    assert NotClaimed(ToolCallState.DONE, "broken", True) == await case.storage.write(claim)
    assert Missing() == await case.storage.write(SettleToolCall(ALICE, SESSION, RUN, "call-2", "x"))
    assert Claimed() == await case.storage.write(ClaimToolCall(ALICE, SESSION, RUN, "call-2"))
    await case.finished(finish(1))
    await case.begun(begin(2))
    assert Claimed() == await case.storage.write(ClaimToolCall(ALICE, SESSION, RunId("r-2"), "call-1"))


async def check_claim_of_ended_run(case: StorageCase) -> None:
    """A call of a run that is over, or never was, is not run any more."""
    nothing = NotClaimed(ToolCallState.UNKNOWN)
    assert nothing == await case.storage.write(ClaimToolCall(ALICE, SESSION, RUN, "call-1"))
    await case.begun(begin(1, lease=GONE))
    await case.begun(begin(2))
    assert nothing == await case.storage.write(ClaimToolCall(ALICE, SESSION, RUN, "call-1")), (
        "the run was taken from its server: its tools must not start"
    )
