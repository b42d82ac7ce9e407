"""The chat API over real sockets, to the letter of its contract: a web UI depends on it."""

import asyncio
import re
from typing import Any

from palaver import Overloaded, RefusalDelta, TextDelta, Usage
from palaver.config.schema import Config, ServerConfig
from palaver.testing import FakeProvider
from palaver.testing.fakes import say

ANN = {"X-User-ID": "ann"}
BOB = {"X-User-ID": "bob"}
STALL = FakeProvider.STALL
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def send(server: Any, message: str = "hi", headers: Any = ANN, **more: Any) -> Any:
    status, info = await server.json("POST", "/v1/chat/send?streaming=true", {"message": message, **more}, headers)
    assert 200 == status, info
    return info


async def test_health_needs_no_identity(server: Any) -> None:
    status, answer = await server.json("GET", "/v1/chat/health", headers={})
    assert (200, "ok") == (status, answer["status"])
    assert TIME.fullmatch(answer["timestamp"])
    assert isinstance(answer["version"], str)


async def test_every_other_route_needs_one(server: Any) -> None:
    routes = [
        ("POST", "/send"),
        ("GET", "/stream"),
        ("GET", "/stream/x"),
        ("POST", "/stop"),
        ("GET", "/runs/x"),
        ("DELETE", "/clear?session_id=x"),
        ("POST", "/sessions"),
        ("GET", "/sessions"),
        ("GET", "/sessions/x"),
        ("PUT", "/sessions/x"),
        ("DELETE", "/sessions/x"),
        ("GET", "/sessions/x/messages"),
        ("DELETE", "/sessions/x/messages"),
        ("GET", "/mcp/tools"),
    ]
    for method, path in routes:
        status, answer = await server.json(method, f"/v1/chat{path}", headers={})
        assert (401, "Authentication required: missing or invalid user ID") == (status, answer["error"]), path


async def test_a_streamed_send_tells_where_the_stream_is_and_the_real_session(server: Any) -> None:
    info = await send(server, session_id="")
    assert info["session_id"]
    assert f"/v1/chat/stream/{info['stream_id']}" == info["stream_url"]


async def test_a_session_id_of_the_clients_own_is_kept(server: Any) -> None:
    info = await send(server, session_id="session-123")
    assert "session-123" == info["session_id"]
    assert 200 == (await server.json("GET", "/v1/chat/sessions/session-123"))[0]
    assert 404 == (await server.json("GET", "/v1/chat/sessions/session-123", headers=BOB))[0]


