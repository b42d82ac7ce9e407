"""The operations of the storage in memory, one method each, none of them ever halfway. May touch: its tables."""

from datetime import timedelta

import attrs

from palaver.domain import ApprovalState, Role, Run, RunStatus, Session
from palaver.ids import Owner
from palaver.storage import (
    AlreadyDecided,
    AlreadyEnded,
    Appended,
    AppendEvents,
    BeginSend,
    Begun,
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
    Expired,
    Finished,
    FinishRun,
    Mismatched,
    Missing,
    NotClaimed,
    RecordUsage,
    RenameSession,
    RenewLease,
    Replayed,
    SessionMade,
    SettleToolCall,
    ToolCallState,
    WriteOp,
    WriteResult,
)
from palaver.testing.memory_tables import MemoryTables, RunRow

__all__ = ["MemoryWrites"]

#: How long an idempotency key is remembered.
KEY_LIFE = timedelta(hours=24)


class MemoryWrites(MemoryTables):
    """Applies operations as the databases do."""

    def _apply(self, op: WriteOp) -> WriteResult:
        match op:
            case CreateSession():
                return self._create(op)
            case RenameSession():
                return self._rename(op)
            case DeleteSession():
                return self._delete(op)
            case ClearSession():
                return self._clear(op)
            case BeginSend():
                return self._begin(op)
            case AppendEvents():
                return self._append(op)
            case FinishRun():
                return self._finish(op)
            case RenewLease():
                return self._renew(op)
            case DecideApproval():
                return self._decide(op)
            case ClaimToolCall():
                return self._claim(op)
            case SettleToolCall():
                return self._settle(op)
            case RecordUsage():
                self._keep_usage(op.owner, op.rows)
                return Done()

    def _create(self, op: CreateSession) -> SessionMade:
        key = (op.owner, op.session_id)
        if key in self._sessions:
            return SessionMade(self._sessions[key], created=False)
        now = self._clock.now()
        session = Session(op.session_id, op.owner, op.title, now, now, title_is_default=op.title_is_default)
        self._sessions[key] = session
        self._messages[key] = []
        return SessionMade(session, created=True)

    def _rename(self, op: RenameSession) -> Done | Missing:
        key = (op.owner, op.session_id)
        session = self._sessions.get(key)
        if session is None:
            return Missing()
        if op.only_default and not session.title_is_default:
            return Done() if session.title == op.title else Missing()
        updated = session.updated_at if op.only_default else self._moment(session)
        self._sessions[key] = attrs.evolve(session, title=op.title, title_is_default=False, updated_at=updated)
        return Done()

    def _delete(self, op: DeleteSession) -> Done | Missing:
        key = (op.owner, op.session_id)
        if self._sessions.pop(key, None) is None:
            return Missing()
        del self._messages[key]
        self._forget_approvals(op.owner, op.session_id)
        for row in list(self._rows_of(op.owner, op.session_id)):
            del self._runs[op.owner, row.run.id]
            self._events.pop((op.owner, row.run.id), None)
            for claim in [claim for claim in self._tool_calls if claim[:2] == (op.owner, row.run.id)]:
                del self._tool_calls[claim]
        return Done()

    def _clear(self, op: ClearSession) -> Done | Missing | Busy:
        key = (op.owner, op.session_id)
        session = self._sessions.get(key)
        if session is None:
            return Missing()
        busy = self._busy(op.owner, op.session_id)
        if busy is not None:
            return busy
        for row in self._rows_of(op.owner, op.session_id):
            row.needs_fold = False
            self._events.pop((op.owner, row.run.id), None)
        self._forget_approvals(op.owner, op.session_id)
        self._messages[key] = []
        self._sessions[key] = attrs.evolve(
            session, head_id=None, last_seq=0, message_count=0, branched=False, updated_at=self._moment(session)
        )
        return Done()

    def _begin(self, op: BeginSend) -> Begun | Busy | Replayed | Mismatched | Missing:
        key = (op.owner, op.session_id)
        known = self._runs.get((op.owner, op.run_id))
        if known is not None:
            return self._begun_before(op, known)
        if op.idempotency is not None:
            earlier = self._by_key(op.owner, op.idempotency.key)
            if earlier is not None:
                if earlier.body_hash != op.idempotency.body_hash:
                    return Mismatched(earlier.run.id)
                return Replayed(earlier.run)
        session = self._sessions.get(key)
        if session is None and (op.title is None or op.parent_id is not None):
            return Missing()
        if op.parent_id is not None and self._find(key, op.parent_id) is None:
            return Missing()
        busy = self._busy(op.owner, op.session_id)
        if busy is not None:
            return busy
        self._check_new_ids(op.owner, op.messages)
        if session is None:
            self._create(CreateSession(op.owner, op.session_id, op.title or ""))
        elif op.parent_id is not None and op.parent_id != session.head_id:
            depth = sum(1 for _ in self._path(key, op.parent_id))
            self._sessions[key] = attrs.evolve(session, head_id=op.parent_id, message_count=depth, branched=True)
        messages = self._store(key, op.messages, op.run_id)
        said = [message.id for message in messages if message.message.role is Role.USER]
        run = Run(
            op.run_id,
            op.owner,
            op.session_id,
            RunStatus.RUNNING,
            user_message_id=said[-1] if said else None,
            message_id=op.message_id,
            model=op.model,
            created_at=self._sessions[key].updated_at,
        )
        row = RunRow(run, op.lease.server_id, self._after(op.lease.seconds))
        if op.idempotency is not None:
            row.key, row.body_hash = op.idempotency.key, op.idempotency.body_hash
        self._runs[op.owner, op.run_id] = row
        return Begun(run, self._sessions[key], messages, created_session=session is None)

    def _begun_before(self, op: BeginSend, row: RunRow) -> Begun | Missing:
        if row.run.session_id != op.session_id:
            return Missing()
        key = (op.owner, op.session_id)
        found = (self._find(key, message.id) for message in op.messages)
        messages = tuple(message for message in found if message is not None)
        return Begun(row.run, self._sessions[key], messages, created_session=False)

    def _by_key(self, owner: Owner, key: str) -> RunRow | None:
        for (of, _), row in self._runs.items():
            if of == owner and row.key == key:
                assert row.run.created_at is not None
                if row.run.created_at > self._clock.now() - KEY_LIFE:
                    return row
                row.key = None
        return None

    def _append(self, op: AppendEvents) -> Appended | Missing:
        row = self._run_of(op.owner, op.session_id, op.run_id)
        if row is None or row.run.status is not RunStatus.RUNNING:
            return Missing()
        return Appended(self._log(row, op.row))

    def _log(self, row: RunRow, events: EventRow) -> int:
        log = self._events.setdefault((row.run.owner, row.run.id), {})
        before = log.get(events.first_seq)
        if before is None or before.last_seq < events.last_seq:
            log[events.first_seq] = events
        row.run = attrs.evolve(row.run, last_seq=max(row.run.last_seq, events.last_seq))
        return row.run.last_seq

    def _finish(self, op: FinishRun) -> Finished | AlreadyEnded | Missing:
        key = (op.owner, op.session_id)
        row = self._run_of(op.owner, op.session_id, op.run_id)
        open_run = row is not None and (row.run.status is RunStatus.RUNNING or row.needs_fold)
        if open_run:
            self._check_new_ids(op.owner, op.messages)
        # Tokens were spent, whatever has become of the session.
        self._keep_usage(op.owner, op.usage)
        if row is None:
            return Missing()
        if not open_run:
            return AlreadyEnded(row.run.status)
        if op.row is not None:
            self._log(row, op.row)
        messages = self._store(key, op.messages, op.run_id)
        now = self._clock.now()
        for approval in op.approvals:
            self._approvals.setdefault(
                (op.owner, approval.id),
                attrs.evolve(
                    approval,
                    owner=op.owner,
                    session_id=op.session_id,
                    run_id=op.run_id,
                    state=ApprovalState.PENDING,
                    approved_ids=(),
                    created_at=now,
                    expires_at=self._after(op.approval_seconds),
                    decided_at=None,
                ),
            )
        row.run = attrs.evolve(row.run, status=op.status, error=op.error, ended_at=now)
        row.needs_fold = False
        return Finished(messages, self._sessions[key])

    def _renew(self, op: RenewLease) -> Done | Missing:
        row = self._run_of(op.owner, op.session_id, op.run_id)
        if row is None or row.run.status is not RunStatus.RUNNING or row.server_id != op.lease.server_id:
            return Missing()
        row.lease_until = self._after(op.lease.seconds)
        return Done()

    def _decide(self, op: DecideApproval) -> Decided | AlreadyDecided | Expired | Missing:
        key = (op.owner, op.approval_id)
        approval = self._approvals.get(key)
        if approval is None or approval.session_id != op.session_id:
            return Missing()
        if approval.state is ApprovalState.PENDING:
            assert approval.expires_at is not None
            if approval.expires_at <= self._clock.now():
                approval = self._approvals[key] = attrs.evolve(approval, state=ApprovalState.EXPIRED)
                return Expired(approval)
            allowed = tuple(call.id for call in approval.calls if call.id in op.approved_ids)
            approval = self._approvals[key] = attrs.evolve(
                approval,
                state=ApprovalState.APPROVED if allowed else ApprovalState.DENIED,
                approved_ids=allowed,
                decided_at=self._clock.now(),
            )
            return Decided(approval)
        return Expired(approval) if approval.state is ApprovalState.EXPIRED else AlreadyDecided(approval)

    def _claim(self, op: ClaimToolCall) -> Claimed | NotClaimed:
        row = self._run_of(op.owner, op.session_id, op.run_id)
        known = self._tool_calls.get((op.owner, op.run_id, op.call_id))
        if known is not None and row is not None:
            return known
        if row is None or row.run.status not in (RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL):
            return NotClaimed(ToolCallState.UNKNOWN)
        self._tool_calls[op.owner, op.run_id, op.call_id] = NotClaimed(ToolCallState.RUNNING)
        return Claimed()

    def _settle(self, op: SettleToolCall) -> Done | Missing:
        key = (op.owner, op.run_id, op.call_id)
        call = self._tool_calls.get(key)
        if call is None or self._run_of(op.owner, op.session_id, op.run_id) is None:
            return Missing()
        if call.state == ToolCallState.RUNNING:
            self._tool_calls[key] = NotClaimed(ToolCallState.DONE, op.result, op.is_error)
        return Done()
