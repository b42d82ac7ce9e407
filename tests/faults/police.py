"""The grammar of a Chat Completions conversation, as strict as the real vendor and a little stricter. Pure.

https://platform.openai.com/docs/api-reference/chat/create, and what its 400s say of roles, pairing and ids.
"""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["check"]

_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "refusal", "audio", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
#: Longest id of a tool call that is taken.
_ID_CAP = 40


def check(body: Mapping[str, Any]) -> str | None:
    """Tell what is wrong with a request's messages, ``None`` when nothing is."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages: expected at least one"
    waiting: list[str] = []
    seen: set[str] = set()
    spoken = False
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role = message.get("role")
        if role not in _FIELDS:
            return f"{where}.role: unknown {role!r}"
        if unknown := message.keys() - _FIELDS[role]:
            return f"{where}: unknown fields {sorted(unknown)}"
        if role == "tool":
            call_id = message.get("tool_call_id")
            if call_id not in waiting:
                return f"{where}: role tool must answer a preceding message with tool_calls, got {call_id!r}"
            waiting.remove(call_id)
            if not isinstance(message.get("content"), str):
                return f"{where}.content: expected text"
            continue
        if waiting:
            return f"{where}: tool_call_ids without a response: {waiting}"
        if role in ("system", "developer"):
            if spoken:
                return f"{where}: {role} after the conversation has begun"
        elif role == "user":
            spoken = True
        elif not spoken:
            return f"{where}: the assistant speaks first"
        calls = message.get("tool_calls")
        if calls is not None:
            if fault := _check_calls(calls, seen):
                return f"{where}.tool_calls{fault}"
            waiting = [entry["id"] for entry in calls]
        elif fault := _check_content(message):
            return f"{where}.content: {fault}"
    if waiting:
        return f"tool_call_ids without a response: {waiting}"
    return None if messages[-1]["role"] in ("user", "tool") else "the last message must be the user's or a tool's"


def _check_content(message: Mapping[str, Any]) -> str | None:
    content = message.get("content")
    if content is None and message.get("refusal"):
        return None
    if isinstance(content, list):
        return None if content else "expected at least one part"
    return None if isinstance(content, str) and content else f"expected text, got {content!r}"


def _check_calls(calls: Any, seen: set[str]) -> str | None:
    if not isinstance(calls, list) or not calls:
        return ": expected at least one"
    for number, entry in enumerate(calls):
        call_id, function = entry.get("id"), entry.get("function", {})
        if not isinstance(call_id, str) or not 0 < len(call_id) <= _ID_CAP:
            return f"[{number}].id: expected 1 to {_ID_CAP} characters, got {call_id!r}"
        if call_id in seen:
            return f"[{number}].id: {call_id!r} is used twice"
        seen.add(call_id)
        if not _NAME.fullmatch(function.get("name") or ""):
            return f"[{number}].function.name: got {function.get('name')!r}"
        if not isinstance(function.get("arguments"), str) or not function["arguments"]:
            return f"[{number}].function.arguments: expected text, got {function.get('arguments')!r}"
    return None
