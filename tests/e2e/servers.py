"""`palaver serve` as its users have it: a process of its own, asked over HTTP, followed, killed and started again.

Shared by a whole module where it can be, so everything here lives in the module's event loop.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import yaml

__all__ = ["PALAVER", "Answer", "Following", "Frame", "Server", "as_user", "environment", "running"]

PALAVER = str(Path(sys.executable).with_name("palaver"))
_ADDRESS = re.compile(rb"^address\s+(http://\S+)", re.MULTILINE)
#: What of the environment a server may see: nothing that would configure it.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")
#: Seconds after which something that should have happened counts as not happening.
PATIENCE = 15.0


def as_user(user: str, **more: str) -> dict[str, str]:
    """Give the header that the proxy would send for *user*, and *more* with dashes for underscores."""
    return {"X-User-ID": user, **{name.replace("_", "-"): value for name, value in more.items()}}


def environment(**more: str) -> dict[str, str]:
    """Give a clean environment and *more*."""
    return {**{name: os.environ[name] for name in _KEPT if name in os.environ}, **more}


@attrs.frozen
class Frame:
    """One server-sent event as a client sees it."""

    event: str
    id: str
    text: str

    @property
    def data(self) -> Any:
        """The data as JSON."""
        return json.loads(self.text)


@attrs.frozen
class Answer:
    """A whole answer; *body* is JSON where it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Following:
    """An open event stream, read frame by frame. *raw* is every byte so far."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.raw = b""
        self._read = 0

    async def next(self) -> Frame | None:
        """Read the next frame, ``None`` at the end."""
        while True:
            block = await self.next_block()
            if block is None:
                return None
            fields: dict[str, str] = {}
            for line in block.split("\n"):
                name, colon, value = line.partition(":")
                if name and colon:
                    fields[name] = value.removeprefix(" ")
            if "data" in fields:
                return Frame(fields.get("event", "message"), fields.get("id", ""), fields["data"])

    async def next_block(self) -> str | None:
        """Read up to the next empty line, comments too."""
        while (end := self.raw.find(b"\n\n", self._read)) < 0:
            data = await asyncio.wait_for(self.answer.content.readany(), PATIENCE)
            if not data:
                return None
            self.raw += data
        block, self._read = self.raw[self._read : end], end + 2
        return block.decode()

    async def rest(self) -> list[Frame]:
        """Read to the end."""
        frames = []
        while (frame := await self.next()) is not None:
            frames.append(frame)
        return frames

    async def until(self, reached: Callable[[Any], bool]) -> list[Frame]:
        """Read up to the first frame whose data satisfy *reached*."""
        frames = []
        while (frame := await self.next()) is not None:
            frames.append(frame)
            if reached(frame.data):
                return frames
        raise AssertionError(f"the stream ended before that: {frames}")

    def leave(self) -> None:
        """Lose the connection."""
        self.answer.close()


@attrs.define(eq=False)
class Server:
    """A server process."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str
    session: aiohttp.ClientSession

    # --- asking --------------------------------------------------------------------------------------

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "ann",
        headers: Any = None,
        data: Any = None,
    ) -> Answer:
        """Ask, with *body* as JSON or *data* as it is; *headers* replace the user's."""
        sent = as_user(user) if headers is None else headers
        async with (
            asyncio.timeout(PATIENCE),
            self.session.request(method, self.url + path, json=body, data=data, headers=sent) as answer,
        ):
            raw = await answer.read()
            is_json = answer.content_type == "application/json" and raw != b""
            return Answer(answer.status, answer.headers, json.loads(raw) if is_json else raw)

    async def send(self, message: str, *, user: str = "ann", key: str = "", **fields: Any) -> Any:
        """Begin a run; give what is told about its stream."""
        headers = as_user(user, Idempotency_Key=key) if key else as_user(user)
        answer = await self.ask("POST", "/v1/chat/send?streaming=true", {"message": message, **fields}, headers=headers)
        assert 200 == answer.status, answer
        return answer.body

    @asynccontextmanager
    async def follow(
        self, path: str, body: Any = None, *, user: str = "ann", after: str = "", **more: str
    ) -> AsyncIterator[Following]:
        """Open an event stream, with POST where there is a *body*."""
        headers = as_user(user, **more, **({"Last_Event_ID": after} if after else {}))
        method = "GET" if body is None else "POST"
        async with asyncio.timeout(PATIENCE):
            answer = await self.session.request(method, self.url + path, json=body, headers=headers)
        async with answer:
            assert 200 == answer.status, await answer.text()
            yield Following(answer)

    async def frames(self, path: str, body: Any = None, **how: Any) -> list[Frame]:
        """Read an event stream to its end."""
        async with self.follow(path, body, **how) as stream:
            return await stream.rest()

    async def complete(self, text: str, *, model: str = "", user: str = "ann", **fields: Any) -> Answer:
        """Call the OpenAI surface without streaming."""
        return await self.ask("POST", "/v1/chat/completions", asking(text, model, **fields), user=user)

    async def history(self, session_id: str, *, user: str = "ann") -> list[Any]:
        """List the messages of a session."""
        answer = await self.ask("GET", f"/v1/chat/sessions/{session_id}/messages", user=user)
        assert 200 == answer.status, answer
        messages: list[Any] = answer.body["messages"]
        return messages

    async def sessions(self, *, user: str = "ann") -> list[str]:
        """List the ids of a user's sessions."""
        answer = await self.ask("GET", "/v1/chat/sessions?limit=100", user=user)
        assert 200 == answer.status, answer
        return [session["id"] for session in answer.body["sessions"]]

    async def until(self, path: str, reached: Callable[[Answer], bool], *, user: str = "ann") -> Answer:
        """Ask for *path* until its answer satisfies *reached*."""
        async with asyncio.timeout(PATIENCE):
            # What another process does can only be asked for.
            while not reached(answer := await self.ask("GET", path, user=user)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return answer

    # --- ending --------------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def ended(self, limit: float = PATIENCE) -> int:
        """Wait for the end of the process; give its exit code."""
        return await asyncio.to_thread(self.process.wait, limit)

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        await self.ended()


def asking(text: str, model: str = "", **fields: Any) -> dict[str, Any]:
    """Write a request of the OpenAI surface."""
    body = {"messages": [{"role": "user", "content": text}], **fields}
    return {"model": model, **body} if model else body


@asynccontextmanager
async def running(
    folder: Path,
    config: Mapping[str, Any] | None = None,
    *,
    arguments: Sequence[str] = (),
    **variables: str,
) -> AsyncIterator[Server]:
    """Serve from *folder*, where the database lies too, with *config* as its file; kill it in the end if need be."""
    process, log = _launch(folder, dict(config or {}), arguments, environment(**variables))
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            server = Server(process, log, "", session)
            server.url = await _address(server)
            yield server
    finally:
        if process.poll() is None:
            process.kill()
        await asyncio.to_thread(process.wait, PATIENCE)


def _launch(
    folder: Path, config: dict[str, Any], arguments: Sequence[str], variables: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], Path]:
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    log = folder / f"server-{len(list(folder.glob('server-*.log')))}.log"
    command = [PALAVER, "serve", "--port", "0", *arguments]
    with log.open("wb") as out:
        return subprocess.Popen(command, cwd=folder, env=variables, stdout=out, stderr=subprocess.STDOUT), log


async def _address(server: Server) -> str:
    async with asyncio.timeout(PATIENCE):
        while (found := _ADDRESS.search(server.log.read_bytes())) is None:
            assert server.process.poll() is None, server.log.read_text()
            await asyncio.sleep(0.02)
    return found[1].decode()
