"""Commands that plugins bring: looked for only when a name is not built in."""

import click

from palaver_server.cli.group import COMMANDS
from palaver_server.cli.loaded import find_plugins, load_config
from palaver_server.cli.output import note

__all__ = ["plugin_command"]


def plugin_command(name: str) -> click.Command | None:
    """Find the command *name* among those of the plugins; a plugin that fails here is told of and left out."""
    # A broken configuration keeps nobody from running a plugin's command: blocked plugins stay blocked.
    assembly = find_plugins(load_config())
    offered: dict[str, tuple[str, click.Command]] = {}
    for result in assembly.call("palaver_commands", click.Command):
        if result.reason:
            note(f"plugin {result.plugin}: {result.reason}")
        for command in result.items:
            if not command.name or command.name in COMMANDS:
                note(f"plugin {result.plugin}: command {command.name!r} is refused, the name is taken")
            elif command.name in offered and command.name == name:
                note(f"command {name!r} is offered by {offered[name][0]} and {result.plugin}; set plugins.block")
                return None
            else:
                offered.setdefault(command.name, (result.plugin, command))
    found = offered.get(name)
    return None if found is None else found[1]
