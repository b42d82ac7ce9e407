"""From stored messages to what the model is sent. Pure.

Providers refuse a conversation whose tool calls and results do not pair, for ever; so it is repaired each time
it is read, and again after it was shortened: whole turns are left out, oldest first.
"""

from collections.abc import Iterable, Sequence

import attrs

from palaver.domain import (
    Message,
    MessageStatus,
    Part,
    ReasoningPart,
    Role,
    StoredMessage,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["fit_history", "pair_tools"]

_LOST = "interrupted: the tool's result is not known"


def fit_history(stored: Iterable[StoredMessage], *, limit: int) -> tuple[Message, ...]:
    """Build the messages of a request: system messages, then the newest turns, at most *limit* messages.

    The last turn stays whole even if it is longer. What comes before the first user message is left out.
    """
    system: list[Message] = []
    spoken: list[Message] = []
    for row in stored:
        if row.message.role is Role.SYSTEM:
            system.append(row.message)
        elif row.approval_id is None and (message := _speakable(row)) is not None:
            spoken.append(message)
    turns = _turns(pair_tools(spoken))
    count = 0
    first = len(turns)
    while first > 0 and (first == len(turns) or count + len(turns[first - 1]) <= limit):
        first -= 1
        count += len(turns[first])
    return (*system, *(message for turn in turns[first:] for message in turn))


def pair_tools(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Give each tool call exactly one result, right after it and in the order of the calls.

    A call without a result gets an error result; results without a call, and second ones, are dropped. A call id
    that occurs twice in one message is made unique.
    """
    paired: list[Message] = []
    index = 0
    while index < len(messages):
        message = messages[index]
        index += 1
        if message.role is Role.TOOL:
            continue
        results: list[ToolResultPart] = []
        while index < len(messages) and messages[index].role is Role.TOOL:
            results.extend(part for part in messages[index].parts if isinstance(part, ToolResultPart))
            index += 1
        if message.role is not Role.ASSISTANT or not message.tool_calls:
            paired.append(message)
            continue
        message, calls = _unique_calls(message)
        paired.append(message)
        paired.extend(_answer(original, call, results) for original, call in calls)
    return tuple(paired)


def _unique_calls(message: Message) -> tuple[Message, list[tuple[str, ToolCallPart]]]:
    """Make the ids of a message's calls unique; returns each call with the id it had."""
    seen: set[str] = set()
    taken = {call.id for call in message.tool_calls}
    calls: list[tuple[str, ToolCallPart]] = []
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            original = part.id
            if original in seen:
                number = 2
                while f"{original}_{number}" in taken:
                    number += 1
                part = attrs.evolve(part, id=f"{original}_{number}")
                taken.add(part.id)
            seen.add(part.id)
            calls.append((original, part))
        parts.append(part)
    return attrs.evolve(message, parts=parts), calls


def _answer(original: str, call: ToolCallPart, results: list[ToolResultPart]) -> Message:
    for result in results:
        if result.call_id == original:
            results.remove(result)
            return Message(Role.TOOL, (attrs.evolve(result, call_id=call.id),))
    return Message(Role.TOOL, (ToolResultPart(call.id, (TextPart(_LOST),), call.name, is_error=True),))


def _speakable(row: StoredMessage) -> Message | None:
    """Give what can be said again of a stored message; ``None`` when nothing can."""
    message = row.message
    if message.role is not Role.ASSISTANT:
        return message if message.parts else None
    parts = message.parts
    if row.status is not MessageStatus.COMPLETE:
        # Reasoning that was cut lacks its signature, a call that was cut lacks arguments: vendors refuse both.
        parts = tuple(part for part in parts if not isinstance(part, ReasoningPart | ToolCallPart))
    parts = tuple(part for part in parts if not (isinstance(part, TextPart) and not part.text))
    if all(isinstance(part, ReasoningPart) for part in parts):
        return None
    return message if len(parts) == len(message.parts) else attrs.evolve(message, parts=parts)


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    """Cut a conversation before each user message."""
    turns: list[list[Message]] = []
    for message in messages:
        if message.role is Role.USER:
            turns.append([message])
        elif turns:
            turns[-1].append(message)
    return turns
