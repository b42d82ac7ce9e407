"""One call through the pipeline: the request, and what travels with it."""

from enum import StrEnum
from typing import Generic, TypeVar

import attrs

from palaver.domain.completion import ServedBy
from palaver.domain.principal import Principal
from palaver.domain.request import ChatRequest, EmbeddingRequest
from palaver.ids import RunId

__all__ = ["Call", "Purpose"]

R = TypeVar("R", ChatRequest, EmbeddingRequest)


class Purpose(StrEnum):
    """What a call is for; accounting and mock answers tell them apart."""

    CHAT = "chat"
    TITLE = "title"
    EMBED = "embed"
    SUMMARY = "summary"


@attrs.frozen
class Call(Generic[R]):
    """A request on its way to a target; *deadline* is a time of the clock's ``monotonic()``."""

    request: R
    principal: Principal
    request_id: str
    purpose: Purpose = Purpose.CHAT
    deadline: float | None = None
    run_id: RunId | None = None
    #: Set by routing: the instance and model this call is being tried on.
    target: ServedBy | None = None
    #: Which try on this target it is, from 1.
    attempt: int = 1
