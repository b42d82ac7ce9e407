"""The families of routes. Each has its own codec and its own shape of errors; none knows the database."""

from collections.abc import Callable
from typing import TypeAlias

import attrs

from palaver_server.failures import Failure, chat_error, openai_error

__all__ = ["CHAT", "OPENAI", "Surface"]

#: Renders a failure with the request's id.
RenderError: TypeAlias = Callable[[Failure, str], bytes]


@attrs.frozen
class Surface:
    """A family of routes: its name, and how it tells a failure."""

    name: str
    render_error: RenderError
    #: Headers of failures, beside those of the failure itself.
    tells_retry: bool = False


#: `/v1/chat` and everything that has no shape of its own.
CHAT = Surface("chat", chat_error)
#: What clients of OpenAI's API speak. Its SDKs read `x-should-retry`.
OPENAI = Surface("openai", openai_error, tells_retry=True)
