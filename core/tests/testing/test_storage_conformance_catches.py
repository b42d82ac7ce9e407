"""The rules of storage conformance have teeth: each catches a storage that breaks it."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count

import attrs
import pytest
from palaver import ApprovalState, Message, StorageError, TextPart
from palaver.storage import (
    AlreadyEnded,
    Appended,
    BeginSend,
    Claimed,
    CreateSession,
    Done,
    Missing,
    Owner,
    RenewLease,
    SessionMade,
    UsageRow,
)
from palaver.testing import MemoryStorage, StorageConformance, memory_storage
from palaver.testing.storage_conformance import STORAGE_RULES, run_storage_rule


class IgnoresTheOwner(MemoryStorage):
    """Everything belongs to everybody."""

    def _apply(self, op):
        return super()._apply(attrs.evolve(op, owner=Owner("everybody")))

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name.startswith(("get_", "list_", "read_", "history", "active_")):
            return lambda owner, *args, **more: found(Owner("everybody"), *args, **more)
        return found


class MakesSessionsAnew(MemoryStorage):
    def _create(self, op):
        self._sessions.pop((op.owner, op.session_id), None)
        return super()._create(op)


class RepeatsAsMade(MemoryStorage):
    def _create(self, op):
        return SessionMade(super()._create(op).session, created=True)


class RenamesMissing(MemoryStorage):
    def _rename(self, op):
        super()._rename(op)
        return Done()


class NamesAnyTitle(MemoryStorage):
    def _rename(self, op):
        return super()._rename(attrs.evolve(op, only_default=False))


class ListsOldestFirst(MemoryStorage):
    async def list_sessions(self, owner, **more):
        page = await super().list_sessions(owner, **more)
        return attrs.evolve(page, items=page.items[::-1])


class ClearsOnlyMessages(MemoryStorage):
    def _clear(self, op):
        events = {key: dict(log) for key, log in self._events.items()}
        result = super()._clear(op)
        self._events = events
        return result


class IsNeverBusy(MemoryStorage):
    def _busy(self, owner, session_id):
        return None


class DeletesOnlyTheSession(MemoryStorage):
    def _delete(self, op):
        return Done() if self._sessions.pop((op.owner, op.session_id), None) else Missing()


class BringsBackWhatWasDeleted(MemoryStorage):
    def _delete(self, op):
        self._kept = self._sessions.get((op.owner, op.session_id))
        return super()._delete(op)

    def _finish(self, op):
        result = super()._finish(op)
        if isinstance(result, Missing) and getattr(self, "_kept", None):
            self._sessions[op.owner, op.session_id] = self._kept
        return result


class LeavesGaps(MemoryStorage):
    def _store(self, key, messages, run_id):
        self._sessions[key] = attrs.evolve(self._sessions[key], last_seq=self._sessions[key].last_seq + 1)
        return super()._store(key, messages, run_id)


class ForgetsTheParent(MemoryStorage):
    def _store(self, key, messages, run_id):
        stored = super()._store(key, messages, run_id)
        self._messages[key] = [attrs.evolve(message, parent_id=None) for message in self._messages[key]]
        return stored

    def _branch(self, owner, session_id):
        return self._messages.get((owner, session_id))


class IgnoresTheOffset(MemoryStorage):
    async def list_messages(self, owner, session_id, *, limit, offset=0, after_seq=0):
        return await super().list_messages(owner, session_id, limit=limit, after_seq=after_seq)


class TellsTheOldest(MemoryStorage):
    async def history(self, owner, session_id, *, limit):
        return tuple((self._branch(owner, session_id) or [])[:limit])


class KnowsNoBranches(MemoryStorage):
    def _branch(self, owner, session_id):
        return self._messages.get((owner, session_id))


class KeepsOnlyText(MemoryStorage):
    def _store(self, key, messages, run_id):
        plain = [attrs.evolve(item, message=Message(item.message.role, item.message.text)) for item in messages]
        return super()._store(key, tuple(plain), run_id)


class CutsLongText(MemoryStorage):
    def _store(self, key, messages, run_id):
        short = [
            attrs.evolve(item, message=Message(item.message.role, (TextPart(item.message.text[:65535]),)))
            for item in messages
        ]
        return super()._store(key, tuple(short), run_id)


class MakesUntitledSessions(MemoryStorage):
    def _begin(self, op):
        return super()._begin(attrs.evolve(op, title=op.title or ""))


class BeginsAgain(MemoryStorage):
    def _begin(self, op):
        if self._runs.pop((op.owner, op.run_id), None):
            fresh = count(1000)
            op = attrs.evolve(op, messages=tuple(attrs.evolve(m, id=f"n-{next(fresh)}") for m in op.messages))
        return super()._begin(op)


class IgnoresTheBody(MemoryStorage):
    def _begin(self, op):
        if op.idempotency:
            op = attrs.evolve(op, idempotency=attrs.evolve(op.idempotency, body_hash="same"))
        return super()._begin(op)


class IgnoresTheKey(MemoryStorage):
    def _begin(self, op):
        return super()._begin(attrs.evolve(op, idempotency=None))


class KeepsTheShorterFlush(MemoryStorage):
    def _log(self, row, events):
        if events.first_seq in self._events.get((row.run.owner, row.run.id), {}):
            return row.run.last_seq
        return super()._log(row, events)


class LogsAfterTheEnd(MemoryStorage):
    def _append(self, op):
        row = self._runs.get((op.owner, op.run_id))
        return Appended(self._log(row, op.row)) if row else Missing()


class DropsTheError(MemoryStorage):
    def _finish(self, op):
        return super()._finish(attrs.evolve(op, error=None))


class FinishesTwice(MemoryStorage):
    def _finish(self, op):
        result = super()._finish(op)
        if isinstance(result, AlreadyEnded):
            self._store(
                (op.owner, op.session_id), tuple(attrs.evolve(m, id=m.id + "b") for m in op.messages), op.run_id
            )
        return result


class RenewsForAnybody(MemoryStorage):
    def _renew(self, op):
        row = self._runs.get((op.owner, op.run_id))
        server = row.server_id if row else ""
        return super()._renew(RenewLease(op.owner, op.session_id, op.run_id, attrs.evolve(op.lease, server_id=server)))


class SweepsForAlice(MemoryStorage):
    async def expired_runs(self, *, limit=100):
        return tuple(run for run in await super().expired_runs(limit=limit) if run.owner == "alice")


class LosesOvertakenText(MemoryStorage):
    def _busy(self, owner, session_id):
        busy = super()._busy(owner, session_id)
        for row in self._rows_of(owner, session_id):
            row.needs_fold = False
        return busy


class CountsUsageTwice(MemoryStorage):
    def _keep_usage(self, owner, rows):
        for row in rows:
            self._usage[owner, f"{row.call_id}/{len(self._usage)}"] = row


class LosesUsageOfDeleted(MemoryStorage):
    def _finish(self, op):
        known = (op.owner, op.run_id) in self._runs
        return super()._finish(op if known else attrs.evolve(op, usage=()))


class StoresHalf(MemoryStorage):
    """Makes the session before it looks whether the rest is possible."""

    def _begin(self, op):
        if op.title is not None and (op.owner, op.run_id) not in self._runs and not op.idempotency:
            self._create(CreateSession(op.owner, op.session_id, op.title))
        return super()._begin(op)


class FailsTogether(MemoryStorage):
    """One impossible write spoils those that come after it."""

    _spoilt = False

    def _apply(self, op):
        if self._spoilt:
            raise StorageError("the batch failed")
        try:
            return super()._apply(op)
        except StorageError:
            self._spoilt = True
            raise


class PausesHalfway(MemoryStorage):
    async def write(self, op):
        if isinstance(op, BeginSend) and op.title is not None and (op.owner, op.run_id) not in self._runs:
            self._create(CreateSession(op.owner, op.session_id, op.title))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return await super().write(op)


class ChecksWithASession(MemoryStorage):
    async def check(self, *, write=False):
        if write:
            self._create(CreateSession(Owner("alice"), "check", "check"))


class ParsesArguments(MemoryStorage):
    def _finish(self, op):
        asked = [
            attrs.evolve(item, calls=tuple(attrs.evolve(call, arguments="{}") for call in item.calls))
            for item in op.approvals
        ]
        return super()._finish(attrs.evolve(op, approvals=tuple(asked)))


class DecidesAgain(MemoryStorage):
    def _decide(self, op):
        key = (op.owner, op.approval_id)
        if key in self._approvals:
            self._approvals[key] = attrs.evolve(self._approvals[key], state=ApprovalState.PENDING)
        return super()._decide(op)


class NeverExpires(MemoryStorage):
    def _after(self, seconds):
        return super()._after(abs(seconds)) + timedelta(hours=1)


class ClaimsAgain(MemoryStorage):
    def _claim(self, op):
        super()._claim(op)
        return Claimed()


class ClaimsForLostRuns(MemoryStorage):
    def _claim(self, op):
        known = self._runs.get((op.owner, op.run_id))
        claimed = (op.owner, op.run_id, op.call_id) in self._tool_calls
        return Claimed() if known and not claimed else super()._claim(op)


class LosesTheUser(MemoryStorage):
    """Ends without what the answer's run produced."""

    def _finish(self, op):
        return super()._finish(attrs.evolve(op, messages=()))


