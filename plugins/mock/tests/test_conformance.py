"""The mock keeps every rule of a provider, played from scripts."""

import pytest
from palaver import ChatRequest, Message, Role
from palaver.testing import ProviderConformance, Scenario
from palaver_mock.config import MockConfig
from palaver_mock.provider import MOCK

SCRIPTS = {
    "text": "- text: the sun is out",
    "reasoning": "- {reasoning: let me think, text: the sun is out}",
    "tools": """
- text: let me look
  tool_calls:
    - {name: get_weather, arguments: {city: Paris}, id: c1}
    - {name: get_weather, arguments: {city: Rome}, id: c2}
""",
    "no-usage": "- {text: the sun is out, usage: false}",
    "cut": "- {text: the sun is out, cut: 2}",
    "stall": "- {text: the sun is out, stall: 2}",
    "malformed": "- {text: the sun is out, error: {kind: malformed, after: 1}}",
    "error-400": "- error: rejected",
    "error-401": "- error: auth",
    "error-404": "- error: unknown_model",
    "error-429": "- error: rate_limited",
    "error-500": "- error: failed",
    "error-503": "- error: overloaded",
    "error-529": "- error: {kind: overloaded, status: 529}",
}


class TestMock(ProviderConformance):
    spec = MOCK

    @pytest.fixture(autouse=True)
    def _keep_scripts_in(self, tmp_path):
        self.folder = tmp_path

    def scenario(self, name):
        if name not in SCRIPTS:
            return None
        script = self.folder / f"{name}.yaml"
        script.write_text(SCRIPTS[name])
        request = ChatRequest("echo", (Message(Role.USER, "how is the weather"),))
        return Scenario(MockConfig(script=str(script)), request)
