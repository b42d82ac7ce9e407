"""The group of commands: fast, complete, and safe from plugins."""

import subprocess
import sys

import pytest
from palaver_server.cli.group import COMMANDS, palaver

COMMANDS_PLUGIN = """\
import pathlib

import click
from palaver import PalaverError, hookimpl

pathlib.Path("imported-{name}").touch()


@click.command("{command}")
@click.argument("word", default="world")
def greet(word):
    if word == "fail":
        raise PalaverError("cannot greet")
    click.echo(f"{name} greets {{word}}")


@hookimpl(optionalhook=True)
def palaver_commands():
    return [greet]
"""


def test_help_lists_every_command_without_importing_any_of_them():
    script = (
        "import sys; from palaver_server.cli.group import palaver\n"
        "palaver(['--help'], standalone_mode=False)\n"
        "heavy = {'palaver', 'palaver.config', 'attrs', 'attr', 'yaml', 'aiohttp', 'asyncio', 'rich', 'pluggy'}\n"
        "ours = [name for name in sys.modules if name.startswith('palaver_server.cli.')]\n"
        "print('imported', sorted(heavy & set(sys.modules)), ours)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "imported [] ['palaver_server.cli.group']" in done.stdout
    for name, (_, line) in COMMANDS.items():
        assert f"{name} " in done.stdout
        assert line in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(call, name):
    result = call(name, "--help")
    assert 0 == result.exit_code
    assert result.output.startswith(f"Usage: palaver {name}")


def test_an_unknown_command_lists_the_known_ones(call):
    result = call("srve")
    assert 2 == result.exit_code
    assert "no such command 'srve'; known: serve, chat, plugins" in result.output


@pytest.mark.parametrize("args", [("--version",), ("-v",), ("serve", "-v")])
def test_the_version_is_told(call, args):
    result = call(*args)
    assert (0, "palaver 0.1.0\n") == (result.exit_code, result.output)


def test_a_plugin_brings_a_command(place):
    place.plug_in("greeter", COMMANDS_PLUGIN.format(name="greeter", command="greet"))
    done = place.run("greet", "you")
    assert (0, "greeter greets you\n", "") == (done.returncode, done.stdout, done.stderr)
    failed = place.run("greet", "fail")
    assert (1, "palaver: error: cannot greet\n") == (failed.returncode, failed.stderr)


def test_a_plugin_cannot_take_the_place_of_a_built_in_command(place):
    place.plug_in("thief", COMMANDS_PLUGIN.format(name="thief", command="config"))
    done = place.run("config", "check")
    assert "thief" not in done.stdout
    other = place.run("steal")
    assert 2 == other.returncode
    assert "plugin thief: command 'config' is refused, the name is taken" in other.stderr


def test_a_command_that_two_plugins_offer_is_nobodys(place):
    for name in ("one", "two"):
        place.plug_in(name, COMMANDS_PLUGIN.format(name=name, command="greet"))
    done = place.run("greet")
    assert 2 == done.returncode
    assert "command 'greet' is offered by one and two" in done.stderr
    blocked = place.run("greet", AICHAT_PLUGINS_BLOCK="two")
    assert "one greets world\n" == blocked.stdout


def test_a_plugin_whose_commands_fail_leaves_the_others_alone(place):
    place.plug_in("greeter", COMMANDS_PLUGIN.format(name="greeter", command="greet"))
    hook = "@hookimpl(optionalhook=True)\ndef palaver_commands():\n    raise OSError('no')\n"
    broken = f"from palaver import hookimpl\n\n\n{hook}"
    place.plug_in("broken", broken)
    done = place.run("greet")
    assert "greeter greets world\n" == done.stdout
    assert "palaver: plugin broken: in palaver_commands(): OSError: no" in done.stderr


@pytest.mark.parametrize("args", [("--help",), ("--version",), ("serve", "--help"), ("chat", "--help")])
def test_help_and_version_import_no_plugin(place, args):
    place.plug_in("marker", COMMANDS_PLUGIN.format(name="marker", command="mark"))
    assert 0 == place.run(*args).returncode
    assert not (place.folder / "imported-marker").exists()


def test_the_flags_of_serve_are_those_of_the_table_of_names():
    from palaver.config.names import NAMES

    command = palaver.get_command(None, "serve")  # type: ignore[arg-type]
    flags = {flag for option in command.params for flag in option.opts if flag.startswith("--")}
    loading = {"--config", "--env-only", "--env-file", "--version"}
    assert {name.flag for name in NAMES if name.flag} == flags - loading
