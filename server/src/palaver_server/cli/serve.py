"""``palaver serve``: loads, tells what it found, serves, and ends in order when told to stop."""

import asyncio
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import click
from palaver import PalaverError
from palaver.assembly import Assembly, PluginState
from palaver.config import Loaded
from palaver.config.masking import show_url
from palaver.config.names import NAMES
from palaver.config.schema import Config, ServerConfig

from palaver_server.cli.group import print_version
from palaver_server.cli.loaded import config_flags, find_plugins, load_config, required
from palaver_server.cli.output import fail, note, printable

if TYPE_CHECKING:
    from palaver_server.serving import Serving

__all__ = ["serve"]


@click.command()
@config_flags
@click.option("--host", metavar="ADDRESS", help="Where to listen [127.0.0.1]")
@click.option("--port", metavar="NUMBER", help="Where to listen; 0 takes any free port [3001]")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warn or error [info]")
@click.option("--log-json", is_flag=True, default=None, help="Log JSON lines")
@click.option("--database-url", metavar="URL", help="Where conversations live [sqlite:///.palaver/palaver.db]")
@click.option("--llm-provider", metavar="NAME", help="Instance or plugin that serves requests naming no model")
@click.option("--llm-model", metavar="NAME", help="Model of requests naming none")
@click.option(
    "--api-key", metavar="KEY", help="Key of that provider; better in the environment, where ps cannot see it"
)
@click.option("--base-url", metavar="URL", help="Address of that provider")
@click.option("--system-prompt", metavar="TEXT", help="System prompt of conversations without one")
@click.option("--mcp-servers-file", metavar="FILE", help="MCP servers [mcp-servers.json]")
@click.option("--dev-user", metavar="NAME", help="Take everybody for this user; loopback only")
@click.option(
    "-v",
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=print_version,
    help="Print the version.",
)
def serve(config: str | None, env_only: bool, env_file: str | None, **given: Any) -> None:
    """Run the server. A flag is stronger than the environment, that than the file, that than the default.

    SIGTERM lets open answers finish and ends; a second one ends at once.
    """
    paths = {name.flag: name.path for name in NAMES if name.flag}
    flags = {}
    for key, value in given.items():
        if value is not None:
            flag = f"--{key.replace('_', '-')}"
            flags[paths[flag]] = (flag, value)
    loaded = load_config(config, env_only, env_file, flags)
    required(loaded)
    if (user := loaded.config.server.dev_user) is not None:
        note(f"warning: everybody without credentials is the user {user!r}: for development only")
    assembly = find_plugins(loaded)
    _print([("palaver", version("palaver-server")), *_plugins(assembly)])
    sys.exit(_run(loaded, assembly))


def _run(loaded: Loaded, assembly: Assembly) -> int:
    from palaver_server.serving import run_server

    def on_ready(serving: "Serving") -> None:
        _print(_ready(loaded, serving))

    server = loaded.config.server
    try:
        return run_server(loaded, assembly, on_ready=on_ready)
    except PalaverError:
        raise
    except OSError as error:
        fail(f"cannot listen on {server.host}:{server.port}: {(error.strerror or str(error)).lower()}")
    except Exception as error:
        from palaver_server.cli.trouble import wording

        said, traceback = wording(error, loaded)
        click.echo(printable(traceback), err=True)
        fail(said)


def _print(rows: Iterable[tuple[str, str]]) -> None:
    for about, text in rows:
        click.echo(f"{about:<11}{printable(text)}".rstrip())
    sys.stdout.flush()


def _plugins(assembly: Assembly) -> Iterator[tuple[str, str]]:
    good = [f"{plugin.name} {plugin.version}" for plugin in assembly.plugins if plugin.state is PluginState.LOADED]
    yield "plugins", ", ".join(good) or "none"
    for plugin in assembly.plugins:
        if plugin.state is not PluginState.LOADED:
            where = f"{plugin.name} ({plugin.distribution} {plugin.version})"
            yield "", f"{where} {plugin.state.value}: {plugin.reason}"
        for line in plugin.notes:
            yield "", f"{plugin.name}: {line}"
    for line in assembly.notes:
        yield "", line


def _ready(loaded: Loaded, serving: "Serving") -> Iterator[tuple[str, str]]:
    states = serving.runtime.instances.values()
    about = "providers"
    for state in states:
        name = state.name if state.name == state.plugin else f"{state.name} ({state.plugin})"
        reason = state.reason.removeprefix(f"providers.{state.name}: not configured; ")
        # One line: the file's problems were told before, and the log has the rest.
        yield about, f"{name} {state.state.replace('_', ' ')}{': ' if reason else ''}{' '.join(reason.split())}"
        about = ""
    if not any(state.state == "ready" for state in states):
        yield about, "none is ready, so nothing can answer; palaver doctor tells more"
    elif default := serving.runtime.default_model():
        yield "", f"requests that name no model go to {default}"
    yield "data", _data(loaded.config)
    yield "identity", _identity(loaded.config.server)
    # Which loop it is decides the CPU per streamed piece.
    yield "loop", type(asyncio.get_running_loop()).__module__.partition(".")[0]
    yield "address", serving.url
    yield "try", _curl(loaded.config.server, serving.url)


def _data(config: Config) -> str:
    shown = show_url(config.storage.url.reveal())
    scheme, _, path = shown.partition(":///")
    # A relative path depends on where the server was started, which nobody remembers later.
    return f"{shown} ({os.path.abspath(path.partition('?')[0])})" if scheme == "sqlite" and path else shown  # noqa: PTH100


def _identity(server: ServerConfig) -> str:
    ways = []
    if server.api_keys:
        ways.append(f"bearer keys ({len(server.api_keys)})")
    if server.proxy_secret:
        ways.append("X-User-ID with the proxy secret")
    else:
        ways.append("X-User-ID from this machine")
    if server.trusted_peers:
        ways.append(f"X-User-ID from {', '.join(server.trusted_peers)}")
    if server.dev_user is not None:
        ways.append(f"everybody else is {server.dev_user!r}")
    return "; ".join(ways)


def _curl(server: ServerConfig, url: str) -> str:
    """Give a line that works as it stands, or after a key has been put in."""
    headers = []
    if server.dev_user is None:
        if server.api_keys:
            headers = ["Authorization: Bearer YOUR-KEY"]
        elif server.proxy_secret:
            headers = ["X-User-ID: 1", "X-Proxy-Secret: YOUR-PROXY-SECRET"]
        else:
            headers = ["X-User-ID: 1"]
    words = [
        "curl",
        "-sS",
        f"{url.replace('://0.0.0.0:', '://127.0.0.1:').replace('://[::]:', '://[::1]:')}/v1/chat/send",
    ]
    for header in [*headers, "Content-Type: application/json"]:
        words += ["-H", header]
    words += ["-d", '{"message": "Hello"}']
    return shlex.join(words)
