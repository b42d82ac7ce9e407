"""Names for conversations: the default one, and the one the model is asked for after the first answer.

The rules are those of the chat API: at most 50 characters, quotes trimmed, and the question's first words when
the model has nothing good to say. Asking is a job of its own and never delays an answer.
"""

import logging
from datetime import datetime

from palaver.chat.checks import is_control
from palaver.chat.host import Host
from palaver.contracts.pipeline import EventStream
from palaver.contracts.storage import RecordUsage, RenameSession, UsageRow
from palaver.domain import Call, ChatRequest, Message, Principal, Purpose, Role, Usage
from palaver.errors import PalaverError, StorageError
from palaver.fold import Fold
from palaver.ids import SessionId

__all__ = ["NEW_SESSION", "clean_title", "default_title", "give_title", "question_title"]

logger = logging.getLogger("palaver.chat")

#: Title of a session that was made without one.
NEW_SESSION = "New Chat Session"
#: Seconds the model has to find a title.
_LIMIT = 10.0
_LONGEST = 50
_SHORTEST = 5
_QUOTES = "\"'`“”„‘’‚«»‹›"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Characters of the question that the model needs to see to name it.
_QUESTION = 4000
_PROMPT = (
    "Write a title for a conversation that begins with the user's message below. Do not answer the message. "
    "Reply with the title alone: at most 50 characters, in the language of the message, no quotes, "
    "no full stop at the end."
)


def default_title(now: datetime) -> str:
    """Name a session that a message has made: ``Chat - Jan 2, 2006 at 3:04 PM``."""
    hour = now.hour % 12 or 12
    half = "AM" if now.hour < 12 else "PM"
    return f"Chat - {_MONTHS[now.month - 1]} {now.day}, {now.year} at {hour}:{now.minute:02} {half}"


def question_title(question: str) -> str:
    """Name a session by the first six words of its question, at most 40 characters; empty for an empty one."""
    return _printable(" ".join(question[:_QUESTION].split()[:6]))[:40].rstrip()


def clean_title(answer: str, question: str) -> str:
    """Make a title of the model's *answer*, or of the *question* when the answer is no good."""
    title = _printable(" ".join(answer[:_QUESTION].split())).strip(_QUOTES + " ")
    if len(title) > _LONGEST:
        title = title[: _LONGEST - 3] + "..."
    if len(title) < _SHORTEST or title.casefold() == "untitled":
        return question_title(question)
    return title


def _printable(text: str) -> str:
    return "".join(character for character in text if not is_control(character))


async def give_title(
    host: Host, principal: Principal, session_id: SessionId, question: str, *, model: str, request_id: str
) -> None:
    """Ask the model for a title and store it, if nobody has named the session meanwhile."""
    answer = ""
    try:
        answer = await _ask(host, principal, session_id, question, model=model, request_id=request_id)
    except PalaverError as error:
        # The question's own words will do, and asking again after each answer would cost and fail again.
        logger.warning("session %s: no title from the model: %s", session_id, error)
    title = clean_title(answer, question)
    if not title:
        return
    try:
        await host.storage.write(RenameSession(principal.owner, session_id, title, only_default=True))
    except StorageError as error:
        logger.warning("session %s: the title was not stored: %s", session_id, error)


async def _ask(
    host: Host, principal: Principal, session_id: SessionId, question: str, *, model: str, request_id: str
) -> str:
    request = ChatRequest(
        model,
        (Message(Role.SYSTEM, _PROMPT), Message(Role.USER, question[:_QUESTION])),
        streaming=False,
        metadata={"palaver.purpose": Purpose.TITLE.value},
    )
    deadline = host.clock.monotonic() + _LIMIT
    stream = await host.stream(Call(request, principal, request_id, Purpose.TITLE, deadline))
    fold = Fold()
    try:
        async for batch in stream:
            fold.feed(batch)
    finally:
        await stream.aclose()
        await _keep_usage(host, principal, session_id, stream, fold)
    return fold.text


async def _keep_usage(host: Host, principal: Principal, session_id: SessionId, stream: EventStream, fold: Fold) -> None:
    if stream.served_by is None:
        return
    usage = stream.usage or fold.usage or Usage()
    row = UsageRow(host.new_id("call"), usage, stream.served_by, Purpose.TITLE, session_id)
    try:
        await host.storage.write(RecordUsage(principal.owner, (row,), session_id))
    except StorageError as error:
        logger.warning("session %s: the usage of its title was not stored: %s", session_id, error)
