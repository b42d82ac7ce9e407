"""What operators see: probes, metrics without people in them, a log line for each request, usage that is kept."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from palaver import Overloaded, ServedBy, StorageUnavailable, Usage
from palaver.config.schema import Config, LoggingConfig, ServerConfig
from palaver.testing import FakeProvider
from palaver.testing.fakes import say
from palaver_server.logs import configure_logging

ANN = {"X-User-ID": "ann-the-user"}
ASK = {"model": "m", "messages": [{"role": "user", "content": "my-secret-words"}]}


async def scrape(server: Any) -> str:
    async with server.client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text: str = await answer.text()
        return text


async def test_metrics_count_requests_calls_and_tokens(start: Any) -> None:
    async with start(FakeProvider(say("a", usage=Usage(3, 2, 1, 1)), [Overloaded("busy")])) as server:
        await server.json("POST", "/v1/chat/completions", ASK)
        await server.json("POST", "/v1/chat/completions", ASK)
        await server.json("GET", "/v1/chat/sessions/some-session-id")
        text = await scrape(server)
    for line in (
        'http_request_duration_seconds_count{method="POST",route="/v1/chat/completions",status="200"} 1.0',
        'http_request_duration_seconds_count{method="POST",route="/v1/chat/completions",status="503"} 1.0',
        'duration_seconds_count{method="GET",route="/v1/chat/sessions/{session_id}",status="404"} 1.0',
        'http_request_duration_seconds_bucket{le="300.0",method="POST",route="/v1/chat/completions",status="200"} 1.0',
        'palaver_llm_requests_total{model="m",outcome="ok",provider="fake"} 1.0',
        'palaver_tokens_total{type="input"} 3.0',
        'palaver_tokens_total{type="reasoning"} 1.0',
        'palaver_time_to_first_token_seconds_count{provider="fake"} 1.0',
        "palaver_active_streams 0.0",
        'palaver_instance_ready{instance="fake"} 1.0',
    ):
        assert line in text, text
    assert 'outcome="overloaded"' in text
    for private in ("ann-the-user", "some-session-id", "my-secret-words"):
        assert private not in text


async def test_model_names_of_callers_do_not_grow_the_metrics_without_end(start: Any) -> None:
    async with start() as server:
        metrics = server.state.metrics
        assert ["m1", "m2"] == [metrics._model("m1"), metrics._model("m2")]
        for number in range(400):
            metrics._model(f"model-{number}")
        assert "other" == metrics._model("one-too-many")
        assert "m1" == metrics._model("m1")


async def test_metrics_are_for_the_operator_and_can_be_switched_off(start: Any) -> None:
    from palaver import Secret

    async with start(config=Config(server=ServerConfig(proxy_secret=Secret("s" * 20)))) as server:
        assert 403 == (await server.json("GET", "/metrics"))[0]
    async with start(config=Config(server=ServerConfig(metrics=False))) as server:
        assert 404 == (await server.json("GET", "/metrics"))[0]


async def test_readiness_tells_states_and_follows_the_database(server: Any) -> None:
    status, report = await server.json("GET", "/readyz", headers={})
    assert (200, "ready", {"database": "ok", "migrations": "ok", "draining": False}) == (
        status,
        report["status"],
        report["checks"],
    )
    assert [{"name": "fake", "plugin": "fake", "state": "ready"}] == report["instances"]
    server.state.readiness._looked_at = float("-inf")
    server.storage.failing = StorageUnavailable("the password is hunter2")
    status, report = await server.json("GET", "/readyz", headers={})
    assert (503, "unavailable") == (status, report["checks"]["database"])
    assert "hunter2" not in json.dumps(report)


async def test_a_draining_server_is_alive_and_not_ready(server: Any) -> None:
    server.runtime.draining = True
    status, report = await server.json("GET", "/readyz", headers={})
    assert (503, "draining") == (status, report["status"])
    assert (200, {"status": "ok"}) == await server.json("GET", "/livez", headers={})


async def test_usage_that_cannot_be_kept_is_counted_and_never_in_the_way(server: Any, caplog: Any) -> None:
    server.storage.failing = StorageUnavailable("away")
    server.state.usage.note("ann", Usage(1, 1), ServedBy("fake", "m"))
    await server.state.usage.flush()
    assert 1 == server.state.usage.dropped
    assert "usage of 1 calls was not recorded" in caplog.text
    server.storage.failing = None
    server.state.usage.note("ann", None, ServedBy("fake", "m"))
    server.state.usage.note("ann", Usage(1, 1), ServedBy("fake", "m"))
    await server.state.usage.flush()
    assert 1 == len(server.storage.usage_rows("ann"))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Let the process log into a buffer, and put its own handlers back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_a_request_line_is_json_when_asked_for(log: io.StringIO) -> None:
    write = configure_logging(LoggingConfig(json=True), log)
    assert write is not None
    write("GET", "/v1/chat/sessions/{session_id}", 404, 0.0123, "req_1")
    write('X"\n', "/livez", 405, 0.0, "req_2")
    write.flush()
    first, second = (json.loads(line) for line in log.getvalue().splitlines())
    assert ("request", "GET", "/v1/chat/sessions/{session_id}", 404, 12.3, "req_1") == tuple(
        first[name] for name in ("event", "method", "route", "status", "ms", "request_id")
    )
    assert "?" == second["method"]


async def test_other_loggers_take_the_same_shape(log: io.StringIO) -> None:
    configure_logging(LoggingConfig(json=True), log)
    try:
        raise ValueError("oops")
    except ValueError:
        logging.getLogger("palaver.test").exception("it\nfailed")
    line = json.loads(log.getvalue())
    assert ("it\nfailed", "error", "palaver.test") == (line["event"], line["level"], line["logger"])
    assert "ValueError: oops" in line["exception"]


async def test_requests_are_not_logged_above_info(log: io.StringIO) -> None:
    assert configure_logging(LoggingConfig(level="warn"), log) is None
