"""Sounds and images in answers, and ``data:`` URLs both ways. Pure."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from palaver import AudioPart, ImagePart, PartAdded

__all__ = ["AudioPieces", "data_url", "read_data_url", "read_image"]


class AudioPieces:
    """Collects the spoken answer: base64 pieces, each whole by itself, and the transcript."""

    def __init__(self) -> None:
        self._id: str | None = None
        self._data: list[bytes] = []
        self._transcript: list[str] = []
        self._extra: dict[str, Any] = {}

    def feed(self, audio: Mapping[str, Any]) -> None:
        """Take what a delta or message holds of it."""
        for key, value in audio.items():
            if key == "id" and isinstance(value, str):
                self._id = value
            elif key == "transcript" and isinstance(value, str):
                self._transcript.append(value)
            elif key == "data" and isinstance(value, str):
                try:
                    self._data.append(base64.b64decode(value))
                except (binascii.Error, ValueError):
                    self._extra["broken"] = True
            elif value is not None:
                self._extra[key] = value

    def part(self) -> PartAdded:
        """Give the whole."""
        data = b"".join(self._data)
        transcript = "".join(self._transcript)
        vendor = {"openai": self._extra} if self._extra else {}
        return PartAdded(AudioPart(data=data or None, transcript=transcript or None, audio_id=self._id, vendor=vendor))


def read_image(part: Mapping[str, Any]) -> PartAdded | None:
    """Read an ``image_url`` part; ``None`` when it holds no URL."""
    holder = part.get("image_url")
    url = holder.get("url") if isinstance(holder, dict) else holder
    if not isinstance(url, str) or not url:
        return None
    found = read_data_url(url)
    return PartAdded(ImagePart(url=url) if found is None else ImagePart(data=found[1], mime_type=found[0]))


def read_data_url(url: str) -> tuple[str | None, bytes] | None:
    """Split a base64 ``data:`` URL (RFC 2397) into its type and bytes; ``None`` for any other URL."""
    head, comma, body = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64") or not comma:
        return None
    try:
        return head[5:-7] or None, base64.b64decode(body)
    except (binascii.Error, ValueError):
        return None


def data_url(data: bytes, mime_type: str | None) -> str:
    """Write *data* as a base64 ``data:`` URL."""
    return f"data:{mime_type or 'application/octet-stream'};base64,{base64.b64encode(data).decode('ascii')}"
