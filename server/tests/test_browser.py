"""What protects browsers: exact origins, preflight, hosts against rebinding."""

from typing import Any

import pytest
from palaver.config.schema import Config, ServerConfig
from palaver_server.browser import Cors, Hosts
from palaver_server.failures import Misdirected

ANN = {"X-User-ID": "ann"}
OURS = "https://chat.example.com"


async def test_an_origin_on_the_list_may_call_and_no_other_gets_a_word(start: Any) -> None:
    async with start(config=Config(server=ServerConfig(cors_origins=(OURS,)))) as server:
        for origin, allowed in ((OURS, OURS), ("https://evil.example", None), ("null", None), (OURS + ".evil", None)):
            async with server.client.get("/v1/chat/sessions", headers={**ANN, "Origin": origin}) as answer:
                assert 200 == answer.status
                assert allowed == answer.headers.get("Access-Control-Allow-Origin")
                assert "Origin" == answer.headers["Vary"]


async def test_a_stream_and_an_error_carry_the_origin_too(start: Any) -> None:
    async with start(config=Config(server=ServerConfig(cors_origins=(OURS,)))) as server:
        headers = {**ANN, "Origin": OURS}
        async with server.client.get("/v1/chat/stream?message=hi", headers=headers) as answer:
            assert OURS == answer.headers["Access-Control-Allow-Origin"]
            await answer.read()
        async with server.client.get("/v1/chat/sessions/nope", headers=headers) as answer:
            assert (404, OURS) == (answer.status, answer.headers["Access-Control-Allow-Origin"])


async def test_a_preflight_is_answered_without_identity(start: Any) -> None:
    async with start(config=Config(server=ServerConfig(cors_origins=(OURS,)))) as server:
        asks = {"Origin": OURS, "Access-Control-Request-Method": "POST"}
        async with server.client.options("/v1/chat/send", headers=asks) as answer:
            assert (204, OURS) == (answer.status, answer.headers["Access-Control-Allow-Origin"])
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
        async with server.client.options("/v1/chat/send", headers={**asks, "Origin": "https://evil"}) as answer:
            assert 403 == answer.status
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_options_tells_the_methods(server: Any) -> None:
    async with server.client.options("/v1/chat/send") as answer:
        assert (204, "POST, OPTIONS") == (answer.status, answer.headers["Allow"])


async def test_a_page_that_rebinds_its_name_to_this_machine_stays_out(server: Any) -> None:
    for host, status in (("evil.example", 421), ("evil.example:3001", 421), ("localhost:3001", 200), ("[::1]:1", 200)):
        async with server.client.get("/v1/chat/sessions", headers={**ANN, "Host": host}) as answer:
            assert status == answer.status, host


def test_a_host_of_the_operators_is_ours() -> None:
    hosts = Hosts(ServerConfig(allowed_hosts=("Chat.example.com",)))
    hosts.check("chat.example.com:443")
    with pytest.raises(Misdirected):
        hosts.check("other.example.com")


def test_beyond_loopback_the_name_is_the_proxys_matter() -> None:
    Hosts(ServerConfig(host="0.0.0.0")).check("anything.example")


def test_a_star_never_comes_with_credentials() -> None:
    headers = Cors(("*",)).headers("https://any.example")
    assert "*" == headers["Access-Control-Allow-Origin"]
    assert "Access-Control-Allow-Credentials" not in headers
    assert {} == Cors(("*",)).headers("null")
