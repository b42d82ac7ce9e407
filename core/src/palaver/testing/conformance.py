"""Provider conformance: inherit the class, say what is under test, and pytest runs every rule.

::

    class TestAcme(ProviderConformance):
        spec = ACME
        wire = Path(__file__).parent / "wire"
        skips = {"parallel_tools": "the vendor makes one call at a time"}

        def config(self, vendor):
            return AcmeConfig(base_url=vendor.url, api_key=vendor.key)
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from palaver.domain import ChatRequest, Message, Role, ToolSpec
from palaver.specs import ProviderSpec
from palaver.testing import conformance_answers as answers
from palaver.testing import conformance_extras as extras
from palaver.testing import conformance_failures as failures
from palaver.testing import conformance_opening as opening
from palaver.testing import conformance_streams as streams
from palaver.testing.conformance_case import Case, NotApplicable, Scenario
from palaver.testing.conformance_wire import StandIn

__all__ = ["RULES", "ProviderConformance", "Rule", "Scenario", "run_rule"]

#: A rule returns when it is kept and raises ``AssertionError`` when it is broken.
Rule = Callable[[Case], Awaitable[None]]

#: Every rule by its name, which is also what ``skips`` names.
RULES: Mapping[str, Rule] = {
    "config": opening.check_config,
    "text": answers.check_text,
    "stream": answers.check_stream,
    "whole_is_folded_stream": answers.check_whole_is_folded_stream,
    "parallel_tools": answers.check_parallel_tools,
    "usage": answers.check_usage,
    "unknown_usage": answers.check_unknown_usage,
    "expectations": answers.check_expectations,
    "batches": streams.check_batches,
    "terminal_marker": streams.check_terminal_marker,
    "stops_at_the_end": streams.check_stops_at_the_end,
    "concurrent_requests": streams.check_concurrent_requests,
    "cancel": streams.check_cancel,
    "byte_splits": streams.check_byte_splits,
    "errors": failures.check_errors,
    "only_palaver_errors": failures.check_only_palaver_errors,
    "secrets": failures.check_secrets,
    "opens_twice": opening.check_opens_twice,
    "health": extras.check_health,
    "models": extras.check_models,
    "embeddings": extras.check_embeddings,
}
#: Seconds a rule may take in all: a provider that hangs fails.
_RULE_LIMIT = 60.0


class ProviderConformance:
    """The rules every provider keeps. Inherit, name the class ``Test...``, fill in what is below."""

    #: The specification under test.
    spec: ClassVar[ProviderSpec[Any]]
    #: The folder of exchanges; ``None`` for a provider that speaks to nobody, which overrides ``scenario()``.
    wire: ClassVar[Path | None] = None
    #: The model the requests name.
    model: ClassVar[str] = "test-model"
    #: Rules that cannot be kept, each with the reason.
    skips: ClassVar[Mapping[str, str]] = {}

    def config(self, vendor: StandIn) -> Any:
        """Give the configuration that leads to ``vendor.url``, with ``vendor.key`` as the key."""
        raise NotImplementedError(f"{type(self).__name__}.config(vendor): return a {self.spec.config.__name__}")

    def request(self, name: str) -> ChatRequest:
        """Give the request of situation *name*; those about tools offer one."""
        tools = (ToolSpec("get_weather", "Tell the weather of a city"),) if name.startswith("tools") else ()
        return ChatRequest(self.model, (Message(Role.USER, "hello"),), tools=tools)

    def scenario(self, name: str) -> Scenario | None:
        """Describe situation *name* of a provider without a wire; ``None`` when there is no such situation.

        Names: ``text``, ``tools`` (parallel calls), ``reasoning``, ``no-usage``, ``cut`` (ends without the end),
        ``stall`` (content, then nothing), ``malformed``, ``error-<status>``.
        """
        return None

    @pytest.mark.parametrize("rule", RULES)
    def test_conforms(self, rule: str) -> None:
        """Keep the rule, or say in ``skips`` why not."""
        # No event loop of the test's own: authors need no async plugin, and every rule begins with a clean one.
        run_rule(rule, self)


def run_rule(rule: str, suite: ProviderConformance) -> None:
    """Run one rule on *suite* in an event loop of its own.

    Raises:
        AssertionError: the rule is broken, or a reason for skipping is missing.
        pytest.skip.Exception: the suite says why it skips, or the rule does not apply.
    """
    unknown = sorted(set(suite.skips) - set(RULES))
    assert not unknown, f"skips: unknown rule {unknown[0]!r}; known: {', '.join(RULES)}"
    if rule in suite.skips:
        reason = suite.skips[rule].strip()
        assert reason, f"skips[{rule!r}]: write down the reason"
        pytest.skip(reason)

    async def limited() -> None:
        async with asyncio.timeout(_RULE_LIMIT):
            await RULES[rule](Case(suite))

    try:
        asyncio.run(limited())
    except NotApplicable as reason:
        pytest.skip(str(reason))
