"""A vendor of Chat Completions in the test's own process, so that a test decides what it says and when.

Wire format: https://platform.openai.com/docs/api-reference/chat/streaming
"""

import json
from collections.abc import Mapping
from typing import Any

from palaver.testing.fake_upstream import FakeUpstream

__all__ = ["DONE", "END", "configured", "delta", "ended", "failed", "says", "whole"]

DONE = b"data: [DONE]\n\n"


def _chunk(choices: list[Any], **more: Any) -> bytes:
    document = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return b"data: " + json.dumps({**document, **more}).encode() + b"\n\n"


def delta(finish: str | None = None, **fields: Any) -> bytes:
    """Write one chunk."""
    return _chunk([{"index": 0, "delta": fields, "finish_reason": finish}])


def says(text: str) -> bytes:
    """Write one chunk of text."""
    return delta(content=text)


def ended(finish: str = "stop", **usage: Any) -> bytes:
    """Write everything that ends a stream."""
    counted = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, **usage}
    return delta(finish) + _chunk([], usage=counted) + DONE


def failed(message: str, kind: str = "server_error") -> bytes:
    """Write an error inside a stream."""
    return b"data: " + json.dumps({"error": {"message": message, "type": kind, "code": None}}).encode() + b"\n\n"


END = ended()


def whole(text: str) -> dict[str, Any]:
    """Write an answer without streaming."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def configured(vendor: FakeUpstream, **sections: Mapping[str, Any]) -> dict[str, Any]:
    """Write the configuration of a server whose only provider is *vendor*, asked once a call; titles are off."""
    entry = {"plugin": "openai", "base_url": f"{vendor.url}/v1", "api_key": "none", "models": ["m"]}
    return {
        "llm": {"provider": "vendor", "model": "m"},
        "providers": {"vendor": entry},
        "resilience": {"attempts": 1, "breaker_failures": 0},
        **sections,
        "chat": {"titles": False, **sections.get("chat", {})},
    }
