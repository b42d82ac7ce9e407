"""Two users with the same ids for everything: neither ever sees, changes or stops what is the other's."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import attrs
import pytest
import pytest_asyncio
from palaver.testing.fake_upstream import FakeUpstream, Received, Scripted

from .servers import Answer, Server, as_user, running
from .vendors import END, configured, says

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "canary-1f6b"
ANN, BOB = "ann", "bob"


@attrs.define
class World:
    """A server, and what Ann has there: a finished run and one that waits for its vendor."""

    server: Server
    vendor: FakeUpstream
    gate: asyncio.Event
    done: Any
    active: Any


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: Any) -> AsyncIterator[World]:
    gate = asyncio.Event()

    def respond(request: Received) -> Scripted:
        """Answer with the question, as vendors do; hold back where it says so."""
        asked = request.json["messages"][-1]["content"]
        pieces = (says(f"You said {asked}"), *([gate] if "wait" in asked else []), END)
        return Scripted(pieces, headers=(("Content-Type", "text/event-stream"),))

    async with FakeUpstream() as vendor:
        vendor.answer_with(respond)
        async with running(tmp_path_factory.mktemp("isolation"), configured(vendor)) as server:
            done = await server.send(f"{CANARY} done", user=ANN, session_id="work", key="key-1")
            await server.frames(done["stream_url"], user=ANN)
            active = await server.send(f"{CANARY} wait", user=ANN, session_id="waits")
            async with server.follow(active["stream_url"], user=ANN) as stream:
                await stream.until(lambda data: CANARY in data.get("content", ""))
            yield World(server, vendor, gate, done, active)
            gate.set()
            await server.frames(active["stream_url"], user=ANN)


def comparable(answer: Answer, ids: Iterable[str]) -> str:
    """Write an answer without what differs between any two: the request's id, and the ids asked for."""
    body = {**answer.body, "request_id": ""} if isinstance(answer.body, dict) else str(answer.body)
    text = json.dumps([answer.status, answer.headers["Content-Type"], body], sort_keys=True)
    for found in ids:
        text = text.replace(found, "<id>")
    return text


ROUTES: list[tuple[str, str, Any, dict[str, str]]] = [
    ("GET", "/v1/chat/sessions/{session}", None, {}),
    ("PUT", "/v1/chat/sessions/{session}", {"title": "mine now"}, {}),
    ("DELETE", "/v1/chat/sessions/{session}", None, {}),
    ("GET", "/v1/chat/sessions/{session}/messages", None, {}),
    ("DELETE", "/v1/chat/sessions/{session}/messages", None, {}),
    ("DELETE", "/v1/chat/clear?session_id={session}", None, {}),
    ("GET", "/v1/chat/stream/{run}", None, {}),
    ("GET", "/v1/chat/stream/{run}", None, {"Last-Event-ID": "{run}-1"}),
    ("GET", "/v1/chat/stream?message=hi", None, {"Last-Event-ID": "{run}-1"}),
    ("GET", "/v1/chat/runs/{run}", None, {}),
    ("POST", "/v1/chat/stop", {"stream_id": "{run}"}, {}),
    ("POST", "/v1/chat/stop", {"session_id": "{session}"}, {}),
]


@pytest.mark.parametrize("which", ["done", "active"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]} {route[2] or ''} {route[3] or ''}")
async def test_a_foreign_id_looks_exactly_like_an_unknown_one(world: World, route: Any, which: str) -> None:
    mine = getattr(world, which)
    foreign = {"session": mine["session_id"], "run": mine["stream_id"]}
    unknown = {"session": "x" * len(foreign["session"]), "run": "run_" + "0" * (len(foreign["run"]) - 4)}

    async def ask(ids: dict[str, str], user: str) -> Answer:
        method, path, body, headers = route
        filled = {name: value.format(**ids) for name, value in headers.items()}
        sent = None if body is None else {name: value.format(**ids) for name, value in body.items()}
        return await world.server.ask(method, path.format(**ids), sent, headers={**as_user(user), **filled})

    told = comparable(await ask(foreign, BOB), foreign.values())
    assert comparable(await ask(unknown, BOB), unknown.values()) == told
    assert 404 == json.loads(told)[0]
    assert CANARY not in told
    # Nothing happened to what is Ann's.
    server = world.server
    assert {"work", "waits"} == set(await server.sessions(user=ANN))
    assert [f"{CANARY} done", f"You said {CANARY} done"] == [
        message["content"] for message in await server.history("work", user=ANN)
    ]
    run = await server.ask("GET", f"/v1/chat/runs/{world.active['stream_id']}", user=ANN)
    assert "running" == run.body["status"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]} {route[2] or ''} {route[3] or ''}")
async def test_nobody_in_particular_gets_401_whatever_the_id(world: World, route: Any) -> None:
    method, path, body, headers = route
    ids = {"session": "work", "run": world.done["stream_id"]}
    filled = {name: value.format(**ids) for name, value in headers.items()}
    answer = await world.server.ask(method, path.format(**ids), body, headers=filled)
    assert (401, "Authentication required: missing or invalid user ID") == (answer.status, answer.body["error"])


async def test_the_same_names_are_other_sessions_for_another_user(world: World) -> None:
    server = world.server
    answer = await server.ask(
        "POST",
        "/v1/chat/send",
        {"message": "hello", "session_id": "work"},
        headers=as_user(BOB, Idempotency_Key="key-1"),
    )
    assert (200, "You said hello") == (answer.status, answer.body["message"]["content"])
    assert world.done["stream_id"] != answer.body["stream_id"]
    # What went to the vendor held Bob's words and nothing of Ann's.
    assert ["hello"] == [message["content"] for message in world.vendor.requests[-1].json["messages"]]
    # Ann's run in her session of that name does not make Bob's busy.
    assert 200 == (await server.ask("POST", "/v1/chat/send", {"message": "hi", "session_id": "waits"}, user=BOB)).status
    assert ["hello", "You said hello"] == [message["content"] for message in await server.history("work", user=BOB)]
    deleted = await server.ask("DELETE", "/v1/chat/sessions/work", user=BOB)
    assert 200 == deleted.status
    assert 2 == len(await server.history("work", user=ANN))
    assert 200 == (await server.ask("DELETE", "/v1/chat/sessions/waits", user=BOB)).status
    assert [] == await server.sessions(user=BOB)


async def test_what_anybody_may_read_says_nothing_of_anybody(world: World) -> None:
    server = world.server
    seen = [
        str((await server.ask("GET", path, headers=headers)).body)
        for path, headers in (
            ("/readyz", {}),
            ("/livez", {}),
            ("/v1/chat/health", {}),
            ("/metrics", {}),
            ("/v1/models", as_user(BOB)),
            ("/v1/chat/sessions?total=true", as_user(BOB)),
            ("/v1/chat/mcp/tools", as_user(BOB)),
        )
    ]
    seen.append(server.log.read_text())
    assert not [text for text in seen if CANARY in text]
    assert not [text for text in seen if world.active["stream_id"] in text]
