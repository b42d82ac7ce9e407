"""``palaver config``: every value with its origin, secrets masked; and what is wrong with it."""

import json
from typing import Any

import click

from palaver_server.cli.defaults import UsualGroup
from palaver_server.cli.loaded import config_flags, find_plugins, load_config
from palaver_server.cli.output import columns

__all__ = ["config"]


class _Config(UsualGroup):
    usual = "show"


@click.group(cls=_Config)
def config() -> None:
    """Show or check the configuration. Works when every plugin is broken."""


@config.command()
@config_flags
@click.option("--changed", is_flag=True, help="Leave out what has its default")
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
def show(as_json: bool = False, changed: bool = False, **where: Any) -> None:
    """Print every value, where it came from, and *** for a secret; settings of plugins included."""
    from palaver_server.cli.inspection import shown_values

    loaded = load_config(**where)
    rows = shown_values(loaded, find_plugins(loaded))
    if changed:
        rows = [row for row in rows if str(row.origin) != "default"]
    if as_json:
        data = [{"path": row.path, "value": row.text, "origin": str(row.origin)} for row in rows]
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        click.echo(columns((row.path, row.text, str(row.origin)) for row in rows))
    if loaded.problems:
        click.echo(f"\n{_count(len(loaded.problems), 'problem')}: see palaver config check", err=True)


@config.command()
@config_flags
def check(**where: Any) -> None:
    """Say what is wrong or doubtful; exit status 1 when something is wrong."""
    from palaver_server.cli.inspection import plugin_problems

    loaded = load_config(**where)
    problems = [*loaded.problems, *plugin_problems(loaded, find_plugins(loaded))]
    for problem in problems:
        click.echo(f"error: {problem}")
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}")
    source = str(loaded.file) if loaded.file else "no file"
    click.echo(f"{_count(len(problems), 'problem')}, {_count(len(loaded.warnings), 'warning')} ({source})")
    if problems:
        raise SystemExit(1)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
