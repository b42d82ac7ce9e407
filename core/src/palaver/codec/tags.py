"""The open registry of tagged classes: parts, stream events and run facts by their ``type``.

Closed unions would stop plugins from adding parts, and an unknown tag would fail with a puzzling
message; here a plugin adds a tag, and an unknown one is either kept whole or refused by name.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

__all__ = ["TagRegistry"]

T = TypeVar("T")


class TagRegistry(Generic[T]):
    """Tags of the subclasses of *root*, read and written with a ``type`` field.

    Args:
        unknown: Makes a stand-in for an unknown tag from ``(tag, fields)``; ``None`` refuses it.
        stand_in: The class that *unknown* makes, and how it is written back.
    """

    def __init__(
        self,
        converter: cattrs.Converter,
        root: type[T],
        *,
        unknown: Callable[[str, dict[str, Any]], T] | None = None,
        stand_in: tuple[type[T], Callable[[Any], dict[str, Any]]] | None = None,
    ) -> None:
        self._converter = converter
        self._root = root
        self._unknown = unknown
        self._stand_in = stand_in
        self._classes: dict[str, type[T]] = {}
        self._readers: dict[str, Callable[[Any, Any], T]] = {}
        self._writers: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {}
        converter.register_structure_hook(root, self.read)
        converter.register_unstructure_hook_func(
            lambda cls: isinstance(cls, type) and issubclass(cls, root), self.write
        )

    def add(self, tag: str, cls: type[T]) -> None:
        """Register *cls* under *tag*.

        Raises:
            ValueError: the tag belongs to another class.
        """
        known = self._classes.get(tag)
        if known is not None and known is not cls:
            raise ValueError(f"{self._root.__name__} tag {tag!r} already belongs to {known.__qualname__}")
        self._classes[tag] = cls
        self._readers.pop(tag, None)
        self._writers.pop(cls, None)

    def read(self, value: Any, wanted: Any = None) -> T:
        """Build the object a mapping with a ``type`` stands for; *wanted* is the class it has to be."""
        item = self._read(value)
        if wanted is not None and not isinstance(item, wanted):
            raise ValueError(f"expected a {wanted.__name__}, got type {value['type']!r}")
        return item

    def _read(self, value: Any) -> T:
        if not isinstance(value, dict):
            raise TypeError(f"expected an object, got {type(value).__name__}")
        tag = value.get("type")
        if not isinstance(tag, str):
            raise ValueError("field 'type' is missing or not a string")
        fields = {name: item for name, item in value.items() if name != "type"}
        reader = self._readers.get(tag)
        if reader is None:
            cls = self._classes.get(tag)
            if cls is None:
                if self._unknown is None:
                    raise ValueError(f"unknown type {tag!r}; known: {', '.join(sorted(self._classes))}")
                return self._unknown(tag, fields)
            reader = self._readers[tag] = make_dict_structure_fn(cls, self._converter)
        cls = self._classes[tag]
        return reader(fields, cls)

    def write(self, item: T) -> dict[str, Any]:
        """Write *item* as a mapping with its ``type``; defaults are left out."""
        cls = type(item)
        if self._stand_in is not None and cls is self._stand_in[0]:
            return self._stand_in[1](item)
        entry = self._writers.get(cls)
        if entry is None:
            tag = next((tag for tag, known in self._classes.items() if known is cls), None)
            if tag is None:
                raise ValueError(f"{cls.__qualname__} has no tag: register it before it is stored")
            writer = make_dict_unstructure_fn(cls, self._converter, _cattrs_omit_if_default=True)
            entry = self._writers[cls] = (tag, writer)
        fields = entry[1](item)
        return {"type": entry[0], **fields}