BREAKS = {
    IgnoresTheOwner: {"foreign_reads", "foreign_writes", "same_ids"},
    MakesSessionsAnew: {"create"},
    RepeatsAsMade: {"create"},
    RenamesMissing: {"rename", "rename_default", "foreign_writes"},
    NamesAnyTitle: {"rename_default"},
    ListsOldestFirst: {"list"},
    ClearsOnlyMessages: {"clear"},
    IsNeverBusy: {"busy", "clear_while_busy", "same_ids"},
    DeletesOnlyTheSession: {"delete", "delete_while_running"},
    BringsBackWhatWasDeleted: {"delete_while_running"},
    LeavesGaps: {"order", "pages"},
    ForgetsTheParent: {"order"},
    IgnoresTheOffset: {"pages"},
    TellsTheOldest: {"history"},
    KnowsNoBranches: {"branches"},
    KeepsOnlyText: {"content"},
    CutsLongText: {"big_message"},
    MakesUntitledSessions: {"begin", "foreign_writes"},
    BeginsAgain: {"begin_again"},
    IgnoresTheBody: {"idempotency"},
    IgnoresTheKey: {"idempotency", "clear"},
    KeepsTheShorterFlush: {"events"},
    LogsAfterTheEnd: {"events"},
    DropsTheError: {"finish"},
    LosesTheUser: {"finish", "finish_again"},
    FinishesTwice: {"finish_again"},
    RenewsForAnybody: {"lease"},
    SweepsForAlice: {"lease"},
    LosesOvertakenText: {"overtaken"},
    CountsUsageTwice: {"usage"},
    LosesUsageOfDeleted: {"usage"},
    StoresHalf: {"failure_is_alone"},
    FailsTogether: {"failure_is_alone"},
    PausesHalfway: {"given_up"},
    ChecksWithASession: {"check"},
    ParsesArguments: {"approval"},
    DecidesAgain: {"approval_once"},
    NeverExpires: {"approval_expires"},
    ClaimsAgain: {"claim"},
    ClaimsForLostRuns: {"claim_of_ended_run"},
}


