"""``palaver migrate``: the schema of the storage, with no other plugin in the way."""

import pytest
from palaver.testing.wheels import build_wheel, install_wheel

from .conftest import CANARY

MARKED = "import pathlib\npathlib.Path('imported').touch()\n"


def test_steps_are_listed_applied_and_rolled_back(call, place):
    assert "pending  palaver-0001" in call("migrate").output
    applied = call("migrate", "up")
    assert 0 == applied.exit_code
    assert "applied palaver-0001" in applied.output
    assert (place.folder / ".palaver" / "palaver.db").exists()
    assert "pending" not in call("migrate", "status").output
    assert "nothing to apply\n" == call("migrate", "up").output
    undone = call("migrate", "down", "--yes")
    assert 0 == undone.exit_code
    assert "rolled back palaver-" in undone.output
    assert 1 == call("migrate", "status").output.count("pending")


def test_rolling_back_asks_first(call):
    call("migrate", "up")
    refused = call("migrate", "down", given="n\n")
    assert 1 == refused.exit_code
    assert "with the data in it?" in refused.output
    assert "pending" not in call("migrate").output
    agreed = call("migrate", "down", "--steps", "2", given="y\n")
    assert 2 == agreed.output.count("rolled back")


def test_only_the_plugin_of_the_storage_is_imported(place):
    place.plug_in("marked", MARKED)
    place.plug_in_broken("raises_at_import")
    done = place.run("migrate", "up")
    assert (0, "") == (done.returncode, done.stderr)
    assert not (place.folder / "imported").exists()


def test_a_plugin_that_is_not_allowed_is_not_imported_for_having_the_name_of_the_storage(place):
    install_wheel(
        build_wheel(
            place.folder / "wheels", "impostor", "1.0", {"impostor/__init__.py": MARKED}, {"sqlite": "impostor"}
        ),
        place.site,
    )
    done = place.run("migrate", AICHAT_PLUGINS_ALLOW="palaver-sqlite")
    assert "pending  palaver-0001" in done.stdout
    assert not (place.folder / "imported").exists()


def test_a_storage_whose_plugin_is_named_otherwise_is_still_found(place):
    place.plug_in("vault", VAULT)
    done = place.run("migrate", AICHAT_DATABASE_URL="lockbox://here")
    assert (0, "lockbox://here\napplied  one\npending  two\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AICHAT_DATABASE_URL": f"redis://u:{CANARY}@x/0"}, "no working storage has the scheme 'redis'"),
        ({"AICHAT_DATABASE_URL": "nothing"}, "storage.url: expected an address such as sqlite:///"),
        ({"AICHAT_PLUGINS_BLOCK": "sqlite"}, "no working storage has the scheme 'sqlite'"),
        ({"AICHAT_CONFIG": "gone.yaml"}, "file 'gone.yaml' cannot be read"),
    ],
)
def test_what_keeps_it_from_working_is_one_clear_line(call, variables, expected):
    result = call("migrate", **variables)
    assert 1 == result.exit_code
    assert result.output.startswith("palaver: error: ")
    assert expected in result.output
    assert CANARY not in result.output


def test_a_problem_elsewhere_in_the_configuration_does_not_keep_it_from_working(call, place):
    place.write("server: {port: soon}\n")
    result = call("migrate", "up")
    assert 0 == result.exit_code
    assert "palaver: warning: server.port: expected an integer" in result.output


VAULT = """\
from contextlib import asynccontextmanager

import attrs
from palaver import Secret, StorageSpec, hookimpl, setting


@attrs.frozen
class Config:
    url: Secret = setting()


@asynccontextmanager
async def open_vault(config, context):
    yield None


class Steps:
    def status(self):
        return (("one", True), ("two", False))


@hookimpl
def palaver_storages():
    return [StorageSpec("vault", ("lockbox",), Config, open_vault, migrations=lambda config: Steps())]
"""
