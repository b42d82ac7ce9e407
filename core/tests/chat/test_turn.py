"""The loop of one leg: rounds with tools, approval, pauses, caps, and what is left when it breaks."""

import pytest
from palaver import (
    Approval,
    ChatRequest,
    FinishReason,
    Message,
    MessageStatus,
    Overloaded,
    ResponseFinished,
    Role,
    ServedBy,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallStarted,
    ToolExecution,
    ToolResultPart,
    UpstreamInterrupted,
    Usage,
)
from palaver.chat import RoundAnswer, Turn
from palaver.events import ApprovalAsked, LegEnded, RoundStarted, ToolExecuted
from palaver.testing.clock import FakeClock

STOP = ResponseFinished(FinishReason.STOP)
CALLS = ResponseFinished(FinishReason.TOOL_CALLS)
NOW = FakeClock().now()


class Stream:
    """An opened answer that ends as told."""

    def __init__(self, *batches):
        self._batches = iter(batches)
        self.served_by = ServedBy("acme", "m")
        self.usage = Usage(1, 1)
        self.closed = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        batch = next(self._batches, None)
        if batch is None:
            raise StopAsyncIteration
        if isinstance(batch, BaseException):
            raise batch
        return batch

    async def aclose(self):
        self.closed = True


class Rig:
    """A turn over prepared answers, and all that it did."""

    def __init__(self, *streams, answer_calls=None, max_rounds=16):
        self.streams = list(streams)
        self.asked = []
        self.bodies = []
        self.kept = []
        self.turn = Turn(
            self.prepare,
            self.ask,
            emit=self.bodies.append,
            on_step=self.on_step,
            answer_calls=answer_calls,
            max_rounds=max_rounds,
        )

    async def prepare(self):
        return ChatRequest("m", (Message(Role.USER, "hi"),))

    async def ask(self, request):
        self.asked.append(request)
        stream = self.streams[len(self.asked) - 1]
        if isinstance(stream, BaseException):
            raise stream
        return stream

    async def on_step(self, step):
        self.kept.append(step)

    async def run(self):
        await self.turn.run()
        assert all(stream.closed for stream in self.streams[: len(self.asked)] if isinstance(stream, Stream))
        return self


def wants(*ids):
    events = [event for i, call_id in enumerate(ids) for event in (ToolCallStarted(i, call_id, "look"),)]
    return Stream((*events, *(ToolCallDelta(i, "{}") for i in range(len(ids)))), (CALLS,))


async def run_all(calls):
    return RoundAnswer(
        tuple(Message(Role.TOOL, (ToolResultPart(call.id, (TextPart("42"),), call.name),)) for call in calls),
        tuple(ToolExecution(call.id, call.name, call.arguments, "42", NOW, NOW) for call in calls),
    )


async def test_tools_run_between_two_rounds():
    rig = await Rig(wants("c1", "c2"), Stream((TextDelta("it is 42"),), (STOP,)), answer_calls=run_all).run()
    assert [Role.ASSISTANT, Role.TOOL, Role.TOOL, Role.ASSISTANT] == [step.message.role for step in rig.turn.steps]
    assert rig.kept == rig.turn.steps
    assert [
        "hi",
        "",
        "",
        "",
    ] == [message.text for message in rig.asked[1].messages]
    assert ["c1", "c2"] == [message.parts[0].call_id for message in rig.asked[1].messages[2:]]
    facts = [body for body in rig.bodies if not isinstance(body, tuple)]
    assert [ToolExecuted, RoundStarted, LegEnded] == [type(fact) for fact in facts]
    assert ["c1"] == [execution.call_id for execution in rig.turn.steps[1].executions]
    assert FinishReason.STOP is facts[-1].finish_reason


async def test_calls_without_anyone_to_run_them_end_the_turn():
    async def nobody(calls):
        return None

    for answer_calls in (None, nobody):
        rig = await Rig(wants("c1"), answer_calls=answer_calls).run()
        assert [FinishReason.TOOL_CALLS] == [step.finish_reason for step in rig.turn.steps]
        assert rig.turn.error is None


async def test_asking_for_approval_ends_the_turn():
    approval = Approval("ap", "ann", "s1", "r1", ())

    async def ask_first(calls):
        return RoundAnswer(approval=approval)

    rig = await Rig(wants("c1"), answer_calls=ask_first).run()
    assert [approval] == rig.turn.approvals
    assert [ApprovalAsked(approval)] == [body for body in rig.bodies if isinstance(body, ApprovalAsked)]
    assert 1 == len(rig.asked)


async def test_a_paused_answer_is_asked_to_go_on():
    rig = await Rig(
        Stream((TextDelta("wait"), ResponseFinished(FinishReason.PAUSE))), Stream((TextDelta(" done"), STOP))
    ).run()
    assert ["hi", "wait"] == [message.text for message in rig.asked[1].messages]
    assert ["wait", " done"] == [step.message.text for step in rig.turn.steps]


async def test_a_model_that_never_stops_calling_is_stopped():
    rig = await Rig(*(wants(f"c{number}") for number in range(9)), answer_calls=run_all, max_rounds=3).run()
    assert 3 == len(rig.asked)
    assert isinstance(rig.bodies[-1], LegEnded)


async def test_a_second_round_that_fails_keeps_the_first():
    rig = await Rig(wants("c1"), Overloaded("not now"), answer_calls=run_all).run()
    assert ["assistant", "tool"] == [step.message.role.value for step in rig.turn.steps]
    assert "overloaded" == rig.turn.error["code"]
    assert "overloaded" == rig.bodies[-1].error["code"]


@pytest.mark.parametrize(
    ("broken", "status", "code"),
    [
        (UpstreamInterrupted("cut"), MessageStatus.INTERRUPTED, "upstream_interrupted"),
        (RuntimeError("a bug"), MessageStatus.FAILED, "internal_error"),
        (None, MessageStatus.INTERRUPTED, "upstream_interrupted"),
    ],
    ids=["cut", "bug", "no terminal marker"],
)
async def test_a_stream_that_breaks_leaves_a_part(broken, status, code):
    batches = [(TextDelta("half"),), *([broken] if broken else [])]
    rig = await Rig(Stream(*batches)).run()
    assert [("half", status, None)] == [(s.message.text, s.status, s.finish_reason) for s in rig.turn.steps]
    assert code == rig.turn.error["code"]
    assert [LegEnded] == [type(body) for body in rig.bodies if not isinstance(body, tuple)]


async def test_a_failure_before_the_first_question_is_the_turns_error():
    rig = Rig()

    async def broken():
        raise Overloaded("storage is busy")

    rig.turn._prepare = broken
    await rig.run()
    assert [] == rig.turn.steps
    assert "overloaded" == rig.turn.error["code"]


async def test_closing_twice_tells_one_end():
    rig = await Rig(Stream((TextDelta("fine"), STOP))).run()
    rig.turn.close(MessageStatus.CANCELLED)
    assert [MessageStatus.COMPLETE] == [step.status for step in rig.turn.steps]
    assert 1 == sum(isinstance(body, LegEnded) for body in rig.bodies)
