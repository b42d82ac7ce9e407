"""The use cases of conversations. Surfaces validate shapes, call this, and render; nothing here knows HTTP."""

import asyncio

import attrs

from palaver.chat.host import Host
from palaver.chat.log import RunLog
from palaver.chat.runs import Runs
from palaver.chat.sending import Send, Sender, Started
from palaver.chat.sessions import Sessions, known_form, no_session
from palaver.chat.sweep import Sweep, end_from_log
from palaver.chat.watch import Watcher
from palaver.codec import Codec
from palaver.contracts.storage import DeleteSession, Missing
from palaver.domain import Principal, Role, Run, RunStatus, StoredMessage
from palaver.errors import Conflict, NotFound
from palaver.ids import RunId

__all__ = ["ChatService"]

_LONGEST_ID = 200


class ChatService(Sessions):
    """Conversations over one runtime. Make it inside the event loop: it begins to sweep at once."""

    def __init__(self, runtime: Host, *, codec: Codec | None = None) -> None:
        super().__init__(runtime)
        self._codec = codec or Codec()
        self.runs = Runs(runtime, self._codec)
        self._sender = Sender(runtime, self.runs)
        self.sweep = Sweep(runtime, self._codec, self.runs)
        self._sweeping = runtime.jobs.start(self.sweep.run(), "sweep")

    async def drain(self, seconds: float) -> None:
        """Take no new work, give what runs *seconds* to end, store the rest as interrupted."""
        self._sender.draining = True
        await self.runs.drain(seconds)
        self._sweeping.cancel()
        await asyncio.wait({self._sweeping})

    async def aclose(self) -> None:
        """Interrupt what runs, store it, and stop sweeping."""
        await self.drain(0.0)

    async def delete_session(self, principal: Principal, session_id: str) -> None:
        """Delete a session and all that is in it; what generates in it is stopped first.

        Raises:
            NotFound: unknown or foreign.
        """
        key = known_form(session_id)
        active = self.runs.in_session(principal.owner, key)
        if active is not None:
            active.stop(RunStatus.CANCELLED)
            await active.wait()
        if isinstance(await self._host.storage.write(DeleteSession(principal.owner, key)), Missing):
            raise no_session()
        self.runs.forget(principal.owner, key)

    async def clear_session(self, principal: Principal, session_id: str) -> None:
        """Delete a session's messages, and what its streams would tell of them; keep the session.

        Raises:
            NotFound: unknown or foreign.
            SessionBusy: an answer is being generated.
        """
        await super().clear_session(principal, session_id)
        self.runs.forget(principal.owner, known_form(session_id))

    async def send(self, principal: Principal, send: Send) -> Started:
        """Store what the user said and begin to answer; ``Sender.send`` lists what it raises."""
        return await self._sender.send(principal, send)

    # --- runs --------------------------------------------------------------------------------------

    async def watch(self, principal: Principal, run_id: str, *, after_seq: int = 0) -> Watcher:
        """Watch a run from after *after_seq*; leaving changes nothing, coming back misses nothing.

        Raises:
            NotFound: unknown, foreign, or over for longer than ``chat.stream_retention``.
        """
        owner, key = principal.owner, RunId(run_id)

        def find_log() -> RunLog | None:
            active = self.runs.find(owner, key)
            return active.log if active is not None else None

        if find_log() is None:
            run = await self._read_run(principal, run_id)
            if run.ended_at is not None and not self._sender.reopened(key):
                age = (self._host.clock.now() - run.ended_at).total_seconds()
                if age > self._host.config.chat.stream_retention:
                    raise _no_run(run_id)
        return Watcher(self._host, self._codec, owner, key, find_log=find_log, after_seq=max(after_seq, 0))

    async def stop(self, principal: Principal, *, run_id: str | None = None, session_id: str | None = None) -> Run:
        """Cancel a run by its id or its session's: the upstream is closed, what has come is kept.

        Returns the run as it ended; one that is over already is returned as it is.

        Raises:
            NotFound: unknown or foreign.
            Conflict: nothing generates in the session.
        """
        if run_id is None:
            run_id = await self._running_in(principal, session_id or "")
        active = self.runs.find(principal.owner, RunId(run_id))
        if active is not None:
            active.stop(RunStatus.CANCELLED)
            await active.wait()
            return active.run
        run = await self._read_run(principal, run_id)
        if run.status is not RunStatus.RUNNING:
            return run
        # Another process generates it: ending it in storage makes that one stop at its next flush.
        await end_from_log(self._host, self._codec, run, RunStatus.CANCELLED)
        return await self._read_run(principal, run_id)

    async def get_run(self, principal: Principal, run_id: str) -> Run:
        """Read a run, however long ago it ended.

        Raises:
            NotFound: unknown or foreign.
        """
        active = self.runs.find(principal.owner, RunId(run_id))
        if active is None:
            return await self._read_run(principal, run_id)
        return attrs.evolve(active.run, last_seq=active.log.last_seq)

    async def result(self, principal: Principal, started: Started) -> tuple[tuple[StoredMessage, ...], Run]:
        """Wait for the end of a run; returns the messages it produced, in order, and the run."""
        active = self.runs.find(principal.owner, started.run_id)
        if active is not None:
            await active.wait()
            return active.messages, active.run
        run = await self._read_run(principal, started.run_id)
        if run.status is RunStatus.RUNNING:
            async for _ in await self.watch(principal, started.run_id):
                pass
            run = await self._read_run(principal, started.run_id)
        limit = self._host.config.chat.history_limit
        stored = await self._host.storage.history(principal.owner, run.session_id, limit=limit)
        spoken = (Role.ASSISTANT, Role.TOOL)
        return tuple(row for row in stored if row.run_id == run.id and row.message.role in spoken), run

    async def _running_in(self, principal: Principal, session_id: str) -> str:
        key = known_form(session_id)
        active = self.runs.in_session(principal.owner, key)
        if active is not None:
            return active.run.id
        run = await self._host.storage.active_run(principal.owner, key)
        if run is None:
            await self.get_session(principal, session_id)
            raise Conflict("nothing is being generated in this session")
        return run.id

    async def _read_run(self, principal: Principal, run_id: str) -> Run:
        # What no id of ours looks like is not even looked for: not every database takes every text.
        if len(run_id) > _LONGEST_ID or not run_id.isascii() or not run_id.isprintable():
            raise _no_run()
        run = await self._host.storage.get_run(principal.owner, RunId(run_id))
        if run is None:
            raise _no_run(run_id)
        return run


def _no_run(run_id: str = "") -> NotFound:
    return NotFound(f"stream not found: {run_id}" if run_id else "stream not found", param="run_id")
