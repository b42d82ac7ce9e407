"""The loop model → tools → model, for one leg of a run. Knows no storage and no numbers: it emits bodies.

Every message the turn produces is a ``Step``. When the turn is stopped in the middle, ``close`` makes a step
of what has come so far, so that nothing a client saw is lost.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

import attrs

from palaver.contracts.pipeline import EventStream
from palaver.domain import (
    Approval,
    ChatRequest,
    FinishReason,
    Message,
    MessageStatus,
    ServedBy,
    ToolCallPart,
    ToolExecution,
    Usage,
)
from palaver.errors import DeadlineExceeded, PalaverError, ProviderError, UpstreamInterrupted
from palaver.events import ApprovalAsked, LegEnded, RoundStarted, RunFact, StreamEvent, ToolExecuted
from palaver.fold import Fold

__all__ = ["AnswerCalls", "Body", "Emit", "RoundAnswer", "Step", "Turn", "describe_error"]

logger = logging.getLogger("palaver.chat")

#: What a numbered event carries.
Body: TypeAlias = tuple[StreamEvent, ...] | RunFact
#: Takes a body; an awaitable in return means: wait, whoever keeps the events falls behind.
Emit: TypeAlias = Callable[[Body], Awaitable[Any] | None]

_INTERNAL = {
    "code": PalaverError.code,
    "message": "internal error; the server's log has the details",
    "retryable": False,
}


@attrs.frozen
class Step:
    """A message that a turn produced: the model's answer of one round, or a tool's result."""

    message: Message
    status: MessageStatus = MessageStatus.COMPLETE
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    #: Who answered; ``None`` for what no model said.
    served_by: ServedBy | None = None
    executions: tuple[ToolExecution, ...] = ()


@attrs.frozen
class RoundAnswer:
    """What became of a round's calls: *results* in the order of the calls, or a request for *approval*."""

    results: tuple[Message, ...] = ()
    executions: tuple[ToolExecution, ...] = ()
    approval: Approval | None = None


class AnswerCalls(Protocol):
    """Answers the tool calls of one round."""

    async def __call__(self, calls: tuple[ToolCallPart, ...]) -> RoundAnswer | None:
        """Run the calls, or ask for approval; ``None`` when nobody here can run them: the turn ends."""
        ...


def describe_error(error: BaseException) -> Mapping[str, Any]:
    """Write *error* as events and runs carry it: ``{code, message, retryable}``; foreign ones say nothing."""
    if isinstance(error, PalaverError):
        return {"code": error.code, "message": error.message, "retryable": error.retryable}
    return _INTERNAL


class Turn:
    """One leg: asks the model, answers its tool calls, asks again, until it is done.

    Args:
        prepare: Builds the first request; may read storage.
        ask: Opens the model's answer to a request.
        emit: Takes each batch and fact as it happens.
        on_step: Awaited after each finished step, before the next one begins.
        answer_calls: Runs tools; without it a turn that wants tools ends with its calls kept.
        max_rounds: Calls to the model at most.
    """

    def __init__(
        self,
        prepare: Callable[[], Awaitable[ChatRequest]],
        ask: Callable[[ChatRequest], Awaitable[EventStream]],
        *,
        emit: Emit,
        on_step: Callable[[Step], Awaitable[None]] | None = None,
        answer_calls: AnswerCalls | None = None,
        max_rounds: int = 16,
    ) -> None:
        self._prepare = prepare
        self._ask = ask
        self._emit = emit
        self._on_step = on_step
        self._answer_calls = answer_calls
        self._max_rounds = max_rounds
        self._fold: Fold | None = None
        self._served_by: ServedBy | None = None
        self._closed = False
        #: Everything produced so far, in order.
        self.steps: list[Step] = []
        #: Requests for approval that ended the turn.
        self.approvals: list[Approval] = []
        #: ``{code, message, retryable}`` once it has failed.
        self.error: Mapping[str, Any] | None = None

    async def run(self) -> None:
        """Run to the end. A failure is kept in ``error``; only a cancellation leaves by raising."""
        partial = MessageStatus.FAILED
        try:
            await self._rounds(await self._prepare())
        except PalaverError as error:
            # A cut answer is interrupted, whatever cut it: what has come is good as far as it goes.
            if isinstance(error, ProviderError | DeadlineExceeded):
                partial = MessageStatus.INTERRUPTED
            self.error = describe_error(error)
        except Exception as error:
            logger.exception("a turn failed")
            self.error = describe_error(error)
        self.close(partial)

    def close(self, status: MessageStatus) -> None:
        """End the leg: what came of an unfinished answer becomes a step with *status*. Later calls do nothing."""
        if self._closed:
            return
        self._closed = True
        last = self.steps[-1] if self.steps else None
        finish_reason = last.finish_reason if last is not None else None
        usage = last.usage if last is not None else None
        served_by = last.served_by if last is not None else None
        fold = self._fold
        if fold is not None:
            self._fold = None
            finish_reason, usage, served_by = None, fold.usage, self._served_by
            if not fold.empty:
                self.steps.append(Step(fold.message(), status, None, usage, served_by))
        self._emit(LegEnded(finish_reason, usage, served_by, self.error))

    async def _rounds(self, request: ChatRequest) -> None:
        for number in range(1, self._max_rounds + 1):
            if number > 1:
                self._emit(RoundStarted(number))
            step = await self._round(request)
            await self._keep(step)
            results = await self._follow_up(step)
            if results is None:
                return
            request = attrs.evolve(request, messages=(*request.messages, step.message, *results))

    async def _round(self, request: ChatRequest) -> Step:
        emit = self._emit
        stream = await self._ask(request)
        fold = self._fold = Fold()
        feed = fold.feed
        self._served_by = stream.served_by
        try:
            async for batch in stream:
                # Folded first: what a watcher can see is always in what is stored.
                feed(batch)
                behind = emit(batch if batch.__class__ is tuple else tuple(batch))
                if behind is not None:
                    await behind
        finally:
            await stream.aclose()
        finished = fold.finished
        if finished is None:
            raise UpstreamInterrupted("the stream ended without the vendor's terminal marker")
        self._fold = None
        return Step(
            fold.message(), MessageStatus.COMPLETE, finished.reason, stream.usage or fold.usage, stream.served_by
        )

    async def _keep(self, step: Step) -> None:
        self.steps.append(step)
        if self._on_step is not None:
            await self._on_step(step)

    async def _follow_up(self, step: Step) -> tuple[Message, ...] | None:
        """Give what the next round adds to the request, ``None`` when the turn is over."""
        if step.finish_reason is FinishReason.PAUSE:
            return ()
        calls = step.message.tool_calls
        if not calls or self._answer_calls is None:
            return None
        answer = await self._answer_calls(calls)
        if answer is None:
            return None
        if answer.executions:
            self._emit(ToolExecuted(answer.executions))
        by_call = {execution.call_id: execution for execution in answer.executions}
        for message in answer.results:
            ids = [part.call_id for part in message.parts if hasattr(part, "call_id")]
            ran = tuple(by_call[call_id] for call_id in ids if call_id in by_call)
            await self._keep(Step(message, executions=ran))
        if answer.approval is not None:
            self.approvals.append(answer.approval)
            self._emit(ApprovalAsked(answer.approval))
            return None
        return answer.results
