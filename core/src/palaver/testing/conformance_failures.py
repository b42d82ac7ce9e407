"""Rules of provider conformance about failures: which error leaves, that no other does, and that no key shows."""

import traceback
from collections.abc import Mapping

import attrs

from palaver.errors import (
    Overloaded,
    ProviderAuthFailed,
    ProviderError,
    ProviderRejected,
    QuotaExhausted,
    RateLimited,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from palaver.testing.conformance_asserts import assert_error, assert_foreign, form, revealed
from palaver.testing.conformance_case import Case, NotApplicable, Played
from palaver.testing.conformance_wire import deliver, faults, plain, refused_vendor

__all__ = ["check_errors", "check_only_palaver_errors", "check_secrets"]

#: HTTP status: what may leave the provider. A vendor's own words may make a subclass of it.
_ALLOWED: Mapping[int, tuple[type[ProviderError], ...]] = {
    400: (ProviderRejected,),
    401: (ProviderAuthFailed,),
    403: (ProviderAuthFailed, ProviderRejected),
    404: (ProviderRejected,),
    413: (ProviderRejected,),
    422: (ProviderRejected,),
    429: (RateLimited, QuotaExhausted, Overloaded),
    500: (UpstreamFailed, Overloaded),
    502: (UpstreamFailed, Overloaded, UpstreamUnreachable, UpstreamTimeout),
    503: (Overloaded, UpstreamFailed),
    504: (UpstreamTimeout, UpstreamFailed, Overloaded),
    529: (Overloaded, UpstreamFailed),
}
_RETRY_AFTER = 7.0


async def check_errors(case: Case) -> None:
    """Each error status becomes the right kind of ``ProviderError``, before any content, in both forms."""
    if not case.has_wire:
        await _check_described_errors(case)
        return
    for streaming in (False, True):
        for status, allowed in _ALLOWED.items():
            async with case.face(plain(status, retry_after=_RETRY_AFTER), streaming=streaming) as played:
                events, error = await played.failure()
            assert_error(status, allowed, events, error, f"{status} ({form(streaming)})")
            if status == 429:
                assert getattr(error, "retry_after", None) == _RETRY_AFTER, f"Retry-After: 7 was lost: {error!r}"
        for name in case.names("error-"):
            exchange = case.exchange(name, streaming=False)
            async with case.face(deliver(exchange), streaming=streaming, name=name) as played:
                events, error = await played.failure()
            allowed = _ALLOWED.get(exchange.status, (ProviderError,))
            assert_error(exchange.status, allowed, events, error, f"{name} ({form(streaming)})")


async def _check_described_errors(case: Case) -> None:
    statuses = [status for status in _ALLOWED if case.has(f"error-{status}", streaming=True)]
    if not statuses:
        case.need("error-429", streaming=True)
    for status in statuses:
        for streaming in (False, True):
            async with case.play(f"error-{status}", streaming=streaming) as played:
                events, error = await played.failure()
            assert_error(status, _ALLOWED[status], events, error, f"{status} ({form(streaming)})")


async def check_only_palaver_errors(case: Case) -> None:
    """Whatever the vendor or the network does, only ``PalaverError``s leave, and no answer is made up."""
    if not case.has_wire:
        async with case.play("malformed", streaming=True) as played:
            assert_foreign(*await played.failure(), "malformed")
        return
    for streaming in (False, True):
        for fault in faults():
            async with case.face(fault, streaming=streaming) as played:
                assert_foreign(*await played.failure(), f"{fault.name} ({form(streaming)})")
        with refused_vendor() as vendor:
            config = case.suite.config(vendor)
            request = attrs.evolve(case.suite.request("text"), streaming=streaming)
            async with case.opened(config) as provider:
                failed = await Played(provider, request, config, vendor, {}, ()).failure()
        assert_foreign(*failed, f"nobody listens ({form(streaming)})")


async def check_secrets(case: Case) -> None:
    """The key shows in no repr, error, traceback or warning, even where the vendor repeats it."""
    config = case.some_config()
    keys = revealed(config)
    for key in keys:
        assert key not in repr(config), "repr(config) shows a key: leave repr as attrs makes it"
    if not case.has_wire:
        if not keys:
            raise NotApplicable("the configuration holds no key")
        return
    for status in (400, 401, 429, 500):
        async with case.face(plain(status, echo=True), streaming=True) as played:
            assert played.vendor is not None
            key = played.vendor.key.reveal()
            assert key not in repr(played.config), "repr(config) shows the key: annotate its field with Secret"
            if key not in revealed(played.config):
                raise NotApplicable("config() does not use the vendor's key")
            assert key not in repr(played.provider), "repr(provider) shows the key"
            _, error = await played.failure()
            assert error is not None, f"a {status} was taken for an answer"
            shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
            assert key not in shown, f"the error for a {status} shows the key"
            assert not any(key in warning for warning in played.warnings), "a warning shows the key"
