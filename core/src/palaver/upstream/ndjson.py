"""Incremental decoder of newline-delimited JSON: bytes in, frames out, no I/O.

Format: https://github.com/ndjson/ndjson-spec. Empty lines are skipped; a last line without its newline is
delivered, marked as incomplete. Any split of the bytes gives the same frames.
"""

from collections.abc import Sequence

from palaver.errors import UpstreamMalformed
from palaver.upstream.interface import Frame
from palaver.upstream.sse import FRAME_CAP

__all__ = ["NdjsonDecoder"]

_BOM = b"\xef\xbb\xbf"


class NdjsonDecoder:
    """Decodes one body; feed it every read, then finish it."""

    __slots__ = ("_begun", "_cap", "_pending", "_size", "provider")

    def __init__(self, *, provider: str = "", cap: int = FRAME_CAP) -> None:
        self.provider = provider
        self._cap = cap
        self._pending: list[bytes] = []
        self._size = 0
        self._begun = False

    def feed(self, chunk: bytes) -> Sequence[Frame]:
        """Take one read, return the lines it completes.

        Raises:
            UpstreamMalformed: a line is larger than the cap.
        """
        if b"\n" not in chunk:
            if chunk:
                self._keep(chunk)
            return ()
        if self._pending:
            self._pending.append(chunk)
            chunk = b"".join(self._pending)
            self._pending.clear()
            self._size = 0
        lines = chunk.split(b"\n")
        rest = lines.pop()
        frames = [Frame(line) for line in map(self._clean, lines) if line]
        if rest:
            self._keep(rest)
        return frames

    def finish(self) -> Sequence[Frame]:
        """Tell that the body has ended; returns the line that was not terminated."""
        line = self._clean(b"".join(self._pending))
        self._pending.clear()
        return [Frame(line, complete=False)] if line else ()

    def _clean(self, line: bytes) -> bytes:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        # Only what JSON calls white space: U+0085 and U+2028 belong to the text.
        return line.strip(b" \t\r\n")

    def _keep(self, piece: bytes) -> None:
        self._pending.append(piece)
        self._size += len(piece)
        if self._size > self._cap:
            self._pending.clear()
            raise UpstreamMalformed(
                f"{self.provider or 'the vendor'} sent a line of more than {self._cap} bytes", provider=self.provider
            )
