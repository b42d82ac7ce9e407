"""What a caller may send: text, titles, session ids. Pure; each refusal names the field and its limit."""

import re
import unicodedata

from palaver.errors import InvalidRequest, PayloadTooLarge
from palaver.ids import SessionId

__all__ = ["check_session_id", "check_text", "check_title", "is_control", "is_session_id"]

_SESSION_ID = re.compile(r"[A-Za-z0-9._@:-]{1,128}")
#: Control characters, lone surrogates, and the two separators that some readers take for line ends.
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})


def is_control(character: str) -> bool:
    """Tell whether *character* has no place in a line of text."""
    return unicodedata.category(character) in _CONTROL


def is_session_id(text: str) -> bool:
    """Tell whether *text* can be a session's id."""
    return _SESSION_ID.fullmatch(text) is not None


def check_session_id(text: str) -> SessionId:
    """Give *text* as the id of a session that a client names itself.

    Raises:
        InvalidRequest: too long, empty, or with other characters than ids have.
    """
    if not is_session_id(text):
        raise InvalidRequest(
            f"session_id: expected 1 to 128 of the characters A-Z a-z 0-9 . _ @ : -, got {text[:140]!r}",
            param="session_id",
        )
    return SessionId(text)


def check_text(text: str, *, limit: int, param: str = "message", may_be_empty: bool = False) -> str:
    """Give *text* if a database and a vendor can take it; *limit* is in bytes of UTF-8.

    Raises:
        InvalidRequest: blank, or with characters that are no text.
        PayloadTooLarge: more bytes than *limit*.
    """
    if not may_be_empty and not text.strip():
        raise InvalidRequest(f"{param} is empty", param=param)
    if "\0" in text:
        raise InvalidRequest(f"{param} holds a NUL character at {text.index(chr(0))}", param=param)
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{param} holds half of a surrogate pair at {error.start}", param=param) from error
    if size > limit:
        raise PayloadTooLarge(f"{param} has {size} bytes; the limit is {limit}", param=param)
    return text


def check_title(title: str, *, limit: int) -> str:
    """Give *title* without space around it; *limit* is in characters.

    Raises:
        InvalidRequest: empty, too long, or with control characters.
    """
    title = title.strip()
    if not title:
        raise InvalidRequest("title is empty", param="title")
    if len(title) > limit:
        raise InvalidRequest(f"title has {len(title)} characters; the limit is {limit}", param="title")
    if any(is_control(character) for character in title):
        raise InvalidRequest("title holds control characters; use one line of plain text", param="title")
    return title
