"""Shared by the plugin's tests: a provider in front of a scripted vendor."""

import pytest
from palaver import Secret
from palaver.testing.replay import Replayer
from palaver_openai.config import OpenAIConfig
from palaver_openai.provider import OPENAI


@pytest.fixture
async def replayer():
    """Give the provider at ``replayer.provider``, its vendor at ``replayer.upstream``."""
    async with Replayer.open(OPENAI, OpenAIConfig(api_key=Secret("sk-test")), path="/v1") as opened:
        yield opened
