"""Incremental decoder of Server-Sent Events: bytes in, frames out, no I/O.

Follows https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream with two
differences that streams of vendors need: events whose data is empty are dropped, and an event that the
body's end cuts short is delivered, marked as incomplete. Any split of the bytes gives the same frames.
"""

from collections.abc import Sequence
from functools import partial
from itertools import repeat

from palaver.errors import UpstreamMalformed
from palaver.upstream.interface import Frame

__all__ = ["FRAME_CAP", "SseDecoder"]

#: Bytes that one event, or one unfinished line, may have.
FRAME_CAP = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_MESSAGE = "message"
#: Builds a frame from one tuple of its fields, without the cost of a call in Python.
_frame = partial(tuple.__new__, Frame)


class SseDecoder:
    """Decodes one body; feed it every read, then finish it."""

    __slots__ = (
        "_begun",
        "_cap",
        "_data",
        "_data_size",
        "_event",
        "_id",
        "_pending",
        "_pending_size",
        "_skip_lf",
        "provider",
    )

    def __init__(self, *, provider: str = "", cap: int = FRAME_CAP) -> None:
        self.provider = provider
        self._cap = cap
        # An unfinished line, in the pieces it came in: joined once, however many reads it takes.
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = ""
        self._id: str | None = None
        self._skip_lf = False
        self._begun = False

    def feed(self, chunk: bytes) -> Sequence[Frame]:
        """Take one read, return the frames it completes.

        Raises:
            UpstreamMalformed: an event is larger than the cap.
        """
        # The common case is a read of whole `data: ...` events: three calls into C, nothing per line.
        if (
            chunk[:6] == b"data: "
            and chunk[-2:] == b"\n\n"
            and b"\r" not in chunk
            and not (self._pending or self._data or self._event or self._skip_lf)
        ):
            newlines = chunk.count(b"\n")
            if newlines == 2 and 8 < len(chunk) < self._cap:
                self._begun = True
                return (_frame((chunk[6:-2], _MESSAGE, self._id, True)),)
            parts = chunk[6:-2].split(b"\n\ndata: ")
            if newlines == 2 * len(parts) and b"" not in parts and len(chunk) < self._cap:
                self._begun = True
                return list(map(_frame, zip(parts, repeat(_MESSAGE), repeat(self._id), repeat(True))))
        return self._feed_lines(chunk)

    def _feed_lines(self, chunk: bytes) -> Sequence[Frame]:
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if not chunk:
            return ()
        if b"\n" not in chunk and b"\r" not in chunk:
            self._keep(chunk)
            return ()
        if self._pending:
            self._pending.append(chunk)
            chunk = self._take_pending()
        if b"\r" in chunk:
            # A line ends at its CR at once; the LF of a CRLF that the next read brings is swallowed.
            self._skip_lf = chunk[-1:] == b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        frames: list[Frame] = []
        for line in lines:
            self._line(line, frames)
        if rest:
            self._keep(rest)
        return frames

    def finish(self) -> Sequence[Frame]:
        """Tell that the body has ended; returns the event that was not terminated, if it has data."""
        frames: list[Frame] = []
        if self._pending:
            self._line(self._take_pending(), frames)
        if self._data:
            self._dispatch(frames, complete=False)
        return frames

    def _line(self, line: bytes, frames: list[Frame]) -> None:
        if not self._begun:
            self._begun = True
            if line.startswith(_BOM):
                line = line[3:]
        if not line:
            if self._data:
                self._dispatch(frames, complete=True)
            self._event = ""
            return
        if line[:6] == b"data: ":
            self._add(line[6:])
            return
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        # Anything else is a comment (empty name), `retry`, or a field the standard tells us to ignore.

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._data_size += len(value) + 1
        self._check_size()

    def _keep(self, piece: bytes) -> None:
        self._pending.append(piece)
        self._pending_size += len(piece)
        self._check_size()

    def _take_pending(self) -> bytes:
        line = b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        return line

    def _dispatch(self, frames: list[Frame], *, complete: bool) -> None:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._data_size = 0
        if data:
            frames.append(Frame(data, self._event or _MESSAGE, self._id, complete))

    def _check_size(self) -> None:
        if self._data_size + self._pending_size > self._cap:
            self._pending.clear()
            self._data.clear()
            raise UpstreamMalformed(
                f"{self.provider or 'the vendor'} sent an event of more than {self._cap} bytes", provider=self.provider
            )