class Suite(StorageConformance):
    """Tells of a storage by its class; pytest does not collect it."""

    def __init__(self, make):
        self.make = make

    @asynccontextmanager
    async def open_storage(self, folder):
        yield self.make()

    async def usage_rows(self, storage, owner):
        rows: list[UsageRow] = storage.usage_rows(owner)
        return [row.call_id for row in rows]


@pytest.mark.parametrize(("broken", "rule"), [(kind, rule) for kind, rules in BREAKS.items() for rule in sorted(rules)])
def test_a_broken_storage_is_caught(broken, rule, tmp_path):
    with pytest.raises((AssertionError, ExceptionGroup, KeyError)):
        run_storage_rule(rule, Suite(broken), tmp_path)


def test_unstorable_text_that_is_kept_is_caught(monkeypatch, tmp_path):
    monkeypatch.setattr(memory_storage, "clean", lambda value: value)
    with pytest.raises(AssertionError):
        run_storage_rule("unstorable_text", Suite(MemoryStorage), tmp_path)


@pytest.mark.parametrize("rule", ["reopening", "approval_survives"])
def test_a_storage_that_only_claims_to_be_durable_is_caught(rule, tmp_path):
    with pytest.raises(AssertionError):
        run_storage_rule(rule, Suite(MemoryStorage), tmp_path)


def test_every_rule_catches_something():
    caught = set.union(*BREAKS.values()) | {"unstorable_text", "reopening", "approval_survives"}
    assert set(STORAGE_RULES) == caught


def test_a_skip_needs_a_known_rule_and_a_reason(tmp_path):
    with pytest.raises(AssertionError, match="unknown rule 'nonsense'"):
        run_storage_rule("create", Suite(MemoryStorage), tmp_path, {"nonsense": "because"})
    with pytest.raises(AssertionError, match="write down the reason"):
        run_storage_rule("create", Suite(MemoryStorage), tmp_path, {"create": " "})
    with pytest.raises(pytest.skip.Exception, match="no such thing"):
        run_storage_rule("create", Suite(MemoryStorage), tmp_path, {"create": "no such thing"})
