"""Tool calls out of deltas: which piece belongs to which call, and ids that are unique. Pure.

Vendors number calls by ``index``, or always 0, or not at all; they send the id first, later or never, and split or
repeat the name. A new id at an index is a new call.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import orjson
from palaver import StreamEvent, ToolCallDelta, ToolCallStarted

__all__ = ["Calls"]

#: What a call has in every vendor's answer; anything else is kept beside it.
_KNOWN = frozenset({"index", "id", "type", "function"})
#: Longest call id that OpenAI takes back; ours, with a UUID in it, would be one character over.
_ID_CAP = 40


class _Call:
    __slots__ = ("arguments", "extra", "id", "index", "name", "started", "vendor_id")

    def __init__(self, index: int, vendor_id: str | None) -> None:
        self.index = index
        self.vendor_id = vendor_id
        self.id = ""
        self.name = ""
        self.extra: dict[str, Any] = {}
        self.started = False
        self.arguments: list[str] = []


class Calls:
    """Collects the calls of one answer.

    Args:
        new_id: Makes an id for a call that has none, or one that is taken.
        taken: Ids that the conversation has used already; asked for when the first call comes.
    """

    def __init__(self, new_id: Callable[[str], str], taken: Callable[[], Collection[str]]) -> None:
        self._new_id = new_id
        self._taken = taken
        self._ids: set[str] | None = None
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def feed(self, delta: Mapping[str, Any], out: list[StreamEvent], *, whole: bool) -> None:
        """Take one entry of ``tool_calls``; *whole* ones are a call each."""
        function = delta.get("function")
        if not isinstance(function, Mapping):
            custom = delta.get("custom")
            if isinstance(custom, Mapping):
                # https://platform.openai.com/docs/guides/function-calling#custom-tools
                function = {"name": custom.get("name"), "arguments": custom.get("input")}
                delta = {**{key: value for key, value in delta.items() if key != "custom"}, "custom_tool": True}
            else:
                function = {}
        vendor_id = delta.get("id")
        if not isinstance(vendor_id, str) or not vendor_id:
            vendor_id = None
        name = function.get("name")
        if not isinstance(name, str):
            name = ""
        arguments = _text(function.get("arguments"))
        index = delta.get("index")
        call = None if whole else self._find(index, vendor_id, name, arguments)
        if call is None:
            call = _Call(len(self._calls), vendor_id)
            self._calls.append(call)
        if index.__class__ is int:
            self._by_index[index] = call
        if vendor_id is not None and call.vendor_id is None:
            call.vendor_id = vendor_id
        if len(delta) > len(_KNOWN) or not delta.keys() <= _KNOWN:
            call.extra.update({key: value for key, value in delta.items() if key not in _KNOWN and value is not None})
        if not call.started:
            # A name in pieces grows; one that is only repeated does not.
            if name != call.name:
                call.name += name
            if arguments or whole:
                self.flush(out, call)
        if arguments:
            call.arguments.append(arguments)
            out.append(ToolCallDelta(call.index, arguments))

    def flush(self, out: list[StreamEvent], upto: _Call | None = None) -> None:
        """Announce the calls that wait for the rest of their names, in order, *upto* one of them or all."""
        for call in self._calls:
            if not call.started:
                call.started = True
                call.id = self._unique(call.vendor_id)
                if call.vendor_id is not None and call.id != call.vendor_id:
                    call.extra.setdefault("id", call.vendor_id)
                vendor = {"openai": dict(call.extra)} if call.extra else {}
                out.append(ToolCallStarted(call.index, call.id, call.name, vendor))
            if call is upto:
                return

    def _find(self, index: Any, vendor_id: str | None, name: str, arguments: str) -> _Call | None:
        """Find the call that a delta goes on with; ``None`` begins a new one."""
        if not self._calls:
            return None
        if index.__class__ is int:
            call = self._by_index.get(index)
        elif vendor_id is not None:
            return next((call for call in self._calls if call.vendor_id == vendor_id), None)
        else:
            call = self._calls[-1]
        if call is None:
            return None
        if vendor_id is not None and call.vendor_id is not None:
            return call if vendor_id == call.vendor_id else None
        if not name or not call.started:
            return call
        # No id tells them apart: another name, or arguments that begin again, are another call.
        again = name != call.name or (arguments[:1] == "{" and _is_whole("".join(call.arguments)))
        return None if again else call

    def _unique(self, vendor_id: str | None) -> str:
        if self._ids is None:
            self._ids = set(self._taken())
        chosen = vendor_id
        while chosen is None or chosen in self._ids:
            chosen = self._new_id("call")[:_ID_CAP]
        self._ids.add(chosen)
        return chosen


def _text(arguments: Any) -> str:
    """Give arguments as JSON text; some vendors send them as an object already."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else orjson.dumps(arguments).decode()


def _is_whole(text: str) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True
