"""The group of all commands: knows their names and one line each, imports a command only to run it.

Commands of plugins are looked for only when the given name is not built in, so that the commands for
recovery never import a plugin by being looked up, and a plugin can never take their place.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

__all__ = ["COMMANDS", "CommandLine", "palaver", "print_version"]

#: Name → module that holds the command under the same name, and its line in ``palaver --help``.
COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "serve": ("palaver_server.cli.serve", "Run the server."),
        "chat": ("palaver_server.cli.chat", "Chat in the terminal, without a server."),
        "plugins": ("palaver_server.cli.plugins", "List the installed plugins and what became of each."),
        "doctor": ("palaver_server.cli.doctor", "Look for everything that may be wrong."),
        "config": ("palaver_server.cli.config", "Show or check the configuration."),
        "migrate": ("palaver_server.cli.migrate", "Show, apply or roll back steps of the storage's schema."),
    }
)


class CommandLine(click.Group):
    """Finds commands by name, imports lazily, and turns errors of ours into one line and exit status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
            assert isinstance(command, click.Command)
            return command
        # While a shell completes or help is printed, nothing of a plugin is worth importing.
        if ctx.resilient_parsing or cmd_name.startswith("-"):
            return None
        from palaver_server.cli.extensions import plugin_command

        return plugin_command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # The command's own name is kept as it was typed: a plugin cannot pass for another by naming itself so.
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            ctx.fail(f"no such command {name!r}; known: {', '.join(COMMANDS)}")
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        with formatter.section("More"):
            formatter.write_text("Plugins may bring commands of their own: palaver NAME --help.")

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # The line with ^C in it is not ours.
            click.echo(err=True)
            ctx.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            from palaver.errors import PalaverError

            if not isinstance(error, PalaverError):
                raise
            from palaver_server.cli.output import fail

            fail(str(error))


def print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Print the version of the server and end."""
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"palaver {version('palaver-server')}")
    ctx.exit()


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-v",
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=print_version,
    help="Print the version.",
)
def palaver() -> None:
    """Palaver: a plugin-based AI chat backend."""
