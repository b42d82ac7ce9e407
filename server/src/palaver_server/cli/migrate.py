"""``palaver migrate``: the schema of the configured storage. Loads that storage's plugin and no other."""

from typing import Any

import click
from palaver import Migrations, PalaverError
from palaver.config import Loaded
from palaver.config.masking import show_url

from palaver_server.cli.defaults import UsualGroup
from palaver_server.cli.loaded import config_flags, load_config
from palaver_server.cli.output import columns, fail, note, printable
from palaver_server.cli.storage import StorageTrouble, configured_storage, find_storage
from palaver_server.cli.trouble import wording

__all__ = ["migrate"]


class _Migrate(UsualGroup):
    usual = "status"


@click.group(cls=_Migrate)
def migrate() -> None:
    """Show, apply or roll back the steps of the storage's schema."""


@migrate.command()
@config_flags
def status(**where: Any) -> None:
    """List the steps and whether each is applied."""
    loaded, steps = _open(**where)
    found = _run(loaded, steps.status)
    click.echo(show_url(loaded.config.storage.url.reveal()))
    click.echo(columns((("applied" if applied else "pending"), name) for name, applied in found))


@migrate.command()
@config_flags
def up(**where: Any) -> None:
    """Apply the steps that are missing, under a lock."""
    loaded, steps = _open(**where)
    applied = _run(loaded, steps.up)
    for name in applied:
        click.echo(printable(f"applied {name}"))
    if not applied:
        click.echo("nothing to apply")


@migrate.command()
@config_flags
@click.option(
    "--steps", "count", type=click.IntRange(min=1), default=1, show_default=True, help="How many, newest first"
)
@click.option("--yes", is_flag=True, help="Do not ask")
def down(count: int, yes: bool, **where: Any) -> None:
    """Roll the newest steps back; what only they can hold is lost."""
    loaded, steps = _open(**where)
    if not yes:
        url = show_url(loaded.config.storage.url.reveal())
        click.confirm(f"Roll {count} step{'' if count == 1 else 's'} of {url} back, with the data in it?", abort=True)
    for name in (undone := _run(loaded, lambda: steps.down(count))):
        click.echo(printable(f"rolled back {name}"))
    if not undone:
        click.echo("nothing to roll back")


def _open(**where: Any) -> tuple[Loaded, Migrations]:
    loaded = load_config(**where)
    # Only what concerns the storage has to be right: this command is for repairs.
    for problem in loaded.problems:
        if problem.path.startswith("storage") or not problem.path:
            fail(str(problem))
        note(f"warning: {problem}")
    try:
        spec, config = configured_storage(loaded, find_storage(loaded))
    except StorageTrouble as error:
        fail(str(error))
    if (make := spec.migrations) is None:
        fail(f"{show_url(loaded.config.storage.url.reveal())} has no schema steps")
    return loaded, _run(loaded, lambda: make(config))


def _run(loaded: Loaded, action: Any) -> Any:
    try:
        return action()
    except PalaverError as error:
        fail(str(error))
    except Exception as error:
        fail(wording(error, loaded)[0])
