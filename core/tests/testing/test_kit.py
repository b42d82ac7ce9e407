"""The kit as a whole: every name is there, nothing is loaded early, and the fakes do as they are told."""

import asyncio
import subprocess
import sys
from contextlib import aclosing

import palaver.testing
import pytest
from palaver import ChatRequest, Fold, RateLimited, TextDelta, Usage
from palaver.testing import FakeProvider, counting_ids, fake_context, say


@pytest.mark.parametrize("name", palaver.testing.__all__)
def test_every_name_of_the_kit_is_there(name):
    assert getattr(palaver.testing, name) is not None
    assert name in dir(palaver.testing)


def test_no_name_of_the_kit_is_also_a_module_of_it():
    # Importing the module would replace the name.
    assert "palaver.testing" == palaver.testing.__name__
    assert [] == [name for name in palaver.testing.__all__ if name in palaver.testing._HOMES]


def test_every_name_of_the_kit_has_one_home():
    names = [name for names in palaver.testing._HOMES.values() for name in names]
    assert sorted(palaver.testing.__all__) == sorted(names)


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match=r"module 'palaver\.testing' has no attribute 'FakeClocks'"):
        _ = palaver.testing.FakeClocks


def test_importing_the_kit_loads_none_of_it():
    code = "import sys, palaver.testing as kit; print([name for name in sys.modules if name.startswith(kit.__name__)])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "['palaver.testing']" == loaded.stdout.strip(), loaded.stderr


# --- fakes -----------------------------------------------------------------------------------------------------------

REQUEST = ChatRequest("m", ())


async def fold_of(provider):
    fold = Fold()
    async with aclosing(provider.stream(REQUEST)) as stream:
        async for batch in stream:
            fold.feed(batch)
    return fold


async def test_a_fake_provider_says_what_it_is_told():
    provider = FakeProvider(say("one ", "two", usage=Usage(1, 2)), say("three"))
    first = (await fold_of(provider)).completion()
    texts = [(await fold_of(provider)).text for _ in range(2)]
    assert ("one two", Usage(1, 2), "stop") == (first.message.text, first.usage, first.finish_raw)
    assert ["three", "three"] == texts
    assert [REQUEST] * 3 == provider.requests


async def test_a_fake_provider_fails_where_it_is_told():
    provider = FakeProvider([[TextDelta("a")], RateLimited("slow down")])
    with pytest.raises(RateLimited):
        await fold_of(provider)
    assert 0 == provider.open


async def test_a_fake_provider_stalls_until_it_is_closed():
    provider = FakeProvider([[TextDelta("a")], FakeProvider.STALL])
    stream = provider.stream(REQUEST)
    await anext(stream)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), timeout=0.01)
    assert 0 == provider.open


def test_counted_ids_count_and_keep_their_prefix():
    new_id = counting_ids()
    assert ["1", "call_2", "3"] == [new_id(), new_id("call"), new_id()]


def test_a_fake_context_has_a_clock_that_stands_still():
    context = fake_context("acme", warn=print)
    assert ("acme", 0.0, "1", print) == (context.instance, context.clock.monotonic(), context.new_id(), context.warn)
