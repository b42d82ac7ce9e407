"""The server as people run it: `palaver serve` in a process of its own, spoken to over HTTP, ended by signals."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import yaml

ANN = {"X-User-ID": "ann"}
_ADDRESS = re.compile(rb"^address\s+(http://\S+)", re.MULTILINE)
SERVE = [sys.executable, "-c", "import sys; from palaver_server.cli import main; sys.exit(main())", "serve"]


@attrs.define
class Served:
    """A server process and a client session for it."""

    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    url: str
    session: aiohttp.ClientSession

    async def json(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = ANN) -> tuple[int, Any]:
        """Send *body* as JSON; give status and parsed answer."""
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            return answer.status, json.loads(await answer.read() or b"null")

    async def send(self, message: str, headers: Mapping[str, str] = ANN, **more: Any) -> Any:
        """Begin a run; give the stream's address and ids."""
        status, info = await self.json("POST", "/v1/chat/send?streaming=true", {"message": message, **more}, headers)
        assert 200 == status, info
        return info

    async def follow(
        self, path: str, *, after: str = "", stop: int | None = None, headers: Mapping[str, str] = ANN
    ) -> list[tuple[str, Any]]:
        """Read a stream as (id, data) to its end, or only its first *stop* frames."""
        headers = {**headers, "Last-Event-ID": after} if after else headers
        frames: list[tuple[str, Any]] = []
        async with self.session.get(self.url + path, headers=headers) as answer:
            assert 200 == answer.status, await answer.text()
            event_id = ""
            async for raw in answer.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("id: "):
                    event_id = line[4:]
                elif line.startswith("data: "):
                    frames.append((event_id, json.loads(line[6:])))
                    if len(frames) == stop:
                        break
        return frames

    async def until(self, path: str, reached: Callable[[int, Any], bool]) -> None:
        """Ask for *path* until its status and answer satisfy *reached*."""
        async with asyncio.timeout(15):
            # What another process does can only be asked for.
            while not reached(*await self.json("GET", path)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        self.process.send_signal(number)

    async def ended(self, limit: float = 15.0) -> int:
        """Wait for the end of the process; give its exit code."""
        return await asyncio.to_thread(self.process.wait, limit)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Give a way to start servers; all of them are ended with the test."""
    started: list[Served] = []
    async with aiohttp.ClientSession() as session:

        async def begin(
            *,
            config: Mapping[str, Any] | None = None,
            script: Any = None,
            delay_ms: float = 0,
            environment: Mapping[str, str] | None = None,
            site: Path | None = None,
            arguments: tuple[str, ...] = (),
        ) -> Served:
            mock: dict[str, Any] = {"plugin": "mock", "delay_ms": delay_ms}
            if script is not None:
                (tmp_path / "script.yaml").write_text(yaml.safe_dump(script))
                mock["script"] = str(tmp_path / "script.yaml")
            settings = {"llm": {"provider": "mock"}, "providers": {"mock": mock}, **(config or {})}
            (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
            keep = {name: value for name, value in os.environ.items() if not name.startswith(("AICHAT_", "OPENAI_"))}
            if site is not None:
                keep["PYTHONPATH"] = str(site)
            log = tmp_path / f"server-{len(started)}.log"
            process = _launch(tmp_path, log, {**keep, **(environment or {})}, arguments)
            served = Served(tmp_path, process, log, "", session)
            started.append(served)
            served.url = await _address(served)
            return served

        yield begin
        for served in started:
            if served.process.poll() is None:
                served.signal(signal.SIGKILL)
            await served.ended()


def _launch(
    folder: Path, log: Path, environment: Mapping[str, str], arguments: tuple[str, ...]
) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [*SERVE, "--port", "0", *arguments], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )


async def _address(served: Served) -> str:
    async with asyncio.timeout(30):
        while True:
            found = _ADDRESS.search(served.log.read_bytes())
            if found:
                return found[1].decode()
            assert served.process.poll() is None, served.log.read_text()
            await asyncio.sleep(0.02)
