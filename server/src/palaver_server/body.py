"""Reading a request's body: bounded in size, time, depth and number of values, before anything is parsed.

aiohttp limits neither the time of a body nor the depth of JSON; a parser that recurses would end in a crash.
"""

import asyncio
import re
from typing import Any

import orjson
from aiohttp import hdrs, web
from palaver.config.schema import LimitsConfig
from palaver.errors import InvalidRequest, PayloadTooLarge

from palaver_server.failures import RequestTimeout, UnsupportedMedia

__all__ = ["parse_json", "read_bytes", "read_json", "read_object"]

#: Seconds until the first byte of a body, and for which a slower sender is tolerated.
_GRACE = 20.0
#: Bytes per second that a sender must keep up after that.
_MIN_RATE = 8192
#: Values in one document; more is an attack on memory, not a conversation.
_MAX_VALUES = 500_000
_MAX_STRINGS = 2_000_000
#: Below this size no document can hold too many values.
_SMALL = 65_536

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b"[]{}")
_INNERMOST = re.compile(rb"\[\]|\{\}")


async def read_bytes(request: web.Request, limit: int) -> bytes:
    """Read the body, at most *limit* bytes.

    Raises:
        PayloadTooLarge: it is larger; nothing of it is kept.
        RequestTimeout: it stopped, or came too slowly.
        UnsupportedMedia: it is compressed.
    """
    headers = request.headers
    encoding = headers.get(hdrs.CONTENT_ENCODING)
    if encoding is not None and encoding.lower() != "identity":
        raise UnsupportedMedia(f"content encoding {encoding[:40]!r} is not taken: send the body uncompressed")
    length = request.content_length
    if length is not None and length > limit:
        raise PayloadTooLarge(f"the body has {length} bytes; the limit is {limit}")
    content = request.content
    if content.is_eof():
        body = content.read_nowait()
    else:
        body = await _read_slowly(request, limit)
    if len(body) > limit:
        raise PayloadTooLarge(f"the body has more than {limit} bytes")
    return body


async def _read_slowly(request: web.Request, limit: int) -> bytes:
    loop = asyncio.get_running_loop()
    began = loop.time()
    blocks: list[bytes] = []
    received = 0
    try:
        async with asyncio.timeout_at(began + _GRACE) as patience:
            while block := await request.content.readany():
                blocks.append(block)
                received += len(block)
                if received > limit:
                    break
                patience.reschedule(began + _GRACE + received / _MIN_RATE)
    except TimeoutError as error:
        raise RequestTimeout(f"the body stopped or came too slowly, {received} bytes in") from error
    except web.RequestPayloadError as error:
        raise InvalidRequest("the body is cut or badly framed") from error
    return b"".join(blocks)


def parse_json(body: bytes, limits: LimitsConfig) -> Any:
    """Parse *body*, refusing what is too deep or holds too many values before a parser sees it.

    Raises:
        InvalidRequest: not JSON, or too deep.
    """
    _check_structure(body, limits.json_depth)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error.msg} at character {error.pos}") from error


def _check_structure(body: bytes, depth: int) -> None:
    if len(body) <= _SMALL and body.count(b"[") + body.count(b"{") <= depth:
        return
    if body.count(b'"') - body.count(b'\\"') > 2 * _MAX_STRINGS:
        raise InvalidRequest("the body holds too many values")
    bare = _STRING.sub(b"", body)
    if bare.count(b",") + bare.count(b"[") + bare.count(b"{") > _MAX_VALUES:
        raise InvalidRequest(f"the body holds more than {_MAX_VALUES} values")
    nested = bare.translate(None, _NOT_STRUCTURE)
    # Each round takes away the innermost level everywhere; what is left after *depth* rounds is deeper
    # (or has brackets that do not match, which the parser will say better).
    for _ in range(depth):
        if not nested:
            return
        shorter = _INNERMOST.sub(b"", nested)
        if shorter == nested:
            break
        nested = shorter
    if nested and _is_json(body):
        raise InvalidRequest(f"the body is nested deeper than {depth} levels")


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return "recursion" in error.msg
    return True


async def read_json(request: web.Request, limits: LimitsConfig, *, required: bool = True) -> Any:
    """Read and parse a JSON body; an absent one is ``None`` unless *required*.

    Raises:
        UnsupportedMedia: its type is not ``application/json``. A browser cannot send that type across
            origins without asking first, so this also keeps foreign pages out.
    """
    if not required and not request.body_exists:
        return None
    if request.headers.get(hdrs.CONTENT_TYPE) != "application/json":
        _check_type(request)
    body = await read_bytes(request, limits.body)
    if not body and not required:
        return None
    return parse_json(body, limits)


def _check_type(request: web.Request) -> None:
    kind = request.content_type
    if kind != "application/json" and not kind.endswith("+json"):
        given = request.headers.get(hdrs.CONTENT_TYPE)
        what = "there is none" if given is None else f"got {given[:60]!r}"
        raise UnsupportedMedia(f"content type: expected application/json, {what}")
    charset = request.charset
    if charset is not None and charset.lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia(f"charset {charset[:40]!r} is not taken: send UTF-8")


async def read_object(request: web.Request, limits: LimitsConfig, *, required: bool = True) -> dict[str, Any]:
    """Read a JSON object; an absent body is an empty one unless *required*."""
    data = await read_json(request, limits, required=required)
    if data is None and not required:
        return {}
    if not isinstance(data, dict):
        raise InvalidRequest(f"the body must be a JSON object, not {json_word(data)}")
    return data


def json_word(value: Any) -> str:
    """Name the JSON type of *value* for an error message."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
