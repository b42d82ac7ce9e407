"""``palaver doctor``: tries everything short of serving, and says what is wrong with the way out."""

import asyncio
import logging
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import attrs
import click
from palaver import PalaverError, PluginContext, StorageSpec
from palaver.assembly import Assembly, PluginState
from palaver.config import ConfigInvalid, Loaded
from palaver.config.masking import show_url
from palaver.runtime import Runtime
from palaver.upstream.connections import Connections

from palaver_server.cli.inspection import plugin_problems
from palaver_server.cli.loaded import config_flags, find_plugins, load_config
from palaver_server.cli.output import printable
from palaver_server.cli.storage import StorageTrouble, configured_storage
from palaver_server.cli.trouble import wording

__all__ = ["doctor"]

#: Seconds that a storage may take to open.
_OPEN_LIMIT = 15


class Verdict(StrEnum):
    """How bad a finding is; only ``FAILED`` makes the exit status 1."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"


@attrs.frozen
class Finding:
    """One line of the report; *more* is for ``--verbose``."""

    verdict: Verdict
    about: str
    text: str
    more: str = ""


@click.command()
@config_flags
@click.option("-v", "--verbose", is_flag=True, help="Print tracebacks")
def doctor(verbose: bool, **where: Any) -> None:
    """Look for everything that may be wrong; exit status 1 when something is. Works when every plugin is broken."""
    # What plugins log while they are tried is in the findings.
    logging.getLogger("palaver").addHandler(logging.NullHandler())
    failed = 0
    loaded = load_config(**where)
    for finding in _examine(loaded):
        failed += finding.verdict is Verdict.FAILED
        first, *rest = printable(finding.text).splitlines() or [""]
        click.echo(f"{finding.verdict.value:<8} {finding.about:<14} {first}")
        for line in rest:
            click.echo(f"{'':<24}{line}")
        if verbose and finding.more:
            click.echo(printable(finding.more))
    if failed:
        click.echo(f"\n{failed} {'thing is' if failed == 1 else 'things are'} wrong")
        raise SystemExit(1)
    click.echo("\nnothing is wrong")


def _examine(loaded: Loaded) -> Iterator[Finding]:
    yield from _configuration(loaded)
    assembly = find_plugins(loaded)
    yield from _plugins(assembly)
    for problem in plugin_problems(loaded, assembly):
        yield Finding(Verdict.FAILED, "configuration", str(problem))
    yield from _providers(loaded, assembly)
    yield from _storage(loaded, assembly)


def _configuration(loaded: Loaded) -> Iterator[Finding]:
    for problem in loaded.problems:
        yield Finding(Verdict.FAILED, "configuration", str(problem))
    for warning in loaded.warnings:
        yield Finding(Verdict.WARNING, "configuration", str(warning))
    if not loaded.problems:
        yield Finding(Verdict.OK, "configuration", f"{loaded.file or 'no file, environment and defaults only'}")


def _plugins(assembly: Assembly) -> Iterator[Finding]:
    for report in assembly.plugins:
        name = f"{report.name} ({report.distribution} {report.version})"
        notes = "".join(f"; {note}" for note in report.notes)
        if report.state is PluginState.LOADED:
            verdict = Verdict.WARNING if report.slow or report.notes else Verdict.OK
            slow = f"; slow: {report.seconds:.1f} s" if report.slow else ""
            yield Finding(verdict, "plugin", f"{name} offers {', '.join(report.provides) or 'nothing'}{slow}{notes}")
        elif report.state is PluginState.BLOCKED:
            yield Finding(Verdict.OK, "plugin", f"{name} blocked: {report.reason}")
        else:
            text = f"{name} {report.state.value} after {report.seconds:.1f} s: {report.reason}{notes}"
            yield Finding(Verdict.FAILED, "plugin", text, report.traceback)
    for line in assembly.notes:
        yield Finding(Verdict.WARNING, "plugins", line)
    if not assembly.plugins:
        yield Finding(Verdict.FAILED, "plugins", "none is installed: pip install palaver-openai, for example")


def _providers(loaded: Loaded, assembly: Assembly) -> Iterator[Finding]:
    try:
        states, default = asyncio.run(_open_instances(loaded, assembly))
    except PalaverError as error:
        # The options of plugins were judged above.
        if not isinstance(error, ConfigInvalid):
            yield Finding(Verdict.FAILED, "providers", str(error))
        return
    except Exception as error:
        yield Finding(Verdict.FAILED, "providers", *wording(error, loaded))
        return
    ready = 0
    for state in states:
        if state.reason.startswith(("llm.provider: ", f"providers.{state.name}")) and state.state == "failed":
            continue  # a finding of the configuration already
        ready += state.state == "ready"
        verdict = Verdict.FAILED if state.state == "failed" else Verdict.OK
        about = state.name if state.name == state.plugin else f"{state.name} ({state.plugin})"
        text = f"{about} {state.state.replace('_', ' ')}"
        reason = state.reason.removeprefix(f"providers.{state.name}: not configured; ")
        yield Finding(verdict, "provider", f"{text}: {reason}" if reason else text)
    if not ready:
        text = "no provider is ready: nothing can answer; set a vendor's key, or AICHAT_LLM_PROVIDER=mock to try"
        yield Finding(Verdict.FAILED, "providers", text)
    elif default:
        yield Finding(Verdict.OK, "providers", f"requests that name no model go to {default}")
    else:
        text = "requests have to name a model: set llm.provider and llm.model for a default"
        yield Finding(Verdict.WARNING, "providers", text)


async def _open_instances(loaded: Loaded, assembly: Assembly) -> tuple[list[Any], str]:
    opening = Runtime.open(loaded.config, assembly, environment=loaded.environment, with_storage=False)
    async with opening as runtime:
        return list(runtime.instances.values()), runtime.default_model()


def _storage(loaded: Loaded, assembly: Assembly) -> Iterator[Finding]:
    where = show_url(loaded.config.storage.url.reveal())
    try:
        spec, config = configured_storage(loaded, assembly)
    except StorageTrouble:
        return  # a finding of the configuration already
    try:
        if spec.migrations is None:
            # Without a schema, nothing is changed by opening it.
            asyncio.run(_open_storage(spec, config))
            yield Finding(Verdict.OK, "storage", f"{where} opens")
            return
        steps = spec.migrations(config).status()
    except PalaverError as error:
        yield Finding(Verdict.FAILED, "storage", f"{where}: {error}")
    except TimeoutError:
        yield Finding(Verdict.FAILED, "storage", f"{where}: does not open within {_OPEN_LIMIT} s")
    except Exception as error:
        said, traceback = wording(error, loaded)
        yield Finding(Verdict.FAILED, "storage", f"{where}: {said}", traceback)
    else:
        pending = sum(not applied for _, applied in steps)
        state = f"{pending} of {len(steps)} schema steps are not applied; serve and migrate up apply them"
        yield Finding(
            Verdict.OK, "storage", f"{where}: {state if pending else f'all {len(steps)} schema steps are applied'}"
        )


async def _open_storage(spec: StorageSpec[Any], config: Any) -> None:
    connections = Connections()
    try:
        async with asyncio.timeout(_OPEN_LIMIT):
            async with spec.open(config, PluginContext("doctor", connections.open_upstream)):
                pass
    finally:
        await connections.aclose()
