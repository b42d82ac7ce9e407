"""The log: structlog's shapes for everything that says something, one quick line for every request.

A request line holds the route's template, never the path, the query or any content: ids and prompts stay out.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import orjson
from palaver.config.masking import scrub
from palaver.config.schema import LoggingConfig

if TYPE_CHECKING:
    from structlog.typing import Processor

__all__ = ["RequestLog", "configure_logging"]

#: Seconds for which request lines are gathered.
_MOMENT = 0.05
_LEVELS = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40}


def configure_logging(
    config: LoggingConfig, stream: TextIO | None = None, *, secrets: Sequence[str] = ()
) -> "RequestLog | None":
    """Send every logger of the process to *stream* (standard error); give the log of requests, if it is wanted.

    Args:
        secrets: Texts that are masked wherever they turn up: in what plugins say, and in tracebacks.
    """
    import structlog  # 20 ms: only the server needs it

    out = stream or sys.stderr
    level = _LEVELS.get(config.level.lower(), 20)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        stamp,
    ]
    render: Processor
    if config.json:
        shared.append(structlog.processors.format_exc_info)
        render = structlog.processors.JSONRenderer(serializer=_dumps)
    else:
        render = structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
    handler = logging.StreamHandler(out)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )
    handler.setFormatter(_Masking(formatter, secrets))
    handler.addFilter(_without_request_bytes)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return RequestLog(out, json=config.json) if level <= logging.INFO else None


def _without_request_bytes(record: logging.LogRecord) -> bool:
    """Cut what aiohttp logs of a request that it cannot read: it quotes the bytes, prompts and keys among them."""
    error = record.exc_info[1] if record.exc_info else None
    # By name: to import aiohttp is not this module's business, and whoever raised this has done it.
    if error is not None and type(error).__module__ == "aiohttp.http_exceptions":
        record.exc_info = record.exc_text = None
        record.msg, record.args = "a request could not be read: %s", (type(error).__name__,)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


class _Masking(logging.Formatter):
    """Masks secrets in the finished line: the words of plugins and drivers pass here too."""

    def __init__(self, formatter: logging.Formatter, secrets: Sequence[str]) -> None:
        super().__init__()
        self._formatter = formatter
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        return scrub(self._formatter.format(record), self._secrets)


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()


class RequestLog:
    """One line per request, gathered for a moment: a write for each would cost more than the request.

    Not through ``logging``, for the same reason. ``flush`` writes what waits; a crash loses a moment's lines.
    """

    def __init__(self, out: TextIO, *, json: bool) -> None:
        self._out = out
        self._json = json
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second = -1
        self._stamp = ""

    def __call__(self, method: str, route: str, status: int, seconds: float, request_id: str) -> None:
        """Log one request: *route* is the template of its path, *seconds* its whole duration."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        # No field needs escaping: the method is the client's, so it is cut down to its letters.
        word = method if method.isalpha() else "?"
        stamp = f"{self._stamp}.{int((now - second) * 1000):03d}Z"
        if self._json:
            line = (
                f'{{"timestamp":"{stamp}","level":"info","event":"request","method":"{word}","route":"{route}",'
                f'"status":{status},"ms":{seconds * 1000:.1f},"request_id":"{request_id}"}}\n'
            )
        else:
            line = f"{stamp} [info     ] {word} {route} {status} {seconds * 1000:.1f}ms {request_id}\n"
        self._lines.append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_MOMENT, self.flush)

    def flush(self) -> None:
        """Write every line that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            self._out.write("".join(lines))
            self._out.flush()
