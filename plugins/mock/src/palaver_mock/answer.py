"""What the mock says: the answer to a request as a turn, and a turn as the events of its pieces. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator

import attrs
from palaver import (
    ChatRequest,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    ToolResultPart,
    Usage,
)

from palaver_mock.script import Turn, last_user_text

__all__ = [
    "PURPOSE",
    "cap",
    "count_input",
    "count_words",
    "echo",
    "finish_of",
    "pieces",
    "title",
    "usage_of",
]

#: Where core says in ``ChatRequest.metadata`` what a call is for.
PURPOSE = "palaver.purpose"
#: Characters of a tool call's arguments in one piece.
_ARGUMENT_PIECE = 12
_TITLE_WORDS = 6


def echo(request: ChatRequest) -> Turn:
    """Repeat the question; the words are those of the chat API's contract, with the space at the end."""
    return Turn(
        text=f"Mock streaming response to: '{last_user_text(request)}'. Available tools: {len(request.tools)} ",
    )


def title(request: ChatRequest) -> Turn:
    """Name a conversation after the first six words of its question."""
    return Turn(text=" ".join(last_user_text(request).split()[:_TITLE_WORDS]))


def cap(turn: Turn, max_tokens: int | None) -> Turn:
    """Shorten the text of *turn* to *max_tokens* words."""
    if max_tokens is None or len(words := split_words(turn.text)) <= max_tokens:
        return turn
    return attrs.evolve(turn, text="".join(words[:max_tokens]), finish=turn.finish or FinishReason.LENGTH)


def split_words(text: str) -> list[str]:
    """Cut *text* after each word, so that the pieces joined are the text."""
    return re.findall(r"\S+\s*|^\s+", text)


def pieces(turn: Turn, new_id: Callable[[str], str]) -> Iterator[tuple[StreamEvent, ...]]:
    """Give the events of each piece: reasoning, text, refusal, tool calls."""
    for word in split_words(turn.reasoning):
        yield (ReasoningDelta(word),)
    for word in split_words(turn.text):
        yield (TextDelta(word),)
    for word in split_words(turn.refusal):
        yield (RefusalDelta(word),)
    for index, call in enumerate(turn.tool_calls):
        started = ToolCallStarted(index, call.id or new_id("call"), call.name)
        starts = range(0, len(call.arguments), _ARGUMENT_PIECE) or range(1)
        for start in starts:
            delta = ToolCallDelta(index, call.arguments[start : start + _ARGUMENT_PIECE])
            yield (started, delta) if start == 0 else (delta,)


def finish_of(turn: Turn) -> FinishReason:
    """Tell why the turn ends: as the script says, else what its content means."""
    if turn.finish is not None:
        return turn.finish
    if turn.tool_calls:
        return FinishReason.TOOL_CALLS
    return FinishReason.REFUSAL if turn.refusal and not turn.text else FinishReason.STOP


def usage_of(turn: Turn, request: ChatRequest) -> Usage | None:
    """Tell the tokens of the turn: a token is a word, unless the script says otherwise."""
    if isinstance(turn.usage, Usage):
        return turn.usage
    if turn.usage is False:
        return None
    thought = count_words([turn.reasoning])
    said = count_words([turn.text, turn.refusal, *(call.arguments for call in turn.tool_calls)])
    return Usage(count_input(request), said + thought, reasoning_tokens=thought or None)


def count_input(request: ChatRequest) -> int:
    """Count the words of everything that was sent."""
    return count_words(text for message in request.messages for part in message.parts for text in _texts(part))


def count_words(texts: Iterable[str]) -> int:
    """Count words, separated by white space."""
    return sum(len(text.split()) for text in texts)


def _texts(part: object) -> Iterator[str]:
    match part:
        case TextPart():
            yield part.text
        case ToolCallPart():
            yield part.arguments
        case ToolResultPart():
            yield part.text
