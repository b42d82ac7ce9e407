"""What the commands share: flags that choose the configuration, loading it, and finding the plugins."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from palaver.assembly import Assembly, assemble
from palaver.config import Config, Loaded, load

from palaver_server.cli.output import fail, note

__all__ = ["config_flags", "find_plugins", "load_config", "required"]

F = TypeVar("F", bound=Callable[..., Any])


def config_flags(command: F) -> F:
    """Add the flags that say where the configuration comes from."""
    flags = (
        click.option("-c", "--config", metavar="FILE", help="Configuration file (AICHAT_CONFIG) [config.yaml]"),
        click.option("--env-only", is_flag=True, help="Read no configuration file (AICHAT_ENV_ONLY)"),
        click.option(
            "--env-file", metavar="FILE", help="Read variables from FILE as well; the environment is stronger"
        ),
    )
    for flag in reversed(flags):
        command = flag(command)
    return command


def load_config(
    config: str | None = None,
    env_only: bool = False,
    env_file: str | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
) -> Loaded:
    """Load the configuration as ``config_flags`` and *flags* (path → flag and value) say."""
    return load(environment=os.environ, file=config, env_only=env_only, env_file=env_file, flags=flags)


def required(loaded: Loaded, *, indifferent: str = "") -> Config:
    """Give the configuration; with problems print every one of them and end.

    Args:
        indifferent: Beginning of the paths whose problems are only warnings to this command.
    """
    serious = [problem for problem in loaded.problems if not indifferent or not problem.path.startswith(indifferent)]
    for warning in (*loaded.warnings, *(problem for problem in loaded.problems if problem not in serious)):
        note(f"warning: {warning}")
    if serious:
        fail("\n".join(map(str, serious)))
    return loaded.config


def find_plugins(loaded: Loaded, *, allow: Sequence[str] | None = None) -> Assembly:
    """Load the plugins that the configuration lets in, each alone and limited; broken ones are in the reports.

    Args:
        allow: Only these, whatever ``plugins.allow`` says; ``plugins.block`` still counts.
    """
    # The hooks of the server are known to every command, or plugins that use them would look misspelt.
    from palaver_server import hookspecs

    plugins = loaded.config.plugins
    return assemble(
        allow=plugins.allow if allow is None else allow,
        block=plugins.block,
        import_limit=plugins.import_limit,
        total_limit=plugins.total_limit,
        hookspecs=(hookspecs,),
        environment=loaded.environment,
    )