async def test_a_stream_is_messages_then_done_all_with_the_session(start: Any) -> None:
    async with start(FakeProvider(say("hel", "lo"))) as server:
        info = await send(server)
        async with server.client.get(info["stream_url"], headers=ANN) as answer:
            assert ("no-cache", "no") == (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"])
        frames = await server.frames("GET", info["stream_url"])
    assert {"message"} == {frame.event for frame in frames}
    assert {info["session_id"]} == {frame.data["session_id"] for frame in frames}
    assert ["message", "message", "message", "done"] == [frame.data["type"] for frame in frames]
    assert ["", "hel", "lo"] == [frame.data["content"] for frame in frames[:-1]]
    first = frames[0].data
    assert (info["message_id"], info["user_message_id"]) == (first["message_id"], first["user_message_id"])
    assert frames[-1].data["done"] is True
    assert all(frame.id.startswith(f"{info['stream_id']}-") for frame in frames)


async def test_a_stream_is_read_by_several_and_resumed_without_gap_or_duplicate(start: Any) -> None:
    async with start(FakeProvider(say(*"abcdef"))) as server:
        info = await send(server)
        whole = await server.frames("GET", info["stream_url"])
        assert whole == await server.frames("GET", info["stream_url"])
        for cut in range(len(whole) - 1):
            headers = {**ANN, "Last-Event-ID": whole[cut].id}
            assert whole[cut + 1 :] == await server.frames("GET", info["stream_url"], headers=headers)


async def test_after_the_end_a_reconnect_is_told_not_to_come_back(server: Any) -> None:
    info = await send(server)
    last = (await server.frames("GET", info["stream_url"]))[-1]
    async with server.client.get(info["stream_url"], headers={**ANN, "Last-Event-ID": last.id}) as answer:
        assert 204 == answer.status


async def test_a_foreign_stream_looks_like_an_unknown_one(server: Any) -> None:
    info = await send(server)
    status, foreign = await server.json("GET", info["stream_url"], headers=BOB)
    unknown_status, unknown = await server.json("GET", "/v1/chat/stream/run_nope", headers=BOB)
    assert (404, 404) == (status, unknown_status)
    assert foreign["error"].startswith("stream not found")
    assert foreign.keys() == unknown.keys()


async def test_the_one_step_stream_sends_once_however_often_it_reconnects(server: Any) -> None:
    path = "/v1/chat/stream?session_id=s&message=hi%20there"
    frames = await server.frames("GET", path)
    assert ["message", "message", "done"] == [frame.data["type"] for frame in frames]
    again = await server.frames("GET", path, headers={**ANN, "Last-Event-ID": frames[0].id})
    assert frames[1:] == again
    async with server.client.get(path, headers={**ANN, "Last-Event-ID": frames[-1].id}) as answer:
        assert 204 == answer.status
    assert 1 == len([request for request in server.provider.requests if not request.metadata])


async def test_a_page_of_another_site_cannot_send(server: Any) -> None:
    headers = {**ANN, "Sec-Fetch-Site": "cross-site"}
    status, answer = await server.json("GET", "/v1/chat/stream?message=hi", headers=headers)
    assert (403, "forbidden") == (status, answer["code"])
    status, _ = await server.json("POST", "/v1/chat/sessions", headers=headers)
    assert 403 == status
    assert [] == server.storage.writes


async def test_a_failed_answer_is_an_error_message_and_its_partial_text_is_stored(start: Any) -> None:
    async with start(FakeProvider([(TextDelta("half"),), Overloaded("busy")])) as server:
        info = await send(server)
        frames = await server.frames("GET", info["stream_url"])
        last = frames[-1].data
        assert ("message", "error", "busy", "overloaded", True) == (
            frames[-1].event,
            last["type"],
            last["error"],
            last["code"],
            last["retryable"],
        )
        _, answer = await server.json("GET", f"/v1/chat/sessions/{info['session_id']}/messages")
        assert [("user", "hi"), ("assistant", "half")] == [(m["role"], m["content"]) for m in answer["messages"]]
        assert "interrupted" == answer["messages"][1]["status"]


async def test_a_refusal_is_text_that_people_can_read(start: Any) -> None:
    batches = ((RefusalDelta("I must not"),), *say())
    async with start(FakeProvider(batches)) as server:
        info = await send(server)
        frames = await server.frames("GET", info["stream_url"])
        assert "I must not" == frames[1].data["content"]


async def test_a_whole_answer_waits_for_the_run(start: Any) -> None:
    async with start(FakeProvider(say("hel", "lo", usage=Usage(3, 2)))) as server:
        status, answer = await server.json("POST", "/v1/chat/send", {"message": "hi", "session_id": "s"})
    assert (200, "s", "m") == (status, answer["session_id"], answer["model"])
    message = answer["message"]
    assert ("assistant", "hello") == (message["role"], message["content"])
    assert TIME.fullmatch(message["timestamp"])
    assert {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5} == answer["usage"]


async def test_a_whole_answer_that_failed_has_the_true_status_and_what_came_of_it(start: Any) -> None:
    async with start(FakeProvider([(TextDelta("half"),), Overloaded("busy")])) as server:
        status, answer = await server.json("POST", "/v1/chat/send", {"message": "hi"})
    assert (503, "busy", "overloaded", "half") == (
        status,
        answer["error"],
        answer["code"],
        answer["message"]["content"],
    )
    assert answer["session_id"]


async def test_a_client_that_stops_waiting_does_not_stop_the_run(start: Any) -> None:
    async with start(FakeProvider([(TextDelta("a"),), STALL])) as server:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(server.json("POST", "/v1/chat/send", {"message": "hi", "session_id": "s"}))
            await server.until(lambda: len(server.state.presence) == 1)
            asking.cancel()
        await server.until(lambda: len(server.state.presence) == 0)
        assert 1 == server.provider.open


async def test_watchers_that_leave_leave_the_run_alone(start: Any) -> None:
    async with start(FakeProvider([(TextDelta("a"),), STALL])) as server:
        info = await send(server)
        async with server.client.get(info["stream_url"], headers=ANN) as answer:
            await server.next_frame(answer)
        await server.until(lambda: len(server.state.presence) == 0)
        assert 1 == server.provider.open


async def test_stop_closes_the_upstream_and_keeps_what_came(start: Any) -> None:
    async with start(FakeProvider([(TextDelta("half"),), STALL])) as server:
        info = await send(server)
        async with server.client.get(info["stream_url"], headers=ANN) as answer:
            while (await server.next_frame(answer)).data["content"] != "half":
                pass
            status, stopped = await server.json("POST", "/v1/chat/stop", {"session_id": info["session_id"]})
            assert (200, "cancelled", info["stream_id"]) == (status, stopped["status"], stopped["stream_id"])
            assert 0 == server.provider.open
            last = await server.next_frame(answer)
        assert ("done", "cancelled") == (last.data["type"], last.data["status"])
        _, answer = await server.json("GET", f"/v1/chat/sessions/{info['session_id']}/messages")
        assert ("half", "cancelled") == (answer["messages"][1]["content"], answer["messages"][1]["status"])
        status, run = await server.json("GET", f"/v1/chat/runs/{info['stream_id']}")
        assert (200, "cancelled") == (status, run["status"])
        assert 404 == (await server.json("POST", "/v1/chat/stop", {"stream_id": info["stream_id"]}, headers=BOB))[0]


async def test_a_busy_session_is_409_and_names_the_run_in_the_way(start: Any) -> None:
    async with start(FakeProvider([(TextDelta("a"),), STALL])) as server:
        info = await send(server, session_id="s")
        status, answer = await server.json("POST", "/v1/chat/send", {"message": "again", "session_id": "s"})
        assert (409, "session_busy", info["stream_id"]) == (status, answer["code"], answer["run_id"])


async def test_an_idempotency_key_attaches_to_the_first_send(server: Any) -> None:
    headers = {**ANN, "Idempotency-Key": "k1"}
    body = {"message": "hi", "session_id": "s"}
    _, first = await server.json("POST", "/v1/chat/send?streaming=true", body, headers)
    _, second = await server.json("POST", "/v1/chat/send?streaming=true", body, headers)
    assert first["stream_id"] == second["stream_id"]
    status, answer = await server.json("POST", "/v1/chat/send", {**body, "message": "other"}, headers)
    assert (409, "conflict") == (status, answer["code"])


async def test_sessions_live_from_creation_to_deletion(server: Any) -> None:
    status, session = await server.json("POST", "/v1/chat/sessions", {"title": "Mine"})
    assert (201, "Mine", "ann") == (status, session["title"], session["user_id"])
    assert TIME.fullmatch(session["created_at"])
    assert TIME.fullmatch(session["updated_at"])
    path = f"/v1/chat/sessions/{session['id']}"
    assert (200, session) == await server.json("GET", path)
    assert (200, {"message": "Session updated successfully"}) == await server.json("PUT", path, {"title": "Yours"})
    assert "Yours" == (await server.json("GET", path))[1]["title"]
    assert (200, {"message": "Session deleted successfully"}) == await server.json("DELETE", path)
    status, answer = await server.json("GET", path)
    assert (404, "Session not found") == (status, answer["error"])


async def test_a_session_without_a_title_is_a_new_chat(server: Any) -> None:
    assert "New Chat Session" == (await server.json("POST", "/v1/chat/sessions", {}))[1]["title"]
    assert "New Chat Session" == (await server.json("POST", "/v1/chat/sessions", {"title": ""}))[1]["title"]
    async with server.client.post("/v1/chat/sessions", headers=ANN) as answer:
        assert 201 == answer.status


async def test_lists_are_pages(server: Any) -> None:
    for number in range(5):
        await server.json("POST", "/v1/chat/sessions", {"title": str(number)})
    status, answer = await server.json("GET", "/v1/chat/sessions?limit=2&page=2")
    assert (200, ["2", "1"]) == (status, [session["title"] for session in answer["sessions"]])
    assert {"page": 2, "limit": 2, "offset": 2, "has_more": True} == answer["pagination"]
    _, answer = await server.json("GET", "/v1/chat/sessions?limit=2&offset=4&total=true")
    assert {"page": 3, "limit": 2, "offset": 4, "has_more": False, "total": 5} == answer["pagination"]
    _, answer = await server.json("GET", "/v1/chat/sessions?limit=1000&page=0")
    assert (20, 1, 5) == (answer["pagination"]["limit"], answer["pagination"]["page"], len(answer["sessions"]))
    _, answer = await server.json("GET", "/v1/chat/sessions", headers=BOB)
    assert [] == answer["sessions"]


async def test_the_history_is_oldest_first_with_its_total_and_can_be_cleared(server: Any) -> None:
    await server.json("POST", "/v1/chat/send", {"message": "hi", "session_id": "s"})
    status, answer = await server.json("GET", "/v1/chat/sessions/s/messages")
    assert (200, ["user", "assistant"]) == (status, [message["role"] for message in answer["messages"]])
    assert {"page": 1, "limit": 50, "offset": 0, "has_more": False, "total": 2} == answer["pagination"]
    assert all(TIME.fullmatch(message["timestamp"]) for message in answer["messages"])
    assert 404 == (await server.json("DELETE", "/v1/chat/sessions/s/messages", headers=BOB))[0]
    cleared = await server.json("DELETE", "/v1/chat/sessions/s/messages")
    assert (200, {"message": "Session messages cleared successfully"}) == cleared
    assert [] == (await server.json("GET", "/v1/chat/sessions/s/messages"))[1]["messages"]
    await server.json("POST", "/v1/chat/send", {"message": "hi", "session_id": "s"})
    cleared = await server.json("DELETE", "/v1/chat/clear?session_id=s")
    assert (200, {"message": "Chat history cleared successfully"}) == cleared
    assert 404 == (await server.json("DELETE", "/v1/chat/clear?session_id=nope"))[0]
    status, answer = await server.json("DELETE", "/v1/chat/clear")
    assert (400, "session_id parameter is required") == (status, answer["error"])


async def test_there_are_no_tools_yet_and_it_says_so(server: Any) -> None:
    assert (200, {"tools": []}) == await server.json("GET", "/v1/chat/mcp/tools")
    expected = {"tools": [], "force_refresh": True}
    assert (200, expected) == await server.json("GET", "/v1/chat/mcp/tools?force_refresh=true")


async def test_a_title_cannot_forge_an_event(start: Any) -> None:
    text = 'x\n\ndata: {"type":"done"}\n\n\u2028'
    async with start(FakeProvider(say(text))) as server:
        info = await send(server, session_id="s")
        frames = await server.frames("GET", info["stream_url"])
    assert ["", text] == [frame.data["content"] for frame in frames[:-1]]


async def test_a_silent_stream_is_kept_alive_with_comments(start: Any) -> None:
    config = Config(server=ServerConfig(keepalive=0.02))
    async with start(FakeProvider([STALL]), config) as server:
        info = await send(server)
        async with server.client.get(info["stream_url"], headers=ANN) as answer:
            await server.next_frame(answer)
            assert b": ping\n\n" == await answer.content.readuntil(b"\n\n")
            assert b": ping\n\n" == await answer.content.readuntil(b"\n\n")


async def test_a_draining_server_takes_no_send_but_still_shows_what_is_there(server: Any) -> None:
    info = await send(server)
    server.runtime.draining = True
    status, answer = await server.json("POST", "/v1/chat/send", {"message": "hi"})
    assert (503, "shutting_down", True) == (status, answer["code"], answer["retryable"])
    assert "done" == (await server.frames("GET", info["stream_url"]))[-1].data["type"]
