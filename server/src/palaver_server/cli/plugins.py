"""``palaver plugins``: every plugin that was found, what became of it, and why."""

import json
from typing import Any

import attrs
import click
from palaver.assembly import Assembly, PluginReport, PluginState

from palaver_server.cli.defaults import UsualGroup
from palaver_server.cli.loaded import config_flags, find_plugins, load_config
from palaver_server.cli.output import columns, note, printable

__all__ = ["plugins"]


class _Plugins(UsualGroup):
    usual = "list"


@click.group(cls=_Plugins)
def plugins() -> None:
    """List the installed plugins and what became of each. Works when every one of them is broken."""


@plugins.command("list")
@config_flags
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
@click.option("-v", "--verbose", is_flag=True, help="Print tracebacks")
def list_plugins(as_json: bool = False, verbose: bool = False, **where: Any) -> None:
    """List name, distribution, version, state, time to load and what each plugin provides."""
    loaded = load_config(**where)
    for problem in loaded.problems:
        note(f"warning: {problem}")
    assembly = find_plugins(loaded)
    if as_json:
        click.echo(json.dumps([_data(report) for report in assembly.plugins], indent=2))
        return
    click.echo(_table(assembly))
    for report in assembly.plugins:
        for line in (report.reason, *report.notes):
            if line:
                click.echo(printable(f"{report.name}: {line}"))
        if verbose and report.traceback:
            click.echo(printable(report.traceback))
    for line in assembly.notes:
        click.echo(printable(line))


def _table(assembly: Assembly) -> str:
    if not assembly.plugins:
        return "no plugin is installed: pip install palaver-openai, for example"
    head = ("NAME", "DISTRIBUTION", "VERSION", "STATE", "TIME", "PROVIDES")
    return columns([head, *(_row(report) for report in assembly.plugins)])


def _row(report: PluginReport) -> tuple[str, ...]:
    time = f"{report.seconds * 1000:.0f} ms{' (slow)' if report.slow else ''}" if report.seconds else "-"
    provides = ", ".join(report.provides or (report.hooks if report.state is PluginState.LOADED else ())) or "-"
    return (report.name, report.distribution, report.version, report.state.value, time, provides)


def _data(report: PluginReport) -> dict[str, Any]:
    return {**attrs.asdict(report), "state": report.state.value}
