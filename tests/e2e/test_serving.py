"""The server as a whole: users apart, broken plugins around it, its own OpenAI plugin pointed at itself."""

import json
import signal
from pathlib import Path
from typing import Any

from palaver.testing.broken_plugins import BROKEN, install_broken, install_working

ANN, BOB = {"X-User-ID": "ann"}, {"X-User-ID": "bob"}
HI = [{"role": "user", "content": "hi"}]


async def test_two_users_never_meet(serve: Any) -> None:
    server = await serve(delay_ms=1)
    secret = "the canary sings at dawn"
    mine = await server.send(secret, headers=ANN, session_id="shared-name")
    theirs = await server.send("hello", headers=BOB, session_id="shared-name")
    await server.follow(mine["stream_url"], headers=ANN)
    await server.follow(theirs["stream_url"], headers=BOB)
    seen = []
    for method, path, body in (
        ("GET", "/v1/chat/sessions", None),
        ("GET", "/v1/chat/sessions/shared-name", None),
        ("GET", "/v1/chat/sessions/shared-name/messages", None),
        ("GET", mine["stream_url"], None),
        ("GET", f"/v1/chat/runs/{mine['stream_id']}", None),
        ("POST", "/v1/chat/stop", {"stream_id": mine["stream_id"]}),
        ("GET", "/v1/models", None),
        ("GET", "/readyz", None),
    ):
        seen.append(json.dumps(await server.json(method, path, body, BOB)))
    async with server.session.get(server.url + "/metrics") as answer:
        seen.append(await answer.text())
    seen.append(server.log.read_text())
    assert not [text for text in seen if secret in text]
    assert 404 == (await server.json("GET", mine["stream_url"], headers=BOB))[0]
    _, history = await server.json("GET", "/v1/chat/sessions/shared-name/messages", headers=ANN)
    assert secret == history["messages"][0]["content"]


async def test_it_serves_whatever_else_is_installed(serve: Any, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install_broken(tmp_path / "wheels", site)
    install_working(tmp_path / "wheels", site, "acme")
    server = await serve(site=site, config={"plugins": {"import_limit": 0.5, "total_limit": 20}})
    status, answer = await server.json("POST", "/v1/chat/completions", {"model": "acme/any", "messages": HI})
    assert (200, "acme") == (status, answer["choices"][0]["message"]["content"])
    status, ready = await server.json("GET", "/readyz")
    assert 200 == status
    states = {plugin["name"]: plugin["state"] for plugin in ready["plugins"]}
    assert {name: plugin.state for name, plugin in BROKEN.items()} == {name: states[name] for name in BROKEN}
    assert "loaded" == states["acme"]
    # Names and states are everybody's; what went wrong is the operator's.
    assert "reason" not in json.dumps(ready)
    told = server.log.read_text()
    assert not [name for name in BROKEN if name not in told]


async def test_our_own_plugin_speaks_to_our_own_surface(serve: Any, tmp_path: Path) -> None:
    key = "round-trip-key-0123456789"
    turns: list[Any] = [
        {"reasoning": "let me see", "text": "Hello, wörld 👩‍👩‍👧!"},
        {
            "tool_calls": [
                {"name": "get_weather", "arguments": {"city": "Paris"}},
                {"name": "get_time", "arguments": {"zone": "CET"}},
            ]
        },
    ]
    behind = await serve(script=turns, environment={"AICHAT_API_KEYS": f"front={key}"})
    front = await serve(
        config={
            "llm": {"provider": "far"},
            "storage": {"url": "sqlite:///front.db"},
            "providers": {
                "far": {
                    "plugin": "openai",
                    "base_url": f"{behind.url}/v1",
                    "api_key": key,
                    "models": ["mock/echo"],
                }
            },
        },
    )
    ask = {"model": "far/mock/echo", "messages": HI, "stream": True, "stream_options": {"include_usage": True}}
    chunks = await _chunks(front, ask)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "Hello, wörld 👩‍👩‍👧!" == "".join(delta.get("content") or "" for delta in deltas).strip()
    assert "let me see" == "".join(delta.get("reasoning_content") or "" for delta in deltas).strip()
    assert chunks[-1]["usage"]["total_tokens"] > 0

    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("get_weather", "get_time")
    ]
    status, answer = await front.json(
        "POST", "/v1/chat/completions", {"model": "far/mock/echo", "messages": HI, "tools": tools}
    )
    assert (200, "tool_calls") == (status, answer["choices"][0]["finish_reason"])
    calls = answer["choices"][0]["message"]["tool_calls"]
    assert [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "CET"})] == [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls
    ]


async def _chunks(server: Any, body: Any) -> list[Any]:
    async with server.session.post(server.url + "/v1/chat/completions", json=body, headers=ANN) as answer:
        text = await answer.text()
    assert 200 == answer.status, text
    lines = [line[6:] for line in text.split("\n\n") if line.startswith("data: ")]
    assert "[DONE]" == lines[-1], text
    return [json.loads(line) for line in lines[:-1]]


async def test_a_key_is_enough_and_a_wrong_one_is_not(serve: Any) -> None:
    server = await serve(environment={"AICHAT_API_KEYS": "carol=carols-key-0123456789"})
    good = {"Authorization": "Bearer carols-key-0123456789"}
    status, session = await server.json("POST", "/v1/chat/sessions", {}, good)
    assert (201, "carol") == (status, session["user_id"])
    # One namespace: the key's owner and the proxy's user are the same person.
    assert 200 == (await server.json("GET", f"/v1/chat/sessions/{session['id']}", headers={"X-User-ID": "carol"}))[0]
    assert 401 == (await server.json("GET", "/v1/chat/sessions", headers={"Authorization": "Bearer nope"}))[0]
    assert 400 == (await server.json("GET", "/v1/chat/sessions", headers={**good, **ANN}))[0]
    assert 401 == (await server.json("GET", "/v1/chat/sessions", headers={}))[0]
    assert "carols-key" not in server.log.read_text()


async def test_the_log_has_a_line_for_each_request_without_query_or_content(serve: Any) -> None:
    server = await serve(arguments=("--log-json",))
    await server.follow("/v1/chat/stream?message=top-secret-words")
    server.signal(signal.SIGTERM)
    assert 0 == await server.ended()
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["event"] == "request"]
    assert ("GET", "/v1/chat/stream", 200) == (
        requests[-1]["method"],
        requests[-1]["route"],
        requests[-1]["status"],
    )
    assert "top-secret" not in server.log.read_text()
