"""Steps are applied once and whole, whatever else starts, dies or goes wrong meanwhile."""

import contextlib
import getpass
import itertools
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys

import pytest
from palaver_migrations import (
    DuplicateStep,
    LockTimeout,
    MigrationError,
    Runner,
    SchemaEdited,
    SchemaTooNew,
    SqliteTarget,
    StepFailed,
    read_steps,
    shipped,
)

ALL = ("palaver-0001-conversations", "palaver-0002-runs", "palaver-0003-models")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "palaver.db"


@pytest.fixture
def folder(tmp_path):
    """Two small steps of a plugin's own."""
    folder = tmp_path / "steps"
    folder.mkdir()
    write(folder, "acme-0001-first", "CREATE TABLE one (id TEXT);\nINSERT INTO one VALUES ('kept');", "DROP TABLE one;")
    write(folder, "acme-0002-second", "CREATE TABLE two (id TEXT);", "DROP TABLE two;")
    return folder


def write(folder, id, apply, rollback="SELECT 1;"):
    (folder / f"{id}.sql").write_text(apply)
    (folder / f"{id}.rollback.sql").write_text(rollback)


def runner(path, *folders):
    return Runner(SqliteTarget(path), folders or [shipped("sqlite")])


def tables(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%yoyo%'")
        return {row[0] for row in rows} - {"_palaver_checksum", "sqlite_sequence"}


def start(code, *args):
    """Run *code* in another interpreter."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)


UP = """
import sys
from pathlib import Path
from palaver_migrations import Runner, SqliteTarget, shipped
print(*Runner(SqliteTarget(Path(sys.argv[1])), [shipped("sqlite")]).up())
"""


def test_a_new_database_gets_every_step_and_an_old_one_none(path):
    assert tuple((id, False) for id in ALL) == runner(path).status()
    assert ALL == runner(path).up()
    assert () == runner(path).up()
    assert tuple((id, True) for id in ALL) == runner(path).status()
    assert {"chat_sessions", "chat_messages", "chat_attachments", "ai_models", "chat_runs"} <= tables(path)


def test_what_is_up_to_date_does_not_even_import_yoyo(path):
    runner(path).up()
    code = UP + "print('yoyo' in sys.modules)"
    with start(code, path) as process:
        assert "\nFalse\n" == process.communicate()[0]
    assert 0 == process.returncode


def test_nothing_is_printed(folder, path, capfd):
    write(folder, "acme-0003-look", "SELECT * FROM one;")
    runner(path, folder).up()
    assert ("", "") == tuple(capfd.readouterr())


def test_down_takes_back_the_newest_and_up_brings_it_again(path):
    runner(path).up()
    assert ALL[:0:-1] == runner(path).down(2)
    assert {"chat_sessions", "chat_messages", "chat_attachments"} == tables(path)
    assert ((ALL[0], True), (ALL[1], False), (ALL[2], False)) == runner(path).status()
    assert ALL[1:] == runner(path).up()
    assert ALL[::-1] == runner(path).down(9)
    assert set() == tables(path)


def test_the_path_may_hold_what_an_address_may_not(tmp_path):
    path = tmp_path / "50% [a]?b#c d.db"
    runner(path).up()
    assert path.exists()
    assert "chat_sessions" in tables(path)


def test_four_processes_at_once_apply_every_step_once(path):
    processes = [start(UP, path) for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [0] * 4 == [process.returncode for process in processes]
    assert [*ALL] == sorted(id for output in outputs for id in output)


@pytest.mark.parametrize("dies_at", [1, 4, 9, 14])
def test_a_process_killed_between_two_statements_leaves_whole_steps_only(path, dies_at):
    code = f"""
import os, signal, sys
from palaver_migrations import runner
execute = runner.Runner._execute
seen = 0
def counted(self, backend, step, statements):
    global seen
    for statement in statements:
        seen += 1
        if seen == {dies_at}:
            os.kill(os.getpid(), signal.SIGKILL)
        execute(self, backend, step, [statement])
runner.Runner._execute = counted
{UP}"""
    with start(code, path) as process:
        process.communicate(timeout=60)
    assert -signal.SIGKILL == process.returncode
    left = [id for id, applied in runner(path).status() if applied]
    assert [*ALL[: len(left)]] == left
    assert ("chat_runs" in tables(path)) == (ALL[1] in left), "a step and its mark are one"
    # Neither the lock nor half a step is in the way of the next start.
    assert ALL[len(left) :] == runner(path).up()
    assert tuple((id, True) for id in ALL) == runner(path).status()


def test_a_failing_statement_takes_its_whole_step_back(folder, path):
    write(folder, "acme-0002-second", "CREATE TABLE two (id TEXT); CREATE TABLE one (id TEXT);")
    with pytest.raises(StepFailed, match=r"acme-0002-second: statement 2 failed: table one already exists"):
        runner(path, folder).up()
    assert {"one"} == tables(path)
    assert (("acme-0001-first", True), ("acme-0002-second", False)) == runner(path, folder).status()


def test_an_older_version_refuses_a_newer_schema_and_says_what_to_do(tmp_path, path):
    newer = tmp_path / "newer"
    shutil.copytree(shipped("sqlite"), newer)
    write(newer, "palaver-0099-of-tomorrow", "CREATE TABLE tomorrow (id TEXT);")
    runner(path, newer).up()
    for refused in (runner(path).up, runner(path).down, runner(path).pending):
        with pytest.raises(SchemaTooNew, match=r"does not know: palaver-0099-of-tomorrow; upgrade palaver"):
            refused()
    assert ("palaver-0099-of-tomorrow", True) in runner(path).status(), "looking is allowed"


def test_an_edited_step_is_refused_but_its_comments_are_free(folder, path):
    runner(path, folder).up()
    file = folder / "acme-0002-second.sql"
    file.write_text("-- why\n\n  CREATE TABLE two (id TEXT);  \n")
    assert () == runner(path, folder).up()
    file.write_text("CREATE TABLE two (id TEXT, name TEXT);")
    with pytest.raises(SchemaEdited, match=r"changed after they were applied: acme-0002-second; restore"):
        runner(path, folder).up()


def test_a_plugins_steps_live_beside_ours(folder, path):
    runner(path).up()
    assert ("acme-0001-first", "acme-0002-second") == runner(path, folder).up()
    assert () == runner(path).up(), "another family's steps are not unknown ones"
    assert tuple((id, True) for id in ALL) == runner(path).status()


def test_two_steps_of_one_name_are_refused(folder, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    write(second, "acme-0001-first", "CREATE TABLE other (id TEXT);")
    with pytest.raises(DuplicateStep, match="acme-0001-first"):
        read_steps([folder, second])


@pytest.mark.parametrize("name", ["0001-init", "init", "acme-1-x", "Acme-0001-x"])
def test_a_name_that_could_be_anybodys_is_refused(name, folder):
    write(folder, name, "SELECT 1;")
    with pytest.raises(MigrationError, match="expected a name like"):
        read_steps([folder])


def test_a_step_without_a_way_back_is_refused(folder):
    (folder / "acme-0002-second.rollback.sql").unlink()
    with pytest.raises(MigrationError, match=r"has no acme-0002-second\.rollback\.sql"):
        read_steps([folder])


def test_a_folder_without_steps_is_refused(tmp_path):
    with pytest.raises(MigrationError, match="holds no steps"):
        read_steps([tmp_path])


def test_every_shipped_step_names_the_one_before_and_has_a_way_back():
    steps = read_steps([shipped("sqlite")])
    assert ALL == tuple(step.id for step in steps)
    for before, step in itertools.pairwise(steps):
        assert f"-- depends: {before.id}\n" in step.path.read_text()


def test_a_process_that_migrates_for_too_long_is_named(path):
    with SqliteTarget(path).lock(), pytest.raises(LockTimeout, match=r"find who holds palaver\.db\.migrate\.lock"):
        Runner(SqliteTarget(path, lock_timeout=0), [shipped("sqlite")]).up()


def test_a_user_without_a_name_and_a_slow_name_server_do_not_matter(path, monkeypatch):
    def refuse(*_):
        raise AssertionError("asked")

    monkeypatch.delenv("LOGNAME", raising=False)
    monkeypatch.setattr(getpass, "getuser", refuse)
    monkeypatch.setattr(socket, "getfqdn", refuse)
    assert ALL == runner(path).up()


def test_a_file_that_is_no_database_is_said_to_be_none(path):
    path.write_bytes(b"this is a text file, and quite a long one at that. " * 99)
    with pytest.raises(MigrationError, match="not a database"):
        runner(path).up()


def test_a_step_may_refuse_the_transaction(folder, path):
    write(folder, "acme-0003-alone", "-- transactional: false\nVACUUM;")
    assert "acme-0003-alone" in runner(path, folder).up()


def test_the_lock_lies_beside_the_file_and_is_ours_alone(path):
    runner(path).up()
    lock = path.with_name("palaver.db.migrate.lock")
    assert 0o600 == lock.stat().st_mode & 0o777
