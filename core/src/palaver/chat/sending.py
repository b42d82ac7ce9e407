"""From one message of the user to a run that answers it.

Checked first, then the model is resolved, then the words are committed, and only then is a provider asked. May
touch storage, the clock and the pipeline, all through the host.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from palaver.chat.active import ActiveRun
from palaver.chat.checks import check_session_id, check_text
from palaver.chat.history import fit_history
from palaver.chat.host import Host
from palaver.chat.prompt import default_sampling, operator_prompt
from palaver.chat.runs import Runs
from palaver.chat.sessions import busy, no_session
from palaver.chat.titles import default_title, give_title
from palaver.chat.turn import Emit, Turn
from palaver.contracts.pipeline import EventStream
from palaver.contracts.storage import BeginSend, Begun, Busy, Idempotency, Lease, Mismatched, Replayed
from palaver.domain import Call, ChatRequest, Message, Part, Principal, Role, Run, RunStatus, StoredMessage, TextPart
from palaver.errors import Conflict, NotFound, PalaverError, ShuttingDown
from palaver.ids import MessageId, RunId, SessionId

__all__ = ["Send", "Sender", "Started"]


@attrs.frozen
class Send:
    """What a surface passes in: one message of the user."""

    text: str
    #: Empty makes a session; an unknown one is made with this id if *create_missing*, else not found.
    session_id: str = ""
    create_missing: bool = True
    model: str | None = None
    #: Stored once as a system message, only while the conversation has none.
    system_prompt: str | None = None
    #: Further parts of the user's message: images, files.
    parts: tuple[Part, ...] = ()
    #: The message to answer below; ``None`` is the newest.
    parent_id: str | None = None
    idempotency: Idempotency | None = None
    request_id: str = ""


@attrs.frozen
class Started:
    """The run that answers, and the real ids; *replayed* when an earlier send with this key began it."""

    run_id: RunId
    session_id: SessionId
    message_id: MessageId
    user_message_id: MessageId | None
    replayed: bool = False
    #: As named, or the default's; what the first event carries too.
    model: str | None = None


class Sender:
    """Begins runs."""

    def __init__(self, host: Host, runs: Runs) -> None:
        self._host = host
        self._runs = runs
        self._reopened: dict[RunId, float] = {}
        #: Set once no new work is taken.
        self.draining = False

    async def send(self, principal: Principal, send: Send) -> Started:
        """Store what the user said and begin to answer; returns as soon as the words are safe.

        Raises:
            InvalidRequest: the text, the session id or the system prompt is no good.
            PayloadTooLarge: the text is longer than ``limits.message``.
            ModelNotFound: nobody claims the model; nothing is stored.
            NotFound: the session or the parent message is unknown or foreign.
            SessionBusy: another run generates in this session.
            Conflict: the idempotency key came before with another body.
            ShuttingDown: the server drains.
        """
        if self.draining or self._host.draining:
            raise ShuttingDown("the server is shutting down; try again in a moment", retry_after=1.0)
        limit = self._host.config.limits.message
        text = check_text(send.text, limit=limit, may_be_empty=bool(send.parts))
        session_id = check_session_id(send.session_id) if send.session_id else SessionId(self._host.new_id())
        target = self._host.resolve(send.model)
        op = BeginSend(
            principal.owner,
            session_id,
            RunId(self._host.new_id("run")),
            MessageId(self._host.new_id("assistant")),
            await self._said(principal, session_id, text, send, limit),
            Lease(self._host.server_id, self._host.config.chat.lease_seconds),
            title=default_title(self._host.clock.now()) if send.create_missing or not send.session_id else None,
            parent_id=MessageId(send.parent_id) if send.parent_id else None,
            model=send.model or target.model,
            idempotency=send.idempotency,
        )
        # In a task of its own: a caller that goes away between the commit and the run's start must not leave
        # a run that nobody generates.
        work = self._host.jobs.start(self._begin(principal, send, text, op), f"send:{op.run_id}")
        match await asyncio.shield(work):
            case Started() as started:
                return started
            case Mismatched():
                raise Conflict("this idempotency key was used before with another request body")
            case Busy() as by:
                raise busy(by)
            case PalaverError() as error:
                raise error
            case _:
                raise NotFound("Parent message not found") if send.parent_id else no_session()

    async def _begin(self, principal: Principal, send: Send, text: str, op: BeginSend) -> Any:
        """Commit *op* and start the run; anything but ``Started`` is returned for the caller to judge."""
        try:
            answer = await self._host.storage.write(op)
        except PalaverError as error:
            return error
        if isinstance(answer, Begun):
            self._generate(principal, answer.run, send, text)
            return _started(answer.run)
        if isinstance(answer, Replayed):
            self._reopen(answer.run.id)
            return _started(answer.run, replayed=True)
        return answer

    def _reopen(self, run_id: RunId) -> None:
        """Let a run that was replayed be watched again, however old it is."""
        now = self._host.clock.monotonic()
        self._reopened = {known: until for known, until in self._reopened.items() if until > now}
        self._reopened[run_id] = now + self._host.config.chat.stream_retention

    def reopened(self, run_id: RunId) -> bool:
        """Tell whether the run was replayed lately."""
        return self._host.clock.monotonic() < self._reopened.get(run_id, 0.0)

    async def _said(
        self, principal: Principal, session_id: SessionId, text: str, send: Send, limit: int
    ) -> tuple[StoredMessage, ...]:
        """Build the rows of a send: the user's message, and before it a system prompt if it is the first."""
        parts: tuple[Part, ...] = (*((TextPart(text),) if text else ()), *send.parts)
        user_id = MessageId(self._host.new_id("user"))
        said = (StoredMessage(user_id, session_id, Message(Role.USER, parts)),)
        prompt = send.system_prompt
        if not prompt or not prompt.strip():
            return said
        check_text(prompt, limit=limit, param="system_prompt")
        if send.session_id and any(
            row.message.role is Role.SYSTEM for row in await self._stored_history(principal, session_id)
        ):
            return said
        system_id = MessageId(self._host.new_id("system"))
        return (StoredMessage(system_id, session_id, Message(Role.SYSTEM, prompt)), *said)

    def _generate(self, principal: Principal, run: Run, send: Send, text: str) -> ActiveRun:
        def make(emit: Emit) -> Turn:
            return Turn(self._prepare(principal, run, send), self._ask(principal, run, send), emit=emit)

        def ended(active: ActiveRun) -> None:
            session = active.session
            if session is None or not session.title_is_default or not self._host.config.chat.titles:
                return
            if text.strip() and active.run.status is RunStatus.DONE and not self.draining:
                work = give_title(
                    self._host, principal, run.session_id, text, model=send.model or "", request_id=send.request_id
                )
                self._host.jobs.start(work, f"title:{run.session_id}")

        return self._runs.start(run, [make], on_end=ended)

    def _prepare(self, principal: Principal, run: Run, send: Send) -> Callable[[], Awaitable[ChatRequest]]:
        async def prepare() -> ChatRequest:
            llm = self._host.config.llm
            stored = await self._stored_history(principal, run.session_id)
            spoken = fit_history(stored, limit=self._host.config.chat.history_limit)
            return ChatRequest(
                send.model or "",
                (*operator_prompt(llm, self._host.clock.now()), *spoken),
                sampling=default_sampling(llm),
            )

        return prepare

    def _ask(self, principal: Principal, run: Run, send: Send) -> Callable[[ChatRequest], Awaitable[EventStream]]:
        async def ask(request: ChatRequest) -> EventStream:
            return await self._host.stream(Call(request, principal, send.request_id, run_id=run.id))

        return ask

    async def _stored_history(self, principal: Principal, session_id: SessionId) -> tuple[StoredMessage, ...]:
        """Read the newest messages, and the first one too: a long conversation keeps its system prompt."""
        storage, owner = self._host.storage, principal.owner
        limit = self._host.config.chat.history_limit
        newest = await storage.history(owner, session_id, limit=limit)
        if len(newest) < limit or newest[0].seq <= 1:
            return newest
        first = await storage.list_messages(owner, session_id, limit=1)
        if first is None or not first.items or first.items[0].message.role is not Role.SYSTEM:
            return newest
        return (first.items[0], *(row for row in newest if row.id != first.items[0].id))


def _started(run: Run, *, replayed: bool = False) -> Started:
    assert run.message_id is not None
    return Started(run.id, run.session_id, run.message_id, run.user_message_id, replayed, run.model)
