"""Rules of storage conformance about owners: two who use the same ids never notice each other."""

from palaver import RunStatus, Storage
from palaver.storage import (
    AppendEvents,
    Busy,
    Claimed,
    ClaimToolCall,
    ClearSession,
    CreateSession,
    DecideApproval,
    Decided,
    DeleteSession,
    Done,
    EventRow,
    Missing,
    NotClaimed,
    Owner,
    RecordUsage,
    RenameSession,
    RenewLease,
    RunId,
    SessionMade,
    SettleToolCall,
    ToolCallState,
)
from palaver.testing.storage_case import (
    ALICE,
    BOB,
    LEASE,
    SESSION,
    StorageCase,
    answer,
    approval,
    begin,
    finish,
    said,
    usage_row,
)

__all__ = ["check_foreign_reads", "check_foreign_writes", "check_same_ids"]

RUN = RunId("r-1")
CANARY = "canary-alice"


async def fill(case: StorageCase) -> None:
    """Give Alice one of everything, her canary in each."""
    await case.begun(begin(1, messages=(said(CANARY, "q-1"),), title=CANARY))
    await case.storage.write(ClaimToolCall(ALICE, SESSION, RUN, "call-1"))
    await case.storage.write(SettleToolCall(ALICE, SESSION, RUN, "call-1", CANARY))
    await case.finished(
        finish(
            1,
            messages=(answer(1, text=CANARY),),
            row=EventRow(1, 2, CANARY.encode()),
            status=RunStatus.AWAITING_APPROVAL,
            approvals=(approval(),),
            error={"code": CANARY},
            usage=(usage_row("c-1"),),
        )
    )


async def seen(storage: Storage, owner: Owner) -> list[object]:
    """Read everything there is by Alice's ids, as *owner*."""
    return [
        await storage.get_session(owner, SESSION),
        (await storage.list_sessions(owner, limit=10, count=True)).items,
        (await storage.list_sessions(owner, limit=10, after=SESSION)).items,
        await storage.list_messages(owner, SESSION, limit=10),
        await storage.history(owner, SESSION, limit=10),
        await storage.get_run(owner, RUN),
        await storage.active_run(owner, SESSION),
        await storage.read_events(owner, RUN),
        await storage.get_approval(owner, approval().id),
        await storage.list_approvals(owner),
        await storage.list_approvals(owner, session_id=SESSION),
    ]


async def check_foreign_reads(case: StorageCase) -> None:
    """To a stranger, what belongs to somebody looks exactly like what never was."""
    before = await seen(case.storage, BOB)
    await fill(case)
    assert before == await seen(case.storage, BOB)
    assert CANARY not in repr(before)
    assert 0 == (await case.storage.list_sessions(BOB, limit=10, count=True)).total
    assert CANARY in repr(await seen(case.storage, ALICE))


async def check_foreign_writes(case: StorageCase) -> None:
    """A stranger's writes by somebody's ids find nothing and change nothing."""
    await fill(case)
    before = await seen(case.storage, ALICE)
    ops = (
        RenameSession(BOB, SESSION, "mine"),
        RenameSession(BOB, SESSION, "mine", only_default=True),
        ClearSession(BOB, SESSION),
        DeleteSession(BOB, SESSION),
        begin(2, owner=BOB, title=None),
        AppendEvents(BOB, SESSION, RUN, EventRow(3, 3, b"x")),
        RenewLease(BOB, SESSION, RUN, LEASE),
        finish(1, owner=BOB),
        DecideApproval(BOB, SESSION, approval().id, ("call-1",)),
        SettleToolCall(BOB, SESSION, RUN, "call-1", "x"),
    )
    for op in ops:
        assert Missing() == await case.storage.write(op), f"{type(op).__name__} found what is somebody else's"
    claim = await case.storage.write(ClaimToolCall(BOB, SESSION, RUN, "call-1"))
    assert NotClaimed(ToolCallState.UNKNOWN) == claim
    await case.storage.write(RecordUsage(BOB, (usage_row("c-1"),)))
    assert before == await seen(case.storage, ALICE)


async def check_same_ids(case: StorageCase) -> None:
    """Two owners live through the same chat with the same ids, side by side."""
    for owner, other in ((ALICE, BOB), (BOB, ALICE)):
        made = await case.storage.write(CreateSession(owner, SESSION, f"of {owner}"))
        assert isinstance(made, SessionMade)
        assert (True, f"of {owner}") == (made.created, made.session.title), f"collided with {other}"
    for owner in (ALICE, BOB):
        begun = await case.begun(begin(1, owner=owner, messages=(said(f"by {owner}", "q-1"),)))
        assert owner == begun.run.owner
        row = EventRow(1, 1, owner.encode())
        await case.storage.write(AppendEvents(owner, SESSION, RUN, row))
        assert Claimed() == await case.storage.write(ClaimToolCall(owner, SESSION, RUN, "call-1"))
    for owner in (ALICE, BOB):
        assert Busy(RUN) == await case.storage.write(begin(2, owner=owner))
        await case.storage.write(SettleToolCall(owner, SESSION, RUN, "call-1", f"for {owner}"))
        await case.finished(
            finish(1, owner=owner, status=RunStatus.AWAITING_APPROVAL, approvals=(approval(),), usage=(usage_row("c"),))
        )
    for owner in (ALICE, BOB):
        assert [f"by {owner}", "answer 1"] == [item.message.text for item in await case.messages(owner)]
        assert (EventRow(1, 1, owner.encode()),) == await case.storage.read_events(owner, RUN)
        decided = await case.storage.write(DecideApproval(owner, SESSION, approval().id, ()))
        assert isinstance(decided, Decided), "one owner's decision must not be the other's"
        assert owner == decided.approval.owner
        call = await case.storage.write(ClaimToolCall(owner, SESSION, RUN, "call-1"))
        assert NotClaimed(ToolCallState.DONE, f"for {owner}") == call
    await case.storage.write(RenameSession(ALICE, SESSION, "renamed"))
    await case.storage.write(ClearSession(ALICE, SESSION))
    assert Done() == await case.storage.write(DeleteSession(ALICE, SESSION))
    session = await case.storage.get_session(BOB, SESSION)
    assert session is not None
    assert "of bob" == session.title
    assert [f"by {BOB}", "answer 1"] == [item.message.text for item in await case.messages(BOB)]
    assert await case.storage.get_run(BOB, RUN) is not None
