"""The rules every provider keeps, on exchanges written by hand."""

from pathlib import Path

from palaver.testing import ProviderConformance
from palaver_openai.config import OpenAIConfig
from palaver_openai.provider import OPENAI


class TestOpenAI(ProviderConformance):
    spec = OPENAI
    wire = Path(__file__).parent / "wire"

    def config(self, vendor):
        return OpenAIConfig(base_url=f"{vendor.url}/v1", api_key=vendor.key)
