"""One run: drives its legs, keeps its log, and ends it. The terminal event is told only after the commit.

May touch storage and the clock, never a watcher's connection.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from palaver.chat.host import Host
from palaver.chat.journal import Journal
from palaver.chat.log import RunLog
from palaver.chat.turn import Body, Emit, Step, Turn, describe_error
from palaver.codec import Codec
from palaver.contracts.pipeline import RunFinished
from palaver.contracts.storage import AlreadyEnded, Finished, FinishRun, Lease, Missing, RenewLease, UsageRow
from palaver.domain import MessageStatus, Run, RunStatus, Session, StoredMessage, Usage
from palaver.errors import StorageError, StorageUnavailable
from palaver.events import RunEnded, RunEvent, RunStarted
from palaver.ids import IdSource, MessageId

__all__ = ["ActiveRun", "MakeTurn", "keep_steps"]

logger = logging.getLogger("palaver.chat")

#: Real seconds after which a storage that does not even refuse is given up: nobody may wait for ever.
_FINISH_SECONDS = 120.0
_HURRIED_SECONDS = 5.0

#: Builds one leg's turn around the place its events go to.
MakeTurn = Callable[[Emit], Turn]

_PARTIAL = {
    RunStatus.CANCELLED: MessageStatus.CANCELLED,
    RunStatus.FAILED: MessageStatus.FAILED,
}


def keep_steps(run: Run, leg: int, steps: Sequence[Step], new_id: IdSource) -> tuple[StoredMessage, ...]:
    """Turn a leg's steps into rows, each below the one before; leg 0 begins with the run's own message id."""
    rows: list[StoredMessage] = []
    parent = run.user_message_id
    for index, step in enumerate(steps):
        if leg == 0 and index == 0 and run.message_id is not None:
            message_id = run.message_id
        else:
            message_id = MessageId(new_id(step.message.role.value))
        rows.append(
            StoredMessage(
                message_id,
                run.session_id,
                step.message,
                parent_id=parent,
                run_id=run.id,
                status=step.status,
                finish_reason=step.finish_reason,
                usage=step.usage,
                served_by=step.served_by,
                tool_executions=step.executions,
            )
        )
        parent = message_id
    return tuple(rows)


class ActiveRun:
    """One run: its log, its legs, its end.

    Args:
        run: As storage has begun it.
        legs: One per model; they stream at once into one sequence of numbers.
        on_end: Called after the terminal event has been told.
    """

    def __init__(
        self,
        host: Host,
        codec: Codec,
        run: Run,
        legs: Sequence[MakeTurn],
        on_end: Callable[["ActiveRun"], None],
    ) -> None:
        self._host = host
        self._on_end: Callable[[ActiveRun], None] | None = on_end
        self._stop: tuple[RunStatus, Mapping[str, Any] | None] | None = None
        self._entered = False
        self._finishing = False
        self._hurried = False
        self._unstored: tuple[FinishRun, RunEvent] | None = None
        self.task: asyncio.Task[Any] | None = None
        self._started = host.clock.monotonic()
        self._renewing = False
        self.renewed = self._started
        #: As it stands; its end is known here before storage tells.
        self.run = run
        self.log = RunLog(host.config.chat.window_bytes)
        self.journal = Journal(
            host,
            codec,
            run,
            self.log,
            on_lost=lambda: self.stop(RunStatus.INTERRUPTED),
            on_full=self._storage_is_away,
        )
        self.turns: tuple[Turn, ...] = tuple(make(self._emitter(leg)) for leg, make in enumerate(legs))
        #: What the run produced, once it is over: as stored, or as it would have been.
        self.messages: tuple[StoredMessage, ...] = ()
        #: The session after the final write; ``None`` when that failed.
        self.session: Session | None = None
        self.ended = asyncio.Event()
        self.ended_at = 0.0

    def start(self) -> None:
        """Tell the first event and begin to generate."""
        run = self.run
        user_message_id = run.user_message_id
        self._emitter(0)(RunStarted(run.session_id, user_message_id, run.message_id or "", run.model))
        task = self.task = self._host.jobs.start(self._execute(), f"run:{run.id}")
        task.add_done_callback(self._abandoned)

    def stop(self, status: RunStatus, error: Mapping[str, Any] | None = None) -> None:
        """Close the upstream and end with *status*; what has come so far is kept. Too late means no effect."""
        if self._stop is not None or self._finishing or self.task is None:
            return
        self._stop = (status, error)
        if self._entered:
            self.task.cancel()

    async def wait(self) -> None:
        """Return when the terminal event has been told."""
        await self.ended.wait()

    # --- generating --------------------------------------------------------------------------------

    def _emitter(self, leg: int) -> Emit:
        append, note = self.log.append, self.journal.note

        def emit(body: Body) -> "asyncio.Future[None] | None":
            return note(append(leg, body))

        return emit

    async def _execute(self) -> None:
        self._entered = True
        if self._stop is None:
            try:
                await self._run_legs()
                if self._stop is not None:
                    # Stopped from within, and nothing awaited since: the cancellation is still under way.
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
                if self._stop is None:
                    # Nobody of ours asked: the server's jobs are being ended.
                    self._stop = (RunStatus.INTERRUPTED, None)
                    self._hurried = True
        self._finishing = True
        status, error = self._stop or self._outcome()
        partial = _PARTIAL.get(status, MessageStatus.INTERRUPTED)
        for turn in self.turns:
            turn.close(partial)
        await self._finish(status, error)

    async def _run_legs(self) -> None:
        if len(self.turns) == 1:
            await self.turns[0].run()
            return
        async with asyncio.TaskGroup() as group:
            for turn in self.turns:
                group.create_task(turn.run())

    def _outcome(self) -> tuple[RunStatus, Mapping[str, Any] | None]:
        """Judge legs that came to their own end: the run has failed only when each of them has."""
        if any(turn.approvals for turn in self.turns):
            return RunStatus.AWAITING_APPROVAL, None
        errors = [turn.error for turn in self.turns]
        if all(error is not None for error in errors):
            return RunStatus.FAILED, errors[0]
        return RunStatus.DONE, None

    def _storage_is_away(self) -> None:
        error = StorageUnavailable("storage is not available and what waits for it has reached its limit")
        self.stop(RunStatus.FAILED, describe_error(error))

    # --- ending ------------------------------------------------------------------------------------

    async def _finish(self, status: RunStatus, error: Mapping[str, Any] | None) -> None:
        run = self.run
        new_id = self._host.new_id
        self.messages = tuple(
            row for leg, turn in enumerate(self.turns) for row in keep_steps(run, leg, turn.steps, new_id)
        )
        op = FinishRun(
            run.owner,
            run.session_id,
            run.id,
            status,
            self.messages,
            usage=tuple(self._usage()),
            approvals=tuple(approval for turn in self.turns for approval in turn.approvals),
            error=error,
        )
        last = RunEvent(self.log.last_seq + 1, 0, RunEnded(status, error))
        stored = False
        try:
            async with asyncio.timeout(_HURRIED_SECONDS if self._hurried else _FINISH_SECONDS):
                answer, tries = await self.journal.finish(op, last)
        except (StorageError, TimeoutError) as failure:
            if isinstance(failure, TimeoutError):
                failure = StorageUnavailable("storage did not answer")
            logger.error("run %s could not be stored: %s", run.id, failure)
            status, error = RunStatus.FAILED, error or describe_error(failure)
            self._unstored = (op, last)
        except Exception as failure:
            logger.exception("run %s could not be stored", run.id)
            status, error = RunStatus.FAILED, error or describe_error(failure)
        else:
            match answer:
                case Finished():
                    stored = True
                    self.messages, self.session = answer.messages, answer.session
                    self.log.flushed_seq = last.seq
                case AlreadyEnded():
                    # An earlier try of ours whose answer was lost, or somebody else: then only the log's
                    # flushed part is stored.
                    ours = tries > 1 and answer.status is status
                    unsaved = self.log.after(self.log.flushed_seq) or ()
                    stored = ours or not any(isinstance(event.body, tuple) for event in unsaved)
                    status, error = answer.status, error if ours else None
                case Missing():
                    status, error = RunStatus.CANCELLED, None
        self._tell_end(status, error, stored)

    @property
    def unstored(self) -> bool:
        """Whether storage was away at the end and ``store_late`` may still save what was produced."""
        return self._unstored is not None

    async def store_late(self) -> None:
        """Try once more to store a run whose final write has failed.

        Raises:
            StorageError: storage still does not take it.
        """
        if self._unstored is not None:
            await self.journal.finish(*self._unstored, attempts=1)
            self._unstored = None
            logger.warning("run %s is stored now", self.run.id)

    def _usage(self) -> list[UsageRow]:
        run = self.run
        return [
            UsageRow(
                self._host.new_id("call"),
                step.usage or Usage(),
                step.served_by,
                session_id=run.session_id,
                run_id=run.id,
            )
            for turn in self.turns
            for step in turn.steps
            if step.served_by is not None
        ]

    def _tell_end(self, status: RunStatus, error: Mapping[str, Any] | None, stored: bool) -> None:
        clock = self._host.clock
        self.log.append(0, RunEnded(status, error, stored))
        self.run = attrs.evolve(self.run, status=status, error=error, last_seq=self.log.last_seq, ended_at=clock.now())
        self.ended_at = clock.monotonic()
        self.turns = ()  # requests and histories are not needed any more
        self.ended.set()
        self._host.observe(RunFinished(status.value, self.ended_at - self._started))
        # Dropped with what it holds: a finished run stays in memory for a while, its request need not.
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)

    def _abandoned(self, _: "asyncio.Task[Any]") -> None:
        """Release the watchers of a run whose task was ended from outside before it could end itself."""
        if not self.ended.is_set():
            self._tell_end(RunStatus.INTERRUPTED, None, False)

    # --- lease -------------------------------------------------------------------------------------

    async def renew(self, lease: Lease) -> None:
        """Renew the lease; a run that storage no longer counts as ours is stopped."""
        if self._renewing:
            return
        self._renewing = True
        started = self._host.clock.monotonic()
        try:
            answer = await self._host.storage.write(RenewLease(self.run.owner, self.run.session_id, self.run.id, lease))
        except StorageError as error:
            logger.warning("run %s: the lease was not renewed: %s", self.run.id, error)
        else:
            self.renewed = started
            if isinstance(answer, Missing):
                self.stop(RunStatus.INTERRUPTED)
        finally:
            self._renewing = False
