"""Shout keeps the rules of a provider."""

from pathlib import Path

from palaver.testing import ProviderConformance
from palaver_shout.config import ShoutConfig
from palaver_shout.provider import SHOUT


class TestShout(ProviderConformance):
    spec = SHOUT
    wire = Path(__file__).parent / "wire"
    model = "loud"
    skips = {"parallel_tools": "Shout shouts; it calls no tools"}

    def config(self, vendor):
        return ShoutConfig(base_url=vendor.url, api_key=vendor.key)
