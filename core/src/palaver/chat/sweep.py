"""Ends the runs of processes that died: what their logs hold becomes interrupted messages.

Runs at start and then regularly. A run's own process renews its lease, so only the abandoned are touched; and
whoever ends a run first wins, so several servers may sweep at once. May touch storage and the clock.
"""

import logging
from collections.abc import Iterable, Mapping

import attrs

from palaver.chat.active import keep_steps
from palaver.chat.host import Host
from palaver.chat.journal import read_row, write_row
from palaver.chat.runs import Runs
from palaver.chat.turn import Step
from palaver.codec import Codec
from palaver.contracts.storage import AlreadyEnded, Finished, FinishRun, UsageRow
from palaver.domain import FinishReason, Message, MessageStatus, Role, Run, RunStatus, TextPart, ToolResultPart, Usage
from palaver.errors import DecodeError, StorageError
from palaver.events import LegEnded, RoundStarted, RunEnded, RunEvent, ToolExecuted
from palaver.fold import Fold

__all__ = ["RESUME_GAP", "Sweep", "end_from_log", "fold_log"]

logger = logging.getLogger("palaver.chat")

#: Seconds between two sweeps.
_PERIOD = 5.0
_PAGE = 100
#: The end of a run whose process died is numbered this far above its stored events: a client may have seen
#: numbers that were never stored, and resuming from any of them must still deliver the end.
RESUME_GAP = 1_000_000


def fold_log(events: Iterable[RunEvent], status: MessageStatus) -> Mapping[int, list[Step]]:
    """Fold a run's events into the steps of each leg; what no fact has completed gets *status*."""
    legs: dict[int, list[Step]] = {}
    folds: dict[int, Fold] = {}

    def complete(leg: int, ended: LegEnded | None = None) -> None:
        fold = folds.pop(leg, None)
        if fold is None or fold.empty:
            return
        if fold.finished is not None:
            reason: FinishReason | None = fold.finished.reason
            step = Step(fold.message(), MessageStatus.COMPLETE, reason, fold.usage)
        else:
            step = Step(fold.message(), status, None, fold.usage)
        if ended is not None:
            step = attrs.evolve(step, usage=ended.usage or step.usage, served_by=ended.served_by)
        legs.setdefault(leg, []).append(step)

    for event in events:
        body = event.body
        if isinstance(body, tuple):
            folds.setdefault(event.leg, Fold()).feed(body)
            continue
        match body:
            case RoundStarted():
                complete(event.leg)
            case ToolExecuted():
                complete(event.leg)
                for execution in body.executions:
                    result = ToolResultPart(
                        execution.call_id,
                        (TextPart(execution.result),),
                        execution.tool_name,
                        is_error=execution.error is not None,
                    )
                    legs.setdefault(event.leg, []).append(Step(Message(Role.TOOL, (result,)), executions=(execution,)))
            case LegEnded():
                complete(event.leg, body)
            case _:
                pass
    for leg in list(folds):
        complete(leg)
    return legs


async def end_from_log(host: Host, codec: Codec, run: Run, status: RunStatus) -> RunStatus:
    """End a run that nobody generates, with what its stored log holds; returns the status it now has.

    Raises:
        StorageError: storage could not be read or written.
    """
    events: list[RunEvent] = []
    cursor = 0
    while rows := await host.storage.read_events(run.owner, run.id, after_seq=cursor):
        for row in rows:
            try:
                events.extend(event for event in read_row(codec, row) if event.seq > cursor)
            except DecodeError as error:
                # Better an answer with a gap than a session that stays busy.
                logger.error("run %s: %s", run.id, error)
            cursor = row.last_seq
    partial = MessageStatus.CANCELLED if status is RunStatus.CANCELLED else MessageStatus.INTERRUPTED
    legs = fold_log(events, partial)
    usage = tuple(
        UsageRow(host.new_id("call"), step.usage or Usage(), step.served_by, session_id=run.session_id, run_id=run.id)
        for steps in legs.values()
        for step in steps
        if step.served_by is not None
    )
    last = RunEvent(cursor + RESUME_GAP, 0, RunEnded(status))
    op = FinishRun(
        run.owner,
        run.session_id,
        run.id,
        status,
        tuple(row for leg in sorted(legs) for row in keep_steps(run, leg, legs[leg], host.new_id)),
        row=write_row(codec, [last]),
        usage=usage,
    )
    answer = await host.storage.write(op)
    if isinstance(answer, AlreadyEnded):
        return answer.status
    if isinstance(answer, Finished):
        logger.warning("run %s was abandoned and is %s now, with %d messages", run.id, status, len(op.messages))
    return status


class Sweep:
    """Looks for abandoned runs, at once and every few seconds."""

    def __init__(self, host: Host, codec: Codec, runs: Runs) -> None:
        self._host = host
        self._codec = codec
        self._runs = runs

    async def run(self) -> None:
        """Sweep until cancelled; storage being away only delays it."""
        while True:
            try:
                await self.once()
            except StorageError as error:
                logger.warning("abandoned runs could not be looked for: %s", error)
            except Exception:
                # The next sweep must come, whatever one odd run holds.
                logger.exception("a sweep failed")
            await self._host.clock.sleep(_PERIOD)

    async def once(self) -> int:
        """Store what waits for storage, then end the abandoned runs there are now; returns how many."""
        await self._runs.store_late()
        ended = 0
        while True:
            expired = await self._host.storage.expired_runs(limit=_PAGE)
            # Our own: storage was away for longer than the lease, and comes back just now.
            abandoned = [run for run in expired if run.id not in self._runs]
            for run in abandoned:
                await end_from_log(self._host, self._codec, run, RunStatus.INTERRUPTED)
            ended += len(abandoned)
            if len(abandoned) < _PAGE:
                return ended
