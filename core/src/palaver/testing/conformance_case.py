"""What the rules of provider conformance play with: a provider brought into a named situation.

A provider that speaks HTTP has a folder of exchanges, one per situation, which a stand-in for its vendor replays,
whole or damaged. A provider without a wire describes each situation by a configuration and a request.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs

from palaver.domain import ChatRequest, Completion
from palaver.events import Batch, StreamEvent
from palaver.fold import Fold
from palaver.specs import ProviderSpec
from palaver.testing.conformance_wire import (
    Delivery,
    StandIn,
    deliver,
    expected_of,
    open_context,
    refused_vendor,
    serve,
)
from palaver.testing.replay import Exchange, load_exchange

__all__ = ["Case", "Missing", "NotApplicable", "Played", "Scenario", "Suite", "as_batch", "fold_of"]


class Missing(AssertionError):
    """The suite has nothing for a situation that a rule needs."""


class NotApplicable(Exception):
    """A rule has nothing to look at in this kind of provider; the message says why."""


@attrs.frozen
class Scenario:
    """A situation of a provider without a wire: the configuration it opens with and the request it gets.

    *expected* says what must come out, as in the files of a wire folder.
    """

    config: Any
    request: ChatRequest
    expected: Mapping[str, Any] = attrs.field(factory=dict)


class Suite(Protocol):
    """What a conformance class tells about the provider under test."""

    @property
    def spec(self) -> ProviderSpec[Any]: ...

    @property
    def wire(self) -> Path | None: ...

    @property
    def model(self) -> str: ...

    def config(self, vendor: StandIn) -> Any: ...

    def request(self, name: str) -> ChatRequest: ...

    def scenario(self, name: str) -> Scenario | None: ...


def as_batch(item: Any) -> Batch:
    """Take what a provider yielded as a batch: a single event is a batch of one."""
    return (item,) if isinstance(item, StreamEvent) else item


def fold_of(items: Iterable[Any]) -> Fold:
    """Fold everything a provider yielded."""
    fold = Fold()
    for item in items:
        fold.feed(as_batch(item))
    return fold


@attrs.frozen
class Played:
    """An opened provider in its situation; *vendor* is ``None`` without a wire."""

    provider: Any
    request: ChatRequest
    config: Any
    vendor: StandIn | None
    expected: Mapping[str, Any]
    #: What the provider warned about.
    warnings: Sequence[str]

    async def items(self) -> list[Any]:
        """Read the stream to its end: whatever it yields, as it yields it."""
        async with aclosing(self.provider.stream(self.request)) as stream:
            return [item async for item in stream]

    async def answer(self) -> Completion:
        """Read the stream to its end and fold it; it must have ended with a terminal event."""
        fold = fold_of(await self.items())
        assert fold.finished is not None, "the stream ended without ResponseFinished and without an error"
        return fold.completion()

    async def failure(self) -> tuple[list[StreamEvent], BaseException | None]:
        """Read until it fails: the events before, and the failure (``None`` when there was none)."""
        events: list[StreamEvent] = []
        try:
            async with aclosing(self.provider.stream(self.request)) as stream:
                async for item in stream:
                    events += as_batch(item)
        except Exception as error:
            return events, error
        return events, None


@attrs.frozen
class Case:
    """The provider under test, ready to be brought into any situation its suite knows."""

    suite: Suite

    @property
    def spec(self) -> ProviderSpec[Any]:
        """The specification under test."""
        return self.suite.spec

    @property
    def has_wire(self) -> bool:
        """Whether exchanges are replayed."""
        return self.suite.wire is not None

    def has(self, name: str, *, streaming: bool) -> bool:
        """Tell whether the suite knows situation *name* in that form."""
        if self.suite.wire is None:
            return self.suite.scenario(name) is not None
        return self._file(name, streaming).exists()

    def forms(self, name: str) -> list[bool]:
        """List in which forms, whole (``False``) and streamed (``True``), the situation is there.

        Raises:
            Missing: in none.
        """
        forms = [streaming for streaming in (False, True) if self.has(name, streaming=streaming)]
        if not forms:
            raise self._missing(name, streaming=True)
        return forms

    def need(self, name: str, *, streaming: bool) -> None:
        """Return when the suite knows the situation in that form.

        Raises:
            Missing: it does not.
        """
        if not self.has(name, streaming=streaming):
            raise self._missing(name, streaming=streaming)

    def some_config(self) -> Any:
        """Give a configuration of the provider, whichever."""
        if self.suite.wire is None:
            return self._scenario("text").config
        with refused_vendor() as vendor:
            return self.suite.config(vendor)

    def names(self, prefix: str) -> list[str]:
        """List the wire's whole exchanges whose names begin with *prefix*."""
        wire = self.suite.wire
        return [] if wire is None else sorted(path.stem for path in wire.glob(f"{prefix}*.json"))

    def exchange(self, name: str, *, streaming: bool) -> Exchange:
        """Read the exchange of a situation.

        Raises:
            Missing: there is none.
        """
        self.need(name, streaming=streaming)
        return load_exchange(self._file(name, streaming))

    def play(
        self, name: str, *, streaming: bool, delivery: Delivery | None = None, asked: bool | None = None
    ) -> AbstractAsyncContextManager[Played]:
        """Open the provider in situation *name*.

        Args:
            streaming: Which form of the situation to take.
            delivery: How a stand-in delivers the exchange, if not as it was recorded.
            asked: Whether the request asks to stream, if that differs from *streaming*.

        Raises:
            Missing: the suite has no such situation.
        """
        asks = streaming if asked is None else asked
        if self.suite.wire is not None:
            exchange = self.exchange(name, streaming=streaming)
            return self.face(delivery or deliver(exchange), streaming=asks, name=name, expected=expected_of(exchange))
        scenario = self._scenario(name)
        request = attrs.evolve(scenario.request, streaming=asks)
        return self._open(scenario.config, request, None, scenario.expected)

    @asynccontextmanager
    async def face(
        self, delivery: Delivery, *, streaming: bool, name: str = "text", expected: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Played]:
        """Open the provider in front of a stand-in that answers everything with *delivery*."""
        request = attrs.evolve(self.suite.request(name), streaming=streaming)
        async with (
            serve(delivery) as vendor,
            self._open(self.suite.config(vendor), request, vendor, expected or {}) as played,
        ):
            yield played

    @asynccontextmanager
    async def _open(
        self, config: Any, request: ChatRequest, vendor: StandIn | None, expected: Mapping[str, Any]
    ) -> AsyncIterator[Played]:
        warnings: list[str] = []
        async with self.opened(config, warnings.append) as provider:
            yield Played(provider, request, config, vendor, expected, warnings)

    @asynccontextmanager
    async def opened(self, config: Any, warn: Callable[[str], None] = lambda text: None) -> AsyncIterator[Any]:
        """Open the provider as core does."""
        async with open_context(self.spec.name, warn) as context, self.spec.open(config, context) as provider:
            yield provider

    def _scenario(self, name: str) -> Scenario:
        scenario = self.suite.scenario(name)
        if scenario is None:
            raise self._missing(name, streaming=True)
        return scenario

    def _file(self, name: str, streaming: bool) -> Path:
        assert self.suite.wire is not None
        return self.suite.wire / (f"{name}-stream.json" if streaming else f"{name}.json")

    def _missing(self, name: str, *, streaming: bool) -> Missing:
        way_out = "or write in `skips` why the rule cannot be kept"
        if self.suite.wire is None:
            return Missing(f"scenario({name!r}) gives None: return a Scenario for it, {way_out}")
        return Missing(f"{self._file(name, streaming).name} is not in {self.suite.wire.name}/: record it, {way_out}")
