"""HTTP towards vendors. ``interface`` is what plugins see; the rest loads the HTTP client and is imported late."""

from palaver.upstream.interface import (
    Answer,
    AnswerKind,
    Deadlines,
    Failures,
    Frame,
    HttpFailure,
    Upstream,
)

__all__ = [
    "Answer",
    "AnswerKind",
    "Deadlines",
    "Failures",
    "Frame",
    "HttpFailure",
    "Upstream",
]
