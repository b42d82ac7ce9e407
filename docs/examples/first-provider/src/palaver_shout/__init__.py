"""A Palaver provider for Shout."""

from palaver import hookimpl

from palaver_shout.provider import SHOUT


@hookimpl
def palaver_providers():
    """Offer Shout."""
    yield SHOUT
