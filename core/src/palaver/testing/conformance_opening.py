"""Rules of provider conformance about specification and opening: what is declared, and two accounts at once."""

import re

import attrs

from palaver.domain import ModelInfo
from palaver.settings import METADATA_KEY, describe
from palaver.specs import ProviderSpec
from palaver.testing.conformance_asserts import neutral, within
from palaver.testing.conformance_case import Case

__all__ = ["check_config", "check_opens_twice"]


async def check_config(case: Case) -> None:
    """The specification is complete: plain names, a frozen attrs class, settings that say what fills them."""
    spec = case.spec
    assert isinstance(spec, ProviderSpec), f"spec is a {type(spec).__name__}, not a ProviderSpec"
    for name in (spec.name, *spec.aliases):
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", name), f"name {name!r}: use lower case letters, digits, '-' and '_'"
    assert all(spec.model_prefixes), "an empty model prefix would claim every model"
    assert all(isinstance(model, ModelInfo) for model in spec.catalog), "the catalog holds what is not a ModelInfo"
    ids = [model.id for model in spec.catalog]
    assert len(set(ids)) == len(ids), f"the catalog lists a model twice: {ids}"
    _check_settings(spec.config)
    config = case.some_config()
    assert isinstance(config, spec.config), f"config() gives a {type(config).__name__}, not a {spec.config.__name__}"
    for field in attrs.fields(spec.config):
        try:
            setattr(config, field.name, getattr(config, field.name))
        except attrs.exceptions.FrozenInstanceError:
            continue
        raise AssertionError(f"{spec.config.__name__} can be changed: use attrs.frozen")


def _check_settings(config: type) -> None:
    assert attrs.has(config), f"{config.__name__} is not an attrs class"
    for field in attrs.fields(config):
        assert METADATA_KEY in field.metadata, f"{config.__name__}.{field.name}: declare it with setting()"
    for info in describe(config):
        where = f"{config.__name__}.{info.name}"
        assert info.help, f"{where}: say in setting(help=...) what it is"
        needed = info.required or info.secret
        assert info.env or not needed, f"{where}: name the variables that fill it in setting(env=...)"
        for variable in info.env:
            assert re.fullmatch(r"[A-Z][A-Z0-9_]*", variable), f"{where}: {variable!r} is no environment variable"


async def check_opens_twice(case: Case) -> None:
    """Two accounts are open at once, each with its own key, and closing one leaves the other working."""
    streaming = case.forms("text")[-1]
    async with case.play("text", streaming=streaming) as second:
        async with case.play("text", streaming=streaming) as first:
            assert first.provider is not second.provider, "open() gave the same object twice"
            await first.answer()
            before = neutral(await second.answer())
        after = neutral(await within(20.0, second.answer(), "the other account was closed, and this one hangs"))
        assert before == after, f"closing one account changed the other's answer: {before} != {after}"
        if first.vendor is None or second.vendor is None:
            return
        counts = len(first.vendor.requests), len(second.vendor.requests)
        assert counts == (1, 2), f"requests went to the wrong account: {counts}, expected (1, 2)"
        for own, other in ((first.vendor, second.vendor), (second.vendor, first.vendor)):
            assert other.key.reveal() not in repr(own.requests), "one account's key was sent to the other"
