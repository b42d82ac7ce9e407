"""``palaver chat``: the pipeline in the terminal, without server and storage. History lives as long as the command."""

import asyncio
import getpass
import logging
import sys
from collections.abc import Iterable
from typing import Any

import attrs
import click
from palaver import (
    Batch,
    Call,
    ChatRequest,
    FinishReason,
    Fold,
    Message,
    Principal,
    RefusalDelta,
    Role,
    Sampling,
    TextDelta,
)
from palaver.assembly import Assembly
from palaver.config import Config, Loaded
from palaver.ids import Owner
from palaver.runtime import Runtime
from palaver.settings import missing

from palaver_server.cli.loaded import config_flags, find_plugins, load_config, required
from palaver_server.cli.output import fail, note, printable

__all__ = ["chat"]

#: Ends that are not worth a word.
_GOOD_ENDS = (FinishReason.STOP, FinishReason.TOOL_CALLS, None)


@click.command()
@click.argument("message", required=False)
@config_flags
@click.option("-p", "--provider", "--llm-provider", "provider", metavar="NAME", help="Instance or plugin that answers")
@click.option("-m", "--model", "--llm-model", "model", metavar="NAME", help="Model, or instance/model")
@click.option("-s", "--system", "--system-prompt", "system", metavar="TEXT", help="System prompt")
@click.option("--no-stream", is_flag=True, help="Print the answer when it is whole")
def chat(
    message: str | None, provider: str | None, model: str | None, system: str | None, no_stream: bool, **where: Any
) -> None:
    """Chat in the terminal, without a server.

    Answers MESSAGE, or what stdin holds; without both, asks for messages until the end of input (Ctrl-D).
    """
    # The pipeline's warnings are for a server's log; what fails is said below, once.
    logging.getLogger("palaver").addHandler(logging.NullHandler())
    flags = {"llm.provider": ("--provider", provider), "llm.model": ("--model", model if provider else None)}
    flags["llm.system_prompt"] = ("--system", system)
    loaded = load_config(**where, flags={path: flag for path, flag in flags.items() if flag[1] is not None})
    config = required(loaded, indifferent="server.")
    interactive = message is None and sys.stdin.isatty()
    if not interactive and message in (None, "-"):
        message = sys.stdin.read().rstrip("\n")
    if not interactive and not (message or "").strip():
        fail("there is no message: give one as an argument or on stdin")
    assembly = find_plugins(loaded)
    conversation = _Conversation(config, "" if provider else model or "", streaming=not no_stream)
    asyncio.run(_chat(loaded, assembly, conversation, None if interactive else message))


async def _chat(loaded: Loaded, assembly: Assembly, conversation: "_Conversation", message: str | None) -> None:
    opening = Runtime.open(loaded.config, assembly, environment=loaded.environment, with_storage=False)
    async with opening as runtime:
        if not any(state.state == "ready" for state in runtime.instances.values()):
            fail(_nobody(runtime, assembly, loaded))
        if not conversation.model and not runtime.default_model():
            fail(_no_default(runtime, assembly, loaded))
        if message is not None:
            await conversation.answer(runtime, message)
            return
        click.echo(f"{conversation.model or runtime.default_model()}; end with Ctrl-D", err=True)
        while (line := await _read_line("> ")) is not None:
            if line.strip():
                await conversation.answer(runtime, line)


class _Conversation:
    """The messages so far, and how to ask for the next one."""

    def __init__(self, config: Config, model: str, *, streaming: bool) -> None:
        self.model = model
        self._streaming = streaming
        llm = config.llm
        self._sampling = Sampling(temperature=llm.temperature, top_p=llm.top_p, max_tokens=llm.max_tokens)
        self._messages = [Message(Role.SYSTEM, llm.system_prompt)] if llm.system_prompt else []
        self._principal = Principal(Owner(_user()), via="terminal")

    async def answer(self, runtime: Runtime, text: str) -> None:
        """Ask for the answer to *text* and print it as it comes.

        Raises:
            PalaverError: nobody answers, or not to the end; what came is printed.
        """
        question = Message(Role.USER, text)
        request = ChatRequest(
            self.model, (*self._messages, question), sampling=self._sampling, streaming=self._streaming
        )
        stream = await runtime.stream(Call(request, self._principal, runtime.new_id("req")))
        fold, shown = Fold(), _Shown(self._streaming)
        try:
            async for batch in stream:
                fold.feed(batch)
                shown.feed(batch)
        finally:
            shown.end()
            await stream.aclose()
        completion = fold.completion()
        self._messages += [question, completion.message]
        if completion.finish_reason not in _GOOD_ENDS:
            note(f"the answer ended with {completion.finish_reason}")


class _Shown:
    """Prints the text of an answer, at once or at its end."""

    def __init__(self, streaming: bool) -> None:
        self._streaming = streaming
        self._held: list[str] = []
        self._last = "\n"
        # A terminal obeys escape sequences, and a model may write any; a file gets what was said.
        self._clean = sys.stdout.isatty()

    def feed(self, batch: Batch) -> None:
        text = "".join(event.text for event in batch if isinstance(event, TextDelta | RefusalDelta))
        if not text:
            return
        if self._streaming:
            self._print(text)
        else:
            self._held.append(text)

    def end(self) -> None:
        if self._held:
            self._print("".join(self._held))
        if self._last != "\n":
            click.echo()

    def _print(self, text: str) -> None:
        click.echo(printable(text) if self._clean else text, nl=False)
        sys.stdout.flush()
        self._last = text[-1]


async def _read_line(prompt: str) -> str | None:
    """Read a line from the terminal without a thread, which Ctrl-C could not end; ``None`` at the end of input."""
    click.echo(prompt, nl=False)
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sys.stdin, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(sys.stdin)
    line = sys.stdin.readline()
    if not line:
        click.echo()
        return None
    return line.rstrip("\n")


def _nobody(runtime: Runtime, assembly: Assembly, loaded: Loaded) -> str:
    """Say why nothing answers, and which variables would change that."""
    lines = [
        f"provider {state.name} failed: {state.reason}"
        for state in runtime.instances.values()
        if state.state == "failed" or (state.state == "not_configured" and state.name in loaded.config.providers)
    ]
    ways = [f"{variable} ({name})" for name, variable in _variables(assembly, loaded)]
    if not lines:
        lines.append("no provider is configured" + (f": set {' or '.join(ways)}" if ways else ""))
        if "mock" in assembly.providers:
            lines[-1] += ", or try --provider mock, which needs no key"
    if not assembly.providers:
        lines.append("no plugin offers a provider; see palaver plugins")
    return "\n".join(lines)


def _variables(assembly: Assembly, loaded: Loaded) -> Iterable[tuple[str, str]]:
    for name, spec in sorted(assembly.providers.items()):
        if not spec.automatic:
            continue
        for info in missing(spec.config, {}, loaded.environment) if attrs.has(spec.config) else ():
            if info.env:
                yield name, info.env[0]


def _no_default(runtime: Runtime, assembly: Assembly, loaded: Loaded) -> str:
    ready = sorted(name for name, state in runtime.instances.items() if state.state == "ready")
    return f"several providers are ready, or none has a default model: name one with --model, from {', '.join(ready)}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "terminal"
