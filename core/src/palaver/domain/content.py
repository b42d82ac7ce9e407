"""Content parts: what a message is made of, in a form no vendor owns.

``vendor`` keeps what a vendor said beyond the neutral fields, verbatim, keyed by dialect
(``{"openai": {"logprobs": ...}}``). A codec reads back only its own dialect's entry, so a part can
travel to another vendor without carrying foreign fields.
"""

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = [
    "EMPTY",
    "AudioPart",
    "FilePart",
    "ImagePart",
    "Part",
    "ReasoningPart",
    "RefusalPart",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
    "UnknownPart",
    "Vendor",
]

#: Vendor data by dialect.
Vendor = Mapping[str, Any]
#: The shared empty mapping; never written to.
EMPTY: Vendor = {}


@attrs.frozen
class Part:
    """Root of the parts; plugins may add their own through ``palaver.codec.Codec.register_part``."""


@attrs.frozen
class TextPart(Part):
    """Plain text, UTF-8."""

    text: str
    #: ``True`` asks the provider to end a cached prompt prefix after this part.
    cache_breakpoint: bool = False
    vendor: Vendor = EMPTY


@attrs.frozen
class ImagePart(Part):
    """An image: either *data* with its *mime_type*, or a *url* that is passed on, never fetched."""

    data: bytes | None = None
    url: str | None = None
    mime_type: str | None = None
    detail: str | None = None
    cache_breakpoint: bool = False
    vendor: Vendor = EMPTY


@attrs.frozen
class FilePart(Part):
    """A document: its bytes, a URL that is passed on, or the id of a file the vendor already has."""

    data: bytes | None = None
    url: str | None = None
    file_id: str | None = None
    mime_type: str | None = None
    filename: str | None = None
    cache_breakpoint: bool = False
    vendor: Vendor = EMPTY


@attrs.frozen
class AudioPart(Part):
    """Sound, spoken or heard; *audio_id* names an earlier answer's audio at the vendor."""

    data: bytes | None = None
    url: str | None = None
    mime_type: str | None = None
    transcript: str | None = None
    audio_id: str | None = None
    cache_breakpoint: bool = False
    vendor: Vendor = EMPTY


@attrs.frozen
class ReasoningPart(Part):
    """What the model thought. *signature* and *redacted* go back to the vendor unchanged."""

    text: str = ""
    signature: str | None = None
    #: Encrypted thinking that only the vendor can read.
    redacted: str | None = None
    id: str | None = None
    vendor: Vendor = EMPTY


@attrs.frozen
class RefusalPart(Part):
    """The model's own words when it declines."""

    text: str
    vendor: Vendor = EMPTY


@attrs.frozen
class ToolCallPart(Part):
    """A call the model asks for. *arguments* is the JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str
    vendor: Vendor = EMPTY


@attrs.frozen
class ToolResultPart(Part):
    """The answer to the call *call_id*; text, images or files."""

    call_id: str
    content: tuple[Part, ...]
    name: str | None = None
    is_error: bool = False
    cache_breakpoint: bool = False
    vendor: Vendor = EMPTY

    @property
    def text(self) -> str:
        """The text of the result, its pieces joined."""
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


@attrs.frozen
class UnknownPart(Part):
    """A part whose tag nobody here knows (a plugin was removed); kept whole for whoever does."""

    tag: str
    data: Mapping[str, Any]
